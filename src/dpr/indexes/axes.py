"""Axes to code vectors along, of which those that matter more take more of a code.

Takes principal axes (``rotation``) and gives others. Knows nothing of indexes.

An axis has two sides: what rows are multiplied by, and what queries are. Inner products are kept as
long as one side is the other divided by its squared length, whatever the lengths are; so a long
axis for rows makes codes spend more bits on it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dpr.indexes.index import Floats
from dpr.indexes.rotation import Doubles

SHORTEST = 1e-3  # of the longest axis


def weighted(axes: Doubles, energies: Doubles, width: int) -> Floats:
    """The axes (dims, dim) for queries, in groups of ``width`` that need about as many bits.

    What an error along an axis costs is the query's part along it. So rows are multiplied by the
    root of what queries have along each axis, which is taken to be what vectors have, and queries
    are divided by it; then the sum of squared errors is what a code should keep small. Bits are
    even when the product of energies is the same for each group (eigenvalue allocation, Ge et al.
    2013). The last axes, too few for a group, are left out.

    Args:
        axes: (dims, dim) of length 1.
        energies: (dims,) the mean square of vectors along each, in descending order.
    """
    lengths = np.sqrt(energies / max(float(energies.max()), 1e-300)).clip(min=SHORTEST)
    order = balanced(energies * lengths**2, width)
    return np.ascontiguousarray((axes / lengths[:, None])[order], dtype=np.float32)


def other_side(axes: Floats) -> Floats:
    """The axes for rows that go with these for queries, or the other way round."""
    squares = np.square(axes, dtype=np.float64).sum(axis=1, keepdims=True)
    return np.ascontiguousarray(axes / squares, dtype=np.float32)


def balanced(energies: Doubles, width: int) -> npt.NDArray[np.int64]:
    """An order of axes in which each group of ``width`` has about the same product of energies."""
    width = min(width, len(energies))
    groups = len(energies) // width
    members: list[list[int]] = [[] for _ in range(groups)]
    logs = np.zeros(groups)
    floor = max(float(energies.max()) * 1e-12, 1e-300)
    for axis in np.argsort(-energies, kind="stable")[: groups * width].tolist():
        group = int(np.argmin(logs))
        members[group].append(axis)
        logs[group] += np.log(max(float(energies[axis]), floor) / floor) + 1e-9
        if len(members[group]) == width:
            logs[group] = np.inf
    return np.array([axis for group in members for axis in group], np.int64)
