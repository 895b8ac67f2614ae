"""Examples: the largest differences, the right passages, the marks."""

from __future__ import annotations

from dpr.evaluation.examples import examples
from dpr.evaluation.records import Example
from dpr.records import Hit, Passage, Question

QUESTIONS = [Question(str(n), f"question {n}", ("king",)) for n in range(5)]
OURS = [0.5, 1.0, 0.0, None, 0.2]
THEIRS = [0.5, 0.0, 0.3, 1.0, 0.0]


def found(most: int = 9, answers: dict[str, list[str]] | None = None) -> list[Example]:
    hits = [Hit(Passage("a", "a queen"), 2.0), Hit(Passage("b", "the king", "Tale"), 1.0)]
    return examples(
        QUESTIONS,
        "nDCG@10",
        {"ours": OURS, "theirs": THEIRS},
        {"ours": [hits] * 5, "theirs": [hits[:1], [], hits[:1], hits, hits[:1]]},
        answers or {},
        ("ours", "theirs"),
        lambda number, hit: "king" in hit.passage.text,
        lambda number, text: [(text.find("king"), text.find("king") + 4)] if "king" in text else [],
        most,
    )


def test_wins_then_losses_by_size_and_none_that_was_not_measured() -> None:
    shown = [(one.kind, one.question, one.values) for one in found()]
    assert shown == [
        ("win", "question 1", (1.0, 0.0)),
        ("win", "question 4", (0.2, 0.0)),
        ("loss", "question 2", (0.0, 0.3)),
    ]
    assert [(one.kind, one.question) for one in found(1)] == [
        ("win", "question 1"),
        ("loss", "question 2"),
    ]


def test_the_right_passage_of_the_better_and_the_first_of_the_worse() -> None:
    win, other, loss = found()
    assert win.found is not None
    assert (win.found.rank, win.found.id, win.found.title, win.found.marks) == (
        2,
        "b",
        "Tale",
        ((4, 8),),
    )
    assert win.instead is None  # it found nothing
    assert other.instead is not None
    assert (other.instead.rank, other.instead.id, other.instead.marks) == (1, "a", ())
    assert loss.found is not None
    assert loss.found.id == "a"  # none is right: the first stands for it
    assert loss.instead is not None
    assert loss.instead.id == "a"


def test_the_answer_is_that_of_the_better_one() -> None:
    win, _, loss = found(answers={"ours": ["a", "b", "c", "d", "e"]})
    assert (win.answer, loss.answer) == ("b", "")
