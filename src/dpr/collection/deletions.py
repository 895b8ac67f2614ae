"""Which rows of a segment are deleted, as a text that the manifest holds.

Takes and gives masks and texts; knows nothing of files. Deletions are the one thing that cannot be
found again from a segment's files, so they stand in the manifest itself, under its checksum and in
its copy: a bit a row, packed, compressed (zlib), base64; the empty text where nothing is deleted.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

_PIECE = 1 << 20

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
    count(deleted, rows)  # refuses what would unpack to more than the mask
    packed = b"".join(_unpacked(deleted, rows))
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=rows, bitorder="little").view(
        np.bool_
    )


@lru_cache(maxsize=256)
def count(deleted: str, rows: int) -> int:
    """How many of so many rows a text deletes, in little memory whatever the text says.

    Raises:
        ValueError: as ``mask``.
    """
    pieces = _unpacked(deleted, rows) if deleted else ()
    return sum(int.from_bytes(piece, "little").bit_count() for piece in pieces)


def _unpacked(deleted: str, rows: int) -> Iterator[bytes]:
    """The packed bits, in pieces; never more than the rows need."""
    length, _, packed = deleted.partition(":")
    if length != str(rows):
        raise ValueError(f"deletions of {length[:20]} rows, not {rows}")
    left, last = (rows + 7) // 8, b""
    unpacker, data = zlib.decompressobj(), base64.b64decode(packed, validate=True)
    try:
        while piece := unpacker.decompress(data, min(_PIECE, left + 1)):
            data, last = unpacker.unconsumed_tail, piece[-1:]
            left -= len(piece)
            if left < 0:
                break
            yield piece
    except zlib.error as error:
        raise ValueError(f"deletions that cannot be read: {error}") from error
    if left or not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"deletions of another size than {rows} rows need")
    if rows % 8 and last[0] >> rows % 8:
        raise ValueError(f"deletions of rows after row {rows - 1}")
