from __future__ import annotations

import random
import string

import pytest

from dpr.evaluation.answers import exact_match, f1, normalize_answer


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
