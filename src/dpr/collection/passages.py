"""Passages as bytes: the record batches of ``passages.arrow`` and the hashes that guard them.

Takes passages and gives bytes, and back; knows nothing of vectors, manifests or where files lie.
``passages.arrow`` is a plain Arrow IPC stream, readable by any Arrow library: a schema message,
then blocks (record batches) of at most ``BLOCK_ROWS`` passages, then the end mark. Blocks are
small so that the first look at a passage can check its block's hash before any of it is parsed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dpr.errors import CorruptionError, InputError
from dpr.records import Passage

BLOCK_ROWS = 256
TEXT_FIELDS = ("id", "text", "title", "section", "source")
SCHEMA = pa.schema(
    [pa.field(name, pa.large_string(), nullable=False) for name in TEXT_FIELDS]
    + [pa.field(name, pa.int64(), nullable=False) for name in ("start", "end")]
)
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


def chained_digest(passages: Sequence[Passage], previous: str, first_row: int) -> str:
    """SHA-256 of these passages and of all that came before, whose digest is ``previous``.

    Raises:
        InputError: a passage that cannot be stored as it is, named by id and row.
    """
    digest = hashlib.sha256(previous.encode())
    for number, passage in enumerate(passages):
        texts = _encoded(passage, first_row + number)
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
    return texts


def _named(passage: Passage, row: int) -> str:
    return f"passage {getattr(passage, 'id', None)!a} (row {row})"


def to_messages(passages: Sequence[Passage]) -> Iterator[memoryview]:
    """The record batches of these passages, ready to append to the stream."""
    for first in range(0, len(passages), BLOCK_ROWS):
        block = passages[first : first + BLOCK_ROWS]
        columns = [
            pa.array([getattr(passage, field.name) for passage in block], type=field.type)
            for field in SCHEMA
        ]
        yield memoryview(pa.record_batch(columns, schema=SCHEMA).serialize())


def from_batch(batch: pa.RecordBatch, rows: Sequence[int]) -> list[Passage]:
    """The passages in these rows of a record batch, in the order asked for."""
    columns = [
        [column[row].as_py() for row in rows] if len(rows) * 8 < len(column) else column.to_pylist()
        for column in batch.columns
    ]
    if len(rows) * 8 < len(batch):
        return [Passage(*values) for values in zip(*columns, strict=True)]
    return [Passage(*(column[row] for column in columns)) for row in rows]


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


def id_of_row(path: Path, row: int) -> str:
    """The id in a row of a stream that may not be finished; reads from the start."""
    with pa.memory_map(str(path)) as source:
        source.seek(len(SCHEMA_MESSAGE))
        while True:
            batch = pa.ipc.read_record_batch(pa.ipc.read_message(source), SCHEMA)
            if row < batch.num_rows:
                return str(batch.column("id")[row].as_py())
            row -= batch.num_rows
