"""Read a collection: passages by row, vectors as memory maps.

Takes a folder that ``build_collection`` made; gives passages, ids, rows and vectors. Knows nothing
of encoders or of searching, and writes nothing.

Opening checks the manifest's checksum, each file's size, the header of the vectors and the hash
of the block list, but reads neither passages nor vectors. A block of passages is checked against
its hash before it is parsed for the first time. Vectors are checked by ``verify`` or by opening
with ``check="full"``.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dpr.collection import vectors as vector_files
from dpr.collection.ids import IdIndex
from dpr.collection.manifest import (
    BLOCKS_FILE,
    PASSAGES_FILE,
    SEGMENTS,
    VECTORS_FILE,
    FileEntry,
    Manifest,
    Segment,
    read_manifest,
)
from dpr.collection.passages import (
    END_MARK,
    SCHEMA_MESSAGE,
    Block,
    blocks_from_bytes,
    from_batch,
    parse_block,
)
from dpr.collection.storage import size_of
from dpr.errors import CollectionError, CorruptionError, InputError, MismatchError, SettingsError
from dpr.records import Passage

_REMEDY = "restore the collection from a copy or build it again"


class _Gone(Exception):
    """A file of a segment is not there: damage, or a newer version has replaced this one."""


class SegmentReader:
    """The files of one segment, mapped into memory.

    Raises:
        CorruptionError: a file is not what the manifest lists.
    """

    def __init__(self, folder: Path, segment: Segment, dim: int, dtype: str) -> None:
        self.folder = folder
        self.rows = segment.rows
        for entry in segment.files:
            size = size_of(folder / entry.name)
            if size is None:
                raise _Gone(f"{folder / entry.name}: is missing; {_REMEDY}")
            if size != entry.bytes:
                raise CorruptionError(
                    f"{folder / entry.name}: has {size} bytes, its manifest lists {entry.bytes}; "
                    f"{_REMEDY}"
                )
        self.blocks = self._read_blocks(segment.file(BLOCKS_FILE))
        self._ends = np.cumsum([block.rows for block in self.blocks]).tolist()
        self._checked = bytearray(len(self.blocks))
        self._check_layout(segment.file(PASSAGES_FILE))
        self._data = self._map_passages()
        self.vectors = self._map_vectors(dim, dtype)

    def block_of(self, row: int) -> tuple[int, int]:
        """The block that holds a row, and the block's first row."""
        number = bisect_right(self._ends, row)
        return number, self._ends[number - 1] if number else 0

    def batch(self, number: int) -> pa.RecordBatch:
        """A block of passages; at its first use its hash is checked."""
        block = self.blocks[number]
        data = self._data.slice(block.offset, block.bytes)
        if not self._checked[number]:
            if hashlib.sha256(memoryview(data)).hexdigest() != block.sha256:
                raise self._damaged(
                    PASSAGES_FILE, f"block {number + 1} at byte {block.offset} was altered"
                )
            self._checked[number] = 1
        return parse_block(data, block.rows)

    def _damaged(self, name: str, why: str) -> CorruptionError:
        return CorruptionError(f"{self.folder / name}: is damaged: {why}; {_REMEDY}")

    def _read_blocks(self, entry: FileEntry) -> list[Block]:
        try:
            data = (self.folder / entry.name).read_bytes()
        except OSError as error:
            raise _Gone(f"{self.folder / entry.name}: cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise self._damaged(entry.name, "its SHA-256 is not that of the manifest")
        try:
            return blocks_from_bytes(data)
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(entry.name, f"it cannot be parsed ({error!r})") from error

    def _check_layout(self, entry: FileEntry) -> None:
        """The blocks must fill the stream between its schema and its end mark."""
        at = len(SCHEMA_MESSAGE)
        for block in self.blocks:
            if block.offset != at or block.bytes < 1 or block.rows < 1:
                raise self._damaged(BLOCKS_FILE, f"a block begins at {block.offset}, not {at}")
            at += block.bytes
        rows = self._ends[-1] if self._ends else 0
        if at + len(END_MARK) != entry.bytes or rows != self.rows:
            raise self._damaged(
                BLOCKS_FILE, f"it lists {rows} rows in {at} bytes, the manifest {self.rows}"
            )

    def _map_passages(self) -> pa.Buffer:
        path = self.folder / PASSAGES_FILE
        try:
            with pa.memory_map(str(path)) as source:
                data = source.read_buffer()
        except OSError as error:
            raise _Gone(f"{path}: cannot be mapped: {error}") from error
        head, tail = len(SCHEMA_MESSAGE), len(END_MARK)
        if (
            data.slice(0, head).to_pybytes() != SCHEMA_MESSAGE
            or data.slice(data.size - tail).to_pybytes() != END_MARK
        ):
            raise self._damaged(PASSAGES_FILE, "its schema or end mark was altered")
        return data

    def _map_vectors(self, dim: int, dtype: str) -> npt.NDArray[Any]:
        path = self.folder / VECTORS_FILE
        header = vector_files.header(self.rows, dim, dtype)
        try:
            with path.open("rb") as file:
                found = file.read(len(header))
                wanted = len(header) + self.rows * vector_files.row_bytes(dim, dtype)
                if found != header or size_of(path) != wanted:
                    raise self._damaged(
                        VECTORS_FILE, f"it does not hold {self.rows} x {dim} numbers of {dtype}"
                    )
                return np.memmap(
                    file,
                    dtype=np.dtype(dtype).newbyteorder("<"),
                    mode="r",
                    offset=len(header),
                    shape=(self.rows, dim),
                )
        except OSError as error:
            raise _Gone(f"{path}: cannot be mapped: {error.strerror}") from error


class Collection:
    """A collection that is open for reading; safe to share between threads.

    It shows the version that was there when it was opened, also while a newer one is built.

    Attributes:
        path: the folder.
        manifest: what the collection is made of.
    """

    def __init__(self, path: Path, manifest: Manifest, segments: list[SegmentReader]) -> None:
        self.path = path
        self.manifest = manifest
        self._segments = segments
        self._starts = np.cumsum([0, *(segment.rows for segment in segments)]).tolist()
        self._closed = False
        self._id_index: IdIndex | None = None
        self._id_lock = Lock()

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
        folder = Path(path)
        while True:
            manifest = read_manifest(folder)
            try:
                if check == "full":
                    _check_hashes(folder, manifest)
                readers = [
                    SegmentReader(
                        folder / SEGMENTS / segment.name, segment, manifest.dim, manifest.dtype
                    )
                    for segment in manifest.segments
                ]
                return cls(folder, manifest, readers)
            except _Gone as error:
                # A builder may have replaced the version between the two readings.
                if read_manifest(folder) == manifest:
                    raise CorruptionError(str(error)) from error

    def __len__(self) -> int:
        return self.manifest.rows

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; memory maps that a caller still holds stay valid."""
        self._closed = True
        self._segments = []
        self._id_index = None

    @property
    def vectors(self) -> list[npt.NDArray[Any]]:
        """One read-only memory map (rows, dim) a segment; together they are in row order."""
        self._check_open()
        return [segment.vectors for segment in self._segments]

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
        """The row of the passage with this id; the first call reads all ids (16 bytes a row).

        Raises:
            InputError: there is no such passage.
        """
        self._check_open()
        with self._id_lock:
            if self._id_index is None:
                self._id_index = self._read_id_index()
            index = self._id_index
        for row in index.candidates(passage_id):
            if self.ids([row]) == [passage_id]:
                return row
        raise InputError(f"{self.path}: has no passage with the id {passage_id!a}")

    def check_encoder(self, question_fingerprint: str) -> None:
        """Refuse questions from an encoder that does not belong to this collection.

        Raises:
            MismatchError: names both fingerprints and what to do.
        """
        expected = self.manifest.question_fingerprint
        if question_fingerprint != expected:
            raise MismatchError(
                f"{self.path}: was made for the question encoder with fingerprint "
                f"{expected or '(none recorded)'}, the one given has {question_fingerprint}. "
                f"Scores between them would mean nothing: use the model that the collection was "
                f"made with ({self.manifest.encoder_settings}), or build the collection again "
                f"with this one"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise CollectionError(f"{self.path}: this collection was closed; open it again")

    def _read_id_index(self) -> IdIndex:
        index = IdIndex()
        for segment in self._segments:
            ids: list[str] = []
            for number in range(len(segment.blocks)):
                ids.extend(segment.batch(number).column(0).to_pylist())
                if len(ids) >= 1 << 17 or number == len(segment.blocks) - 1:
                    index.add(ids)
                    ids = []
        return index

    def _grouped(self, rows: Sequence[int]) -> list[tuple[pa.RecordBatch, list[int], list[int]]]:
        """Each block that is needed: (batch, places in ``rows``, rows inside the block)."""
        self._check_open()
        segments, groups = self._segments, {}  # type: ignore[var-annotated]
        for place, wanted in enumerate(rows):
            row = int(wanted)
            if not 0 <= row < self.manifest.rows:
                raise InputError(
                    f"{self.path}: has no row {row}; rows go from 0 to {self.manifest.rows - 1}"
                )
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


def _check_hashes(folder: Path, manifest: Manifest) -> None:
    for segment in manifest.segments:
        for entry in segment.files:
            path = folder / SEGMENTS / segment.name / entry.name
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise _Gone(f"{path}: cannot be read: {error.strerror}; {_REMEDY}") from error
            if digest != entry.sha256:
                raise CorruptionError(
                    f"{path}: is damaged: its SHA-256 is not that of the manifest; {_REMEDY}"
                )


def describe(path: str | Path) -> dict[str, Any]:
    """What ``dpr info`` shows of a collection: plain values, read from the manifest alone.

    Raises:
        CollectionError, CorruptionError: as ``read_manifest``.
    """
    manifest = read_manifest(path)
    return {
        "path": str(path),
        "rows": manifest.rows,
        "dim": manifest.dim,
        "dtype": manifest.dtype,
        "bytes": sum(entry.bytes for segment in manifest.segments for entry in segment.files),
        "encoder": {
            "fingerprint": manifest.encoder_fingerprint,
            "settings": manifest.encoder_settings,
        },
        "question_fingerprint": manifest.question_fingerprint,
        "made_from": manifest.made_from,
        "truncated": manifest.truncated,
        "segments": [segment.name for segment in manifest.segments],
    }
