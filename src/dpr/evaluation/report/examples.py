"""Examples of wins and losses: questions with what two systems found, answers marked."""

from __future__ import annotations

from collections.abc import Sequence

from dpr.evaluation.records import Example, Shown
from dpr.evaluation.report.findings import Findings
from dpr.evaluation.report.numbers import Name, Words, number, pointer, words
from dpr.evaluation.report.parts import Block, Card, Cards, Found, Section


def example_section(found: Findings) -> Section | None:
    """Wins first, then losses, those of the same two systems together."""
    groups: dict[tuple[bool, str, str], list[int]] = {}
    for place, one in enumerate(found.evaluation.examples):
        groups.setdefault((one.kind == "win", one.system, one.other), []).append(place)
    if not groups:
        return None
    blocks: list[Block] = []
    for (win, system, other), places in sorted(groups.items(), key=lambda group: not group[0][0]):
        names = (Name(system), Name(other))
        title = words("Where {} does better than {}", *(names if win else names[::-1]))
        blocks.append(Cards(title, tuple(_card(found, place) for place in places)))
    lead = "What stands behind the figures. Accepted answers are marked where a passage has them."
    return Section("examples", "Examples", lead, tuple(blocks))


def _card(found: Findings, place: int) -> Card:
    one, at = found.evaluation.examples[place], pointer("examples", place)
    kind = found.kind(one.measure)
    verdict = words(
        "{}: {} for {}, {} for {}",
        Name(one.measure),
        number(one.values[0], kind, f"{at}/values/0"),
        Name(one.system),
        number(one.values[1], kind, f"{at}/values/1"),
        Name(one.other),
    )
    win = one.kind == "win"
    better, worse = (one.system, one.other) if win else (one.other, one.system)
    passages = (
        _found(one, "found", better, True, f"{at}/found"),
        _found(one, "instead", worse, False, f"{at}/instead"),
    )
    return Card(win, verdict, one.question, one.answers, passages, one.answer)


def _found(example: Example, field: str, system: str, right: bool, at: str) -> Found:
    shown: Shown | None = getattr(example, field)
    if shown is None:
        return Found(words("{} found nothing", Name(system)), "", (), right)
    pattern = "{} found, at rank {}" if right else "{} has at rank {}"
    head: Words = words(pattern, Name(system), number(shown.rank, "count", f"{at}/rank"))
    return Found(head, shown.title, pieces(shown.text, shown.marks), right)


def pieces(text: str, marks: Sequence[tuple[int, int]]) -> tuple[tuple[str, bool], ...]:
    """A text in pieces, each marked or not; marks may overlap, touch, or reach past its ends."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((max(0, start), min(len(text), end)) for start, end in marks):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    cut, last = [], 0
    for start, end in merged:
        cut += [(text[last:start], False), (text[start:end], True)]
        last = end
    cut.append((text[last:], False))
    return tuple(piece for piece in cut if piece[0])
