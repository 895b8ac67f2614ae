"""Sets of hashes that are similar to earlier ones: MinHash signatures in bands, then counted.

Takes sets, any number at a time; tells of each the most similar of the earlier sets whose
similarity (Jaccard's coefficient, |A ∩ B| / |A ∪ B|) reaches a threshold. Knows nothing of texts.

Two sets agree in the least value of a random order with the probability of their similarity
(Broder, 1997). A band of several such orders keeps unlike sets apart; several bands see to it that
similar sets agree in one (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

MISSED = 0.001
"""The most that bands miss of pairs whose similarity is just the threshold."""

_MOST_ROWS, _MOST_BANDS = 5, 32
_PAIRS_AT_ONCE = 4096

_Number = TypeVar("_Number", np.uint64, np.int64)
Hashes = npt.NDArray[np.uint64]
Short = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Similar:
    """The earlier set: its place among those that are kept, from 0, and the similarity."""

    row: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Sets:
    """Sets of 32-bit hashes: set i is ``values[starts[i]:starts[i + 1]]``, ascending, each value
    once."""

    values: Short
    starts: Rows

    def __len__(self) -> int:
        return len(self.starts) - 1

    def sizes(self, which: Rows) -> Rows:
        """How many values each of these sets has."""
        return self.starts[which + 1] - self.starts[which]

    def take(self, which: Rows) -> tuple[Short, Rows]:
        """The values of these sets, one set after the other, and for each value the place of its
        set in ``which``."""
        sizes = self.sizes(which)
        before = np.cumsum(sizes) - sizes
        at = np.arange(int(sizes.sum())) + np.repeat(self.starts[which] - before, sizes)
        return self.values[at], np.repeat(np.arange(len(which)), sizes)


def sequence_sets(words: Sequence[array[int]], length: int) -> Sets:
    """The set of all sequences of ``length`` words of each text.

    Args:
        words: 64-bit hashes of the words of each text: none, or at least ``length``.
    """
    counts = np.array([len(one) for one in words], np.int64)
    flat = np.frombuffer(b"".join(words), dtype=np.uint64)
    owners = np.repeat(np.arange(len(words), dtype=np.uint64), counts)
    last = max(len(flat) - length + 1, 0)
    mixed = np.zeros(last, np.uint64)
    for at, multiplier in enumerate(_mixed(np.arange(1, 1 + length, dtype=np.uint64))):
        mixed += flat[at : at + last] * (multiplier | np.uint64(1))
    inside = owners[:last] == owners[length - 1 :]
    short = _mixed(mixed[inside]) >> np.uint64(32)
    both = _once(owners[:last][inside] << np.uint64(32) | short)
    sizes = np.bincount((both >> np.uint64(32)).astype(np.int64), minlength=len(words))
    return Sets(both.astype(np.uint32), np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))


def similarities(left: Sets, some: Rows, right: Sets, others: Rows) -> npt.NDArray[np.float64]:
    """Jaccard's coefficient of each pair (some[i] of left, others[i] of right), neither empty."""
    parts = [np.zeros(0)]
    for first in range(0, len(some), _PAIRS_AT_ONCE):
        one, other = some[first : first + _PAIRS_AT_ONCE], others[first : first + _PAIRS_AT_ONCE]
        keys = [
            places.astype(np.uint64) << np.uint64(32) | values
            for values, places in (left.take(one), right.take(other))
        ]
        both = np.sort(np.concatenate(keys))
        pairs = (both[1:][both[1:] == both[:-1]] >> np.uint64(32)).astype(np.int64)
        shared = np.bincount(pairs, minlength=len(one))
        parts.append(shared / (left.sizes(one) + right.sizes(other) - shared))
    return np.concatenate(parts)


def bands_for(least: float) -> tuple[int, int]:
    """(bands, rows of each) that miss at most ``MISSED`` of the pairs of this similarity.

    With r rows a pair of similarity s agrees in a band with probability s^r, and so in one of b
    bands with 1 - (1 - s^r)^b. The more rows, the fewer unlike sets are compared.
    """
    for rows in range(_MOST_ROWS, 0, -1):
        agree = least**rows
        bands = 1 if agree == 1 else math.ceil(math.log(MISSED) / math.log1p(-agree))
        if bands <= _MOST_BANDS:
            break
    return bands, rows


