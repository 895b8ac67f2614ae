"""A rotation that gathers the length of vectors in their first numbers, learnt from a sample.

Takes stored vectors, gives a matrix. Knows nothing of codes, files or searching. The axes are the
principal ones of the vectors (eigenvectors of the mean of x xᵀ, largest first), cut into blocks;
within each block they are mixed by a random rotation, so that no number of a block is much larger
than the others and one scale suits them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dpr.indexes.stored import StoredVectors

Doubles = npt.NDArray[np.float64]

ROWS_AT_ONCE = 4096


def principal_axes(stored: StoredVectors, sample: int) -> tuple[Doubles, Doubles]:
    """The mean squared length along each axis (dim,), largest first, and the axes (dim, dim), one
    a row.

    Args:
        sample: how many rows are looked at, evenly spread over all.
    """
    rows = np.unique(np.linspace(0, len(stored) - 1, min(sample, len(stored))).astype(np.int64))
    moment = np.zeros((stored.dim, stored.dim))
    for first in range(0, len(rows), ROWS_AT_ONCE):
        values = stored.take(rows[first : first + ROWS_AT_ONCE]).astype(np.float64)
        moment += values.T @ values
        stored.let_go()
    energies, axes = np.linalg.eigh(moment / len(rows))
    return np.maximum(energies[::-1], 0), np.ascontiguousarray(axes.T[::-1])


def mixed(axes: Doubles, blocks: Sequence[int], seed: int) -> Doubles:
    """The axes (dim, dim), those of each block replaced by a random rotation of them."""
    rng = np.random.default_rng(seed)
    parts, first = [], 0
    for block in blocks:
        turn, triangle = np.linalg.qr(rng.standard_normal((block, block)))
        # Without the signs, Q would not be spread evenly over all rotations.
        parts.append((turn * np.sign(np.diag(triangle))) @ axes[first : first + block])
        first += block
    return np.concatenate(parts)


def deviation(rotation: Doubles) -> float:
    """At least the spectral norm of RᵀR − I: how far the rotation is from orthogonal."""
    off = rotation.T @ rotation - np.eye(len(rotation))
    # The Frobenius norm is never smaller; the products' own rounding comes on top.
    return float(np.linalg.norm(off)) * 1.01 + len(rotation) ** 2 * 2.0**-52
