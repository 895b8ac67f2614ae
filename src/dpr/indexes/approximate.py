"""What approximate indexes have in common: as many rows as asked for, and in a fixed order.

Takes a ``Finder``, which gives rows that are likely to be the best, sometimes too few; gives an
index that keeps the contract of ``dpr.indexes.index``. Knows nothing of how a finder finds.

Where rows are scored again, a row's score is its inner product in the arithmetic of ``FlatIndex``,
read from the stored vectors: it depends on query and row alone, and only which rows are found
depends on the finder. Otherwise scores are the finder's own estimates, from its codes, and the
stored vectors are never read.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from dpr.indexes.faiss_files import library
from dpr.indexes.flat import FlatIndex
from dpr.indexes.index import (
    Floats,
    Ids,
    Mask,
    Rows,
    checked_allowed,
    checked_k,
    checked_queries,
)
from dpr.indexes.ordering import best
from dpr.indexes.stored import StoredVectors

FEW_ROWS = 4096  # so many allowed rows or fewer are all scored
QUERIES_AT_ONCE = 1024
FEWEST = 16  # queries for a thread
WIDER = (1.0, 4.0, 16.0, math.inf)
"""What the effort is multiplied by, in turn, for queries for which too few rows were found."""


E = TypeVar("E")
E_in = TypeVar("E_in", contravariant=True)


class Finder(Protocol[E_in]):
    """What looks for rows.

    Attributes:
        rows: how many rows there are.
        bytes: of its files.
    """

    rows: int
    bytes: int

    def rescored(self, effort: E_in, k: int) -> int:
        """How many rows of each query the stored vectors should score again; 0: none."""

    def find(
        self, queries: Floats, count: int, allowed: Mask | None, effort: E_in, times: float
    ) -> tuple[Floats, Rows]:
        """Rows (q, count) that are allowed, in any order, -1 for none; and estimates of their
        scores. ``times`` multiplies the effort; infinity looks at everything, and then as many
        rows are found as there are."""


class ApproximateIndex(Generic[E]):
    """Rows from a finder, scored and ordered.

    Args:
        stored: what the finder was built from; None: scores are the finder's estimates.
        ids: gives the ids of rows; equal scores are ordered by id, or by row where None.

    Attributes:
        effort: how hard to look; may be changed at any time.
    """

    exact = False

    def __init__(
        self,
        finder: Finder[E],
        dim: int,
        effort: E,
        stored: StoredVectors | None,
        ids: Ids | None = None,
    ) -> None:
        self.effort = effort
        self.dim = dim
        self._finder = finder
        self._stored = stored
        self._ids = ids

    def __len__(self) -> int:
        return self._finder.rows

    @property
    def bytes(self) -> int:
        """Of the finder's files, which are mapped or in memory."""
        return self._finder.bytes

    @property
    def touched(self) -> int:
        """Bytes of the stored vectors that searches may read."""
        if self._stored is None or not self._finder.rescored(self.effort, 1):
            return 0
        return self._stored.bytes

    def search(
        self, queries: npt.NDArray[Any], k: int, allowed: Mask | None = None
    ) -> tuple[Floats, Rows]:
        """Rows with large inner products for each query; see ``dpr.indexes.index.Index``.

        Raises:
            SettingsError: k below 1.
            InputError: queries of another shape or type, or not finite; a mask of another shape.
        """
        k, checked = checked_k(k), checked_queries(queries, self.dim)
        mask = checked_allowed(allowed, len(self))
        count = len(self) if mask is None else int(np.count_nonzero(mask))
        k = min(k, count)
        scores = np.empty((len(checked), k), np.float32)
        rows = np.empty((len(checked), k), np.int64)
        if not k:
            return scores, rows
        effort = self.effort
        again = 0 if self._stored is None else self._finder.rescored(effort, k)
        if self._stored is not None and again and count <= FEW_ROWS:
            return FlatIndex(self._stored, self._ids).search(checked, k, mask)
        wanted = min(max(k, again), count)

        def search(some: slice) -> None:
            queries = checked[some]
            found = self._found(queries, k, wanted, mask, effort)
            scores[some], rows[some] = self._ordered(queries, *found, k, bool(again))

        threads = int(library().omp_get_max_threads())
        step = min(max(-(-len(checked) // threads), FEWEST), QUERIES_AT_ONCE)
        slices = [slice(first, first + step) for first in range(0, len(checked), step)]
        if len(slices) < 2 or threads < 2:
            for some in slices:
                search(some)
        else:
            # Each thread with queries of its own waits less than threads that share each query.
            alone = library().omp_set_num_threads
            with ThreadPoolExecutor(threads, initializer=alone, initargs=(1,)) as pool:
                list(pool.map(search, slices))
        return scores, rows

    def _found(
        self, queries: Floats, k: int, wanted: int, allowed: Mask | None, effort: E
    ) -> tuple[Floats, Rows]:
        """Rows (q, wanted), at least k of them found, and what the finder says of them."""
        # Among few allowed rows, as many as usual have to be met.
        times = len(self) / (len(self) if allowed is None else int(np.count_nonzero(allowed)))
        scores = np.full((len(queries), wanted), -np.inf, np.float32)
        rows = np.full((len(queries), wanted), -1, np.int64)
        short = np.arange(len(queries))
        for wider in WIDER:
            found = self._finder.find(queries[short], wanted, allowed, effort, times * wider)
            scores[short], rows[short] = found
            short = short[(rows[short] >= 0).sum(axis=1) < k]
            if not len(short):
                break
        for query in short.tolist():
            self._fill(scores[query], rows[query], k, allowed)
        return scores, rows

    def _fill(self, scores: Floats, rows: Rows, k: int, allowed: Mask | None) -> None:
        """Adds rows until there are k, as if they were as good as the worst found.

        Looking at everything, a scan by tables of few bits still leaves out a row whose score is
        the least that its tables can hold.
        """
        found = rows >= 0
        rest = np.ones(len(self), np.bool_) if allowed is None else allowed.copy()
        rest[rows[found]] = False
        added = np.flatnonzero(rest)[: k - int(found.sum())]
        places = np.flatnonzero(~found)[: len(added)]
        scores[places] = scores[found].min() if found.any() else 0
        rows[places] = added

    def _ordered(
        self, queries: Floats, scores: Floats, rows: Rows, k: int, again: bool
    ) -> tuple[Floats, Rows]:
        """The best k, by the stored vectors where rows are scored again."""
        which, columns = np.nonzero(rows >= 0)
        flat = rows[which, columns]
        if self._stored is not None and again:
            values = self._exact(queries, which, flat, self._stored)
        else:
            values = scores[which, columns]
        places = best(which, flat, values, len(queries), k, self._ids)
        shape = (len(queries), k)
        return values[places].reshape(shape), flat[places].reshape(shape)

    @staticmethod
    def _exact(
        queries: Floats, which: npt.NDArray[np.int64], rows: Rows, stored: StoredVectors
    ) -> Floats:
        # In the order of rows, so that a stored row is read once however many queries found it.
        order = np.argsort(rows, kind="stable")
        values = np.empty(len(rows), np.float32)
        values[order] = stored.exact(queries, which[order], rows[order])
        return values
