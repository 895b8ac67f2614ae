"""Passages as bytes: the record batches of ``passages.arrow`` and the hashes that guard them.

Takes passages and gives bytes, and back; knows nothing of vectors, manifests or where files lie.
``passages.arrow`` is a plain Arrow IPC stream, readable by any Arrow library: a schema message,
then blocks (record batches) of at most ``BLOCK_ROWS`` passages, then the end mark. Blocks are
small so that the first look at a passage can check its block's hash before any of it is parsed.

A passage's columns are its fields, ``metadata`` as JSON; ``digest`` and ``origin`` (see ``Entry``)
stand with the first passage of each document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpr.errors import CorruptionError, InputError
from dpr.records import Passage

BLOCK_ROWS = 256
TEXT_FIELDS = ("id", "text", "title", "section", "source", "document")
SCHEMA = pa.schema(
    [pa.field(name, pa.large_string(), nullable=False) for name in TEXT_FIELDS[:5]]
    + [pa.field(name, pa.int64(), nullable=False) for name in ("start", "end")]
    + [
        pa.field(name, pa.large_string(), nullable=False)
        for name in ("document", "metadata", "digest", "origin")
    ]
)
PASSAGE_COLUMNS = 9
SCHEMA_MESSAGE = SCHEMA.serialize().to_pybytes()
END_MARK = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_LARGEST_OFFSET = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Block:
    """One record batch of ``passages.arrow``: where it begins, its size, rows and SHA-256."""

    offset: int
    bytes: int
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage on its way into a collection.

    Attributes:
        digest: of the document as its source holds it, to tell later whether it changed.
        origin: which of the collection's sources it came from. Both belong to the document, and
            only its first passage's are kept.
    """

    passage: Passage
    digest: str = ""
    origin: str = ""


def document_of(passage: Passage) -> str:
    """The id of a passage's document."""
    return passage.document or passage.id


def chained_digest(entries: Sequence[Entry], previous: str, first_row: int) -> str:
    """SHA-256 of these entries and of all that came before, whose digest is ``previous``.

    Raises:
        InputError: a passage that cannot be stored as it is, named by id and row.
    """
    digest = hashlib.sha256(previous.encode())
    for number, entry in enumerate(entries):
        passage = entry.passage
        texts = _encoded(passage, first_row + number)
        texts += [one.encode() for one in (_metadata(passage), entry.digest, entry.origin)]
        # Lengths before contents, so that no two different passages give the same bytes.
        lengths = " ".join(str(len(text)) for text in texts)
        digest.update(f"{lengths} {passage.start} {passage.end}\n".encode())
        for text in texts:
            digest.update(text)
    return digest.hexdigest()


def _encoded(passage: Passage, row: int) -> list[bytes]:
    texts = []
    for name in TEXT_FIELDS:
        value = getattr(passage, name, None)
        if not isinstance(value, str):
            raise InputError(
                f"{_named(passage, row)}: its {name} is {type(value).__name__}, not str"
            )
        try:
            texts.append(value.encode())
        except UnicodeEncodeError as error:
            raise InputError(
                f"{_named(passage, row)}: its {name} holds a lone surrogate (U+"
                f"{ord(value[error.start]):04X}) at character {error.start}, which is not text; "
                f"read the source with the right encoding, or replace such characters"
            ) from error
    if not passage.id:
        raise InputError(
            f"{_named(passage, row)}: its id is empty; give every passage an id of its own"
        )
    start, end = passage.start, passage.end
    if not (isinstance(start, int) and isinstance(end, int)) or not (
        0 <= start <= end <= _LARGEST_OFFSET
    ):
        raise InputError(
            f"{_named(passage, row)}: its offsets are {start!r} to {end!r}; allowed are integers "
            f"with 0 <= start <= end"
        )
    try:
        _metadata(passage).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{_named(passage, row)}: its metadata cannot be kept as JSON: {error}; allowed are "
            f"texts, finite numbers, true, false, null and lists and objects of them"
        ) from error
    return texts


def _metadata(passage: Passage) -> str:
    """Metadata as JSON; empty where there is none."""
    if not passage.metadata:
        return ""
    if not isinstance(passage.metadata, Mapping) or any(
        not isinstance(name, str) for name in passage.metadata
    ):
        raise TypeError("it is no mapping from names to values")
    return json.dumps(dict(passage.metadata), sort_keys=True, ensure_ascii=False, allow_nan=False)


def _named(passage: Passage, row: int) -> str:
    return f"passage {getattr(passage, 'id', None)!a} (row {row})"


def to_messages(entries: Sequence[Entry], previous: str | None) -> Iterator[memoryview]:
    """The record batches of these entries, ready to append to the stream.

    Args:
        previous: the document of the passage before; its facts are there already.
    """
    for first in range(0, len(entries), BLOCK_ROWS):
        block = [entry.passage for entry in entries[first : first + BLOCK_ROWS]]
        columns: list[list[Any]] = [
            [getattr(passage, field.name) for passage in block]
            for field in list(SCHEMA)[: PASSAGE_COLUMNS - 1]
        ]
        columns.append([_metadata(passage) for passage in block])
        facts = []
        for entry in entries[first : first + BLOCK_ROWS]:
            document = document_of(entry.passage)
            facts.append(("", "") if document == previous else (entry.digest, entry.origin))
            previous = document
        columns += [[digest for digest, _ in facts], [origin for _, origin in facts]]
        arrays = [
            pa.array(column, type=field.type) for column, field in zip(columns, SCHEMA, strict=True)
        ]
        yield memoryview(pa.record_batch(arrays, schema=SCHEMA).serialize())


