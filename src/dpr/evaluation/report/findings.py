"""What several parts of a report ask of an evaluation: a system's place, a measure's scale, what a
difference means. Knows nothing of how a page looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dpr.evaluation.records import Comparison, Estimate, Evaluation, System
from dpr.evaluation.report.numbers import Kind, Name, Number, Words, number, pointer, words

BETTER, WORSE = "▲", "▼"
_SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A comparison as seen from one of its two systems.

    Attributes:
        sign: 1 where it is really better, -1 where it is really worse, 0 where nobody can tell.
    """

    difference: Number
    low: Number
    high: Number
    p: Number
    other: str
    sign: int

    @property
    def mark(self) -> str:
        return {1: BETTER, -1: WORSE, 0: ""}[self.sign]

    def __html__(self) -> str:
        return self.said().__html__()

    def said(self) -> Words:
        """The verdict in words."""
        if self.sign == 0:
            return words("no clear difference from {} ({})", Name(self.other), p_said(self.p))
        return words(
            "{} than {} by {} ({})",
            "better" if self.sign > 0 else "worse",
            Name(self.other),
            amount(self.difference),
            p_said(self.p),
        )


def p_said(p: Number) -> Words:
    """The p value with its sign: "p = 0.012", "p < 0.001"."""
    return words(f"p{_SPACE}{{}}{{}}", "" if p.text.startswith("<") else f"={_SPACE}", p)


def amount(difference: Number) -> Words:
    """A difference without its sign: what it is by, where words already say the direction."""
    bare = Number(
        difference.value,
        difference.kind,
        difference.text.lstrip("+−"),
        difference.unit,
        f"{difference.of}|abs"
        if "|" not in difference.of
        else difference.of.replace("|neg", "|abs"),
    )
    if difference.kind != "points":
        return words("{}", bare)
    return words("{} point" if bare.text == "1.0" else "{} points", bare)


@dataclass(frozen=True, slots=True)
class Findings:
    """An evaluation, and look-ups in it."""

    evaluation: Evaluation

    def systems(self) -> Iterator[tuple[int, System]]:
        yield from enumerate(self.evaluation.systems)

    def measures(self) -> list[str]:
        """All measures of all systems, the main one first, the rest as they come."""
        names = dict.fromkeys(name for _, one in self.systems() for name in one.measures)
        main = self.evaluation.main_measure
        return sorted(names, key=lambda name: name != main)

    def is_share(self, measure: str) -> bool:
        """Whether a measure lies between 0 and 1, as all but counts do, and is shown in percent."""
        found = [one.measures[measure] for _, one in self.systems() if measure in one.measures]
        return all(
            0 <= one <= 1
            for value in found
            for one in (value.value, value.low, value.high)
            if math.isfinite(one)
        )

    def kind(self, measure: str) -> Kind:
        return "share" if self.is_share(measure) else "number"

    def difference_kind(self, measure: str) -> Kind:
        return "points" if self.is_share(measure) else "signed"

    def estimate(self, value: Estimate, kind: Kind, at: str) -> tuple[Number, Words]:
        """A value, and its interval in words: "78.1 to 82.4"."""
        return number(value.value, kind, f"{at}/value"), words(
            "{} to {}", number(value.low, kind, f"{at}/low"), number(value.high, kind, f"{at}/high")
        )

    def measured(self, place: int, measure: str) -> tuple[Number, Words]:
        """A system's measure and its interval."""
        value = self.evaluation.systems[place].measures[measure]
        return self.estimate(
            value, self.kind(measure), pointer("systems", place, "measures", measure)
        )

    def confidence(self) -> Number:
        return number(self.evaluation.confidence, "percent", "/confidence")

    def is_real(self, one: Comparison) -> bool:
        """Whether a difference is called real: its corrected p is below alpha."""
        return one.p_holm < self.evaluation.alpha

    def difference(self, place: int, of: str = "") -> Difference:
        """A comparison as seen from the system named ``of``, which is its first one by default."""
        one = self.evaluation.comparisons[place]
        turned = of == one.other and of != one.system
        kind, at = self.difference_kind(one.measure), pointer("comparisons", place)

        def figure(value: float, field: str) -> Number:
            return number(
                -value if turned else value, kind, f"{at}/{field}{'|neg' if turned else ''}"
            )

        low, high = figure(one.low, "low"), figure(one.high, "high")
        sign = int(math.copysign(1, one.difference)) if one.difference else 0
        return Difference(
            figure(one.difference, "difference"),
            high if turned else low,
            low if turned else high,
            number(one.p_holm, "p", f"{at}/p_holm"),
            one.system if turned else one.other,
            (-sign if turned else sign) if self.is_real(one) else 0,
        )

    def against_baseline(self, system: str, measure: str) -> Difference | None:
        """How a system differs from the baseline; None where the two were not compared."""
        baseline = self.evaluation.baseline
        for place, one in enumerate(self.evaluation.comparisons):
            if one.measure == measure and {one.system, one.other} == {system, baseline}:
                return self.difference(place, system)
        return None

    def curve_measure(self) -> str:
        """What the curves show; the records do not say, but the systems' measures do."""
        found = any(name.startswith("accuracy@") for name in self.measures())
        return "accuracy@k" if found else "Success@k"
