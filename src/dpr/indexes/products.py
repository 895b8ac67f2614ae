"""Fast approximate inner products, each with a proven bound of its error.

Takes stored vectors and queries; gives scores chunk by chunk, in bounded memory. Knows nothing of
ranking. Several queries go through float32 matrix products. A single query, which is bound by
reading memory, goes through one pass that reads the stored numbers as they are; over float16 that
pass rounds the query and the scores to float16, which the bound takes into account.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from dpr.errors import InputError
from dpr.indexes.index import Floats, Mask, Rows
from dpr.indexes.stored import CHUNK_ROWS, MATRIX_ROWS, StoredVectors

Scored = tuple[Rows, Floats, npt.NDArray[np.float64]]

FEW_ALLOWED = 1 / 16
"""Where fewer rows than this share are allowed, only those are read."""

_SINGLE = 2.0**-24  # largest relative error of rounding to float32
_HALF = 2.0**-11  # the same of float16
_HALF_TINY = 2.0**-14  # the smallest normal float16
_SLACK = 1.05  # for the bounds' own rounding


def products(
    stored: StoredVectors, queries: Floats, allowed: Mask | None = None, *, halves: bool = True
) -> Iterator[Scored]:
    """Scores of all rows for the queries (q, dim), chunk by chunk in any order.

    Args:
        allowed: (rows,) the rows that are wanted; None: all.
        halves: False keeps float16 arithmetic out even for a single query.

    Returns:
        (rows (n,), scores (q, n), largest error of a score for each query (q,)).

    Raises:
        InputError: a vector that is not finite, or products beyond float32.
    """
    longest = stored.longest()
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    if len(lengths) and lengths.max() * longest > 1e38:
        raise InputError("queries and vectors are too large: their products leave float32")
    # An inner product of this length in any order of summation (Higham, Accuracy and Stability
    # of Numerical Algorithms, 3.1), and numbers flushed to zero.
    error = _SLACK * (stored.dim + 8) * _SINGLE * lengths * longest + stored.dim * 2.0**-124
    if allowed is not None and np.count_nonzero(allowed) < FEW_ALLOWED * len(stored):
        rows = np.flatnonzero(allowed)
        for first in range(0, len(rows), MATRIX_ROWS):
            some = rows[first : first + MATRIX_ROWS]
            yield some, np.matmul(queries, stored.take(some).T), error
        return
    for row, near, wider in _scanned(stored, queries, lengths, halves):
        rows = np.arange(row, row + near.shape[1])
        if allowed is not None:
            kept = allowed[row : row + near.shape[1]]
            rows, near = rows[kept], near[:, kept]
        yield rows, near, error + wider


def _scanned(
    stored: StoredVectors, queries: Floats, lengths: npt.NDArray[np.float64], halves: bool
) -> Iterator[tuple[int, Floats, float]]:
    """First row, scores and the error beyond float32's of each chunk of all rows."""
    if len(queries) != 1 or stored.kind == "int8" or (stored.kind == "float16" and not halves):
        for row, values in stored.values():
            yield row, np.matmul(queries, values.T), 0.0
        return
    for number in range(len(stored.parts)):
        start = int(stored.starts[number])
        if stored.kind == "float32":
            for row, near in _one_single(stored, number, queries[0]):
                yield start + row, near[None], 0.0
        else:
            near, wider = _one_half(stored, number, queries[0], float(lengths[0]))
            for first in range(0, len(near), CHUNK_ROWS):
                yield start + first, near[None, first : first + CHUNK_ROWS], wider


def _one_half(
    stored: StoredVectors, number: int, query: Floats, length: float
) -> tuple[Floats, float]:
    """Scores of one query over a part of float16, and what float16 adds to their error.

    The query is scaled by a power of two so that neither it nor a score leaves float16.
    """
    part, longest = stored.tensors[number], max(stored.longest(), 1e-30)
    if length == 0:
        return np.zeros(len(part), np.float32), 0.0
    stored.check(int(stored.starts[number]), int(stored.starts[number + 1]))
    scale = 2.0 ** math.floor(15 - math.log2(length) - max(0.0, math.log2(longest)))
    scaled = torch.from_numpy((query.astype(np.float64) * scale).astype(np.float16))
    near = torch.mv(part, scaled).float().numpy() * np.float32(1 / scale)
    rounding = 2 * _HALF * length * longest
    tiny = _HALF_TINY * (math.sqrt(stored.dim) * longest + 1) / scale
    return near, _SLACK * (rounding + tiny)


def _one_single(stored: StoredVectors, number: int, query: Floats) -> list[tuple[int, Floats]]:
    """Scores of one query over a part of float32. Each thread works through chunks of its own: on
    a busy machine that waits far less than a matrix product that splits every chunk."""
    part, start = stored.parts[number], int(stored.starts[number])
    assert isinstance(part, np.ndarray)

    def score(first: int) -> tuple[int, Floats]:
        values = part[first : first + CHUNK_ROWS]
        stored.check(start + first, start + first + len(values))
        return first, np.einsum("ij,j->i", values, query)

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return list(threads.map(score, range(0, len(part), CHUNK_ROWS)))
