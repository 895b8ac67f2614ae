"""How much a retriever learns from so many questions (Karpukhin et al. 2020, figure 1).

Takes what was found for each test question by words, by the untrained model and by models trained
on more and more questions; gives figures with intervals, a verdict in words, and the picture (extra
``train``). Knows nothing of how models are trained or searched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpr.errors import MissingExtraError
from dpr.evaluation.records import Comparison, Estimate
from dpr.evaluation.statistics import compare, estimate
from dpr.evaluation.wording import p_value

BM25, WORDS, UNTRAINED = "BM25", "words", "untrained"
SIGNIFICANT = 0.05
# Okabe & Ito 2008, as in the picture of a run.
COLOURS = ("#0072B2", "#D55E00", "#CC79A7", "#009E73")

Found = Mapping[str, Sequence[float]]
"""By test set: for each of its questions 1 where a passage that answers is among the first k."""


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What was found.

    Attributes:
        k: of R@k.
        tests: names of the test sets, the trained domain's own first.
        bm25: what BM25 finds as it is everywhere else.
        words: what the search by words finds that collections have without any model.
        untrained: what the start finds.
        trained: what a model trained on so many questions finds.
        passages: how many were searched.
        short: sizes of which the training had too few steps to change the model.
    """

    k: int
    tests: tuple[str, ...]
    bm25: Found
    words: Found
    untrained: Found
    trained: Mapping[int, Found]
    passages: int
    short: AbstractSet[int] = frozenset()

    def systems(self) -> Iterator[tuple[str, Found]]:
        """All of them by name, the baselines first."""
        yield BM25, self.bm25
        yield WORDS, self.words
        yield UNTRAINED, self.untrained
        for size, found in sorted(self.trained.items()):
            yield f"{size:,} questions", found

    def measured_on(self) -> str:
        """What R@k depends on: the more passages, the harder each is to find."""
        counts = (f"{len(self.untrained[test]):,} questions of {test}" for test in self.tests)
        return f"measured on {' and '.join(counts)} among {self.passages:,} passages"

    def figures(self) -> dict[str, dict[str, Estimate]]:
        """R@k with its interval, by system and test set."""
        return {
            name: {test: estimate(found[test]) for test in self.tests}
            for name, found in self.systems()
        }

    def verdict(self) -> list[str]:
        """What it comes to, in sentences: whether to train, on how much, and what it costs.

        The largest size is compared, whatever came out: the best of several would be better than
        it is, by being chosen on the questions that it is compared on.
        """
        own, *others = self.tests
        size = max(self.trained)
        largest = self.trained[size]
        sentences = [self._worth(self._against(largest, self.untrained, own, UNTRAINED), size, own)]
        if better := self._better(own):
            sentences.append(better)
        elif size not in self.short and (more := self._more(own)):
            sentences.append(more)
        for found, name, what in (
            (self.bm25, BM25, "Against BM25"),
            (self.words, WORDS, "Against words as collections are searched by them"),
        ):
            beside = self._against(largest, found, own, name)
            sentences.append(f"{what}: {_difference(beside, named=False)}.")
        for test in others:
            cost = self._against(largest, self.untrained, test, UNTRAINED)
            sentences.append(f"On {test}, which it was not trained for: {_difference(cost)}.")
        return sentences

    def _worth(self, gain: Comparison, size: int, test: str) -> str:
        if gain.p >= SIGNIFICANT and size in self.short:
            return (
                f"Nothing can be concluded: training on {size:,} had too few steps, or too low a "
                f"learning rate, to change the model; on {test}, {_difference(gain)}."
            )
        if gain.p >= SIGNIFICANT:
            return (
                f"These questions do not show that training helps: on {test}, {_difference(gain)} "
                f"after training on {size:,}."
            )
        if gain.difference < 0:
            return f"Do not train on these: on {test}, {_difference(gain)} after training."
        return f"Train: on {test}, {_difference(gain)} after training on {size:,} questions."

    def _better(self, test: str) -> str:
        """Whether a smaller size came out better."""
        size = max(self.trained, key=lambda one: (_mean(self.trained[one][test]), one))
        if size == (largest := max(self.trained)):
            return ""
        values = [f"{_mean(self.trained[one][test]):.3f}" for one in (size, largest)]
        return (
            f"{size:,} questions did better in this run (R@{self.k} {values[0]}, and {values[1]} "
            f"with {largest:,}); whether that is chance was not tested."
        )

    def _more(self, test: str) -> str:
        """Whether the last step of the curve still rises."""
        sizes = sorted(self.trained)
        if len(sizes) < 2:
            return ""
        before, last = sizes[-2:]
        rise = compare(
            str(last), self.trained[last][test], str(before), self.trained[before][test], "R"
        )
        if rise.p < SIGNIFICANT and rise.difference > 0:
            return (
                f"The curve still rises ({_points(rise.difference)} points from {before:,} to "
                f"{last:,}): more questions would help."
            )
        return f"From {before:,} questions to {last:,} the gain is within chance."

    def _against(self, found: Found, other: Found, test: str, name: str) -> Comparison:
        return compare("trained", found[test], name, other[test], f"R@{self.k}")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _difference(one: Comparison, named: bool = True) -> str:
    against = f" against {one.other}" if named else ""
    # The interval is a bootstrap's, and may leave out 0 where the test finds nothing, or hold it.
    tested = f"{p_value(one.p)} by the randomization test"
    clear = "" if one.p < SIGNIFICANT else ": no clear difference"
    return (
        f"{_points(one.difference)} points of {one.measure}{against} (95% interval "
        f"{_points(one.low)} to {_points(one.high)}; {tested}{clear})"
    )


def draw(curve: LearningCurve, path: Path) -> Path:
    """The curve as a picture, one panel a test set; bars are 95% intervals.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullFormatter, ScalarFormatter
    except ImportError:
        raise MissingExtraError("matplotlib", "train", "drawing the learning curve") from None
    figures = curve.figures()
    figure = Figure(figsize=(4.6 * len(curve.tests), 4), layout="constrained")
    panels = figure.subplots(1, len(curve.tests), sharey=True, squeeze=False)[0]
    for panel, test in zip(panels, curve.tests, strict=True):
        _panel(panel, curve, {name: of_one[test] for name, of_one in figures.items()})
        panel.set_title(test)
        panel.set_xlabel("training questions")
        panel.set_xscale("log")
        panel.set_xticks(sorted(curve.trained))
        panel.xaxis.set_major_formatter(ScalarFormatter())
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"R@{curve.k}")
    panels[0].legend(frameon=False)
    temporary = path.with_name(path.name + ".tmp")
    figure.savefig(temporary, format="png", dpi=120)
    return temporary.replace(path)


def _panel(panel: Any, curve: LearningCurve, figures: Mapping[str, Estimate]) -> None:
    for number, (name, style) in enumerate(((BM25, "--"), (WORDS, "-."), (UNTRAINED, ":"))):
        panel.axhline(figures[name].value, color=COLOURS[number + 1], linestyle=style, label=name)
    sizes = sorted(curve.trained)
    points = [figures[f"{size:,} questions"] for size in sizes]
    values = [one.value for one in points]
    below = [one.value - one.low for one in points]
    above = [one.high - one.value for one in points]
    panel.errorbar(
        sizes, values, yerr=[below, above], color=COLOURS[0], marker="o", capsize=3, label="trained"
    )
