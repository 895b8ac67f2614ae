"""Which questions show a difference: the largest wins and losses of one system over another.

Takes differences and what was found, gives ``Example`` records with the accepted answers marked in
the passages. Knows nothing of how it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dpr.evaluation.records import Example, Shown
from dpr.records import Hit, Question

Right = Callable[[int, Hit], bool]
Spans = Callable[[int, str], list[tuple[int, int]]]
Values = Sequence[float | None]


def examples(
    questions: Sequence[Question],
    measure: str,
    values: Mapping[str, Values],
    hits: Mapping[str, Sequence[Sequence[Hit]]],
    answers: Mapping[str, Sequence[str]],
    pair: tuple[str, str],
    right: Right,
    spans: Spans,
    most: int,
) -> list[Example]:
    """The ``most`` largest wins and losses of the first of a pair, equal ones in question order.

    Args:
        values, hits: by system, question by question.
        answers: by system, what its reader answered; systems without a reader are not in it.
        right: whether a hit of question i is one that answers it.
        spans: where accepted answers of question i stand in a text.
    """
    system, other = pair
    gaps = [
        (a - b, number)
        for number, (a, b) in enumerate(zip(values[system], values[other], strict=True))
        if a is not None and b is not None and a != b
    ]
    wins = sorted((g for g in gaps if g[0] > 0), key=lambda g: (-g[0], g[1]))[:most]
    losses = sorted((g for g in gaps if g[0] < 0), key=lambda g: (g[0], g[1]))[:most]
    chosen = [("win", *gap) for gap in wins] + [("loss", *gap) for gap in losses]

    def shown(number: int, found: Sequence[Hit], wanted: bool) -> Shown | None:
        ranked = list(enumerate(found, 1))
        first = next((one for one in ranked if wanted and right(number, one[1])), None)
        if first is None and ranked:
            first = ranked[0]
        if first is None:
            return None
        passage = first[1].passage
        marks = tuple(spans(number, passage.text))
        return Shown(first[0], passage.id, passage.title, passage.text, marks)

    found = []
    for kind, _, number in chosen:
        better, worse = pair if kind == "win" else (other, system)
        question = questions[number]
        found.append(
            Example(
                kind=kind,
                measure=measure,
                system=system,
                other=other,
                question=question.text,
                answers=question.answers,
                values=(values[system][number] or 0.0, values[other][number] or 0.0),
                found=shown(number, hits[better][number], True),
                instead=shown(number, hits[worse][number], False),
                answer=answers[better][number] if better in answers else "",
            )
        )
    return found
