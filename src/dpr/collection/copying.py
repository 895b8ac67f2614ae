"""Copy passages and vectors as they are stored, where nothing, or only a part, is to be encoded.

Takes an open collection and rows; gives entries and vectors for a new segment. Writes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dpr.collection.encoder import PassageEncoder
from dpr.collection.passages import Entry, document_of
from dpr.collection.store import ROWS_AT_ONCE, Collection
from dpr.collection.vectors import Stored, stored
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


class Reusing:
    """An encoder that gives the stored vector of each passage that its document already had, and
    encodes only the others.

    Args:
        encoder: the one that the collection was made by.
        documents: ids of the documents that are replaced.

    Attributes:
        encoded: how many passages were encoded.
    """

    def __init__(
        self, encoder: PassageEncoder, collection: Collection, documents: Container[str]
    ) -> None:
        self.dim, self.fingerprint = encoder.dim, encoder.fingerprint
        self.settings = encoder.settings
        self.encoded = 0
        self._encoder = encoder
        self._collection = collection
        self._documents = documents

    @property
    def truncated(self) -> int:
        """Of the passages encoded; what is taken over is not counted again."""
        return self._encoder.truncated

    def encode(self, passages: Sequence[Passage]) -> Stored:
        """The vectors of these passages."""
        dtype: Any = self._collection.manifest.dtype
        known = self._known(passages)
        new = [place for place, row in enumerate(known) if row < 0]
        old = [place for place, row in enumerate(known) if row >= 0]
        self.encoded += len(new)
        fresh = [passages[place] for place in new]
        if len(new) == len(passages):
            return stored(self._encoder.encode(fresh), fresh, self.dim, dtype)
        rows = np.array([known[place] for place in old])
        self._collection.guard.rows(rows)
        taken = take(self._collection, rows)
        if not new:
            return taken
        made = stored(self._encoder.encode(fresh), fresh, self.dim, dtype)
        order = np.argsort(np.array([*old, *new]))
        numbers = np.concatenate([taken.numbers, made.numbers])[order]
        if taken.scales is None or made.scales is None:
            return Stored(numbers)
        return Stored(numbers, np.concatenate([taken.scales, made.scales])[order])

    def _known(self, passages: Sequence[Passage]) -> list[int]:
        """The row that holds each passage's title and text already; -1 where none does."""
        by_text: dict[tuple[str, str, str], int] = {}
        documents = {document_of(passage) for passage in passages}
        there = [one for one in documents if one in self._documents]
        for document, rows in _rows_of(self._collection, there):
            for row, old in zip(rows, self._collection.passages(rows), strict=True):
                by_text.setdefault((document, old.title, old.text), row)
        return [by_text.get((document_of(one), one.title, one.text), -1) for one in passages]


def _rows_of(
    collection: Collection, documents: Sequence[str]
) -> Iterator[tuple[str, Sequence[int]]]:
    """The rows of some documents that are not deleted, in order; nothing is held of others."""
    if not documents:
        return
    live, wanted = collection.live, pa.array(documents, pa.large_string())
    for segment, start in zip(collection.segments, collection.starts, strict=False):
        table = segment.documents.select(["document", "first", "rows"])
        chosen = table.filter(pc.is_in(table["document"], value_set=wanted))
        for name, first, rows in zip(*chosen.to_pydict().values(), strict=True):
            own = range(start + first, start + first + rows)
            yield name, own if live is None else [row for row in own if live[row]]


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
