"""What the reader made of the passages: answers by depth, where it failed, how far to trust it."""

from __future__ import annotations

from functools import partial

from dpr.evaluation.records import Reading
from dpr.evaluation.report import pictures
from dpr.evaluation.report.curves import band, legend
from dpr.evaluation.report.findings import Findings
from dpr.evaluation.report.numbers import Kind, Name, lines, number, pointer, words
from dpr.evaluation.report.parts import (
    Bar,
    Block,
    Cell,
    Column,
    Key,
    Picture,
    Pictures,
    Section,
    Stack,
    Swatch,
    Table,
)
from dpr.evaluation.report.trust import calibration_picture, coverage_picture

OUTCOMES = {
    "answered": "Right answer",
    "not chosen": "Read, not chosen",
    "not read": "Retrieved, not read",
    "not retrieved": "Not retrieved",
}


def reader_section(found: Findings) -> Section | None:
    """All about the reader; left out where none was asked."""
    read = [(place, one.reading) for place, one in found.systems() if one.reading is not None]
    if not read:
        return None
    blocks: list[Block] = [_answers(found, read)]
    if any(one.outcomes for _, one in read):
        blocks.append(_outcomes(found, read))
    if any(len(one.depths) > 1 for _, one in read):
        blocks.append(_depth_picture(found))
    drawn = [
        calibration_picture(found) if any(one.calibration for _, one in read) else None,
        coverage_picture(found) if any(len(one.coverage) > 1 for _, one in read) else None,
    ]
    if shown := tuple(one for one in drawn if one is not None):
        blocks.append(Pictures(shown))
    if any(one.squad2 for _, one in read):
        blocks.append(_squad2(found, read))
    lead = (
        "Exact match and token F1 by SQuAD's rules. The oracle is what a reader that always chose"
        " right could reach with the passages it was given."
    )
    return Section("reader", "Answers", lead, tuple(blocks))


def _answers(found: Findings, read: list[tuple[int, Reading]]) -> Table:
    rows = []
    for place, one in read:
        at = pointer("systems", place, "reading")
        cells: list[Cell] = [Key(place, Name(found.evaluation.systems[place].name))]
        if one.depths:
            last, depth = one.depths[-1], f"{at}/depths/{len(one.depths) - 1}"
            cells += [
                number(last.depth, "count", f"{depth}/depth"),
                Stack(*found.estimate(last.exact, "share", f"{depth}/exact")),
                Stack(*found.estimate(last.f1, "share", f"{depth}/f1")),
            ]
        else:
            cells += ["–"] * 3
        cells.append(Stack(*found.estimate(one.oracle, "share", f"{at}/oracle")))
        cells.append(number(one.calibration_error, "share", f"{at}/calibration_error"))
        cells.append(number(one.threshold, "number", f"{at}/threshold"))
        rows.append(tuple(cells))
    titles = ("Passages", "Exact match", "F1", "Oracle", "Calibration error", "Threshold")
    columns = (Column("System", "name"), *(Column(title) for title in titles))
    return Table("Answers", columns, tuple(rows))


def _outcomes(found: Findings, read: list[tuple[int, Reading]]) -> Table:
    """Where it failed: for each system the questions by what became of them."""
    names = dict.fromkeys([*OUTCOMES, *(name for _, one in read for name in one.outcomes)])
    rows = []
    for place, one in read:
        total = max(1, sum(one.outcomes.values()))
        at = pointer("systems", place, "reading", "outcomes")
        cells: list[Cell] = [Key(place, Name(found.evaluation.systems[place].name))]
        cells.append(
            Bar(
                tuple(
                    (f"outcome-{min(look, 3)}", one.outcomes.get(name, 0) / total)
                    for look, name in enumerate(names)
                )
            )
        )
        for name in names:
            count = one.outcomes.get(name)
            share = None if count is None else count / total
            cells.append(
                Stack(
                    number(count, "count", at + pointer(name)),
                    number(share, "share", f"{at}|share:{name}"),
                )
            )
        rows.append(tuple(cells))
    columns = (
        Column("What became of the questions", "name"),
        Column("As a bar", "wide"),
        *(
            Column(Swatch(f"outcome-{min(look, 3)}", OUTCOMES.get(name, name)))
            for look, name in enumerate(names)
        ),
    )
    note = (
        "Not retrieved: no passage read holds an accepted answer. Retrieved, not read: one does,"
        " and no candidate answer matches. Read, not chosen: a candidate matches, and another came"
        " first."
    )
    return Table("What became of the questions", columns, tuple(rows), note)


def _depth_picture(found: Findings) -> Picture:
    depths = [list(one.reading.depths) if one.reading else [] for _, one in found.systems()]
    exact = [band([(one.depth, one.exact) for one in points]) for points in depths]
    f1 = [band([(one.depth, one.f1) for one in points]) for points in depths]
    panels = [("Exact match", exact), ("F1", f1)]
    wide, narrow = pictures.draw(
        "r", partial(pictures.two_curves, panels=panels, x="passages read")
    )
    said, rows = [], []
    for place, points in enumerate(depths):
        name = Name(found.evaluation.systems[place].name)
        at = pointer("systems", place, "reading", "depths")
        for step, one in enumerate(points):
            here = f"{at}/{step}"
            row: tuple[Cell, ...] = (
                Key(place, name),
                number(one.depth, "count", f"{here}/depth"),
                Stack(*found.estimate(one.exact, "share", f"{here}/exact")),
                Stack(*found.estimate(one.f1, "share", f"{here}/f1")),
            )
            rows.append(row)
        if points:
            best = max(range(len(points)), key=lambda step, of=points: of[step].exact.value)  # type: ignore[misc]
            said.append(
                words(
                    "{} answers best from {} passages: {} exact match.",
                    name,
                    number(points[best].depth, "count", f"{at}/{best}/depth"),
                    number(points[best].exact.value, "share", f"{at}/{best}/exact/value"),
                )
            )
    titles = ("Passages read", "Exact match", "F1")
    columns = (Column("System", "name"), *(Column(title) for title in titles))
    return Picture(
        "depth",
        "Answers by the number of passages read",
        lines(said),
        wide,
        narrow,
        Table("Answers by the number of passages read", columns, tuple(rows)),
        legend(found, [bool(points) for points in depths]),
    )


def _squad2(found: Findings, read: list[tuple[int, Reading]]) -> Table:
    """SQuAD 2.0's figures as they are named there."""
    names = list(dict.fromkeys(name for _, one in read for name in one.squad2))
    rows = []
    for name in names:
        cells: list[Cell] = [name]
        for place, one in read:
            kind = _squad2_kind(name)
            at = pointer("systems", place, "reading", "squad2", name)
            cells.append(number(one.squad2.get(name), kind, at))
        rows.append(tuple(cells))
    systems = (Key(place, Name(found.evaluation.systems[place].name)) for place, _ in read)
    columns = (Column("SQuAD 2.0 figure", "name"), *(Column(one) for one in systems))
    return Table(
        "With a threshold for no answer", columns, tuple(rows), folded="By SQuAD 2.0’s rules"
    )


def _squad2_kind(name: str) -> Kind:
    if name.endswith(("threshold", "thresh")):
        return "number"
    return "count" if name.endswith("total") else "share"
