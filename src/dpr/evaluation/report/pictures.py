"""The pictures of a report, drawn by matplotlib: plain numbers in, SVG for wide and narrow out.

No text from outside enters a picture: names stand in the page's legend, where any script can be
shown. Series are told apart by colour, dashes and mark. Needs the extra ``evaluate``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dpr.errors import MissingExtraError
from dpr.evaluation.report.numbers import Own
from dpr.evaluation.report.parts import DASHES, MARKS, SERIES, looks
from dpr.evaluation.report.svg import COLOURS, fit

WIDE, NARROW = (560, 320), (300, 250)  # CSS pixels; a point of matplotlib's is one unit of the SVG
PLOT_STEPS = 200  # of a difference plot: more cannot be seen
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dpr",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout on every machine
    "font.size": 11.0,
    "text.color": COLOURS["muted"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.edgecolor": COLOURS["rule"],
    "axes.facecolor": "none",
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 11.0,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.titlecolor": COLOURS["ink"],
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.use_mathtext": False,
    "grid.color": COLOURS["rule"],
    "grid.linewidth": 0.7,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "text.usetex": False,
    "text.parse_math": False,
    "figure.facecolor": "none",
    "lines.linewidth": 2.0,
    "lines.markersize": 5.0,
}
Points = Sequence[tuple[float, float]]
Bands = Sequence[tuple[float, float, float, float]]


def draw(name: str, paint: Callable[[Any, bool], None]) -> tuple[Own, Own]:
    """A picture for wide and for narrow screens; ``paint(figure, narrow)`` draws it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "evaluate", "drawing a report") from None
    drawn = []
    style: Any = _STYLE
    for narrow, (width, height) in ((False, WIDE), (True, NARROW)):
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(style)
            figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
            paint(figure, narrow)
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None})
        drawn.append(Own(fit(text.getvalue(), f"{name}{'n' if narrow else 'w'}")))
    return drawn[0], drawn[1]


def _percent(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))


