"""Exact inner-product search: every row is looked at, and the same question has one answer.

Takes arrays of vectors (memory maps do) and queries; gives scores and rows. Knows nothing of
passages, files or models.

Matrix products in float32 differ in their last bits with the number of queries, the chunk and the
threads. So they only choose candidates: every row that may reach the k-th best score within the
proven error of such a product. The candidates' scores are then computed again in one fixed way,
products and sums in float64 row by row, rounded to float32, and ordered by score, then by id. The
result therefore depends on the vectors and the query alone: not on k, on the other queries of the
call, or on threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
from dpr.indexes.products import products
from dpr.indexes.stored import Part, StoredVectors

QUERIES_AT_ONCE = 256
FEW = 8  # so many or fewer are searched one by one, each in one pass over what is stored
MAX_CANDIDATES = 1 << 22  # about 100 MB; beyond it candidates are decided at once


class FlatIndex:
    """Exact search over one or more arrays, taken together as one in order.

    Args:
        vectors: each (rows, dim), all of one kind and dim (see ``StoredVectors``); not copied.
        ids: gives the ids of rows; equal scores are ordered by id (as Python orders strings).
            None: equal scores are ordered by row.

    Raises:
        InputError: no vectors, or arrays of another shape or type.
    """

    exact = True
    bytes = 0  # all of it is the stored vectors

    def __init__(self, vectors: StoredVectors | Sequence[Part], ids: Ids | None = None) -> None:
        self._stored = vectors if isinstance(vectors, StoredVectors) else StoredVectors(vectors)
        self._ids = ids
        self.dim = self._stored.dim

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def touched(self) -> int:
        """Bytes of the stored vectors: every search reads them."""
        return self._stored.bytes

    def search(
        self, queries: npt.NDArray[Any], k: int, allowed: Mask | None = None
    ) -> tuple[Floats, Rows]:
        """The k rows with the largest inner products for each query.

        Args:
            queries: (q, dim) floats; used as float32.
            k: at least 1; more than there are rows gives all rows.
            allowed: (rows,) which rows may be found; None: all.

        Returns:
            Scores (q, k') float32 in descending order and their rows (q, k') int64, with
            k' = min(k, rows that are allowed).

        Raises:
            SettingsError: k below 1.
            InputError: queries of another shape or type, or not finite; a mask of another shape;
                vectors that are not finite.
        """
        k, checked = checked_k(k), checked_queries(queries, self.dim)
        mask = checked_allowed(allowed, len(self))
        k = min(k, len(self) if mask is None else int(np.count_nonzero(mask)))
        scores = np.empty((len(checked), k), np.float32)
        rows = np.empty((len(checked), k), np.int64)
        if not k:
            return scores, rows
        step = 1 if len(checked) <= FEW else max(1, min(QUERIES_AT_ONCE, MAX_CANDIDATES // (4 * k)))
        for first in range(0, len(checked), step):
            some = slice(first, first + step)
            scores[some], rows[some] = self._search(checked[some], k, mask)
        return scores, rows

    def _search(
        self, queries: Floats, k: int, allowed: Mask | None, *, halves: bool = True
    ) -> tuple[Floats, Rows]:
        pool = _Pool(
            len(queries),
            k,
            lambda found: self._stored.exact(queries, found.queries, found.rows),
            self._ids,
        )
        for chunk, near, error in products(self._stored, queries, allowed, halves=halves):
            pool.add(near, chunk, error)
        scores, rows = pool.best()
        if pool.broken and halves:
            # This machine's float16 products are worse than float32 sums make them.
            return self._search(queries, k, allowed, halves=False)
        return scores, rows


@dataclass(slots=True)
class _Found:
    """Candidates: the query and row of each, its approximate score, and the fixed one or NaN."""

    queries: npt.NDArray[np.int64]
    rows: Rows
    near: Floats
    scores: Floats

    def taken(self, which: npt.NDArray[Any]) -> _Found:
        return _Found(self.queries[which], self.rows[which], self.near[which], self.scores[which])


class _Pool:
    """The candidates of some queries while the chunks go by.

    ``floor`` is, for each query, what its k-th best true score is proven to reach. A row is a
    candidate as long as its approximate score is not below that by more than the error.
    """

    def __init__(
        self, queries: int, k: int, rescore: Callable[[_Found], Floats], ids: Ids | None
    ) -> None:
        self.count, self.k, self.ids, self.rescore = queries, k, ids, rescore
        self.floor = np.full(queries, -np.inf)
        self.error = np.zeros(queries)
        self.broken = False
        self.found: list[_Found] = []
        self.size = 0
        self.prune_at = max(1 << 16, 2 * queries * k)

    def add(self, near: Floats, rows: Rows, error: npt.NDArray[np.float64]) -> None:
        """Take a chunk's approximate scores (queries, rows) and their largest errors (queries,)."""
        self.error = np.maximum(self.error, error)
        count = len(rows)
        if not count:
            return
        if self.size == 0 and count >= self.k:
            kth = np.partition(near, count - self.k, axis=1)[:, count - self.k]
            self.floor = np.maximum(self.floor, kth - self.error)
        places = np.flatnonzero(near >= self._threshold()[:, None])
        queries, offsets = np.divmod(places, count)
        unknown = np.full(len(places), np.nan, np.float32)
        self.found.append(_Found(queries, rows[offsets], near.ravel()[places], unknown))
        self.size += len(places)
        if self.size > self.prune_at:
            self._prune()

    def best(self) -> tuple[Floats, Rows]:
        """The k best of each query, scores and rows (queries, k)."""
        self._prune()
        found = self._decided(self._together())
        shape = (self.count, self.k)
        return found.scores.reshape(shape), found.rows.reshape(shape)

    def _threshold(self) -> Floats:
        with np.errstate(over="ignore"):
            limit = (self.floor - self.error).astype(np.float32)
        return np.nextafter(limit, np.float32(-np.inf))

    def _together(self) -> _Found:
        return _Found(
            *(
                np.concatenate([getattr(found, name) for found in self.found])
                for name in ("queries", "rows", "near", "scores")
            )
        )

    def _prune(self) -> None:
        found = self._together()
        order = np.lexsort((-found.near, found.queries))
        counts = np.bincount(found.queries, minlength=self.count)
        full = counts >= self.k
        kth = (np.cumsum(counts) - counts + self.k - 1)[full]
        reached = found.near[order[kth]] - self.error[full]
        self.floor[full] = np.maximum(self.floor[full], reached)
        found = found.taken(found.near >= self._threshold()[found.queries])
        if len(found.rows) > max(MAX_CANDIDATES, 2 * self.count * self.k):
            found = self._decided(found)
        self.found, self.size = [found], len(found.rows)
        self.prune_at = max(1 << 16, 2 * self.count * self.k, 2 * self.size)

    def _decided(self, found: _Found) -> _Found:
        """The best k of each query by the fixed scores, then id, in that order."""
        unknown = np.flatnonzero(np.isnan(found.scores))
        guessed = found.taken(unknown)
        found.scores[unknown] = self.rescore(guessed)
        off = np.abs(found.scores[unknown].astype(np.float64) - guessed.near)
        self.broken |= bool((off > self.error[guessed.queries]).any())
        return found.taken(
            best(found.queries, found.rows, found.scores, self.count, self.k, self.ids)
        )
