"""The files of a segment that follow from its passages and vectors.

Takes a folder with ``passages.arrow`` and ``vectors.npy`` (and ``scales.npy``) that are whole; adds
the lists of hashes, the ids and the documents, and gives the segment's entry in the manifest. Knows
nothing of where passages come from. Streams: memory holds 16 bytes a passage.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dpr.collection import documents, guard, storage
from dpr.collection import vectors as vector_files
from dpr.collection.ids import hash_ids, sorted_hashes
from dpr.collection.manifest import (
    BLOCKS_FILE,
    DOCUMENTS_FILE,
    HASHES_FILE,
    IDS_FILE,
    PASSAGES_FILE,
    SCALES_FILE,
    VECTORS_FILE,
    FileEntry,
    Segment,
)
from dpr.collection.passages import Block, blocks_to_bytes, scan_blocks, sound_block
from dpr.errors import CorruptionError
from dpr.indexes.pages import let_go

_ROWS_AT_ONCE = 1 << 14
_ROUNDED_UP = 1 + 1e-5


def finish_segment(
    folder: Path, name: str, rows: int, dim: int, dtype: str, passages_bytes: int
) -> Segment:
    """Writes what is missing and gives the entry.

    Args:
        passages_bytes: of ``passages.arrow``, without its end mark.

    Raises:
        CorruptionError: the files do not hold so many rows.
    """
    path = folder / PASSAGES_FILE
    blocks = scan_blocks(path, passages_bytes)
    if sum(block.rows for block in blocks) != rows:
        raise CorruptionError(
            f"{path}: holds {sum(block.rows for block in blocks)} passages, {rows} were "
            f"written; check the disk, then overwrite to begin again"
        )
    for one, chunks in derived(folder, blocks, rows, dim, dtype).items():
        storage.write(folder / one, chunks())
    numbers, scales = mapped(folder, rows, dim, dtype)
    names = [PASSAGES_FILE, VECTORS_FILE, BLOCKS_FILE, HASHES_FILE, IDS_FILE, DOCUMENTS_FILE]
    names += [SCALES_FILE] if dtype == "int8" else []
    entries = tuple(file_entry(folder / one) for one in names)
    return Segment(name, rows, longest(numbers, scales), entries)


def derived(
    folder: Path, blocks: list[Block], rows: int, dim: int, dtype: str
) -> dict[str, Callable[[], Iterable[bytes | memoryview]]]:
    """What makes each file that follows from the passages and vectors in a folder; the same bytes
    whenever it is called."""
    path = folder / PASSAGES_FILE
    return {
        BLOCKS_FILE: lambda: [blocks_to_bytes(blocks)],
        DOCUMENTS_FILE: lambda: documents.stream(
            documents.document_batches(batches(path, blocks))
        ),
        IDS_FILE: lambda: _ids(path, blocks, rows),
        HASHES_FILE: lambda: guard.digests(*mapped(folder, rows, dim, dtype)),
    }  # fmt: skip


def mapped(
    folder: Path, rows: int, dim: int, dtype: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None]:
    """The vectors in a folder and, of int8, their scales; raises as ``map_vectors``."""
    numbers = map_vectors(folder / VECTORS_FILE, (rows, dim), dtype)
    scales = map_vectors(folder / SCALES_FILE, (rows,), "float32") if dtype == "int8" else None
    return numbers, scales


def batches(path: Path, blocks: list[Block]) -> Iterator[pa.RecordBatch]:
    """The record batches of a stream that was just scanned."""
    with pa.memory_map(str(path)) as source:
        data = source.read_buffer()
        for block in blocks:
            yield sound_block(data.slice(block.offset, block.bytes), block.rows)


def _ids(path: Path, blocks: list[Block], rows: int) -> Iterator[bytes | memoryview]:
    hashes = np.empty(rows, np.uint64)
    row = 0
    for batch in batches(path, blocks):
        hashes[row : row + len(batch)] = hash_ids(batch.column(0).to_pylist())
        row += len(batch)
    yield vector_files.header((2, rows), "uint64")
    yield np.ascontiguousarray(sorted_hashes(hashes), "<u8").data.cast("B")


def map_vectors(path: Path, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """A NumPy file of a shape that is known, as a read-only map.

    Raises:
        ValueError: it is another file.
        OSError: it cannot be read.
    """
    header = vector_files.header(shape, dtype)
    with path.open("rb") as file:
        return map_open_file(file.fileno(), header, shape, dtype)


def map_open_file(
    descriptor: int, header: bytes, shape: tuple[int, ...], dtype: str
) -> npt.NDArray[Any]:
    """``map_vectors`` of a file that is open."""
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        wanted = len(header) + math.prod(shape) * np.dtype(dtype).itemsize
        if file.read(len(header)) != header or file.seek(0, 2) != wanted:
            raise ValueError(f"it does not hold {' x '.join(map(str, shape))} numbers of {dtype}")
        return np.memmap(
            file, np.dtype(dtype).newbyteorder("<"), mode="r", offset=len(header), shape=shape
        )


def longest(numbers: npt.NDArray[Any], scales: npt.NDArray[np.float32] | None) -> float:
    """A length that no vector exceeds, by a hair's breadth."""
    largest = 0.0
    for first in range(0, len(numbers), _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        values = numbers[some].astype(np.float32).astype(np.float64)
        squares = np.einsum("ij,ij->i", values, values)
        if scales is not None:
            squares *= scales[some].astype(np.float64) ** 2
        largest = max(largest, float(squares.max()))
        let_go(numbers)
    return float(f"{math.sqrt(largest) * _ROUNDED_UP:.7g}")


def file_entry(path: Path) -> FileEntry:
    """A file's name, size and SHA-256, read in full."""
    try:
        with os.fdopen(storage.open_file(path), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return FileEntry(path.name, file.tell(), digest)
    except OSError as error:
        raise CorruptionError(
            f"{path}: cannot be read: {error.strerror}; check the disk"
        ) from error