def from_batch(batch: pa.RecordBatch, rows: Sequence[int]) -> list[Passage]:
    """The passages in these rows of a record batch, in the order asked for."""
    some = len(rows) * 8 < len(batch)
    columns = [
        [column[row].as_py() for row in rows] if some else column.to_pylist()
        for column in batch.columns[:PASSAGE_COLUMNS]
    ]
    *fields, metadata = columns
    parsed = {text: _parsed(text) for text in set(metadata) if text}
    values = list(zip(*fields, ([parsed.get(text, {}) for text in metadata]), strict=True))
    return [Passage(*one) for one in (values if some else [values[row] for row in rows])]


def _parsed(metadata: str) -> dict[str, Any]:
    try:
        value = json.loads(metadata)
    except (ValueError, RecursionError) as error:
        raise CorruptionError(f"a passage's metadata is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise CorruptionError(f"a passage's metadata is a {type(value).__name__}, no object")
    return value


def sound_block(data: pa.Buffer, rows: int) -> pa.RecordBatch:
    """``parse_block``, and checked in full: right hashes do not make bytes sound.

    Raises:
        ValueError: it makes no sense; reading values from it could crash.
    """
    try:
        batch = parse_block(data, rows)
        batch.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(str(error)) from error
    return batch


def parse_block(data: pa.Buffer, rows: int) -> pa.RecordBatch:
    """One record batch, without copying; its bytes must have been checked before."""
    batch = pa.ipc.read_record_batch(data, SCHEMA)
    if batch.num_rows != rows:
        raise ValueError(f"a block holds {batch.num_rows} passages, expected {rows}")
    return batch


def scan_blocks(path: Path, size: int) -> list[Block]:
    """Walk over the record batches in the first ``size`` bytes of a stream that was just written.

    Raises:
        CorruptionError: the stream does not consist of whole record batches.
    """
    blocks = []
    with pa.memory_map(str(path)) as source:
        if source.read(len(SCHEMA_MESSAGE)) != SCHEMA_MESSAGE:
            raise CorruptionError(f"{path}: does not begin with the schema of passages")
        while source.tell() < size:
            offset = source.tell()
            try:
                message = pa.ipc.read_message(source)
                rows = pa.ipc.read_record_batch(message, SCHEMA).num_rows
            except (pa.ArrowInvalid, OSError, EOFError) as error:
                raise CorruptionError(
                    f"{path}: the record batch at byte {offset} is damaged"
                ) from error
            length = source.tell() - offset
            source.seek(offset)
            digest = hashlib.sha256(memoryview(source.read_buffer(length))).hexdigest()
            blocks.append(Block(offset, length, rows, digest))
        if source.tell() != size:
            raise CorruptionError(f"{path}: its last record batch ends after byte {size}")
    return blocks


def blocks_to_bytes(blocks: Sequence[Block]) -> bytes:
    """``blocks.json``: offset, bytes, rows and SHA-256 of each block, one a line."""
    lines = ",\n".join(
        f'[{block.offset}, {block.bytes}, {block.rows}, "{block.sha256}"]' for block in blocks
    )
    return f'{{"passages": [\n{lines}\n]}}\n'.encode()


def blocks_from_bytes(data: bytes) -> list[Block]:
    """Read what ``blocks_to_bytes`` wrote; ValueError, TypeError or KeyError where it is not."""
    return [
        Block(int(offset), int(size), int(rows), str(sha256))
        for offset, size, rows, sha256 in json.loads(data)["passages"]
    ]


def layout_fault(blocks: Sequence[Block], size: int, rows: int) -> str:
    """Why these blocks are not those of a stream of so many bytes and rows; "": they are. They must
    fill it between its schema and its end mark."""
    at = len(SCHEMA_MESSAGE)
    for block in blocks:
        if block.offset != at or block.bytes < 1 or not 1 <= block.rows <= BLOCK_ROWS:
            return f"a block of {block.rows} rows begins at {block.offset}, not {at}"
        at += block.bytes
    listed = sum(block.rows for block in blocks)
    if at + len(END_MARK) != size or listed != rows:
        return f"it lists {listed} rows in {at} bytes, the manifest {rows}"
    return ""


def id_of_row(path: Path, row: int) -> str:
    """The id in a row of a stream that may not be finished; reads from the start."""
    with pa.memory_map(str(path)) as source:
        source.seek(len(SCHEMA_MESSAGE))
        while True:
            batch = pa.ipc.read_record_batch(pa.ipc.read_message(source), SCHEMA)
            if row < batch.num_rows:
                return str(batch.column("id")[row].as_py())
            row -= batch.num_rows
