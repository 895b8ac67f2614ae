"""Fast approximate inner products, each with a proven bound of its error.

Takes arrays of stored vectors and queries; gives scores chunk by chunk, in bounded memory. Knows
nothing of ranking. Several queries go through float32 matrix products. A single query, which is
bound by reading memory, goes through one pass that reads the stored numbers as they are; over
float16 that pass rounds the query and the scores to float16, which the bound takes into account.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dpr.errors import InputError

Floats = npt.NDArray[np.float32]
Scored = tuple[int, Floats, npt.NDArray[np.float64]]

CHUNK_ROWS = 4096
MATRIX_ROWS = 16384  # rows of a matrix product: threads wait for each other after each
_SINGLE = 2.0**-24  # largest relative error of rounding to float32
_HALF = 2.0**-11  # the same of float16
_HALF_TINY = 2.0**-14  # the smallest normal float16
_SLACK = 1.05  # for the bounds' own rounding


class StoredVectors:
    """Arrays (rows, dim) of float16 or float32, taken together as one in order; not copied."""

    def __init__(self, parts: Sequence[npt.NDArray[Any]]) -> None:
        self.parts = list(parts)
        self.dim = int(self.parts[0].shape[1])
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])
        self._tensors = [_tensor(part) for part in self.parts]
        self._longest: float | None = None

    def __len__(self) -> int:
        return int(self.starts[-1])

    def products(self, queries: Floats, *, halves: bool = True) -> Iterator[Scored]:
        """Scores of all rows for the queries (q, dim), chunk by chunk in any order.

        Args:
            halves: False keeps float16 arithmetic out even for a single query.

        Returns:
            (first row, scores (q, rows), largest error of a score for each query (q,)).

        Raises:
            InputError: a vector that is not finite, or products beyond float32.
        """
        longest = self.longest()
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
        if len(lengths) and lengths.max() * longest > 1e38:
            raise InputError("queries and vectors are too large: their products leave float32")
        # An inner product of this length in any order of summation (Higham, Accuracy and
        # Stability of Numerical Algorithms, 3.1), and numbers flushed to zero.
        error = _SLACK * (self.dim + 8) * _SINGLE * lengths * longest + self.dim * 2.0**-124
        if len(queries) != 1:
            for row, values in self._values():
                yield row, np.matmul(queries, values.T), error
            return
        for number, part in enumerate(self.parts):
            start = int(self.starts[number])
            if part.dtype == np.float32:
                for row, near in _one_single(part, queries[0]):
                    yield start + row, near[None], error
            elif halves:
                near, wider = self._one_half(self._tensors[number], queries[0], lengths[0])
                for first in range(0, len(near), CHUNK_ROWS):
                    yield start + first, near[None, first : first + CHUNK_ROWS], error + wider
            else:
                for row, values in self._values(number):
                    yield row, np.matmul(queries, values.T), error

    def exact(self, queries: Floats, which: npt.NDArray[Any], rows: npt.NDArray[Any]) -> Floats:
        """Scores (n,) of pairs (``queries[which]``, ``rows``) in fixed arithmetic: products and
        sums in float64, row by row, rounded to float32; a pair's score depends on it alone."""
        scores = np.empty(len(rows), np.float32)
        parts = np.searchsorted(self.starts, rows, side="right") - 1
        for number, part in enumerate(self.parts):
            places = np.flatnonzero(parts == number)
            for first in range(0, len(places), CHUNK_ROWS):
                some = places[first : first + CHUNK_ROWS]
                terms = part[rows[some] - self.starts[number]].astype(np.float64)
                terms *= queries[which[some]]
                scores[some] = terms.sum(axis=1)
        return scores

    def longest(self) -> float:
        """The largest length of a vector; the first call reads all of them."""
        if self._longest is None:
            self._longest = max(_longest(values, row) for row, values in self._values())
        return self._longest

    def _values(self, only: int | None = None) -> Iterator[tuple[int, Floats]]:
        """Chunks of float32 with their first row; each valid until the next one is taken."""
        buffer = torch.empty((min(MATRIX_ROWS, len(self)), self.dim), dtype=torch.float32)
        for number, part in enumerate(self.parts):
            if only not in (None, number):
                continue
            for first in range(0, len(part), MATRIX_ROWS):
                row, some = int(self.starts[number]) + first, slice(first, first + MATRIX_ROWS)
                if part.dtype == np.float32:
                    yield row, part[some]
                else:
                    # torch converts from float16 about ten times as fast as numpy.
                    halves = self._tensors[number][some]
                    values = buffer[: len(halves)]
                    values.copy_(halves)
                    yield row, values.numpy()

    def _one_half(self, part: torch.Tensor, query: Floats, length: float) -> tuple[Floats, float]:
        """Scores of one query over float16 rows, and what float16 adds to their error.

        The query is scaled by a power of two so that neither it nor a score leaves float16.
        """
        longest = max(self.longest(), 1e-30)
        if length == 0:
            return np.zeros(len(part), np.float32), 0.0
        scale = 2.0 ** math.floor(15 - math.log2(length) - max(0.0, math.log2(longest)))
        scaled = torch.from_numpy((query.astype(np.float64) * scale).astype(np.float16))
        near = torch.mv(part, scaled).float().numpy() * np.float32(1 / scale)
        rounding = 2 * _HALF * length * longest
        tiny = _HALF_TINY * (math.sqrt(self.dim) * longest + 1) / scale
        return near, _SLACK * (rounding + tiny)


def _tensor(part: npt.NDArray[Any]) -> torch.Tensor:
    with warnings.catch_warnings():
        # Read-only memory maps make torch warn of writing, which never happens here.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(part)


def _one_single(part: npt.NDArray[np.float32], query: Floats) -> list[tuple[int, Floats]]:
    """Scores of one query over float32 rows. Each thread works through chunks of its own: on a
    busy machine that waits far less than a matrix product that splits every chunk."""

    def score(first: int) -> tuple[int, Floats]:
        return first, np.einsum("ij,j->i", part[first : first + CHUNK_ROWS], query)

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return list(threads.map(score, range(0, len(part), CHUNK_ROWS)))


def _longest(values: Floats, row: int) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        squares: npt.NDArray[np.floating[Any]] = np.einsum("ij,ij->i", values, values)
    if not np.isfinite(squares).all():
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise InputError(
                f"the vector in row {row + int(np.argmin(finite))} holds NaN or infinity; build "
                f"the collection again"
            )
        squares = np.square(values, dtype=np.float64).sum(axis=1)
    # A tiny length may have been lost to underflow; no bound may be too small for it.
    return float(np.sqrt(squares.max())) + 2.0**-60
