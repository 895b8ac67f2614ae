"""Which rows of a segment are deleted, as a text that the manifest holds.

Takes and gives masks and texts; knows nothing of files. Deletions are the one thing that cannot be
found again from a segment's files, so they stand in the manifest itself, under its checksum and in
its copy: a bit a row, packed, compressed (zlib), base64; the empty text where nothing is deleted.
"""

from __future__ import annotations

import base64
import zlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def text(deleted: Mask) -> str:
    """The text of a mask (rows,) that is True where a row is deleted."""
    if not deleted.any():
        return ""
    packed = np.packbits(deleted, bitorder="little").tobytes()
    return f"{len(deleted)}:{base64.b64encode(zlib.compress(packed, 6)).decode('ascii')}"


def mask(deleted: str, rows: int) -> Mask:
    """The mask of a text.

    Raises:
        ValueError: it is not a mask of so many rows.
    """
    if not deleted:
        return np.zeros(rows, np.bool_)
    length, _, packed = deleted.partition(":")
    if not (length.isascii() and length.isdigit()) or int(length) != rows:
        raise ValueError(f"deletions of {length} rows, not {rows}")
    size = (rows + 7) // 8
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(base64.b64decode(packed, validate=True), size + 1)
    except zlib.error as error:
        raise ValueError(f"deletions that cannot be read: {error}") from error
    if len(data) != size or not unpacker.eof:
        raise ValueError(f"deletions of {len(data)} bytes, not {size}")
    return np.unpackbits(np.frombuffer(data, np.uint8), count=rows, bitorder="little").view(
        np.bool_
    )


@lru_cache(maxsize=256)
def count(deleted: str) -> int:
    """How many rows a text deletes."""
    if not deleted:
        return 0
    return int(mask(deleted, int(deleted.partition(":")[0])).sum())
