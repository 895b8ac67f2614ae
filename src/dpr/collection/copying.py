"""Copy passages and vectors as they are stored: what an encoder is, where nothing is to be encoded.

Takes an open collection and rows; gives entries and vectors for a new segment. Writes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dpr.collection.passages import Entry
from dpr.collection.store import ROWS_AT_ONCE, Collection
from dpr.collection.vectors import Stored
from dpr.records import Passage


class Copier:
    """An encoder that gives what is stored already, row after row."""

    def __init__(
        self, collection: Collection, rows: npt.NDArray[np.int64], shard_size: int
    ) -> None:
        manifest = collection.manifest
        self.dim, self.fingerprint = manifest.dim, manifest.encoder_fingerprint
        self.settings = manifest.encoder_settings
        self.truncated = 0
        self._collection = collection
        self._rows = rows
        self._given: deque[int] = deque(maxlen=shard_size)  # the builder takes shard after shard

    def entries(self) -> Iterator[Entry]:
        """The passages with what is known of their documents."""
        facts = _facts(self._collection)
        for first in range(0, len(self._rows), ROWS_AT_ONCE):
            rows = self._rows[first : first + ROWS_AT_ONCE].tolist()
            for row, passage in zip(rows, self._collection.passages(rows), strict=True):
                self._given.append(row)
                yield Entry(passage, *facts(row))

    def encode(self, passages: Sequence[Passage]) -> Stored:
        """The vectors of the passages that ``entries`` gave last."""
        rows = np.array(list(self._given)[-len(passages) :])
        self._collection.guard.rows(rows)
        return take(self._collection, rows)


def take(collection: Collection, rows: npt.NDArray[np.int64]) -> Stored:
    """The vectors in these rows, as they are stored; the guard must have seen them."""
    starts = np.asarray(collection.starts)
    numbers = np.searchsorted(starts, rows, side="right") - 1
    dim, dtype = collection.manifest.dim, collection.manifest.dtype
    found = np.empty((len(rows), dim), np.dtype(dtype).newbyteorder("<"))
    scales = np.empty(len(rows), np.float32) if dtype == "int8" else None
    for number in np.unique(numbers):
        places = np.flatnonzero(numbers == number)
        reader = collection.segments[int(number)]
        inside = rows[places] - starts[number]
        found[places] = reader.vectors[inside]
        if scales is not None and reader.scales is not None:
            scales[places] = reader.scales[inside]
    return Stored(found, scales)


def _facts(collection: Collection) -> Callable[[int], tuple[str, str]]:
    """Digest and origin of the document that a row belongs to."""
    tables = [reader.documents for reader in collection.segments]
    firsts = [table["first"].to_numpy() for table in tables]
    starts = np.asarray(collection.starts)

    def of(row: int) -> tuple[str, str]:
        number = int(np.searchsorted(starts, row, side="right")) - 1
        at = int(np.searchsorted(firsts[number], row - starts[number], side="right")) - 1
        table = tables[number]
        return table["digest"][at].as_py(), table["origin"][at].as_py()

    return of
