"""The curve of accuracy over the number of passages."""

from __future__ import annotations

from functools import partial

from dpr.evaluation.records import Estimate
from dpr.evaluation.report import pictures
from dpr.evaluation.report.findings import Findings
from dpr.evaluation.report.numbers import Name, Words, lines, number, pointer, words
from dpr.evaluation.report.parts import Cell, Column, Key, Picture, Section, Stack, Table

Bands = list[tuple[float, float, float, float]]


def band(points: list[tuple[int, Estimate]]) -> Bands:
    """Points (x, value, low, high) of a line with its band."""
    return [(float(x), one.value, one.low, one.high) for x, one in points]


def legend(found: Findings, shown: list[bool]) -> tuple[Key, ...]:
    """The names of the systems that a picture shows."""
    return tuple(Key(place, Name(system.name)) for place, system in found.systems() if shown[place])


def curve_section(found: Findings) -> Section | None:
    """Accuracy over k; left out where no system has two points."""
    curves = [list(system.curve) for _, system in found.systems()]
    if not any(len(one) > 1 for one in curves):
        return None
    measure = found.curve_measure()
    what = "an accepted answer" if measure == "accuracy@k" else "a passage that was judged relevant"
    wide, narrow = pictures.draw(
        "k",
        partial(
            pictures.curves,
            series=[band(one) for one in curves],
            x="passages looked at (k)",
            y=measure,
        ),
    )
    picture = Picture(
        "curve",
        words("{} by number of passages", measure),
        _caption(found),
        wide,
        narrow,
        _table(found, measure),
        legend(found, [bool(one) for one in curves]),
    )
    lead = f"The share of questions with {what} among the first k passages; bands are intervals."
    return Section("curve", "How many passages it takes", lead, (picture,))


def _caption(found: Findings) -> Words:
    """For each system where its curve starts and ends."""
    said: list[Words] = []
    for place, system in found.systems():
        if len(system.curve) < 2:
            continue
        figures = []
        for point in (0, len(system.curve) - 1):
            at = pointer("systems", place, "curve", point)
            k, value = system.curve[point]
            figures += [
                number(value.value, "share", f"{at}/1/value"),
                number(k, "count", f"{at}/0"),
            ]
        start, first, end, last = figures
        said.append(
            words("{}: {} at k = {}, {} at {}.", Name(system.name), start, first, end, last)
        )
    return lines(said)


def _table(found: Findings, measure: str) -> Table:
    depths = sorted({k for _, system in found.systems() for k, _ in system.curve})
    rows = []
    for place, system in found.systems():
        known = {k: (point, one) for point, (k, one) in enumerate(system.curve)}
        if not known:
            continue
        cells: list[Cell] = [Key(place, Name(system.name))]
        for k in depths:
            if k not in known:
                cells.append("–")
                continue
            point, value = known[k]
            at = pointer("systems", place, "curve", point, 1)
            cells.append(Stack(*found.estimate(value, "share", at)))
        rows.append(tuple(cells))
    columns = (
        Column("System", "name"),
        *(Column(words("k = {}", number(k, "count", f"/systems|depth:{k}"))) for k in depths),
    )
    return Table(f"{measure} by k", columns, tuple(rows))