class SimilarSets:
    """The sets seen so far that were similar to none before them.

    Memory for each: 4 bytes a value, 12 a band and 8 more.
    """

    def __init__(self, least: float) -> None:
        self.least = least
        self.bands, self.rows = bands_for(least)
        random = np.random.Generator(np.random.PCG64(0))
        count = self.bands * self.rows
        self._factors = random.integers(0, 1 << 32, count, dtype=np.uint32) | np.uint32(1)
        self._addends = random.integers(0, 1 << 32, count, dtype=np.uint32)
        self._keys = Buckets()
        self._values = array("I")
        self._starts = array("q", [0])

    @property
    def memory(self) -> int:
        """Bytes that the sets take."""
        return self._keys.memory + len(self._values) * 4 + len(self._starts) * 8

    def find(self, sets: Sets) -> list[Similar | None]:
        """The most similar earlier set of each, of several the first; None: new, and kept.

        Empty sets are similar to none, and are kept.
        """
        filled = np.flatnonzero(np.diff(sets.starts))
        keys = self._band_keys(sets, filled)
        first = len(self._starts) - 1
        matches: dict[int, list[tuple[int, float]]] = {}
        for at, other, similarity in self._matches(sets, filled, keys):
            matches.setdefault(at, []).append((other, similarity))
        found: list[Similar | None] = []
        rows: list[int] = []  # the place that each got among those that are kept; -1: none
        kept = first
        for at in range(len(sets)):
            # Negative numbers stand for the sets given now, -1 being the first.
            pairs = (
                (other if other >= 0 else rows[-1 - other], similarity)
                for other, similarity in matches.get(at, [])
            )
            best = max(((one, -row) for row, one in pairs if row >= 0), default=None)
            found.append(None if best is None else Similar(-best[1], best[0]))
            rows.append(kept if best is None else -1)
            kept += best is None
        self._keep(sets, filled, keys, np.array(rows, np.int64))
        return found

    def _band_keys(self, sets: Sets, filled: Rows) -> Hashes:
        """(bands, len(filled)) keys, equal in a band where two signatures agree in all its rows."""
        signatures = np.empty((self.bands * self.rows, len(filled)), np.uint32)
        if len(filled):
            starts = sets.starts[filled]
            for row, (factor, addend) in enumerate(zip(self._factors, self._addends, strict=True)):
                np.minimum.reduceat(sets.values * factor + addend, starts, out=signatures[row])
        parts = signatures.reshape(self.bands, self.rows, -1).astype(np.uint64)
        keys = np.zeros((self.bands, len(filled)), np.uint64)
        keys += np.arange(self.bands, dtype=np.uint64)[:, None]
        for row in range(self.rows):
            keys = _mixed(keys + parts[:, row])
        return keys

    def _matches(self, sets: Sets, filled: Rows, keys: Hashes) -> Iterator[tuple[int, int, float]]:
        """(set, earlier set, similarity) of all similar pairs that agree in a band. The earlier set
        is a row of those that are kept, or -1 - i for set i of those given now."""
        positions, rows = self._keys.find(keys.ravel())
        if len(rows):
            pairs = _once((positions % len(filled) << 32) | rows)
            before = Sets(
                np.frombuffer(self._values, np.uint32), np.frombuffer(self._starts, np.int64)
            )
            some, others = filled[pairs >> 32], pairs & 0xFFFFFFFF
            for at, other, similarity in self._verified(sets, some, before, others):
                yield at, other, similarity
        agree = np.zeros((len(filled), len(filled)), np.bool_)
        for band in keys:
            agree |= np.equal.outer(band, band)
        later, earlier = np.nonzero(np.tril(agree, -1))
        for at, other, similarity in self._verified(sets, filled[later], sets, filled[earlier]):
            yield at, -1 - other, similarity

    def _verified(
        self, left: Sets, some: Rows, right: Sets, others: Rows
    ) -> Iterator[tuple[int, int, float]]:
        one, other = left.sizes(some), right.sizes(others)
        # Sets so different in size cannot be similar.
        may = np.minimum(one, other) >= self.least * np.maximum(one, other)
        some, others = some[may], others[may]
        measured = similarities(left, some, right, others)
        for at in np.flatnonzero(measured >= self.least):
            yield int(some[at]), int(others[at]), float(measured[at])

    def _keep(self, sets: Sets, filled: Rows, keys: Hashes, rows: Rows) -> None:
        new = np.flatnonzero(rows >= 0)
        values, _ = sets.take(new)
        ends = self._starts[-1] + np.cumsum(sets.sizes(new))
        self._values.frombytes(values.tobytes())
        self._starts.frombytes(ends.astype(np.int64).tobytes())
        stay = rows[filled] >= 0
        self._keys.add(keys[:, stay].ravel(), np.tile(rows[filled[stay]], self.bands))


class Buckets:
    """Rows by 64-bit keys, any number of rows a key; 12 bytes an entry.

    They are sorted runs, each at least twice as long as the next: adding n entries in any portions
    costs n log n, and looking up touches few runs.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Hashes, Short]] = []

    @property
    def memory(self) -> int:
        """Bytes that the entries take."""
        return sum(keys.nbytes + rows.nbytes for keys, rows in self._runs)

    def find(self, keys: Hashes) -> tuple[Rows, Rows]:
        """(positions in ``keys``, rows) of all entries with these keys."""
        order = np.argsort(keys)
        wanted = keys[order]
        found: list[tuple[Rows, Rows]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        for run_keys, run_rows in self._runs:
            first = np.searchsorted(run_keys, wanted)
            there = np.flatnonzero(run_keys[np.minimum(first, len(run_keys) - 1)] == wanted)
            if len(there):
                first = first[there]
                counts = np.searchsorted(run_keys, wanted[there], "right") - first
                before = np.cumsum(counts) - counts
                at = np.arange(int(counts.sum())) + np.repeat(first - before, counts)
                found.append((np.repeat(order[there], counts), run_rows[at].astype(np.int64)))
        return (
            np.concatenate([positions for positions, _ in found]),
            np.concatenate([rows for _, rows in found]),
        )

    def add(self, keys: Hashes, rows: Rows) -> None:
        """Add entries; rows are below 2^32."""
        if not len(keys):
            return
        order = np.argsort(keys, kind="stable")
        new = keys[order], rows[order].astype(np.uint32)
        while self._runs and len(self._runs[-1][0]) < 2 * len(new[0]):
            old = self._runs.pop()
            both = np.concatenate([old[0], new[0]])
            order = np.argsort(both, kind="stable")  # merges two sorted runs in one pass
            new = both[order], np.concatenate([old[1], new[1]])[order]
        self._runs.append(new)


def _once(values: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """The values in ascending order, each once. numpy's own ``unique`` takes far longer."""
    ascending = np.sort(values)
    new = np.ones(len(values), np.bool_)
    new[1:] = ascending[1:] != ascending[:-1]
    once: npt.NDArray[_Number] = ascending[new]
    return once


def _mixed(values: Hashes) -> Hashes:
    """Spreads what the values hold over all their bits: SplitMix64's finaliser (Steele, Lea and
    Flood, 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
