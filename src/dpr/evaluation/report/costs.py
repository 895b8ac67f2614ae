"""What the systems cost, beside what they find; how long a question takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from dpr.evaluation.report import pictures
from dpr.evaluation.report.curves import legend
from dpr.evaluation.report.findings import Findings
from dpr.evaluation.report.numbers import Name, lines, number, pointer, words
from dpr.evaluation.report.parts import (
    Block,
    Cell,
    Column,
    Key,
    Picture,
    Pictures,
    Section,
    Stack,
    Table,
)

STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
NUMBERS: dict[int, Callable[[Sequence[float]], float]] = {
    50: lambda times: float(np.percentile(times, 50)),
    95: lambda times: float(np.percentile(times, 95)),
}


def cost_section(found: Findings) -> Section | None:
    """Costs, time against quality, and the histogram of latencies; only what is known."""
    columns = _columns(found)
    if not columns:
        return None
    rows = []
    for place, system in found.systems():
        cells = [Key(place, Name(system.name)), *(cell(place) for _, cell in columns)]
        rows.append(tuple(cells))
    heads = (Column("System", "name"), *(Column(title) for title, _ in columns))
    blocks: list[Block] = [Table("Cost", heads, tuple(rows))]
    timed = [bool(one.cost.latencies) for _, one in found.systems()]
    if any(timed):
        drawn = [_tradeoff(found), _histogram(found, timed)]
        blocks.append(Pictures(tuple(one for one in drawn if one is not None)))
    lead = (
        "Times are of one question asked by itself, as it was measured on this machine: compare"
        " them with each other, not with another machine’s."
    )
    return Section("cost", "What it costs", lead, tuple(blocks))


def _columns(found: Findings) -> list[tuple[str, Callable[[int], Cell]]]:
    """The columns that at least one system has something for."""
    costs = [one.cost for _, one in found.systems()]
    columns: list[tuple[str, Callable[[int], Cell]]] = []
    main = found.evaluation.main_measure
    plain = (
        ("Passages", "passages", "count"),
        ("Index", "index_bytes", "bytes"),
        ("To encode", "encode_seconds", "seconds"),
    )
    for title, field, kind in plain:
        if any(getattr(one, field) is not None for one in costs):

            def cell(place: int, field: str = field, kind: str = kind) -> Cell:
                at = pointer("systems", place, "cost", field)
                return number(getattr(costs[place], field), kind, at)  # type: ignore[arg-type]

            columns.append((title, cell))
    for title, field in (("One question", "latencies"), ("With the reader", "reading")):
        for percent in NUMBERS:
            if not any(getattr(one, field) for one in costs):
                continue
            columns.append((f"{title}, p{percent}", partial(_time, found, field, percent)))
    if columns and any(main in one.measures for _, one in found.systems()):
        columns.insert(0, (main, partial(_quality, found)))
    return columns


def _time(found: Findings, field: str, percent: int, place: int) -> Cell:
    times = getattr(found.evaluation.systems[place].cost, field)
    at = f"{pointer('systems', place, 'cost', field)}|p{percent}"
    return number(NUMBERS[percent](times) if times else None, "ms", at)


def _quality(found: Findings, place: int) -> Cell:
    main = found.evaluation.main_measure
    if main not in found.evaluation.systems[place].measures:
        return "–"
    return Stack(*found.measured(place, main))


def _tradeoff(found: Findings) -> Picture | None:
    """Quality over time, where two systems or more have both."""
    main = found.evaluation.main_measure
    points: list[list[tuple[float, float, float, float]]] = []
    rows = []
    for place, system in found.systems():
        value = system.measures.get(main)
        if value is None or not system.cost.latencies:
            points.append([])
            continue
        median = max(NUMBERS[50](system.cost.latencies), 1e-3)  # the scale has no zero
        points.append([(median, value.value, value.low, value.high)])
        row: tuple[Cell, ...] = (
            Key(place, Name(system.name)),
            _time(found, "latencies", 50, place),
            Stack(*found.measured(place, main)),
        )
        rows.append(row)
    if len(rows) < 2:
        return None
    share = found.is_share(main)
    # No text from outside enters a picture but a measure's name in plain letters.
    axis = main if re.fullmatch(r"[\w@.()=-]{1,24}", main, re.ASCII) else "main measure"
    wide, narrow = pictures.draw(
        "q", partial(pictures.tradeoff, series=points, y=axis, share=share)
    )
    title = words("{} beside time", Name(main))
    caption = "Better is higher, faster is further left; lines are intervals."
    columns = (Column("System", "name"), Column("Median time"), Column(Name(main)))
    table = Table("Quality and time", columns, tuple(rows))
    shown = legend(found, [bool(one) for one in points])
    return Picture("tradeoff", title, caption, wide, narrow, table, shown)


def bin_edges(times: Sequence[float]) -> list[float]:
    """Edges of about six bins a power of ten that hold all times; milliseconds."""
    low, high = max(min(times), 1e-3), max(*times, 1e-3)
    edges = [round(step * 10.0**power, 6) for power in range(-4, 9) for step in STEPS]
    first = max(place for place, edge in enumerate(edges) if edge <= low)
    last = min(place for place, edge in enumerate(edges) if edge > high)
    return edges[first : last + 1]


def _histogram(found: Findings, timed: list[bool]) -> Picture:
    systems = found.evaluation.systems
    times = [time for one in systems for time in one.cost.latencies]
    edges = bin_edges(times)
    # What is faster than the clock can tell counts into the first bin.
    counts = [
        np.histogram(np.maximum(one.cost.latencies, edges[0]), edges)[0].tolist() if on else []
        for on, one in zip(timed, systems, strict=True)
    ]
    shares = [[one / sum(row) for one in row] for row in counts]
    wide, narrow = pictures.draw("l", partial(pictures.histogram, edges=edges, shares=shares))
    said = [
        words(
            "{}: half within {}, nineteen of twenty within {}.",
            Name(one.name),
            _time(found, "latencies", 50, place),
            _time(found, "latencies", 95, place),
        )
        for place, one in found.systems()
        if timed[place]
    ]
    rows = []
    for step, (low, high) in enumerate(pairwise(edges)):
        low = 0.0 if step == 0 and min(times) < low else low
        cells: list[Cell] = [
            words(
                "{} to {}",
                *(number(one, "ms", f"|constant:{one:g}") for one in (low, high)),
            )
        ]
        for place, row in enumerate(counts):
            if row:
                at = pointer("systems", place, "cost", "latencies")
                cells.append(number(row[step], "count", f"{at}|within:{low:g}:{high:g}"))
        rows.append(tuple(cells))
    shown = legend(found, timed)
    columns = (Column("Time", "name"), *(Column(one) for one in shown))
    return Picture(
        "latency",
        "How long a question takes",
        lines(said),
        wide,
        narrow,
        Table("Questions by time", columns, tuple(rows)),
        shown,
    )
