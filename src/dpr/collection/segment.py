"""One segment, open for reading: passages, ids, documents, vectors, and what was made of them.

Takes a folder and a segment's entry in the manifest; gives rows. Knows nothing of other segments,
of encoders or of searching, and writes nothing.

Opening checks each file's size, the header of the vectors and the hash of the block list, and holds
every file open, so that a newer version may remove its name. What it does not read it checks later:
a block of passages or vectors when something first needs it, ids, documents and parts as a whole.
Never is anything parsed whose bytes were not compared with the manifest.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import finalize

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dpr.collection import documents, finishing, guard, storage
from dpr.collection import vectors as vector_files
from dpr.collection.manifest import (
    BLOCKS_FILE,
    DOCUMENTS_FILE,
    HASHES_FILE,
    IDS_FILE,
    PARTS,
    PASSAGES_FILE,
    SCALES_FILE,
    SEGMENTS,
    VECTORS_FILE,
    FileEntry,
    Part,
    Segment,
)
from dpr.collection.passages import (
    END_MARK,
    SCHEMA_MESSAGE,
    Block,
    blocks_from_bytes,
    layout_fault,
    parse_block,
    sound_block,
)
from dpr.errors import CorruptionError

REMEDY = "run `dpr repair`, restore the collection from a copy, or build it again"


class Gone(Exception):
    """A file of a segment is not there: damage, or a newer version has replaced this one."""


class HeldFiles:
    """Files of one folder, held open, whose sizes are those listed.

    Raises:
        Gone: one is not there.
        CorruptionError: one has another size.
    """

    def __init__(self, folder: Path, entries: tuple[FileEntry, ...]) -> None:
        self.folder = folder
        self._entries = {entry.name: entry for entry in entries}
        self._checked: set[str] = set()
        self._lock = Lock()
        self._descriptors: dict[str, int] = {}
        finalize(self, _close, self._descriptors)
        for entry in entries:
            path = folder / entry.name
            try:
                descriptor = storage.open_file(path)
            except OSError as error:
                raise Gone(f"{path}: cannot be opened: {error.strerror}; {REMEDY}") from error
            self._descriptors[entry.name] = descriptor
            size = os.fstat(descriptor).st_size
            if size != entry.bytes:
                raise CorruptionError(
                    f"{path}: has {size} bytes, its manifest lists {entry.bytes}; {REMEDY}"
                )

    def descriptor(self, name: str) -> int:
        """Of a file that is open."""
        return self._descriptors[name]

    def path(self, name: str) -> Path:
        """A path that leads to the open file, also when its name was removed since."""
        return Path(f"/dev/fd/{self._descriptors[name]}")

    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def check(self, name: str) -> None:
        """Compares a whole file with its hash, once.

        Raises:
            CorruptionError: it was altered.
        """
        with self._lock:
            if name in self._checked:
                return
            if self.digest(name) != self._entries[name].sha256:
                raise self.damaged(name, "its SHA-256 is not that of the manifest")
            self._checked.add(name)

    def digest(self, name: str) -> str:
        """The SHA-256 of a file as it is now."""
        digest, at = hashlib.sha256(), 0
        while data := self._pread(name, 1 << 22, at):
            digest.update(data)
            at += len(data)
        return digest.hexdigest()

    def _pread(self, name: str, size: int, at: int) -> bytes:
        try:
            return os.pread(self._descriptors[name], size, at)
        except OSError as error:
            raise self.damaged(name, f"it cannot be read: {error.strerror}") from error

    def read(self, name: str) -> bytes:
        """A whole file; it is checked."""
        self.check(name)
        size = self._entries[name].bytes
        data = self._pread(name, size, 0)
        while len(data) < size and (more := self._pread(name, size, len(data))):
            data += more
        if hashlib.sha256(data).hexdigest() != self._entries[name].sha256:
            raise self.damaged(name, "its SHA-256 is not that of the manifest")
        return data

    def map(self, name: str) -> pa.Buffer:
        """A file as a read-only map; not checked."""
        with pa.memory_map(str(self.path(name))) as source:
            return source.read_buffer()

    def damaged(self, name: str, why: str) -> CorruptionError:
        return CorruptionError(f"{self.folder / name}: is damaged: {why}; {REMEDY}")


def _close(descriptors: dict[str, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


class SegmentReader:
    """The files of one segment and of its parts; safe to share between threads.

    Attributes:
        segment: its entry in the manifest.
        rows: of its files, those deleted since included.
        vectors: (rows, dim), a read-only map; use ``guard`` before reading any.
        scales: (rows,) of int8 vectors; else None.

    Raises:
        Gone, CorruptionError: a file is not what the manifest lists.
    """

    def __init__(self, collection: Path, segment: Segment, dim: int, dtype: str) -> None:
        self.folder = collection / SEGMENTS / segment.name
        self.segment = segment
        self.rows = segment.rows
        self.files = HeldFiles(self.folder, segment.files)
        self._parts = {
            part.name: HeldFiles(collection / PARTS / part.name, part.files)
            for part in segment.parts
        }
        self.blocks = self._read_blocks()
        self._ends = np.cumsum([block.rows for block in self.blocks]).tolist()
        self._checked = bytearray(len(self.blocks))
        self._check_layout(segment.file(PASSAGES_FILE))
        self._data = self._map_passages()
        self.vectors = self._map(VECTORS_FILE, (self.rows, dim), dtype)
        self.scales = self._map(SCALES_FILE, (self.rows,), "float32") if dtype == "int8" else None

    def with_entry(self, segment: Segment, collection: Path) -> SegmentReader:
        """The same files with other deletions or parts, as a newer version lists them."""
        other = object.__new__(SegmentReader)
        other.__dict__.update(self.__dict__)
        other.segment = segment
        before = {part.name: part.files for part in self.segment.parts}  # a name may come again
        other._parts = {
            part.name: self._parts[part.name]
            if before.get(part.name) == part.files
            else HeldFiles(collection / PARTS / part.name, part.files)
            for part in segment.parts
        }
        return other

    @cached_property
    def guard(self) -> guard.SegmentGuard:
        """What checks vectors before they are read."""
        wanted = self.files.read(HASHES_FILE)
        damaged = partial(self.files.damaged, VECTORS_FILE)
        return guard.SegmentGuard(self.vectors, self.scales, wanted, damaged)

    @cached_property
    def documents(self) -> pa.Table:
        """The segment's documents; see ``documents``."""
        data = pa.py_buffer(self.files.read(DOCUMENTS_FILE))
        try:
            return documents.parse(data, self.rows)
        except (ValueError, pa.ArrowException) as error:
            raise self.files.damaged(DOCUMENTS_FILE, f"it cannot be parsed ({error})") from error

    @cached_property
    def ids(self) -> npt.NDArray[np.uint64]:
        """(2, rows): hashes of ids in ascending order, and the row of each."""
        self.files.check(IDS_FILE)
        return self._map(IDS_FILE, (2, self.rows), "uint64")

    def part(self, kind: str) -> tuple[Part, dict[str, Path]] | None:
        """The part of a kind with the paths of its files, all checked; None where there is none.

        Raises:
            CorruptionError: a file was altered.
        """
        part = self.segment.part(kind)
        if part is None:
            return None
        held = self._parts[part.name]
        for name in held.names():
            held.check(name)
        return part, {name: held.path(name) for name in held.names()}

    def part_files(self, part: Part) -> HeldFiles:
        """A part's files; not checked."""
        return self._parts[part.name]

    def block_of(self, row: int) -> tuple[int, int]:
        """The block that holds a row, and the block's first row."""
        number = bisect_right(self._ends, row)
        return number, self._ends[number - 1] if number else 0

    def batch(self, number: int) -> pa.RecordBatch:
        """A block of passages; at its first use its hash is checked.

        Raises:
            CorruptionError: it was altered.
        """
        block = self.blocks[number]
        data = self._data.slice(block.offset, block.bytes)
        if self._checked[number]:
            return parse_block(data, block.rows)
        where = f"block {number + 1} at byte {block.offset}"
        if not self.block_holds(number):
            raise self.files.damaged(PASSAGES_FILE, f"{where} was altered")
        try:
            batch = sound_block(data, block.rows)
        except ValueError as error:
            raise self.files.damaged(PASSAGES_FILE, f"{where} makes no sense ({error})") from error
        self._checked[number] = 1
        return batch

    def block_holds(self, number: int) -> bool:
        """Whether a block of passages is as it was written."""
        block = self.blocks[number]
        data = self._data.slice(block.offset, block.bytes)
        return hashlib.sha256(memoryview(data)).hexdigest() == block.sha256

    def _read_blocks(self) -> list[Block]:
        data = self.files.read(BLOCKS_FILE)
        try:
            return blocks_from_bytes(data)
        except (ValueError, TypeError, KeyError) as error:
            raise self.files.damaged(BLOCKS_FILE, f"it cannot be parsed ({error!r})") from error

    def _check_layout(self, entry: FileEntry) -> None:
        fault = layout_fault(self.blocks, entry.bytes, self.rows)
        if fault:
            raise self.files.damaged(BLOCKS_FILE, fault)

    def _map_passages(self) -> pa.Buffer:
        try:
            data = self.files.map(PASSAGES_FILE)
        except OSError as error:
            raise Gone(f"{self.folder / PASSAGES_FILE}: cannot be mapped: {error}") from error
        head, tail = len(SCHEMA_MESSAGE), len(END_MARK)
        if (
            data.slice(0, head).to_pybytes() != SCHEMA_MESSAGE
            or data.slice(data.size - tail).to_pybytes() != END_MARK
        ):
            raise self.files.damaged(PASSAGES_FILE, "its schema or end mark was altered")
        return data

    def _map(self, name: str, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
        header = vector_files.header(shape, dtype)
        try:
            return finishing.map_open_file(self.files.descriptor(name), header, shape, dtype)
        except ValueError as error:
            raise self.files.damaged(name, str(error)) from error
        except OSError as error:
            raise Gone(f"{self.folder / name}: cannot be mapped: {error}") from error
