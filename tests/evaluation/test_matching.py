from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from unicodedata import category, combining, normalize

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dpr.errors import InputError, MissingExtraError
from dpr.evaluation import matching
from dpr.evaluation.matching import Matcher, has_answer, matches

from .hard_cases import HARD_CASES, REGEX_PACKAGE_ONLY, STRINGS, Case

# A second implementation, from the rule as documented and with other means: Python's own database
# of characters, one character at a time.


def second_tokens(text: str) -> list[str]:
    tokens, word = [], ""
    for character in normalize("NFD", text):
        kind = category(character)[0]
        if kind in "LNM":
            word += character
            continue
        tokens += [word] * bool(word)
        word = ""
        if kind not in "ZC":
            tokens.append(character)
    return [token.lower() for token in [*tokens, *[word] * bool(word)]]


def second_has_answer(text: str, answers: list[str]) -> bool:
    tokens = second_tokens(text)
    for answer in answers:
        left = second_tokens(answer)
        if not left or any(tokens[at : at + len(left)] == left for at in range(len(tokens))):
            return True
    return False


# Text in which every part of the rule matters and answers are likely to be found.
PIECES = [
    *"aAbBéÉe\u0301\u0323\u0338\u20dd ΣσςΑα.'-:’ßẞİıŉǰΐK",
    *" \n\t\u00a0\u00ad\u200b\u200d\u3000\ufeff\x00\ue000\ud800",
    *"北京한하\u1112\u1161\u11abがか\u3099हि12½²Ⓐⓐ\u2167\u2177",
    *"😀👨🏽𐐀𐐨_=≠\u0345\u0f73\u0344\u0958",
    "ΟΣ",
    "New York",
    "the",
]
pieces = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
# What the database of this Python does not know yet, regex's may.
known = st.text(st.characters(exclude_categories=["Cn"]), max_size=12)
texts = pieces | known | st.text(max_size=12)


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text with answers, some of them cut out of it and changed in ways that may not matter."""
    text = "".join(draw(st.lists(texts, max_size=4)))
    answers = draw(st.lists(texts, max_size=2))
    if draw(st.booleans()) and text:
        start = draw(st.integers(0, len(text) - 1))
        cut = text[start : draw(st.integers(start, len(text)))]
        change = draw(st.sampled_from([str, str.upper, str.lower, str.title, str.casefold]))
        form = draw(st.sampled_from(["NFC", "NFD"]))
        answers.append(normalize(form, change(cut)))
    return text, answers


@pytest.mark.parametrize("case", [*HARD_CASES, *REGEX_PACKAGE_ONLY], ids=lambda case: case.why)
def test_hard_cases(case: Case) -> None:
    assert has_answer(case.text, case.answers, case.regex) is case.expected
    assert Matcher(case.answers, case.regex).matches(case.text) is case.expected


@pytest.mark.parametrize("case", STRINGS, ids=lambda case: case.why)
def test_hard_cases_by_the_second_implementation(case: Case) -> None:
    assert second_has_answer(case.text, list(case.answers)) is case.expected


def test_there_are_cases_of_both_kinds_for_strings_and_patterns() -> None:
    kinds = {(case.regex, case.expected) for case in HARD_CASES}
    assert len(kinds) == 4
    assert len(HARD_CASES) >= 60


@settings(max_examples=600)
@given(questions())
@example(("ΟΔΟΣ.Α", ["οδος"]))
@example(("x", [""]))
@example(("", [" "]))
def test_fast_equals_slow_and_the_second_implementation(given: tuple[str, list[str]]) -> None:
    text, answers = given
    verdict = has_answer(text, answers)
    assert Matcher(answers).matches(text) is verdict
    if all(category(c) != "Cn" for c in normalize("NFD", text + "".join(answers))):
        assert second_has_answer(text, answers) is verdict


@pytest.mark.slow
def test_every_character_is_of_the_kind_that_the_second_implementation_says() -> None:
    """All characters that this Python knows, alone and between letters: 140,000 and more."""
    count = 0
    for code in range(0x110000):
        character = chr(code)
        if category(character) in ("Cn", "Co", "Cs"):
            continue
        count += 1
        text = f"a{character}b {character}"
        tokens = [token for token, _ in matching._tokens(normalize("NFD", text))]
        assert tokens == second_tokens(text), hex(code)
    assert count > 140_000


@settings(max_examples=400)
@given(texts, texts)
def test_folding_hides_no_token(before: str, after: str) -> None:
    """What the fast path rests on: the fold of each token stands in the fold of its text."""
    plain = normalize("NFD", before + after)
    folded = matching._folded(plain)
    for match in matching._token_pattern().finditer(plain):
        token = match.group()
        assert matching._folded(token) in folded
        assert matching._folded(token) == matching._folded(token.lower())


@settings(max_examples=600)
@given(questions())
def test_spans_stand_where_the_answers_do(given: tuple[str, list[str]]) -> None:
    text, answers = given
    spans = Matcher(answers).spans(text)
    # By the slow twin: regex's database may know characters that this Python's does not.
    with_tokens = [a for a in answers if list(matching._tokens(normalize("NFD", a)))]
    assert bool(spans) is has_answer(text, with_tokens)
    for start, end in spans:
        # Cut out, it still holds an answer; and it begins and ends with characters made whole.
        assert has_answer(text[start:end], with_tokens)
        assert end == len(text) or not combining(normalize("NFD", text[end])[0])
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert all(0 <= start < end <= len(text) for start, end in spans)


@settings(max_examples=400)
@given(texts)
def test_every_character_of_the_normal_form_has_its_origin(text: str) -> None:
    origins = matching._origins(text)
    plain = normalize("NFD", text)
    assert len(origins) == len(plain)
    parts = list(dict.fromkeys(origins))
    assert "".join(text[start:end] for start, end in parts) == text
    assert "".join(normalize("NFD", text[start:end]) for start, end in parts) == plain


@pytest.mark.parametrize(
    ("text", "answers", "shown"),
    [
        ("The Café is a cafe\u0301, CAFÉ!", ["café"], ["Café", "cafe\u0301", "CAFÉ"]),
        ("old New York City", ["New York", "York City"], ["New York City"]),
        ("York York York", ["York York"], ["York York York"]),
        ("Victoria 's secret", ["Victoria's"], ["Victoria 's"]),
        ("a ≠ b", ["="], ["≠"]),
        ("x 한국 y", ["한국"], ["한국"]),
        ("2 and 3", ["3", "2"], ["2", "3"]),
        ("ab", ["a"], []),
        ("anything", ["", " "], []),
        ("anything", [], []),
    ],
)
def test_spans_by_hand(text: str, answers: list[str], shown: list[str]) -> None:
    assert [text[start:end] for start, end in Matcher(answers).spans(text)] == shown


def test_spans_of_patterns() -> None:
    text = "Él: Oct. 12, oct 13 한"
    spans = Matcher([r"oct\.? \d+", "^e", r"x*", "\u1112", "("], regex=True).spans(text)
    assert [text[start:end] for start, end in spans] == ["É", "Oct. 12", "oct 13", "한"]
    assert Matcher(["("], regex=True).spans("(") == []


def test_matches_goes_question_by_question_and_keeps_nothing() -> None:
    taken = []

    def some(*group: str) -> Iterator[str]:
        for text in group:
            taken.append(text)
            yield text

    verdicts = matches(
        iter([some("the Rhine", "the Elbe"), some(), some("x")]), [["Elbe", "Oder"], ["a"], []]
    )
    assert next(verdicts) == [False, True]
    assert taken == ["the Rhine", "the Elbe"]
    assert list(verdicts) == [[], [False]]
    assert list(matches([["1987"]], [[r"^\d+$"]], regex=True)) == [[True]]
    with pytest.raises(ValueError, match="shorter"):
        list(matches([["a"], ["b"]], [["a"]]))


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(?R)"])
def test_a_pattern_that_would_not_end_is_an_error_that_names_it(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "PATTERN_SECONDS", 0.05)
    text = "ab" + "a" * 300 + " b"
    for search in (Matcher([pattern], True).matches, Matcher([pattern], True).spans):
        with pytest.raises(InputError, match=r"took more than 0\.05 s") as caught:
            search(text)
        assert repr(pattern) in str(caught.value)
    with pytest.raises(InputError, match="took more than"):
        has_answer(text, [pattern], regex=True)


def test_a_pattern_that_ends_once_and_not_again_is_an_error_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matching, "PATTERN_SECONDS", 0.05)
    matcher = Matcher([r"(a+)+c"], regex=True)
    text = "ac " + "a" * 300 + "b c"
    assert matcher.matches(text)
    with pytest.raises(InputError, match="took more than"):
        matcher.spans(text)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(((a{100}){100}){100}){100}",
        "a{1000000000}",
        "a{0000000000000000000000009999999}",
        r"x|(?:\(([[:alpha:])][()]{1000}){1,}b){1000,}){3000}",
        "((a{1000})(?#) {1000})(?#){1000}",
        "(?x)((a{1000}) {1000}) { 1 000 }",
        "(?V1)(x[[a])]{1000}){1000}[[a](]{1000}",
    ],
)
def test_a_pattern_too_large_to_compile_is_refused(pattern: str) -> None:
    for make in (Matcher, lambda answers, regex: has_answer("a", answers, regex)):
        with pytest.raises(InputError, match="repeats that come to"):
            make([pattern], True)


def test_common_counts_are_allowed() -> None:
    pattern = r"\d{4}-\d{2}-\d{2}|\d{1,2} \w{3,9} \d{4}|a{,5}b{0,1000000}|x{1000}"
    assert has_answer("on 1987-10-12", [pattern], regex=True)


def test_a_pattern_nested_too_deep_never_matches() -> None:
    deep = "(" * 5000 + "a" + ")" * 5000
    assert not Matcher([deep], regex=True).matches("a")


@pytest.mark.slow
def test_fast_equals_slow_on_real_text(shared_data: Path) -> None:
    """Every fourth paragraph of SQuAD's test file against its own answers and others."""
    articles = json.loads((shared_data / "squad" / "test.json").read_text("utf-8"))["data"]
    paragraphs = [p for article in articles for p in article["paragraphs"]][::4]
    answers = [[a["text"] for a in qa["answers"]] for p in paragraphs for qa in p["qas"]]
    rng = random.Random(0)
    compared = held = 0
    for paragraph in paragraphs:
        own = [[a["text"] for a in qa["answers"]] for qa in paragraph["qas"]]
        for accepted in own + rng.sample(answers, 20):
            for regex in (False, True):
                verdict = has_answer(paragraph["context"], accepted, regex)
                assert Matcher(accepted, regex).matches(paragraph["context"]) is verdict
            verdict = has_answer(paragraph["context"], accepted)
            assert second_has_answer(paragraph["context"], accepted) is verdict
            compared, held = compared + 1, held + verdict
    assert compared > 1000
    assert 200 < held < compared - 200


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    matching._engine.cache_clear()
    matching._token_pattern.cache_clear()
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(MissingExtraError, match=r"'regex'.*\[evaluate\]"):
        Matcher(["a"])


def test_regex_is_not_imported_before_it_is_needed() -> None:
    code = "import dpr.evaluation.matching, sys; sys.exit('regex' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
