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

from dpr.errors import InputError, SettingsError
from dpr.indexes.products import Floats, StoredVectors

Rows = npt.NDArray[np.int64]
Ids = Callable[[Sequence[int]], list[str]]

QUERIES_AT_ONCE = 256
FEW = 8  # so many or fewer are searched one by one, each in one pass over what is stored
MAX_CANDIDATES = 1 << 22  # about 100 MB; beyond it candidates are decided at once
_TYPES = {np.dtype(np.float16), np.dtype(np.float32)}


class FlatIndex:
    """Exact search over one or more arrays, taken together as one in order.

    Args:
        vectors: each (rows, dim), float16 or float32, the same dim; they are not copied.
        ids: gives the ids of rows; equal scores are ordered by id (as Python orders strings).
            None: equal scores are ordered by row.

    Raises:
        InputError: no vectors, or arrays of another shape or type.
    """

    def __init__(self, vectors: Sequence[npt.NDArray[Any]], ids: Ids | None = None) -> None:
        parts = [np.asarray(part) for part in vectors]
        shapes = [(part.shape, str(part.dtype)) for part in parts]
        dims = {part.shape[1] if part.ndim == 2 else 0 for part in parts}
        if len(dims) != 1 or 0 in dims or not {part.dtype for part in parts} <= _TYPES:
            raise InputError(
                f"vectors have shapes and types {shapes}; allowed are one or more arrays "
                f"(rows, dim) of float16 or float32 with the same dim"
            )
        self._stored = StoredVectors(parts)
        self._ids = ids
        self.dim = self._stored.dim
        if not len(self):
            raise InputError("there are no vectors to search; give at least one row")

    def __len__(self) -> int:
        return len(self._stored)

    def search(self, queries: npt.NDArray[Any], k: int) -> tuple[Floats, Rows]:
        """The k rows with the largest inner products for each query.

        Args:
            queries: (q, dim) floats; used as float32.
            k: at least 1; more than there are rows gives all rows.

        Returns:
            Scores (q, k') float32 in descending order and their rows (q, k') int64, with
            k' = min(k, rows).

        Raises:
            SettingsError: k below 1.
            InputError: queries of another shape or type, or not finite; vectors not finite.
        """
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise SettingsError(f"k is {k!r}; allowed are integers of 1 or more")
        checked = self._checked(queries)
        k = min(int(k), len(self))
        scores = np.empty((len(checked), k), np.float32)
        rows = np.empty((len(checked), k), np.int64)
        step = 1 if len(checked) <= FEW else max(1, min(QUERIES_AT_ONCE, MAX_CANDIDATES // (4 * k)))
        for first in range(0, len(checked), step):
            some = slice(first, first + step)
            scores[some], rows[some] = self._search(checked[some], k)
        return scores, rows

    def _checked(self, queries: npt.NDArray[Any]) -> Floats:
        array = np.asarray(queries)
        if array.ndim != 2 or array.shape[1] != self.dim or array.dtype.kind != "f":
            raise InputError(
                f"queries have shape {array.shape} and type {array.dtype}; allowed are floats of "
                f"shape (queries, {self.dim}), also for a single query"
            )
        with np.errstate(over="ignore"):
            result = np.ascontiguousarray(array, dtype=np.float32)
        finite = np.isfinite(result).all(axis=1)
        if not finite.all():
            raise InputError(
                f"query {int(np.argmin(finite))} holds NaN, infinity or a number beyond float32; "
                f"check the question encoder"
            )
        return result

    def _search(self, queries: Floats, k: int, *, halves: bool = True) -> tuple[Floats, Rows]:
        pool = _Pool(
            len(queries),
            k,
            lambda found: self._stored.exact(queries, found.queries, found.rows),
            self._ids,
        )
        for row, near, error in self._stored.products(queries, halves=halves):
            pool.add(near, row, error)
        scores, rows = pool.best()
        if pool.broken and halves:
            # This machine's float16 products are worse than float32 sums make them.
            return self._search(queries, k, halves=False)
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

    def add(self, near: Floats, row: int, error: npt.NDArray[np.float64]) -> None:
        """Take a chunk's approximate scores (queries, rows) and their largest errors (queries,)."""
        self.error = np.maximum(self.error, error)
        rows = near.shape[1]
        if self.size == 0 and rows >= self.k:
            kth = np.partition(near, rows - self.k, axis=1)[:, rows - self.k]
            self.floor = np.maximum(self.floor, kth - self.error)
        places = np.flatnonzero(near >= self._threshold()[:, None])
        queries, offsets = np.divmod(places, rows)
        unknown = np.full(len(places), np.nan, np.float32)
        self.found.append(_Found(queries, offsets + row, near.ravel()[places], unknown))
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
        found = found.taken(np.lexsort((found.rows, -found.scores, found.queries)))
        if self.ids is not None:
            found = found.taken(self._by_id(found, self.ids))
        return found.taken(self._place(found) < self.k)

    def _place(self, found: _Found) -> npt.NDArray[np.int64]:
        counts = np.bincount(found.queries, minlength=self.count)
        return np.arange(len(found.rows)) - (np.cumsum(counts) - counts)[found.queries]

    def _by_id(self, found: _Found, ids: Ids) -> npt.NDArray[np.intp]:
        """The order by score, then id; ids are asked for only where scores are equal."""
        new = np.ones(len(found.rows), np.bool_)
        new[1:] = (found.queries[1:] != found.queries[:-1]) | (
            found.scores[1:] != found.scores[:-1]
        )
        run = np.cumsum(new) - 1
        firsts = np.flatnonzero(new)
        tied = (np.bincount(run) > 1) & (self._place(found)[firsts] < self.k)
        members = np.flatnonzero(tied[run])
        ranks = np.zeros(len(found.rows), np.int64)
        if len(members):
            rows, which = np.unique(found.rows[members], return_inverse=True)
            names = ids(rows.tolist())
            order = sorted(range(len(rows)), key=names.__getitem__)
            rank = np.empty(len(rows), np.int64)
            rank[order] = np.arange(len(rows))
            ranks[members] = rank[which]
        return np.lexsort((ranks, run))
