"""Where a question failed, and what is counted of a reader."""

from __future__ import annotations

import pytest

from dpr.evaluation.outcomes import OUTCOMES, Given, ReadQuestion, reading
from dpr.evaluation.settings import StatisticsSettings

STATISTICS = StatisticsSettings(resamples=200)


def question(
    best: str, *, first: str = "", candidates: tuple[str, ...] = (), retrieved: bool = True
) -> ReadQuestion:
    given = (Given(first, 0.5) if first else None, Given(best, 0.8) if best else None)
    return ReadQuestion(("The King",), False, given, (best, *candidates), retrieved)


ANSWERED = question("king", first="queen")
NOT_RETRIEVED = question("queen", first="king", retrieved=False)
NOT_READ = question("queen", candidates=("crown",))
NOT_CHOSEN = question("queen", candidates=("the king",))
NO_ANSWER = ReadQuestion((), True, (None, Given("king", 0.3)), ("king",), False)


def test_outcomes() -> None:
    each = [ANSWERED, NOT_RETRIEVED, NOT_READ, NOT_CHOSEN]
    assert [one.outcome for one in each] == list(OUTCOMES)
    # One that says nothing, though the answer stands there, was not read.
    assert question("").outcome == "not read"


def test_what_is_counted() -> None:
    read = reading([ANSWERED, NOT_RETRIEVED, NOT_READ, NOT_CHOSEN], (1, 5), 0.6, STATISTICS)
    assert read is not None
    assert read.outcomes == dict.fromkeys(OUTCOMES, 1)
    assert [(one.depth, one.exact.value) for one in read.depths] == [(1, 0.25), (5, 0.25)]
    assert read.depths[1].f1.value == 0.25
    assert read.depths[1].exact.questions == 4
    assert read.oracle.value == 0.75
    assert read.threshold == 0.6
    assert read.squad2["exact"] == 0.25
    assert read.calibration_error == pytest.approx(0.55)  # 0.8 sure, a quarter right
    assert read.coverage[-1] == (1.0, 0.25)


def test_unanswerable_questions_count_in_squad2_alone() -> None:
    read = reading([ANSWERED, NO_ANSWER], (1, 5), 0.6, STATISTICS)
    assert read is not None
    assert read.depths[-1].exact.questions == 1
    assert sum(read.outcomes.values()) == 1
    # Below the threshold no answer is given, which is right for one that has none.
    assert read.squad2["NoAns_exact"] == 1.0
    assert read.squad2["HasAns_exact"] == 1.0


def test_nothing_with_an_answer_tells_nothing() -> None:
    assert reading([NO_ANSWER], (1, 5), 0.6, STATISTICS) is None
