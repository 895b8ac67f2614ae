"""What is proven of a segment whose files may be damaged, and a copy of that.

Takes a folder and a segment's entry in the manifest; gives masks of rows, what is known of
documents, and entries and vectors for a new segment. Writes nothing.

The manifest proves whole files. ``blocks.json`` and ``vectors.sha256``, where they are whole, prove
blocks of files that are not; what no hash speaks for is taken for lost, however well it looks.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dpr.collection import deletions, documents, storage
from dpr.collection.guard import DIGEST_BYTES, block_rows
from dpr.collection.manifest import (
    BLOCKS_FILE,
    DOCUMENTS_FILE,
    HASHES_FILE,
    IDS_FILE,
    PASSAGES_FILE,
    SCALES_FILE,
    SEGMENTS,
    VECTORS_FILE,
    FileEntry,
    Manifest,
    Segment,
)
from dpr.collection.passages import (
    END_MARK,
    Block,
    Entry,
    blocks_from_bytes,
    from_batch,
    layout_fault,
    scan_blocks,
    sound_block,
)
from dpr.collection.vectors import HEADER_BYTES, Stored, row_bytes
from dpr.errors import CollectionError, CorruptionError
from dpr.records import Passage

Mask = npt.NDArray[np.bool_]
_AT_ONCE = 1 << 22
_NO_DAMAGE = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Files:
    """The files of a folder that can be opened, and what is wrong with each.

    Attributes:
        problems: why a file is not what its entry says, by name.
    """

    def __init__(self, folder: Path, entries: Sequence[FileEntry]) -> None:
        self.folder = folder
        self._descriptors: dict[str, int] = {}
        self.problems: dict[str, str] = {}
        for entry in entries:
            try:
                self._descriptors[entry.name] = storage.open_file(folder / entry.name)
            except OSError as error:
                if error.errno in _NO_DAMAGE:
                    self.close()
                    raise CollectionError(
                        f"{folder / entry.name}: cannot be opened: {error.strerror}; that is no "
                        "damage: check permissions and limits, and repair again"
                    ) from error
                self.problems[entry.name] = f"cannot be opened: {error.strerror}"
                continue
            if problem := self._problem(entry):
                self.problems[entry.name] = problem

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors = {}

    def read(self, name: str, at: int, size: int) -> bytes:
        """Bytes of a file; fewer, where it ends or cannot be read."""
        data = b""
        try:
            descriptor = self._descriptors[name]
            size = min(size, os.fstat(descriptor).st_size - at)
            while len(data) < size:
                more = os.pread(descriptor, size - len(data), at + len(data))
                if not more:
                    break
                data += more
        except (OSError, KeyError):
            pass
        return data

    def size(self, name: str) -> int:
        """Of a file as it is; 0 where there is none."""
        descriptor = self._descriptors.get(name)
        return os.fstat(descriptor).st_size if descriptor is not None else 0

    def _problem(self, entry: FileEntry) -> str:
        size = os.fstat(self._descriptors[entry.name]).st_size
        if size != entry.bytes:
            return f"has {size} bytes, the manifest lists {entry.bytes}"
        digest = hashlib.sha256()
        for at in range(0, size, _AT_ONCE):
            digest.update(self.read(entry.name, at, min(_AT_ONCE, size - at)))
        same = digest.hexdigest() == entry.sha256
        return "" if same else "its SHA-256 is not that of the manifest"


class Evidence:
    """What is proven of one segment.

    Attributes:
        segment: its entry.
        files: its files.
        blocks: of its passages, as they were written; empty where that is not known.
        believable: whether anything but the manifest speaks for so many rows; where nothing does,
            no memory is spent on them, and the masks are empty.
        proven: (rows,) rows whose passage and vector are as they were written.
        live: (rows,) rows that are not deleted.
    """

    def __init__(self, folder: Path, segment: Segment, dim: int, dtype: str) -> None:
        self.segment, self.dim, self.dtype = segment, dim, dtype
        self.files = Files(folder / SEGMENTS / segment.name, segment.files)
        self.blocks = self._find_blocks()
        self._ends = np.cumsum([0, *(block.rows for block in self.blocks)])
        self._step = block_rows(row_bytes(dim, dtype))
        self._hashes = self._whole(HASHES_FILE)
        width, rows = row_bytes(dim, dtype), segment.rows
        self.believable = bool(self.blocks) or any(
            self.files.size(name) >= HEADER_BYTES + rows * size
            for name, size in ((VECTORS_FILE, width), (IDS_FILE, 16))
        )
        if not self.believable:
            self.proven = self.live = np.zeros(0, np.bool_)
            return
        self._passages = self._proven_passages()
        self.proven = self._passages & self._proven_vectors()
        self.live = ~deletions.mask(segment.deleted, segment.rows)

    @property
    def data_is_whole(self) -> bool:
        """Whether the files that cannot be made from others are as they were written."""
        return not {PASSAGES_FILE, VECTORS_FILE, SCALES_FILE} & self.files.problems.keys()

    @cached_property
    def runs(self) -> tuple[pa.Table, Mask]:
        """The documents (see ``documents``) of those rows of which that is known, and which of
        them may have had more passages than are known."""
        data = self._whole(DOCUMENTS_FILE)
        if data is not None:
            try:
                table = documents.parse(pa.py_buffer(data), self.segment.rows)
                return table, np.zeros(len(table), np.bool_)
            except (ValueError, pa.ArrowException):
                pass
        tables, uncertain = [documents.SCHEMA.empty_table()], [np.zeros(0, np.bool_)]
        for first, last in self._stretches():
            batches = (self._batch(number) for number in range(first, last))
            table = pa.Table.from_batches(documents.document_batches(batches), documents.SCHEMA)
            shifted = pc.add(table["first"], int(self._ends[first]))
            at = documents.SCHEMA.get_field_index("first")
            tables.append(table.set_column(at, documents.SCHEMA.field(at), shifted))
            edges = np.zeros(len(table), np.bool_)
            edges[0] |= first > 0
            edges[-1] |= last < len(self.blocks)
            uncertain.append(edges)
        return pa.concat_tables(tables).combine_chunks(), np.concatenate(uncertain)

    def kept_rows(self) -> npt.NDArray[np.int64]:
        """The rows to keep."""
        return np.flatnonzero(self.proven & self.live)

    def entries(self, hurt: set[str]) -> Iterator[tuple[int, Entry]]:
        """What to keep, each with its row; without a digest, where the document was hurt."""
        table, _ = self.runs
        firsts = table["first"].to_numpy()
        rows = self.kept_rows()
        for number, start in enumerate(self._ends[:-1].tolist()):
            some = rows[
                np.searchsorted(rows, start) : np.searchsorted(rows, self._ends[number + 1])
            ]
            if not len(some):
                continue
            found = from_batch(self._batch(number), (some - start).tolist())
            at = np.searchsorted(firsts, some, side="right") - 1
            facts = table.take(pa.array(at))
            columns = (facts[name].to_pylist() for name in ("document", "digest", "origin"))
            for row, passage, document, digest, origin in zip(
                some.tolist(), found, *columns, strict=True
            ):
                yield row, Entry(passage, "" if document in hurt else digest, origin)

    def vectors(self, rows: npt.NDArray[np.int64]) -> Stored:
        """The vectors in these rows, ascending, as they are stored; proven once more.

        Raises:
            CorruptionError: a block is not any more what it was.
        """
        numbers, scales = [], []
        for block in np.unique(rows // self._step).tolist():
            if self._hashes is not None and not self._vectors_hold(block):
                raise CorruptionError(
                    f"{self.files.folder / VECTORS_FILE}: changed while it was being read; check "
                    "the disk"
                )
            values, scale = self._vector_bytes(block)
            inside = rows[rows // self._step == block] - block * self._step
            kind = np.dtype(self.dtype).newbyteorder("<")
            numbers.append(np.frombuffer(values, kind).reshape(-1, self.dim)[inside])
            if self.dtype == "int8":
                scales.append(np.frombuffer(scale, "<f4")[inside])
        return Stored(np.concatenate(numbers), np.concatenate(scales) if scales else None)

    def _whole(self, name: str) -> bytes | None:
        """A file that is as it was written; None where it is not."""
        if name in self.files.problems:
            return None
        entry = self.segment.file(name)
        data = self.files.read(name, 0, entry.bytes)
        return data if hashlib.sha256(data).hexdigest() == entry.sha256 else None

    def _find_blocks(self) -> list[Block]:
        entry, blocks = self.segment.file(PASSAGES_FILE), []
        try:
            if (data := self._whole(BLOCKS_FILE)) is not None:
                blocks = blocks_from_bytes(data)
            elif PASSAGES_FILE not in self.files.problems:
                path = self.files.folder / PASSAGES_FILE
                blocks = scan_blocks(path, entry.bytes - len(END_MARK))
        except (ValueError, TypeError, KeyError, CorruptionError):
            return []
        return blocks if layout_fault(blocks, entry.bytes, self.segment.rows) == "" else []

    def _proven_passages(self) -> Mask:
        holds = [self._sound(number) is not None for number in range(len(self.blocks))]
        counts = [block.rows for block in self.blocks]
        return np.repeat(holds, counts) if holds else np.zeros(self.segment.rows, np.bool_)

    def _proven_vectors(self) -> Mask:
        rows = self.segment.rows
        if not {VECTORS_FILE, SCALES_FILE} & self.files.problems.keys():
            return np.ones(rows, np.bool_)
        if self._hashes is None:
            return np.zeros(rows, np.bool_)
        holds = [self._vectors_hold(block) for block in range(-(-rows // self._step))]
        return np.repeat(holds, self._step)[:rows]

    def _passage_bytes(self, block: Block) -> bytes | None:
        data = self.files.read(PASSAGES_FILE, block.offset, block.bytes)
        return data if hashlib.sha256(data).hexdigest() == block.sha256 else None

    def _vector_bytes(self, block: int) -> tuple[bytes, bytes]:
        first = block * self._step
        count, width = min(self._step, self.segment.rows - first), row_bytes(self.dim, self.dtype)
        numbers = self.files.read(VECTORS_FILE, HEADER_BYTES + first * width, count * width)
        scales = self.files.read(SCALES_FILE, HEADER_BYTES + first * 4, count * 4)
        return numbers, scales

    def _vectors_hold(self, block: int) -> bool:
        wanted = (self._hashes or b"")[block * DIGEST_BYTES : (block + 1) * DIGEST_BYTES]
        return hashlib.sha256(b"".join(self._vector_bytes(block))).digest() == wanted

    def _sound(self, number: int) -> pa.RecordBatch | None:
        block = self.blocks[number]
        data = self._passage_bytes(block)
        with suppress(ValueError):
            return None if data is None else sound_block(pa.py_buffer(data), block.rows)
        return None

    def _batch(self, number: int) -> pa.RecordBatch:
        batch = self._sound(number)
        if batch is None:
            raise CorruptionError(
                f"{self.files.folder / PASSAGES_FILE}: changed while it was being read; check the "
                "disk"
            )
        return batch

    def _stretches(self) -> list[tuple[int, int]]:
        """Blocks of proven passages that follow each other: (first, behind the last)."""
        holds = [bool(self._passages[end - 1]) for end in self._ends[1:].tolist()]
        edges = np.flatnonzero(np.diff([False, *holds, False]))
        return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


class ProvenCopier:
    """An encoder that gives what is proven of some segments, row after row."""

    def __init__(
        self, manifest: Manifest, damaged: Sequence[Evidence], hurt: set[str], shard_size: int
    ) -> None:
        self.dim, self.fingerprint = manifest.dim, manifest.encoder_fingerprint
        self.settings = manifest.encoder_settings
        self.truncated = 0
        self._damaged, self._hurt = damaged, hurt
        self._given: deque[tuple[int, int]] = deque(maxlen=shard_size)

    def entries(self) -> Iterator[Entry]:
        """The passages to keep, with what is known of their documents."""
        for number, evidence in enumerate(self._damaged):
            for row, entry in evidence.entries(self._hurt):
                self._given.append((number, row))
                yield entry

    def encode(self, passages: Sequence[Passage]) -> Stored:
        """The vectors of the passages that ``entries`` gave last."""
        given = np.array(list(self._given)[-len(passages) :])
        found = [
            self._damaged[number].vectors(given[given[:, 0] == number, 1])
            for number in np.unique(given[:, 0]).tolist()
        ]
        scales = [one.scales for one in found if one.scales is not None]
        return Stored(
            np.concatenate([one.numbers for one in found]),
            np.concatenate(scales) if scales else None,
        )
