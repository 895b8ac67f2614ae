"""The picture of a training run: loss and dev measures over steps, from its log.

Takes a run folder with ``log.jsonl``, gives ``loss.png`` in it. Needs the extra ``train``
(matplotlib). Knows nothing of models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpr.errors import MissingExtraError

PICTURE = "loss.png"
LOG = "log.jsonl"
MEASURES_SHOWN = 4
# Okabe & Ito 2008: distinguishable by colour-blind readers; line styles and marks differ too.
BLUE, COLOURS = "#0072B2", ("#D55E00", "#009E73", "#CC79A7", "#56B4E9")
MARKS = ("o", "s", "^", "D")


@dataclass(slots=True)
class Curves:
    """Points (step, value): of the loss, and of each dev measure, the deciding one first."""

    loss: list[tuple[int, float]] = field(default_factory=list)
    measures: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def read_log(path: Path) -> Curves:
    """The points that a log holds; an unfinished last line is left out."""
    curves = Curves()
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            continue
        event = json.loads(line)
        if "loss" in event:
            curves.loss.append((event["step"], event["loss"]))
            continue
        for name, value in event.items():
            if name != "step":
                curves.measures.setdefault(name, []).append((event["step"], value))
    return curves


def smoothed(values: Sequence[float], share: float = 0.05) -> list[float]:
    """Running means over a share of the values, to see the trend through the noise."""
    width = max(1, round(len(values) * share))
    means = []
    for end in range(1, len(values) + 1):
        window = values[max(0, end - width) : end]
        means.append(sum(window) / len(window))
    return means


def draw_curve(folder: str | Path) -> Path:
    """Draws ``loss.png`` of a run anew; gives its path.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise MissingExtraError("matplotlib", "train", "drawing the loss curve") from None
    folder = Path(folder)
    curves = read_log(folder / LOG)
    rows = 2 if curves.measures else 1
    figure = Figure(figsize=(8, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    _draw_loss(axes[0], curves.loss)
    if curves.measures:
        _draw_measures(axes[1], curves.measures)
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    temporary = folder / f"{PICTURE}.tmp"
    figure.savefig(temporary, format="png", dpi=120)
    return temporary.replace(folder / PICTURE)


def _draw_loss(axis: Any, points: Sequence[tuple[int, float]]) -> None:
    axis.set_ylabel("training loss")
    if not points:
        return
    steps, values = zip(*points, strict=True)
    axis.plot(steps, values, color=BLUE, alpha=0.35, linewidth=1, label="mean of the logged steps")
    axis.plot(steps, smoothed(values), color=BLUE, linewidth=2, label="running mean")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)


def _draw_measures(axis: Any, measures: dict[str, list[tuple[int, float]]]) -> None:
    """The deciding measure in bold with its best point marked, and a few of the others."""
    for number, (name, points) in enumerate(list(measures.items())[:MEASURES_SHOWN]):
        steps, values = zip(*points, strict=True)
        axis.plot(
            steps,
            values,
            color=COLOURS[number],
            marker=MARKS[number],
            markersize=4,
            linewidth=1 if number else 2,
            linestyle="--" if number else "-",
            label=name,
        )
        if number == 0:
            step, best = max(points, key=lambda point: (point[1], -point[0]))
            axis.annotate(
                f"best {best:.4g}",
                (step, best),
                xytext=(0, 6),
                textcoords="offset points",
                ha="center",
            )
    axis.margins(y=0.15)
    axis.set_ylabel("dev measures")
    axis.legend(frameon=False)
