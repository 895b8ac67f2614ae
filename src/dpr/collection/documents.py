"""The documents of a segment: ``documents.arrow``, a row for each run of a document's passages.

Takes record batches of passages and gives record batches of documents; takes such a table and
gives documents. Knows nothing of vectors, manifests or where files lie.

The file is a plain Arrow IPC stream with the columns document, source, title, metadata (JSON),
digest, origin, first (row) and rows. It follows from ``passages.arrow``, and can be made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

TEXTS = ("document", "source", "title", "metadata", "digest", "origin")
SCHEMA = pa.schema(
    [pa.field(name, pa.large_string(), nullable=False) for name in TEXTS]
    + [pa.field(name, pa.int64(), nullable=False) for name in ("first", "rows")]
)
_ROWS_AT_ONCE = 1 << 16


def document_column(batch: pa.RecordBatch) -> pa.Array:
    """The document of each passage in a batch of ``passages.arrow``."""
    documents = batch.column("document")
    return pc.if_else(pc.equal(documents, ""), batch.column("id"), documents)


def document_batches(passages: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The documents of a segment's passages, in order, from all its batches."""
    held: list[pa.RecordBatch] = []
    row, count, previous = 0, 0, None
    for batch in passages:
        if not len(batch):
            continue
        documents = document_column(batch)
        new = np.ones(len(batch), np.bool_)
        new[1:] = pc.not_equal(documents[1:], documents[:-1]).to_numpy(zero_copy_only=False)
        new[0] = documents[0].as_py() != previous
        previous = documents[-1].as_py()
        firsts = pa.array(np.flatnonzero(new))
        columns = [documents, *(batch.column(name) for name in TEXTS[1:])]
        held.append(
            pa.record_batch(
                [
                    *(column.take(firsts) for column in columns),
                    pc.add(firsts, row),
                    pa.array(np.zeros(len(firsts), np.int64)),
                ],
                schema=SCHEMA,
            )
        )
        row, count = row + len(batch), count + len(firsts)
        if count > _ROWS_AT_ONCE:
            table = _together(held)
            # The last document may go on in the next batch.
            yield from _counted(table.slice(0, len(table) - 1), table["first"][-1].as_py())
            held = table.slice(len(table) - 1).to_batches()
            count = 1
    if held:
        yield from _counted(_together(held), row)


def _together(batches: list[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(batches, SCHEMA).combine_chunks()


def _counted(table: pa.Table, end: int) -> Iterator[pa.RecordBatch]:
    """The rows of documents are known by where the next one begins."""
    first = table["first"].to_numpy()
    rows = pa.array(np.diff(first, append=end))
    yield from table.set_column(len(SCHEMA) - 1, SCHEMA.field("rows"), rows).to_batches()


def stream(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes | memoryview]:
    """The bytes of the file."""
    yield SCHEMA.serialize().to_pybytes()
    for batch in batches:
        yield memoryview(batch.serialize())
    yield b"\xff\xff\xff\xff\x00\x00\x00\x00"


def parse(data: pa.Buffer, rows: int) -> pa.Table:
    """The table in the file, without copying; its bytes must have been checked before.

    Raises:
        ValueError: it is not about exactly these rows, each once.
    """
    table = pa.ipc.open_stream(data).read_all()
    if table.schema != SCHEMA:
        raise ValueError("it has other columns")
    table.validate(full=True)
    first, count = table["first"].to_numpy(), table["rows"].to_numpy()
    if not np.array_equal(np.cumsum(count), np.append(first[1:], rows)) or (count < 1).any():
        raise ValueError(f"its documents do not cover {rows} rows")
    return table


def row_mask(table: pa.Table, chosen: npt.NDArray[np.bool_], rows: int) -> npt.NDArray[np.bool_]:
    """(rows,) True where a row belongs to one of the documents chosen (documents,)."""
    mask = np.repeat(chosen, table["rows"].to_numpy())
    assert len(mask) == rows
    return mask