def _plain(axis: Any, ticks: Sequence[float], narrow: bool) -> None:
    """A logarithmic scale with these ticks, as many as have room."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ticks = sorted({tick for tick in ticks if tick > 0})
    apart = np.log(ticks[-1] / ticks[0]) / (5 if narrow else 9)
    kept: list[float] = []
    for tick in ticks:
        if not kept or np.log(tick / kept[-1]) >= apart:
            kept.append(tick)
    axis.set_major_locator(FixedLocator(kept))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _look(series: int) -> dict[str, Any]:
    series, other = looks(series)
    dashes = DASHES[other]
    return {
        "color": COLOURS[str(series)],
        "marker": MARKS[other],
        "linestyle": (0, tuple(one / 2 for one in dashes)) if dashes else "-",
        "markeredgewidth": 0,
    }


def _line(axes: Any, points: Bands, series: int) -> None:
    """A line through values over x, with the band of their intervals."""
    x, value, low, high = (list(column) for column in zip(*points, strict=True))
    axes.fill_between(x, low, high, color=COLOURS[str(series % SERIES)], alpha=0.14, linewidth=0)
    axes.plot(x, value, **_look(series))


def curves(figure: Any, narrow: bool, series: Sequence[Bands], x: str, y: str) -> None:
    """Values with intervals over a logarithmic x, a line for each system."""
    axes = figure.subplots()
    _curves(axes, narrow, series, x)
    axes.set_ylabel(y)


def _curves(axes: Any, narrow: bool, series: Sequence[Bands], x: str) -> None:
    for number, points in enumerate(series):
        if points:
            _line(axes, points, number)
    ticks = sorted({point[0] for points in series for point in points})
    if ticks[-1] > ticks[0]:
        axes.set_xscale("log")
        _plain(axes.xaxis, ticks, narrow)
    else:
        axes.set_xticks(ticks)
    _percent(axes.yaxis)
    axes.set_xlabel(x)


def two_curves(
    figure: Any, narrow: bool, panels: Sequence[tuple[str, Sequence[Bands]]], x: str
) -> None:
    """Two panels with one scale: exact match and F1 by depth."""
    for axes, (title, series) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        axes.set_title(title)
        _curves(axes, True, series, x)


def steps(differences: Sequence[float]) -> tuple[list[float], list[float]]:
    """Sorted differences, best first, as steps: heights, and edges as shares of the questions.

    Heights are rounded to ``1 / PLOT_STEPS`` of the greatest, and equal neighbours are one step;
    so there are at most ``2 * PLOT_STEPS + 1``, however many questions. What is not zero does not
    become zero: wins and losses keep their widths.
    """
    values = np.sort(np.asarray(differences, dtype=np.float64))[::-1]
    unit = max(float(np.abs(values).max()), 1e-12) / PLOT_STEPS
    rounded = np.sign(values) * np.maximum(np.round(np.abs(values) / unit), values != 0) * unit
    starts = np.flatnonzero(np.r_[True, rounded[1:] != rounded[:-1]])
    edges = np.r_[starts, len(values)] / len(values)
    return rounded[starts].tolist(), edges.tolist()


def difference(figure: Any, narrow: bool, values: Sequence[float], share: bool) -> None:
    """Sorted differences of all questions: wins above the line, losses below."""
    heights, edges = steps(values)
    axes = figure.subplots()
    wins, losses = sum(one > 0 for one in heights), sum(one < 0 for one in heights)
    spans = {"win": slice(0, wins), "loss": slice(len(heights) - losses, len(heights))}
    for look, span in spans.items():
        if chosen := heights[span]:
            along = edges[span.start : span.stop + 1]
            axes.stairs(chosen, along, fill=True, color=COLOURS[look], linewidth=0, baseline=0)
    axes.axhline(0, color=COLOURS["muted"], linewidth=1)
    top = max(abs(one) for one in heights) or 1.0
    axes.set_ylim(-1.06 * top, 1.06 * top)
    axes.set_xlim(0, 1)
    _percent(axes.xaxis)
    if share:
        _points(axes.yaxis)
    axes.set_xlabel("questions, sorted" if narrow else "questions, sorted by their difference")
    axes.set_ylabel("difference in points" if share else "difference")


def _points(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:+g}".replace("-", "−") if value else "0")
    )


def histogram(
    figure: Any, narrow: bool, edges: Sequence[float], shares: Sequence[Sequence[float]]
) -> None:
    """Shares of the questions by time, as outlines over logarithmic bins."""
    axes = figure.subplots()
    for number, heights in enumerate(shares):
        if not heights:
            continue
        look = _look(number)
        axes.stairs(heights, edges, fill=True, color=look["color"], alpha=0.14, linewidth=0)
        axes.stairs(
            heights,
            edges,
            color=look["color"],
            linestyle=look["linestyle"],
            linewidth=2,
            baseline=0,
        )
        peak = int(np.argmax(heights))
        axes.plot(
            [float(np.sqrt(edges[peak] * edges[peak + 1]))], [heights[peak]], **look, clip_on=False
        )
    axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    _plain(axes.xaxis, edges, narrow)
    axes.set_ylim(bottom=0)
    _percent(axes.yaxis)
    axes.set_xlabel("milliseconds for one question")
    axes.set_ylabel("share of questions")


def reliability(figure: Any, narrow: bool, series: Sequence[Points]) -> None:
    """Accuracy over confidence; on the diagonal, confidence is what it says."""
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 2)))
    for number, points in enumerate(series):
        if points:
            axes.plot(*zip(*points, strict=True), **_look(number))
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    axes.set_xlabel("confidence of the answer")
    axes.set_ylabel("answers that are right")


def coverage(figure: Any, narrow: bool, series: Sequence[Points]) -> None:
    """Accuracy of the answers over the share of questions answered."""
    axes = figure.subplots()
    for number, points in enumerate(series):
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, **_look(number), markevery=max(1, len(points) // 8))
    axes.set_xlim(0, 1.02)
    axes.set_ylim(bottom=0)
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    axes.set_xlabel("questions answered")
    axes.set_ylabel("answers that are right")


def tradeoff(figure: Any, narrow: bool, series: Sequence[Bands], y: str, share: bool) -> None:
    """Quality over time: one mark with its interval for each system."""
    from matplotlib.ticker import LogLocator

    axes = figure.subplots()
    for number, points in enumerate(series):
        for x, value, low, high in points:
            look = _look(number)
            axes.plot([x, x], [low, high], color=look["color"], linewidth=2)
            axes.plot([x], [value], **{**look, "markersize": 9})
    times = [point[0] for points in series for point in points]
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 2, max(times) * 2)
    ticks = LogLocator(base=10, subs=[1, 2, 5]).tick_values(min(times) / 2, max(times) * 2)
    _plain(axes.xaxis, [one for one in ticks if min(times) / 2 <= one <= max(times) * 2], narrow)
    axes.margins(y=0.2)
    if share:
        _percent(axes.yaxis)
    axes.set_xlabel("median milliseconds for one question")
    axes.set_ylabel(y)
