"""A block of the numbers of rotated vectors as int8 codes, with what bounds their error.

Takes stored vectors and a rotation, gives bytes to keep and tensors mapped from them. Knows nothing
of queries. The file is a run of chunks of ``CHUNK`` rows (the last may hold fewer): the codes
(rows, width) int8, then float32 (3, rows): each row's scale; at least the length of what the codes
lose of the block; at least the length of all numbers behind the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dpr.errors import CorruptionError
from dpr.indexes.index import Floats
from dpr.indexes.int8 import to_int8
from dpr.indexes.rotation import Doubles
from dpr.indexes.scan import STEP
from dpr.indexes.stored import StoredVectors, tensor_of

CHUNK = 1 << 20
"""So many, because threads wait for each other after each: on a busy machine that costs more than
scores that leave the cache."""

ROWS_AT_ONCE = 4096
UP = 1 + 2.0**-20
"""Lengths are multiplied by this before they are rounded to float32, so that they never shrink."""


@dataclass(frozen=True, slots=True)
class BlockRows:
    """Some rows of a block.

    Attributes:
        codes: (rows, width) int8, zeros behind the numbers of the block.
        numbers: (3, rows) float32: scales, what the codes lose, and what is behind the block.
    """

    codes: torch.Tensor
    numbers: torch.Tensor


def width_of(block: int) -> int:
    """Codes of a row, padded to what the scan takes."""
    return -(-block // STEP) * STEP


def encoded(stored: StoredVectors, axes: Doubles, stray: float, *, last: bool) -> Iterator[bytes]:
    """The file of a block, piece by piece.

    Args:
        axes: (block, dim) the rows of the rotation that make the block.
        stray: how far the whole rotation is from orthogonal (``rotation.deviation``).
        last: True where no numbers are behind the block.
    """
    for first in range(0, len(stored), CHUNK):
        end = min(first + CHUNK, len(stored))
        numbers = np.empty((3, end - first), np.float32)
        for row, values in stored.values(first, end):
            for at in range(0, len(values), ROWS_AT_ONCE):
                some = torch.from_numpy(values[at : at + ROWS_AT_ONCE]).double()
                place = slice(row - first + at, row - first + at + len(some))
                codes, numbers[:, place] = _encoded(some, axes, stray, last)
                yield codes.tobytes()
        yield numbers.tobytes()
        stored.let_go()


def _encoded(
    values: torch.Tensor, axes: Doubles, stray: float, last: bool
) -> tuple[npt.NDArray[np.int8], Floats]:
    """Codes (n, width) and the three numbers of each row (3, n)."""
    block, dim = axes.shape
    rotated: Doubles = (values @ torch.from_numpy(axes).T).numpy()
    lengths: Doubles = torch.linalg.vector_norm(values, dim=1).numpy()
    part = to_int8(rotated)
    rest = rotated - part.codes * part.scales[:, None].astype(np.float64)
    # What the product of float64 may have lost, of a vector of length 1.
    rounding = 4 * dim**1.5 * 2.0**-53
    lost = np.sqrt(np.einsum("ij,ij->i", rest, rest)) + rounding * lengths
    # The numbers of a whole rotated vector have the vector's own length, but for ``stray``.
    squares = (1 + stray + rounding) * lengths**2 - np.einsum("ij,ij->i", rotated, rotated)
    behind = np.zeros(len(values)) if last else np.sqrt(np.maximum(squares, 0))
    codes = np.zeros((len(values), width_of(block)), np.int8)
    codes[:, :block] = part.codes
    return codes, np.stack([part.scales, UP * lost, UP * behind]).astype(np.float32)


class Block:
    """A block that was kept, mapped.

    Raises:
        CorruptionError: the file has another size than these rows of this block.
    """

    def __init__(self, path: Path, rows: int, block: int) -> None:
        self.rows, self.width = rows, width_of(block)
        self.bytes = rows * (self.width + 12)
        size = path.stat().st_size
        if size != self.bytes:
            raise CorruptionError(
                f"{path}: has {size} bytes; expected are {self.bytes} for {rows} rows of {block} "
                f"numbers: build the index again"
            )
        self._data = np.memmap(path, np.uint8, mode="r")

    def chunk(self, first: int) -> BlockRows:
        """The chunk that begins with a row, a multiple of ``CHUNK``; not copied."""
        codes, numbers = self._arrays(first)
        return BlockRows(tensor_of(codes), tensor_of(numbers))

    def take(self, rows: npt.NDArray[np.int64]) -> BlockRows:
        """Some rows, in ascending order; copied."""
        codes = np.empty((len(rows), self.width), np.int8)
        numbers = np.empty((3, len(rows)), np.float32)
        edges = np.searchsorted(rows, np.arange(0, self.rows + CHUNK, CHUNK))
        for number in np.flatnonzero(np.diff(edges)).tolist():
            some, first = slice(edges[number], edges[number + 1]), number * CHUNK
            wanted = rows[some] - first
            whole, numbers_of_all = self._arrays(first)
            np.take(whole, wanted, axis=0, out=codes[some])
            numbers[:, some] = numbers_of_all[:, wanted]
        return BlockRows(torch.from_numpy(codes), torch.from_numpy(numbers))

    def _arrays(self, first: int) -> tuple[npt.NDArray[np.int8], Floats]:
        rows = min(CHUNK, self.rows - first)
        start = first * (self.width + 12)
        middle, end = start + rows * self.width, start + rows * (self.width + 12)
        codes = self._data[start:middle].view(np.int8).reshape(rows, self.width)
        return codes, self._data[middle:end].view(np.float32).reshape(3, rows)
