"""Vectors are checked before they are first used: a hash for each block of rows.

Takes a map of vectors and the hashes of its blocks; raises where they differ. Knows nothing of
searching. ``vectors.sha256`` holds the SHA-256 of every ``block_rows`` rows in turn, 32 bytes each;
a scale (int8) is hashed with its row. Reading vectors costs far less than computing with them, so a
block is checked when something first needs it, once for each time that the file is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.errors import CorruptionError
from dpr.indexes.pages import fetch, let_go

BLOCK_BYTES = 1 << 16
DIGEST_BYTES = 32
_THREADS = 2
_FEW = 16
_HELD_BLOCKS = 4096


def block_rows(row_bytes: int) -> int:
    """How many vectors a block has."""
    return max(1, BLOCK_BYTES // row_bytes)


def digests(vectors: npt.NDArray[Any], scales: npt.NDArray[np.float32] | None) -> Iterator[bytes]:
    """The SHA-256 of each block, in order."""
    step = block_rows(vectors.shape[1] * vectors.dtype.itemsize)
    for number, first in enumerate(range(0, len(vectors), step), 1):
        yield _digest(vectors, scales, first, first + step)
        if number % _HELD_BLOCKS == 0:
            let_go(vectors)


def _digest(
    vectors: npt.NDArray[Any], scales: npt.NDArray[np.float32] | None, first: int, last: int
) -> bytes:
    digest = hashlib.sha256(np.ascontiguousarray(vectors[first:last]).data)
    if scales is not None:
        digest.update(np.ascontiguousarray(scales[first:last]).data)
    return digest.digest()


class SegmentGuard:
    """The guard of one segment's vectors; safe to share between threads.

    Args:
        wanted: the content of ``vectors.sha256``, itself checked.
        damaged: makes the error from what is wrong.
    """

    def __init__(
        self,
        vectors: npt.NDArray[Any],
        scales: npt.NDArray[np.float32] | None,
        wanted: bytes,
        damaged: Callable[[str], CorruptionError],
    ) -> None:
        self.block_rows = block_rows(vectors.shape[1] * vectors.dtype.itemsize)
        self._vectors, self._scales = vectors, scales
        self._wanted = wanted
        self._damaged = damaged
        self._checked = np.zeros(-(-len(vectors) // self.block_rows), np.bool_)
        if len(wanted) != DIGEST_BYTES * len(self._checked):
            raise damaged(f"{len(wanted)} bytes of hashes for {len(self._checked)} blocks")

    def range(self, first: int, last: int) -> None:
        """Checks the rows from ``first`` up to ``last``.

        Raises:
            CorruptionError: one of them was altered.
        """
        step = self.block_rows
        self._check(np.arange(first // step, -(-min(last, len(self._vectors)) // step)))

    def rows(self, rows: npt.NDArray[np.int64]) -> None:
        """Checks these rows; raises as ``range``."""
        blocks = np.unique(rows // self.block_rows)
        new = blocks[~self._checked[blocks]]
        if len(new):
            step = self.block_rows
            fetch(self._vectors, ((one * step, (one + 1) * step) for one in new.tolist()))
            self._check(new)

    def bad(self) -> list[int]:
        """The blocks that were altered; for verifying and repairing."""
        return [block for block in range(len(self._checked)) if not self._holds(block)]

    def _check(self, blocks: npt.NDArray[np.int64]) -> None:
        new = blocks[~self._checked[blocks]]
        if not len(new):
            return
        if len(new) < _FEW:
            holds = [self._holds(int(block)) for block in new]
        else:  # hashing lets other threads run
            with ThreadPoolExecutor(_THREADS) as threads:
                holds = list(threads.map(self._holds, new.tolist()))
        if not all(holds):
            block = int(new[holds.index(False)])
            first = block * self.block_rows
            last = min(first + self.block_rows, len(self._vectors)) - 1
            raise self._damaged(f"the vectors in rows {first} to {last} were altered")
        self._checked[new] = True

    def _holds(self, block: int) -> bool:
        first = block * self.block_rows
        found = _digest(self._vectors, self._scales, first, first + self.block_rows)
        at = block * DIGEST_BYTES
        return found == self._wanted[at : at + DIGEST_BYTES]


class Guard:
    """The guards of several segments, whose rows are counted through."""

    def __init__(self, guards: Sequence[SegmentGuard], starts: Sequence[int]) -> None:
        self._guards = list(guards)
        self._starts = np.asarray(starts, np.int64)

    def range(self, first: int, last: int) -> None:
        """Checks the rows from ``first`` up to ``last``; raises as ``SegmentGuard.range``."""
        for guard, start, end in zip(
            self._guards, self._starts[:-1], self._starts[1:], strict=True
        ):
            if first < end and last > start:
                guard.range(max(first, int(start)) - int(start), min(last, int(end)) - int(start))

    def rows(self, rows: npt.NDArray[np.int64]) -> None:
        """Checks these rows; raises as ``SegmentGuard.range``."""
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(numbers):
            inside = rows[numbers == number] - self._starts[number]
            self._guards[int(number)].rows(inside)
