"""Figures in words: the sentences that a report begins with.

Takes what was measured, gives sentences, the most important first. Knows nothing of how it was
measured or of how the sentences are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dpr.evaluation.records import Comparison, Estimate, System

SIGNIFICANT = 0.05


def summary(
    questions: Mapping[str, Any],
    systems: Sequence[System],
    comparisons: Sequence[Comparison],
    main: str,
    confidence: float,
) -> tuple[str, ...]:
    """What there is to say: the best system, each difference and whether it is real, the reader."""
    measured = [one for one in systems if main in one.measures]
    if not measured:
        return ()
    best = max(measured, key=lambda one: one.measures[main].value)
    value = best.measures[main]
    count = f"{value.questions:,} question" + ("s" if value.questions != 1 else "")
    first = (
        f"{best.name} reaches {main} {_figure(value.value)} over {count} of {questions['name']} "
        f"({confidence:.0%} interval {_figure(value.low)} to {_figure(value.high)})"
    )
    highest = [one for one in measured if one.measures[main].value == value.value]
    alone = len(highest) == 1 < len(measured)
    sentences = [f"{first}, the highest of {len(measured)}." if alone else f"{first}."]
    sentences += [_difference(one) for one in comparisons if one.measure == main]
    for system in measured:
        if share := _found(system):
            sentences.append(share)
        sentences += _reader(system)
    return tuple(sentences)


def _difference(one: Comparison) -> str:
    questions = one.wins + one.losses + one.ties
    tally = f"{one.wins:,} wins, {one.losses:,} losses, {one.ties:,} ties"
    interval = f"interval {_points(one.low)} to {_points(one.high)} points"
    if one.p_holm >= SIGNIFICANT:
        return (
            f"Between {one.system} and {one.other} these {questions:,} questions show no "
            f"clear difference by {one.measure} ({_points(one.difference)} points, {interval}, "
            f"{p_value(one.p_holm)}): {tally}."
        )
    word = "better" if one.difference > 0 else "worse"
    return (
        f"{one.system} is {word} than {one.other} by {_points(abs(one.difference), False)} points "
        f"of {one.measure} ({interval}, {p_value(one.p_holm)}): {tally}."
    )


def _found(system: System) -> str:
    for measure, what in (
        ("accuracy@20", "an accepted answer stands in one of the first 20 passages"),
        ("Success@20", "a relevant passage is among the first 20"),
    ):
        if measure in system.measures:
            share = _percent(system.measures[measure])
            return f"With {system.name}, {what} for {share} of the questions."
    return ""


def _reader(system: System) -> list[str]:
    read = system.reading
    if read is None:
        return []
    last = read.depths[-1]
    missed = sum(read.outcomes.values()) - read.outcomes["answered"]
    sentences = [
        f"Reading the first {last.depth} passages, {system.name} answers {_percent(last.exact)} of "
        f"the questions exactly (F1 {_figure(last.f1.value)}); {_percent(read.oracle)} could be "
        "answered from these passages."
    ]
    if missed:
        sentences.append(
            f"Of the {missed:,} others, {read.outcomes['not retrieved']:,} have no passage there "
            f"that holds an accepted answer, {read.outcomes['not read']:,} have one in which it "
            f"was not read, and for {read.outcomes['not chosen']:,} it was read and not chosen."
        )
    sentences.append(
        f"The confidence of {system.name}'s answers is {100 * read.calibration_error:.1f} points "
        "away from how often they are right, on average."
    )
    return sentences


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: Estimate) -> str:
    return f"{100 * value.value:.1f}%"


def _points(value: float, signed: bool = True) -> str:
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"


def p_value(value: float) -> str:
    """A p value with its sign."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
