"""The picture of how far confidences can be believed: reliability, and accuracy over coverage.

Takes bins and points of a few systems by name, gives a file. Needs the extra ``evaluate`` (or
``train``). Knows nothing of readers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from dpr.errors import MissingExtraError, SettingsError
from dpr.evaluation.records import Bin
from dpr.evaluation.report import pictures

# Okabe & Ito 2008: distinguishable by colour-blind readers; line styles and marks differ too.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")
FORMATS = (".png", ".svg", ".pdf")
Curves = tuple[Sequence[Bin], Sequence[tuple[float, float]]]


def check_picture(path: str | os.PathLike[str]) -> Path:
    """So that what cannot be drawn is met before anything is read.

    Raises:
        SettingsError: the file's name ends in something else than ``FORMATS``.
        MissingExtraError: matplotlib is not installed.
    """
    from importlib.util import find_spec

    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise SettingsError(f"cannot draw {path.name}; its name must end in {', '.join(FORMATS)}")
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "evaluate", "drawing a picture")
    return path


def draw_confidence(path: str | os.PathLike[str], systems: Mapping[str, Curves]) -> Path:
    """Draws, of each system, its bins and its coverage curve (see ``dpr.evaluation.calibration``);
    gives the file, which is whole or as it was before.

    Raises:
        SettingsError, MissingExtraError: as ``check_picture``.
    """
    path = check_picture(path)
    from matplotlib.figure import Figure

    systems = {name: curves for name, curves in systems.items() if all(curves)}
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    parts: Any = figure.subfigures(1, 2)
    left, right = parts
    points = [[(one.confidence, one.accuracy) for one in bins] for bins, _ in systems.values()]
    pictures.reliability(left, False, points)
    pictures.coverage(right, False, [curve for _, curve in systems.values()])
    # The report's own colours are marks for its style sheet.
    diagonal, *below = left.axes[0].get_lines()
    diagonal.set_color("#777777")
    for lines in (below, right.axes[0].get_lines()):
        for line, colour in zip(lines, cycle(COLOURS), strict=False):
            line.set_color(colour)
    right.axes[0].legend(right.axes[0].get_lines(), list(systems), frameon=False)
    for part in (left, right):
        part.axes[0].grid(alpha=0.3)
        part.axes[0].spines[["top", "right"]].set_visible(False)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        figure.savefig(temporary, format=path.suffix.lower()[1:], dpi=120)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
