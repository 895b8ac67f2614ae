"""Search by vectors over the segments of a collection: each by its index, or exactly.

Takes an open collection; gives scores and rows. Segments without an index of their own, such as
those that were just added, are searched exactly, together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.collection import Collection
from dpr.collection.guard import Guard
from dpr.collection.segment import SegmentReader
from dpr.indexes.flat import FlatIndex
from dpr.indexes.index import Floats, Ids, Index, Mask, Rows, checked_allowed, checked_k
from dpr.indexes.int8 import Int8Vectors
from dpr.indexes.ordering import best
from dpr.indexes.stored import StoredVectors
from dpr.search.parts import load_index

FLAT = "flat"


@dataclass(frozen=True, slots=True)
class _Group:
    """An index over some rows of the collection that follow each other, from ``first``."""

    kind: str
    first: int
    index: Index


class DenseIndex:
    """All vectors of a version of a collection, searched by inner product.

    Args:
        effort: how hard approximate indexes try, in place of what each keeps; see
            ``dpr.indexes.kinds``.

    Raises:
        CorruptionError: an index was altered.
        MissingExtraError: an index needs a package that is not installed.
    """

    def __init__(self, collection: Collection, effort: dict[str, Any] | None = None) -> None:
        self._collection = collection
        self._effort = effort
        self._lock = RLock()
        self.dim = collection.manifest.dim

    def __len__(self) -> int:
        return int(self._collection.starts[-1])

    @property
    def groups(self) -> list[_Group]:
        """Loaded when something is first searched."""
        with self._lock:
            return self._groups

    @cached_property
    def _groups(self) -> list[_Group]:
        collection, groups = self._collection, []
        run: list[int] = []
        for number, segment in enumerate(collection.segments):
            part = segment.part("index")
            if part is None:
                run.append(number)
                continue
            if run:
                groups.append(self._flat(run))
                run = []
            entry, files = part
            first = collection.starts[number]
            stored = stored_vectors([segment])
            index = load_index(entry.settings, files, stored, self._ids(first), self._effort)
            groups.append(_Group(str(entry.settings["kind"]), first, index))
        if run:
            groups.append(self._flat(run))
        return groups

    @property
    def exact(self) -> bool:
        """Whether the result is that of looking at every row."""
        return all(group.index.exact for group in self.groups)

    @property
    def bytes(self) -> int:
        """What the indexes hold."""
        return sum(group.index.bytes for group in self.groups)

    @property
    def touched(self) -> int:
        """Bytes of the stored vectors that searches read besides."""
        return sum(group.index.touched for group in self.groups)

    def search(
        self, queries: npt.NDArray[Any], k: int, allowed: Mask | None = None
    ) -> tuple[Floats, Rows]:
        """As ``Index.search``, over all rows of the collection."""
        k, allowed = checked_k(k), checked_allowed(allowed, len(self))
        found = []
        for group in self.groups:
            last = group.first + len(group.index)
            own = None if allowed is None else allowed[group.first : last]
            scores, rows = group.index.search(queries, k, own)
            found.append((scores, rows + group.first))
        if len(found) == 1:
            return found[0]
        scores = np.concatenate([one for one, _ in found], axis=1)
        rows = np.concatenate([one for _, one in found], axis=1)
        count, width = scores.shape
        which = np.repeat(np.arange(count), width)
        places = best(which, rows.ravel(), scores.ravel(), count, k, self._collection.ids)
        shape = (count, min(k, width))
        return scores.ravel()[places].reshape(shape), rows.ravel()[places].reshape(shape)

    @cached_property
    def stored(self) -> StoredVectors:
        """The vectors of all segments."""
        return stored_vectors(self._collection.segments)

    def scores(self, query: Floats, rows: Rows) -> Floats:
        """The exact inner products (n,) of one query (dim,) with some rows."""
        which = np.zeros(len(rows), np.int64)
        return self.stored.exact(np.asarray(query, np.float32)[None], which, rows)

    def _flat(self, numbers: Sequence[int]) -> _Group:
        first = self._collection.starts[numbers[0]]
        segments = [self._collection.segments[number] for number in numbers]
        index = FlatIndex(stored_vectors(segments), self._ids(first))
        return _Group(FLAT, first, index)

    def _ids(self, first: int) -> Ids:
        collection = self._collection  # not through self, which holds who holds this
        return lambda rows: collection.ids([row + first for row in rows])


def stored_vectors(segments: Sequence[SegmentReader]) -> StoredVectors:
    """The vectors of some segments, guarded."""
    starts = np.cumsum([0, *(segment.rows for segment in segments)]).tolist()
    parts = [
        one.vectors if one.scales is None else Int8Vectors(one.vectors, one.scales)
        for one in segments
    ]
    return StoredVectors(
        parts,
        longest=max(one.segment.longest for one in segments),
        guard=Guard([segment.guard for segment in segments], starts),
    )
