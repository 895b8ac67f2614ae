"""Answer match equal to Pyserini's evaluation code, on real data and on the hard cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation.hard_cases import HARD_CASES, REGEX_PACKAGE_ONLY

from dpr.evaluation.matching import has_answer, matches

from .conftest import Ask
from .real_data import choose_passages, read_all

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("regex", [False, True])
def test_hard_cases(ask_peers: Ask, regex: bool) -> None:
    cases = [case for case in HARD_CASES if case.regex is regex]
    asked = {
        "regex": regex,
        "passages": [case.text for case in cases],
        "questions": [{"answers": case.answers, "passages": [at]} for at, case in enumerate(cases)],
    }
    verdicts = ask_peers("has_answer", asked)
    differ = [
        (case.why, verdict)
        for case, verdict in zip(cases, verdicts, strict=True)
        if verdict != str(int(case.expected))
    ]
    assert differ == []


def test_where_pyserini_compiles_patterns_with_another_package(ask_peers: Ask) -> None:
    """The original compiles with ``regex``, as we do; were Pyserini to, these would be cases."""
    asked = {
        "regex": True,
        "passages": [case.text for case in REGEX_PACKAGE_ONLY],
        "questions": [
            {"answers": case.answers, "passages": [at]}
            for at, case in enumerate(REGEX_PACKAGE_ONLY)
        ],
    }
    assert ask_peers("has_answer", asked) == ["0"] * len(REGEX_PACKAGE_ONLY)
    assert all(has_answer(case.text, case.answers, regex=True) for case in REGEX_PACKAGE_ONLY)


@pytest.mark.parametrize(("regex", "each"), [(False, 50), (True, 20)])
def test_all_of_the_shared_data(ask_peers: Ask, shared_data: Path, regex: bool, each: int) -> None:
    """Every question with answers against its golds and others; as patterns, its answers are read
    as they stand, brackets, dots and question marks included.

    36,609 questions and 10,477 passages: 1,830,450 pairs, of which 183,777 hold an answer, and as
    patterns 732,180, of which 98,314.
    """
    asked = read_all(shared_data)
    passages, chosen = choose_passages(asked, each)
    questions = [
        {"answers": one.answers, "passages": some} for one, some in zip(asked, chosen, strict=True)
    ]
    theirs = ask_peers("has_answer", {"regex": regex, "passages": passages, "questions": questions})
    texts = ([passages[at] for at in some] for some in chosen)
    ours = matches(texts, [one.answers for one in asked], regex)
    compared = held = 0
    for one, some, verdicts, expected in zip(asked, chosen, ours, theirs, strict=True):
        for at, verdict, wanted in zip(some, verdicts, expected, strict=True):
            assert verdict is (wanted == "1"), (one.answers, passages[at])
        compared += len(verdicts)
        held += sum(verdicts)
    assert len(asked) > 35_000
    assert compared == each * len(asked)
    assert compared / 50 < held < compared / 2
