"""Which row has this id: a small index of hashes, for finding rows and for refusing duplicates.

Takes ids and gives rows; knows nothing of files. It keeps 16 bytes a row and no id, so a caller
that has the ids compares the candidates it gets.

``ids.npy``, (2, rows) uint64, is the same for a whole segment: hashes in ascending order, and the
row of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def hash_ids(ids: Iterable[str]) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each id, the same on every machine."""
    data = b"".join(hashlib.blake2b(item.encode(), digest_size=8).digest() for item in ids)
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)


class IdIndex:
    """Rows by the hash of their id; rows are added in order, from 0."""

    def __init__(self) -> None:
        self.rows = 0
        # Sorted runs of (hashes, rows), each at most half as long as the one before it: adding n
        # rows in any portions costs n log n, and looking up touches few runs.
        self._runs: list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]] = []

    def add(self, ids: Iterable[str]) -> list[tuple[int, int]]:
        """Add the next rows.

        Returns:
            (earlier row, later row) of each new row whose hash was there before: almost surely
            the same id, but only comparing the ids can tell.
        """
        hashes = hash_ids(ids)
        order = np.argsort(hashes, kind="stable")
        hashes, rows = hashes[order], order.astype(np.int64) + self.rows
        same = np.flatnonzero(hashes[1:] == hashes[:-1])
        pairs = [(int(rows[i]), int(rows[i + 1])) for i in same]
        for run_hashes, run_rows in self._runs:
            at = np.searchsorted(run_hashes, hashes)
            at[at == len(run_hashes)] = 0
            for i in np.flatnonzero(run_hashes[at] == hashes):
                pairs.append((int(run_rows[at[i]]), int(rows[i])))  # noqa: PERF401
        self.rows += len(hashes)
        if len(hashes):
            self._insert(hashes, rows)
        return sorted(pairs)

    def candidates(self, item: str) -> list[int]:
        """The rows whose id may be this one, ascending; almost always none or one."""
        key = hash_ids([item])[0]
        found: list[int] = []
        for hashes, rows in self._runs:
            first, last = (
                np.searchsorted(hashes, key, "left"),
                np.searchsorted(hashes, key, "right"),
            )
            found.extend(int(row) for row in rows[first:last])
        return sorted(found)

    def _insert(self, hashes: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64]) -> None:
        while self._runs and len(self._runs[-1][0]) < 2 * len(hashes):
            other_hashes, other_rows = self._runs.pop()
            # Earlier rows first, so that a stable sort keeps equal hashes in row order.
            hashes = np.concatenate([other_hashes, hashes])
            rows = np.concatenate([other_rows, rows])
            order = np.argsort(hashes, kind="stable")
            hashes, rows = hashes[order], rows[order]
        self._runs.append((hashes, rows))


def sorted_hashes(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """What ``ids.npy`` holds for the hashes of a segment's ids, in row order."""
    order = np.argsort(hashes, kind="stable")
    return np.stack([hashes[order], order.astype(np.uint64)])


def rows_of_hashes(
    table: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where hashes stand in ``ids.npy``: (places in ``wanted``, rows), a pair for each match."""
    first = np.searchsorted(table[0], wanted, "left")
    counts = np.searchsorted(table[0], wanted, "right") - first
    places = np.repeat(np.arange(len(wanted)), counts)
    inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return places, table[1][first[places] + inside].astype(np.int64)
