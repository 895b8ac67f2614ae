from __future__ import annotations

import random
import string

import pytest

from dpr.errors import InputError
from dpr.evaluation.answers import exact_match, f1, normalize_answer, squad2


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("The  Rhine.", "rhine"),
        ("an  A-Team", "ateam"),
        ("a", ""),
        ("Another theory", "another theory"),
        ("École", "école"),
        ("", ""),
    ],
)
def test_normal_form(given: str, normal: str) -> None:
    assert normalize_answer(given) == normal


def test_exact_match_takes_any_accepted_answer() -> None:
    assert exact_match("the Rhine", ["Danube", "Rhine"]) == 1.0
    assert exact_match("Rhine river", ["Rhine"]) == 0.0
    assert exact_match("anything", []) == 0.0


def test_f1_worked_by_hand() -> None:
    # two of three given tokens, two of two wanted: precision 2/3, recall 1
    assert f1("old river Rhine", ["river Rhine"]) == pytest.approx(0.8)
    assert f1("x", []) == 0.0
    assert f1("the", ["a"]) == 1.0


def slow_normal(text: str) -> list[str]:
    """The documented rule, spelt out: lower, no ASCII punctuation, no articles, split on space."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    words, word = [], ""
    for character in kept + " ":
        if character.isalnum() or character == "_":
            word += character
        else:
            words += [word] * (word not in ("", "a", "an", "the"))
            words.append(character)
            word = ""
    return "".join(words).split()


def slow_f1(given: list[str], wanted: list[str]) -> float:
    left, common = list(wanted), 0
    for word in given:
        if word in left:
            left.remove(word)
            common += 1
    if not given or not wanted:
        return float(given == wanted)
    precision, recall = common / len(given), common / len(wanted)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def test_equal_to_a_second_implementation() -> None:
    rng = random.Random(0)
    words = ["the", "a", "An", "Rhine", "river,", "X-ray", "42", "é", "中文", "", "don't", "—the"]
    for _ in range(2000):
        given = " ".join(rng.choices(words, k=rng.randint(0, 5)))
        wanted = " ".join(rng.choices(words, k=rng.randint(0, 5)))
        slow = slow_normal(given), slow_normal(wanted)
        assert exact_match(given, [wanted]) == float(slow[0] == slow[1])
        assert f1(given, [wanted]) == pytest.approx(slow_f1(*slow))


def test_squad2_worked_by_hand() -> None:
    figures = squad2(
        answers=["the Rhine", "old Elbe", "Oder", ""],
        confidences=[0.9, 0.5, 0.4, 0.0],
        accepted=[["Rhine"], ["Elbe"], [], []],
        threshold=0.5,
    )
    assert figures == pytest.approx(
        {
            # At 0.5 the second is still given, the third no longer.
            "exact": 3 / 4,
            "HasAns_exact": 1 / 2,
            "NoAns_exact": 1.0,
            "f1": (1 + 2 / 3 + 1 + 1) / 4,
            "HasAns_f1": (1 + 2 / 3) / 2,
            "NoAns_f1": 1.0,
            "best_exact": 3 / 4,
            "best_exact_threshold": 0.9,
            "best_f1": (1 + 2 / 3 + 1 + 1) / 4,
            "best_f1_threshold": 0.5,
        }
    )


def test_squad2_has_figures_only_of_the_kinds_of_questions_there_are() -> None:
    both = {"exact", "f1", "best_exact", "best_exact_threshold", "best_f1", "best_f1_threshold"}
    assert squad2(["a b"], [1], [["b"]], 0).keys() == both | {"HasAns_exact", "HasAns_f1"}
    assert squad2(["a b"], [1], [[]], 0).keys() == both | {"NoAns_exact", "NoAns_f1"}


@pytest.mark.parametrize(
    ("answer", "accepted", "exact"),
    [
        ("", [], 1.0),
        ("the", [], 1.0),  # which normalises to nothing
        ("Rhine", [], 0.0),
        ("", ["the", "Rhine"], 0.0),  # "the" is left out
        ("", ["the"], 1.0),  # but not where nothing else is accepted
    ],
)
def test_squad2_without_tokens(answer: str, accepted: list[str], exact: float) -> None:
    assert squad2([answer], [1.0], [accepted], 0.0)["exact"] == exact


def test_squad2_without_any_answer_is_best() -> None:
    figures = squad2(["Rhine", "Elbe"], [0.7, 0.7], [[], []], 0.7)
    assert (figures["exact"], figures["NoAns_f1"]) == (0.0, 0.0)
    assert (figures["best_exact"], figures["best_exact_threshold"]) == (1.0, 1.0)


def test_squad2_best_is_what_the_best_of_all_thresholds_gives() -> None:
    """With no two confidences the same, each threshold can be tried."""
    rng = random.Random(0)
    names = ["Rhine", "Elbe", "river Oder", ""]
    for _ in range(100):
        count = rng.randint(1, 8)
        answers = rng.choices(names, k=count)
        confidences = rng.sample([step / 16 for step in range(16)], count)
        accepted = [rng.sample(names[:3], rng.randint(0, 2)) for _ in range(count)]
        figures = squad2(answers, confidences, accepted, 0.5)
        for name in ("exact", "f1"):
            tried = [
                squad2(answers, confidences, accepted, threshold)[name]
                for threshold in [*confidences, 1.0]
            ]
            assert figures[f"best_{name}"] == pytest.approx(max(tried))
            at = figures[f"best_{name}_threshold"]
            assert squad2(answers, confidences, accepted, at)[name] == pytest.approx(max(tried))


@pytest.mark.parametrize(
    ("answers", "confidences", "accepted", "says"),
    [
        ([], [], [], "0 answers"),
        (["a"], [], [[]], "1 answers, 0 confidences"),
        (["a"], [0.5], [], "of 0 questions"),
        (["a"], [float("nan")], [[]], "NaN"),
    ],
)
def test_squad2_refuses(
    answers: list[str], confidences: list[float], accepted: list[list[str]], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        squad2(answers, confidences, accepted, 0.5)
