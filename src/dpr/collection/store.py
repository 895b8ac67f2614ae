"""Read a collection: passages by row, vectors as memory maps, documents.

Takes a folder that ``build_collection`` made; gives passages, ids, rows, vectors and documents.
Knows nothing of encoders or of searching, and writes nothing.

A ``Collection`` is one version, complete in itself, whatever is written meanwhile: it holds all its
files open. Rows are counted through the segments; those deleted since keep their numbers and are
left out by the mask ``live``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dpr.collection import deletions, documents
from dpr.collection.guard import Guard
from dpr.collection.ids import hash_ids, rows_of_hashes
from dpr.collection.manifest import MANIFEST, Manifest, read_manifest
from dpr.collection.passages import from_batch
from dpr.collection.segment import Gone, SegmentReader
from dpr.errors import CollectionError, CorruptionError, InputError, MismatchError, SettingsError
from dpr.records import Passage

ROWS_AT_ONCE = 4096
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document of a collection: what its source called it, and how many passages it has.

    Attributes:
        digest: of the document as its source held it.
        origin: which of the collection's sources it came from.
    """

    id: str
    source: str
    digest: str
    origin: str
    rows: int


class Collection:
    """A version of a collection, open for reading; safe to share between threads.

    Attributes:
        path: the folder.
        manifest: what the collection is made of.
    """

    def __init__(
        self, path: Path, manifest: Manifest, segments: list[SegmentReader], stamp: Stamp
    ) -> None:
        self.path = path
        self.manifest = manifest
        self._segments = segments
        self._stamp = stamp
        self._starts = np.cumsum([0, *(segment.rows for segment in segments)]).tolist()
        self._closed = False

    @classmethod
    def open(cls, path: str | Path, check: Literal["quick", "full"] = "quick") -> Collection:
        """Open the collection in a folder.

        Args:
            check: "quick" reads neither passages nor vectors; "full" compares the SHA-256 of each
                file first (about a second for each 1.5 GB).

        Raises:
            CollectionError: there is no collection.
            CorruptionError: its files are not those that its manifest lists.
        """
        if check not in ("quick", "full"):
            raise SettingsError(f"check is {check!r}; allowed are 'quick' and 'full'")
        collection = cls._opened(Path(path), {})
        if check == "full":
            for segment in collection.segments:
                held = [segment.files, *map(segment.part_files, segment.segment.parts)]
                for files in held:
                    for name in files.names():
                        files.check(name)
        return collection

    @classmethod
    def _opened(cls, folder: Path, known: dict[str, SegmentReader]) -> Collection:
        while True:
            stamp = _stamp(folder)
            manifest = read_manifest(folder)
            # A collection that was made anew may call other files the same.
            same = {
                segment.name: known[segment.name]
                for segment in manifest.segments
                if segment.name in known and known[segment.name].segment.files == segment.files
            }
            try:
                readers = [
                    same[segment.name].with_entry(segment, folder)
                    if segment.name in same
                    else SegmentReader(folder, segment, manifest.dim, manifest.dtype)
                    for segment in manifest.segments
                ]
                return cls(folder, manifest, readers, stamp)
            except (Gone, CorruptionError) as error:
                # A writer may have replaced the version between the two readings.
                if read_manifest(folder) == manifest:
                    raise CorruptionError(str(error)) from error

    def current(self) -> Collection:
        """This collection, or the newer version that has come to be in its folder; a look at the
        manifest's date and size tells, in microseconds. What both have in common is not opened
        again.

        Raises:
            CollectionError, CorruptionError: the newer version cannot be opened.
        """
        self._check_open()
        if _stamp(self.path) == self._stamp:
            return self
        newer = self._opened(self.path, {one.segment.name: one for one in self._segments})
        if newer.manifest != self.manifest:
            return newer
        # The manifest was replaced between a look at its date and its reading, or written again.
        self._stamp = newer._stamp
        return self

    def __len__(self) -> int:
        return self.manifest.rows

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; memory maps that a caller still holds stay valid."""
        self._closed = True
        self._segments = []

    @property
    def version(self) -> int:
        """Counts the changes of the collection, from 1."""
        return self.manifest.version

    @property
    def segments(self) -> list[SegmentReader]:
        """The segments, in row order."""
        self._check_open()
        return self._segments

    @property
    def starts(self) -> list[int]:
        """The first row of each segment, and behind the last one how many rows there are."""
        return list(self._starts)

    @property
    def vectors(self) -> list[npt.NDArray[Any]]:
        """One read-only memory map (rows, dim) a segment; together they are in row order."""
        return [segment.vectors for segment in self.segments]

    @cached_property
    def guard(self) -> Guard:
        """What checks vectors before they are first read."""
        return Guard([segment.guard for segment in self.segments], self._starts)

    @cached_property
    def live(self) -> npt.NDArray[np.bool_] | None:
        """(rows,) False where a row is deleted; None: all rows are there."""
        if not any(segment.segment.deleted for segment in self.segments):
            return None
        masks = [
            ~deletions.mask(segment.segment.deleted, segment.rows) for segment in self.segments
        ]
        return np.concatenate(masks)

    def live_rows(self) -> npt.NDArray[np.int64]:
        """The rows that are not deleted, in order."""
        return np.arange(self._starts[-1]) if self.live is None else np.flatnonzero(self.live)

    def __iter__(self) -> Iterator[Passage]:
        """All passages, in row order."""
        rows = self.live_rows()
        for first in range(0, len(rows), ROWS_AT_ONCE):
            yield from self.passages(rows[first : first + ROWS_AT_ONCE].tolist())

    def passage(self, row: int) -> Passage:
        """The passage in a row.

        Raises:
            InputError: there is no such row.
            CorruptionError: its block was altered.
        """
        return self.passages([row])[0]

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """The passages in these rows, in the order asked for; raises as ``passage``."""
        found: list[Passage | None] = [None] * len(rows)
        for batch, places, inside in self._grouped(rows):
            for place, passage in zip(places, from_batch(batch, inside), strict=True):
                found[place] = passage
        return [passage for passage in found if passage is not None]

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The ids in these rows, in the order asked for; raises as ``passage``."""
        found = [""] * len(rows)
        for batch, places, inside in self._grouped(rows):
            column = batch.column(0)
            taken = column.take(pa.array(inside, pa.int64())).to_pylist()
            for place, item in zip(places, taken, strict=True):
                found[place] = item
        return found

    def row_of(self, passage_id: str) -> int:
        """The row of the passage with this id.

        Raises:
            InputError: there is no such passage.
        """
        wanted = hash_ids([passage_id])
        for segment, start in zip(self.segments, self._starts, strict=False):
            for inside in rows_of_hashes(segment.ids, wanted)[1]:
                row = int(inside) + start
                if (self.live is None or self.live[row]) and self.ids([row]) == [passage_id]:
                    return int(row)
        raise InputError(f"{self.path}: has no passage with the id {passage_id!a}")

    def document_rows(self, row: int) -> range:
        """The rows around this one that are of the same document, those removed among them; all of
        its rows, unless its passages do not follow each other."""
        part = bisect_right(self._starts, row) - 1
        start, table = self._starts[part], self.segments[part].documents
        at = int(table["first"].to_numpy().searchsorted(row - start, side="right")) - 1
        first = int(table["first"][at].as_py()) + start
        return range(first, first + int(table["rows"][at].as_py()))

    def documents(self) -> Iterator[StoredDocument]:
        """The documents that have passages here, in row order; one whose passages do not follow
        each other comes several times."""
        for segment in self.segments:
            table = segment.documents
            counts = self._live_counts(segment)
            columns = (
                table[name].to_pylist() for name in ("document", "source", "digest", "origin")
            )
            for one, source, digest, origin, rows in zip(*columns, counts.tolist(), strict=True):
                if rows:
                    yield StoredDocument(one, source, digest, origin, rows)

    def _live_counts(self, segment: SegmentReader) -> npt.NDArray[np.int64]:
        """How many passages each document of a segment still has."""
        table = segment.documents
        if not segment.segment.deleted:
            return np.asarray(table["rows"].to_numpy(), np.int64)
        live = ~deletions.mask(segment.segment.deleted, segment.rows)
        return np.add.reduceat(live.astype(np.int64), table["first"].to_numpy())

    def documents_mask(
        self, chosen: Callable[[pa.Table], npt.NDArray[np.bool_]]
    ) -> npt.NDArray[np.bool_]:
        """(rows,) the rows of those documents that a function chooses from each segment's table."""
        return np.concatenate(
            [
                documents.row_mask(one.documents, chosen(one.documents), one.rows)
                for one in self.segments
            ]
        )

    def check_encoder(self, question_fingerprint: str, context_fingerprint: str = "") -> None:
        """Refuse questions from an encoder that does not belong to this collection.

        Args:
            context_fingerprint: of the context encoder beside which the question encoder was
                trained. Where that made this collection's vectors, the question encoder belongs to
                it too: it may have been trained alone.

        Raises:
            MismatchError: names both fingerprints and what to do.
        """
        expected = self.manifest.question_fingerprint
        beside = context_fingerprint and context_fingerprint == self.manifest.encoder_fingerprint
        if question_fingerprint != expected and not beside:
            raise MismatchError(
                f"{self.path}: was made for the question encoder with fingerprint "
                f"{expected or '(none recorded)'}, the one given has {question_fingerprint}. "
                "Scores between them would mean nothing: use the collection's own model (leave out "
                "--model, or model=), or build the collection again with this one"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise CollectionError(f"{self.path}: this collection was closed; open it again")

    def _grouped(self, rows: Sequence[int]) -> list[tuple[pa.RecordBatch, list[int], list[int]]]:
        """Each block that is needed: (batch, places in ``rows``, rows inside the block)."""
        self._check_open()
        segments, last = self._segments, self._starts[-1] - 1
        groups: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        for place, wanted in enumerate(rows):
            row = int(wanted)
            if not 0 <= row <= last:
                raise InputError(f"{self.path}: has no row {row}; rows go from 0 to {last}")
            part = bisect_right(self._starts, row) - 1
            inside = row - self._starts[part]
            number, first = segments[part].block_of(inside)
            places, insides = groups.setdefault((part, number), ([], []))
            places.append(place)
            insides.append(inside - first)
        return [
            (segments[part].batch(number), places, insides)
            for (part, number), (places, insides) in groups.items()
        ]


def _stamp(folder: Path) -> Stamp:
    """What changes whenever a manifest is replaced."""
    try:
        found = (folder / MANIFEST).stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size


def describe(path: str | Path) -> dict[str, Any]:
    """What ``dpr info`` shows of a collection: plain values, read from the manifest alone.

    Raises:
        CollectionError, CorruptionError: as ``read_manifest``.
    """
    manifest = read_manifest(path)
    return {
        "path": str(path),
        "version": manifest.version,
        "rows": manifest.rows,
        "deleted": sum(segment.gone for segment in manifest.segments),
        "dim": manifest.dim,
        "dtype": manifest.dtype,
        "bytes": manifest.size,
        "encoder": {
            "fingerprint": manifest.encoder_fingerprint,
            "settings": manifest.encoder_settings,
        },
        "question_fingerprint": manifest.question_fingerprint,
        "made_from": manifest.made_from,
        "truncated": manifest.truncated,
        "search": manifest.search,
        "segments": [
            {
                "name": segment.name,
                "rows": segment.rows,
                "deleted": segment.gone,
                "parts": {part.kind: part.settings for part in segment.parts},
            }
            for segment in manifest.segments
        ],
    }
