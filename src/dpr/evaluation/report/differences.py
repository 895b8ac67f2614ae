"""What is really different: verdicts in words, the tests' figures, the plot of each question."""

from __future__ import annotations

from functools import partial

import numpy as np

from dpr.evaluation.records import Comparison
from dpr.evaluation.report import pictures
from dpr.evaluation.report.findings import Findings, amount, p_said
from dpr.evaluation.report.numbers import Name, Words, number, pointer, words
from dpr.evaluation.report.parts import (
    Bar,
    Block,
    Cell,
    Column,
    Picture,
    Pictures,
    Section,
    Sentences,
    Stack,
    Table,
)

MOST_PLOTS = 6
QUANTILES = (1.0, 0.9, 0.75, 0.5, 0.25, 0.1, 0.0)


def difference_section(found: Findings) -> Section | None:
    """The comparisons by the main measure, the other measures folded."""
    evaluation = found.evaluation
    if not evaluation.comparisons:
        return None
    first = evaluation.main_measure
    main = [place for place, one in enumerate(evaluation.comparisons) if one.measure == first]
    rest = [place for place, one in enumerate(evaluation.comparisons) if one.measure != first]
    blocks: list[Block] = []
    if main:
        blocks.append(Sentences(tuple(_verdict(found, place) for place in main)))
        blocks.append(_table(found, main, words("Comparisons by {}", Name(first)), folded=""))
    if plots := _plotted(found, main, rest):
        blocks.append(Pictures(tuple(_picture(found, place) for place in plots[:MOST_PLOTS])))
    if rest:
        title = words("Comparisons by the other measures")
        blocks.append(_table(found, rest, title, folded=str(title)))
    lead = words(
        "Paired tests over the questions that both systems have. p is corrected for the"
        " comparisons by that measure (Holm); a difference counts as real where it is below {}."
        " The effect size is the mean difference over the standard deviation of the differences.",
        number(evaluation.alpha, "raw", "/alpha"),
    )
    return Section("differences", "What is really different", lead, tuple(blocks))


def _plotted(found: Findings, main: list[int], rest: list[int]) -> list[int]:
    """The comparisons to plot: by the first measure that tells more than won, tied or lost."""
    comparisons = found.evaluation.comparisons
    known = [place for place in (*main, *rest) if comparisons[place].differences]
    graded = [place for place in known if len(set(comparisons[place].differences)) > 3]
    chosen = (graded or known)[:1]
    measures = {comparisons[place].measure for place in chosen}
    return [place for place in known if comparisons[place].measure in measures]


def _verdict(found: Findings, place: int) -> Words:
    one = found.evaluation.comparisons[place]
    seen = found.difference(place)
    interval = words("{} interval {} to {}", found.confidence(), seen.low, seen.high)
    if not seen.sign:
        return words(
            "No clear difference between {} and {}: {} ({}, {}).",
            Name(one.system),
            Name(one.other),
            seen.difference,
            interval,
            p_said(seen.p),
        )
    names = (Name(one.system), Name(one.other))
    better, worse = names if seen.sign > 0 else names[::-1]
    turned = interval if seen.sign > 0 else _turned(found, place)
    return words(
        "{} is better than {} by {} ({}, {}).",
        better,
        worse,
        amount(seen.difference),
        turned,
        p_said(seen.p),
    )


def _turned(found: Findings, place: int) -> Words:
    seen = found.difference(place, found.evaluation.comparisons[place].other)
    return words("{} interval {} to {}", found.confidence(), seen.low, seen.high)


def _table(found: Findings, places: list[int], label: Words, folded: str) -> Table:
    many = len({found.evaluation.comparisons[place].measure for place in places}) > 1
    columns = (
        Column("Comparison", "name"),
        *((Column("Measure", "text"),) if many else ()),
        Column("Difference"),
        Column("p, corrected"),
        Column("p"),
        Column("Effect size"),
        Column("Wins"),
        Column("Ties"),
        Column("Losses"),
        Column("Wins, ties, losses", "wide"),
    )
    rows = tuple(_row(found, place, many) for place in places)
    return Table(str(label), columns, rows, folded=folded)


def _row(found: Findings, place: int, many: bool) -> tuple[Cell, ...]:
    one, at = found.evaluation.comparisons[place], pointer("comparisons", place)
    seen = found.difference(place)
    total = max(1, one.wins + one.ties + one.losses)
    shares = (("win", one.wins / total), ("tie", one.ties / total), ("loss", one.losses / total))
    return (
        words("{} against {}", Name(one.system), Name(one.other)),
        *((Name(one.measure),) if many else ()),
        Stack(seen.difference, words("{} to {}", seen.low, seen.high), strong=seen.sign != 0),
        seen.p,
        number(one.p, "p", f"{at}/p"),
        number(one.effect, "effect", f"{at}/effect"),
        *(
            number(getattr(one, name), "count", f"{at}/{name}")
            for name in ("wins", "ties", "losses")
        ),
        Bar(shares),
    )


def _picture(found: Findings, place: int) -> Picture:
    one, at = found.evaluation.comparisons[place], pointer("comparisons", place)
    kind = found.difference_kind(one.measure)
    wide, narrow = pictures.draw(
        f"d{place}",
        partial(pictures.difference, values=one.differences, share=kind == "points"),
    )
    caption = words(
        "By {}, {} is better on {} questions (above the line), worse on {} (below it), and the"
        " same on {}.",
        Name(one.measure),
        Name(one.system),
        number(one.wins, "count", f"{at}/wins"),
        number(one.losses, "count", f"{at}/losses"),
        number(one.ties, "count", f"{at}/ties"),
    )
    title = words("{} against {}, question by question", Name(one.system), Name(one.other))
    return Picture(f"difference-{place}", title, caption, wide, narrow, _quantiles(one, at, found))


def _quantiles(one: Comparison, at: str, found: Findings) -> Table:
    kind = found.difference_kind(one.measure)
    values = np.quantile(np.asarray(one.differences, dtype=np.float64), QUANTILES)
    rows = tuple(
        (
            _place(share),
            number(float(value), kind, f"{at}/differences|quantile:{share:g}"),
        )
        for share, value in zip(QUANTILES, values, strict=True)
    )
    columns = (
        Column("Share of questions with at most this difference", "text"),
        Column("Difference"),
    )
    return Table(f"Differences by {one.measure}", columns, rows)


def _place(share: float) -> Cell:
    if share in (0, 1):
        return "the greatest of all" if share else "the least of all"
    return words("{}", number(share, "percent", f"|constant:{share:g}"))
