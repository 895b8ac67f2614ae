"""Made questions: they are about their passage, and the same every time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dpr.questions.pseudo import NAME, pseudo_questions
from dpr.records import Passage

TEXTS = [
    "The old treaty between the two kingdoms was signed in 1648 after a long war.",
    "Nothing here can be asked for at all, as it holds no name.",
    "For many years the river was guarded by the soldiers of Prince Albert without rest.",
    "She counted the sheep twice and was sure that 42 of them had come back home.",
    "",
]
PASSAGES = [Passage(f"d#{n}", text) for n, text in enumerate(TEXTS)]


def test_what_is_asked_stands_in_the_passage_and_not_in_the_question() -> None:
    made = pseudo_questions(PASSAGES)
    assert made.name == NAME
    assert [question.id for question in made.questions] == ["pseudo-0", "pseudo-2", "pseudo-3"]
    assert [question.answers for question in made.questions] == [
        ("1648",),
        ("Prince Albert",),
        ("42",),
    ]
    for question in made.questions:
        (passage,) = made.judgements[question.id]
        text = next(one.text for one in PASSAGES if one.id == passage)
        assert question.answers[0] in text
        assert question.answers[0] not in question.text
        assert question.text.endswith("?")
    assert made.questions[0].text == (
        "treaty between the two kingdoms was signed in when after a long war?"
    )


def test_the_same_seed_gives_the_same_questions() -> None:
    many = [Passage(str(n), TEXTS[0].replace("1648", str(1500 + n))) for n in range(200)]
    first, again = pseudo_questions(many, 20, seed=3), pseudo_questions(iter(many), 20, seed=3)
    assert first == again
    assert len(first.questions) == 20
    assert first != pseudo_questions(many, 20, seed=4)
    places = [int(question.id.removeprefix("pseudo-")) for question in first.questions]
    assert places == sorted(places)
    assert max(places) > 100  # drawn from all over


def test_nothing_to_ask_for_gives_none() -> None:
    assert pseudo_questions([PASSAGES[1]]).questions == ()


class Shelf:
    """Many passages, of which those that are read are counted; each second row is deleted."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def live_rows(self) -> npt.NDArray[np.int64]:
        return np.arange(0, 40_000, 2)

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        self.read += rows
        return [Passage(str(n), TEXTS[n // 2 % 5].replace("1648", str(1000 + n))) for n in rows]


def test_of_stored_passages_only_those_drawn_are_read() -> None:
    shelf, listed = Shelf(), Shelf()
    expected = pseudo_questions(listed.passages(listed.live_rows().tolist()), 20, seed=3)
    assert pseudo_questions(shelf, 20, seed=3) == expected
    assert 20 <= len(shelf.read) < 100
