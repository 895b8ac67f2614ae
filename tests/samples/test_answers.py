from __future__ import annotations

import random

import pytest

from dpr.evaluation.matching import has_answer
from dpr.samples.answers import Background, amid_question, is_telling

TEXTS = [
    f"The river number {n} runs past town{n % 7} and rises in a land of hills." for n in range(50)
]


@pytest.fixture
def known() -> Background:
    background = Background()
    background.add(TEXTS)
    return background


@pytest.mark.parametrize("answer", ["town3", "land of hills", "number 12", "the river", "no such"])
def test_a_share_is_that_of_the_passages_that_hold_the_answer(
    known: Background, answer: str
) -> None:
    count = sum(has_answer(text, [answer]) for text in TEXTS)
    assert known.share(answer) == (count / 50 if count >= 3 else 0)


def test_the_background_is_the_same_in_any_order() -> None:
    one, other = Background(10), Background(10)
    one.add([*TEXTS, *TEXTS])
    shuffled = list(TEXTS)
    random.Random(1).shuffle(shuffled)
    other.add(shuffled)
    assert sorted(one._heap) == sorted(other._heap)
    assert len(one._heap) == 10


@pytest.mark.parametrize(
    ("answer", "telling"),
    [
        ("yes", False),
        ("two", False),
        ("12", False),
        ("1", False),
        ("the", False),
        ("he", False),
        ("X", False),
        ("1963", True),
        ("Anna", True),
        ("yes indeed", True),
        ("land of hills", False),  # stands in all passages
    ],
)
def test_what_is_telling(known: Background, answer: str, telling: bool) -> None:
    assert is_telling(answer, known, 0.2) is telling


def test_a_question_around_its_answer(known: Background) -> None:
    question, answer = "Who invented the steam turbine?", "Charles Parsons"
    near = "The invention of the steam turbine by Charles Parsons changed shipping."
    far = "The steam turbine was new. " + "It was so. " * 20 + "Charles Parsons lived in Newcastle."
    other = "Charles Parsons lived in Newcastle."
    assert amid_question(question, answer, "", near, known) == 1
    assert amid_question(question, answer, "", far, known) == 0
    assert amid_question(question, answer, "", other, known) == 0
    assert amid_question(question, answer, "Steam turbine", other, known) == 0
    half = amid_question(question, answer, "", "Charles Parsons had a steam turbine.", known)
    assert 0.5 < half < 1
    assert amid_question("Who?", answer, "", near, known) == 0
