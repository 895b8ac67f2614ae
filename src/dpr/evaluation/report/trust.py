"""How far a reader's confidence can be trusted: calibration, and accuracy over coverage."""

from __future__ import annotations

from functools import partial

from dpr.evaluation.records import Bin, Reading
from dpr.evaluation.report import pictures
from dpr.evaluation.report.curves import legend
from dpr.evaluation.report.findings import Findings
from dpr.evaluation.report.numbers import Name, lines, number, pointer, words
from dpr.evaluation.report.parts import Cell, Column, Key, Picture, Table


def calibration_picture(found: Findings) -> Picture:
    bins = [_filled(one.reading) for _, one in found.systems()]
    points = [[(one.confidence, one.accuracy) for _, one in some] for some in bins]
    wide, narrow = pictures.draw("c", partial(pictures.reliability, series=points))
    said, rows = [], []
    for place, some in enumerate(bins):
        system = found.evaluation.systems[place]
        at = pointer("systems", place, "reading")
        for step, one in some:
            here = f"{at}/calibration/{step}"
            row: tuple[Cell, ...] = (
                Key(place, Name(system.name)),
                words(
                    "{} to {}",
                    number(one.low, "percent", f"{here}/low"),
                    number(one.high, "percent", f"{here}/high"),
                ),
                number(one.count, "count", f"{here}/count"),
                number(one.confidence, "share", f"{here}/confidence"),
                number(one.accuracy, "share", f"{here}/accuracy"),
            )
            rows.append(row)
        if some and system.reading:
            said.append(
                words(
                    "{}: off by {} on average, on the whole too {}.",
                    Name(system.name),
                    number(system.reading.calibration_error, "share", f"{at}/calibration_error"),
                    _leaning([one for _, one in some]),
                )
            )
    titles = ("Confidence", "Answers", "Mean confidence", "Right")
    columns = (Column("System", "name"), *(Column(title) for title in titles))
    return Picture(
        "calibration",
        "Is its confidence to be trusted?",
        lines([words("On the dotted line it is."), *said]),
        wide,
        narrow,
        Table("Confidence and accuracy", columns, tuple(rows)),
        legend(found, [bool(some) for some in bins]),
    )


def _filled(reading: Reading | None) -> list[tuple[int, Bin]]:
    """The bins that hold answers, with their places."""
    if reading is None:
        return []
    return [(step, one) for step, one in enumerate(reading.calibration) if one.count]


def _leaning(bins: list[Bin]) -> str:
    """Whether confidence is above or below accuracy, over all answers."""
    gap = sum(one.count * (one.confidence - one.accuracy) for one in bins)
    return "high" if gap > 0 else "low"


def coverage_picture(found: Findings) -> Picture:
    points = [list(one.reading.coverage) if one.reading else [] for _, one in found.systems()]
    wide, narrow = pictures.draw("v", partial(pictures.coverage, series=points))
    said, rows = [], []
    for place, some in enumerate(points):
        name, at = (
            Name(found.evaluation.systems[place].name),
            pointer("systems", place, "reading", "coverage"),
        )
        for step in dict.fromkeys(round(part * (len(some) - 1) / 10) for part in range(11) if some):
            row: tuple[Cell, ...] = (
                Key(place, name),
                *(number(some[step][side], "share", f"{at}/{step}/{side}") for side in (0, 1)),
            )
            rows.append(row)
        if some:
            half = min(range(len(some)), key=lambda step, of=some: abs(of[step][0] - 0.5))  # type: ignore[misc]
            said.append(
                words(
                    "{}: {} right where it answers {} of the questions, {} where it answers {}.",
                    name,
                    *(number(some[half][side], "share", f"{at}/{half}/{side}") for side in (1, 0)),
                    *(
                        number(some[-1][side], "share", f"{at}/{len(some) - 1}/{side}")
                        for side in (1, 0)
                    ),
                )
            )
    columns = (Column("System", "name"), Column("Questions answered"), Column("Right"))
    return Picture(
        "coverage",
        "If it only answered when sure",
        lines(said),
        wide,
        narrow,
        Table("Coverage and accuracy", columns, tuple(rows)),
        legend(found, [bool(some) for some in points]),
    )
