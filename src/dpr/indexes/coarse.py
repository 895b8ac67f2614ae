"""Cells: which part of space a vector is in. k-means, by faiss, in one step or in two.

Takes stored vectors and samples of them; gives centroids and what finds the nearest. Knows nothing
of codes or of searching.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError
from dpr.indexes.faiss_files import library
from dpr.indexes.index import Floats, Progress
from dpr.indexes.stored import StoredVectors

ROUNDS = 10
STEP_ROWS = 1 << 14
IN_ONE_STEP = 1024  # so many cells or fewer
BY_LIST = 4096  # so many centroids or fewer are all looked at
ROWS_A_CELL = 40
CODED_TOGETHER = 4  # numbers of a centroid


def sample(stored: StoredVectors, count: int, seed: int, axes: Floats | None = None) -> Floats:
    """At most so many rows, drawn over all of them, in ascending order.

    Args:
        axes: (dims, dim): what is kept of each row is its products with these; None: all of it.

    Returns:
        (n, dims), or (n, dim).

    Raises:
        InputError: a number that is not finite.
    """
    rows = np.arange(len(stored))
    if count < len(stored):
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(len(stored), count, replace=False, shuffle=False))
    found = np.empty((len(rows), stored.dim if axes is None else len(axes)), np.float32)
    for first in range(0, len(rows), STEP_ROWS):
        some = slice(first, first + STEP_ROWS)
        values = stored.take(rows[some])
        found[some] = values if axes is None else values @ axes.T
        stored.let_go()
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        raise InputError(
            f"the vector in row {int(rows[np.argmin(finite)])} holds NaN or infinity; build the "
            f"collection again"
        )
    return found


def centroids(vectors: Floats, cells: int, seed: int, progress: Progress | None = None) -> Floats:
    """Centroids (cells, dim) of vectors (n, dim), at least as many as cells.

    More than ``IN_ONE_STEP`` cells are found in two steps, cells of cells: the root of the number
    first, then each of those by itself, in proportion to its rows. That takes about a root of the
    time, for cells that are slightly less even.
    """
    if cells <= IN_ONE_STEP:
        return _kmeans(vectors, cells, seed)
    first = round(cells**0.5)
    _, found = nearest(_kmeans(vectors, first, seed)).search(vectors, 1)
    assigned = found[:, 0]
    counts = np.bincount(assigned, minlength=first)
    shares = _shares(counts, cells)
    by_cell = np.argsort(assigned, kind="stable")
    ends = np.cumsum(counts)
    parts = []
    for cell, share in enumerate(shares.tolist()):
        if share:
            own = vectors[by_cell[ends[cell] - counts[cell] : ends[cell]]]
            parts.append(_kmeans(own, share, seed))
        if progress is not None:
            progress("cells", cell + 1, first)
    return np.concatenate(parts)


def nearest(middles: Floats) -> Any:
    """A faiss index of centroids (cells, dim) that gives those nearest to a vector.

    More than ``BY_LIST`` are looked up by short codes, and the best of these by distance: in a few
    hundredths of a millisecond for ten thousand, where a graph (HNSW) misses near ones, as queries
    are not like centroids.
    """
    faiss = library()
    cells, dim = middles.shape
    whole = faiss.IndexFlatL2(dim)
    if cells <= BY_LIST or dim % CODED_TOGETHER:
        whole.add(middles)
        return whole
    codes = faiss.IndexPQFastScan(dim, dim // CODED_TOGETHER, 4, faiss.METRIC_L2)
    codes.pq.cp.min_points_per_centroid = 1
    index = faiss.IndexRefine(codes, whole)
    index.train(middles)
    index.add(middles)
    return index


def _kmeans(vectors: Floats, cells: int, seed: int) -> Floats:
    faiss = library()
    dim = vectors.shape[1]
    if cells == 1:
        middle: Floats = vectors.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        return middle
    if cells >= len(vectors):
        return np.resize(vectors, (cells, dim))
    clustering = faiss.Clustering(dim, cells)
    clustering.niter = ROUNDS
    clustering.seed = seed + 1
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = max(256, 4 * ROWS_A_CELL)
    clustering.train(np.ascontiguousarray(vectors), faiss.IndexFlatL2(dim))
    found: Floats = faiss.vector_to_array(clustering.centroids).reshape(cells, dim)
    return found


def _shares(counts: npt.NDArray[np.int64], cells: int) -> npt.NDArray[np.int64]:
    """Cells for each group in proportion to its rows, the largest remainders rounded up."""
    exact = counts * (cells / counts.sum())
    shares: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    rest = np.argsort(shares - exact, kind="stable")[: cells - int(shares.sum())]
    shares[rest] += 1
    return shares
