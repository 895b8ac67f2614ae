"""What a report shows, in which order: an evaluation in, sections out; absent data, no section.

Knows the records and what they mean; ``page`` knows how it looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpr.evaluation.records import Evaluation
from dpr.evaluation.report.costs import cost_section
from dpr.evaluation.report.curves import curve_section
from dpr.evaluation.report.differences import difference_section
from dpr.evaluation.report.examples import example_section
from dpr.evaluation.report.facts import facts_section
from dpr.evaluation.report.findings import Findings
from dpr.evaluation.report.numbers import Kind, Name, Words, number, pointer, words
from dpr.evaluation.report.parts import (
    SERIES,
    Cell,
    Column,
    Key,
    Ladder,
    Range,
    Section,
    Stack,
    Table,
)
from dpr.evaluation.report.reader import reader_section
from dpr.questions.pseudo import CAUTION


@dataclass(frozen=True, slots=True)
class View:
    """A page: its head, its summary and key figures, and its sections."""

    title: str
    about: tuple[Words, ...]
    warning: str
    summary: tuple[str, ...]
    notes: tuple[str, ...]
    ladder: Ladder | None
    sections: tuple[Section, ...]


def view(evaluation: Evaluation) -> View:
    """All that the page of an evaluation shows.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    found = Findings(evaluation)
    sections = (
        measure_section(found),
        difference_section(found),
        curve_section(found),
        reader_section(found),
        cost_section(found),
        example_section(found),
        facts_section(found),
    )
    return View(
        title=evaluation.title,
        about=_about(found),
        warning=CAUTION if evaluation.questions.get("made") else "",
        summary=evaluation.summary,
        notes=tuple(one for one in evaluation.notes if one != CAUTION),
        ladder=_ladder(found),
        sections=tuple(one for one in sections if one is not None),
    )


def _about(found: Findings) -> tuple[Words, ...]:
    """The line below the title: which questions, when, by which version."""
    evaluation, asked = found.evaluation, found.evaluation.questions
    lines = []
    if "count" in asked:
        lines.append(words("{} questions", number(asked["count"], "count", "/questions/count")))
    if asked.get("name"):
        lines.append(words("{}", Name(str(asked["name"]))))
    if evaluation.created:
        lines.append(words("{}", evaluation.created[:16].replace("T", " ")))
    if evaluation.environment.get("dpr"):
        lines.append(words("dpr {}", str(evaluation.environment["dpr"])))
    return tuple(lines)


def _ladder(found: Findings) -> Ladder | None:
    """Every system by the main measure on one scale, the best first."""
    measure = found.evaluation.main_measure
    shown = [
        (place, system.measures[measure])
        for place, system in found.systems()
        if measure in system.measures and math.isfinite(system.measures[measure].value)
    ]
    if not shown:
        return None
    shown.sort(key=lambda one: -one[1].value)
    kind = found.kind(measure)
    bottom, top = scale(
        [one for _, value in shown for one in (value.value, value.low, value.high)], kind
    )
    rungs: list[tuple[Cell, Range, Cell, Cell]] = []
    for place, value in shown:
        name = found.evaluation.systems[place].name
        figure, interval = found.measured(place, measure)
        middle, low, high = (
            ((one if math.isfinite(one) else value.value) - bottom) / (top - bottom)
            for one in (value.value, value.low, value.high)
        )
        difference = found.against_baseline(name, measure)
        if name == found.evaluation.baseline and len(shown) > 1:
            verdict: Cell = words("{}, the baseline", interval)
        elif difference is None:
            verdict = interval
        else:
            verdict = words("{}, {}", interval, difference.said())
        rungs.append((Name(name), Range(middle, low, high, place % SERIES), figure, verdict))
    label = words(
        "{}, with {} intervals, on a scale from {} to {}",
        Name(measure),
        found.confidence(),
        *(ends := (str(number(bottom, kind)), str(number(top, kind)))),
    )
    return Ladder(label, ends, tuple(rungs))


def scale(values: list[float], kind: Kind) -> tuple[float, float]:
    """Round ends of a scale that holds the values: marks need no zero, bars would."""
    finite = [one for one in values if math.isfinite(one)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    room = max(high - low, 0.01 * max(abs(low), abs(high)), 1e-9)
    unit = 10 ** math.floor(math.log10(room))
    unit = next(step * unit for step in (1, 2, 5, 10) if room / (step * unit) <= 5)
    bottom, top = math.floor(low / unit - 0.2) * unit, math.ceil(high / unit + 0.2) * unit
    return (max(0.0, bottom), min(1.0, top)) if kind == "share" else (bottom, top)


def measure_section(found: Findings) -> Section | None:
    """The table of all measures with intervals."""
    measures = found.measures()
    if not measures:
        return None
    baseline = found.evaluation.baseline
    rows = []
    for place, system in found.systems():
        cells: list[Cell] = [Key(place, Name(system.name))]
        cells += [_cell(found, place, measure) for measure in measures]
        rows.append(tuple(cells))
    marks = (
        words(
            " ▲ and ▼ mark what is significantly better and worse than {} (p below {}, corrected"
            " for the comparisons by that measure).",
            Name(baseline),
            number(found.evaluation.alpha, "raw", "/alpha"),
        )
        if baseline and found.evaluation.comparisons
        else ""
    )
    best = " The best of each column is in bold." if len(rows) > 1 else ""
    note = words("Below each figure its {} interval.{}{}", found.confidence(), best, marks)
    columns = (Column("System", "name"), *(Column(Name(name)) for name in measures))
    return Section("measures", "All measures", note, (Table("All measures", columns, tuple(rows)),))


def _cell(found: Findings, place: int, measure: str) -> Cell:
    """A measure with its interval, the best of its column in bold, marked against the baseline."""
    systems = found.evaluation.systems
    value = systems[place].measures.get(measure)
    if value is None:
        return number(None, "share", pointer("systems", place, "measures", measure))
    known = [one.measures[measure].value for one in systems if measure in one.measures]
    figure, interval = found.measured(place, measure)
    difference = found.against_baseline(systems[place].name, measure)
    mark = difference.mark if difference is not None else ""
    marked = words("{}{}", Mark(mark), figure) if mark else figure
    return Stack(marked, interval, strong=len(known) > 1 and value.value == max(known))


@dataclass(frozen=True, slots=True)
class Mark:
    """▲ or ▼, with the word that it stands for to those who do not see it."""

    mark: str

    def __str__(self) -> str:
        return f"{self.mark} "

    def __html__(self) -> str:
        look, said = ("up", "better") if self.mark == "▲" else ("down", "worse")
        label = f'role="img" aria-label="significantly {said}"'
        return f'<span class="mark {look}" {label}>{self.mark}</span> '
