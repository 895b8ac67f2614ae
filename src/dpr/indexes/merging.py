"""Several segments' word counts as one's, without the rows that are gone; in bounded memory.

Takes parts in order, each with a mask; gives the arrays of the whole, the long ones piece by piece.
What it holds are the terms and the rows' lengths, never all postings. Knows nothing of texts or
scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dpr.errors import InputError
from dpr.indexes.index import Mask
from dpr.indexes.postings import Array, Tensor, WordCounts

POSTINGS = 1 << 22  # at a time; more where a single term has more
Integers = npt.NDArray[np.int64]


class Merge:
    """The parts as one.

    Args:
        live: of each part, which rows stay (its rows,); None: all.

    Raises:
        InputError: masks that do not fit the parts; 2**32 rows or more.
    """

    def __init__(self, parts: Sequence[WordCounts], live: Sequence[Mask | None]) -> None:
        check_live(parts, live)
        self._parts, self._live = parts, live
        self._lengths = [
            part.lengths if mask is None else part.lengths[mask]
            for part, mask in zip(parts, live, strict=True)
        ]
        self._firsts = np.cumsum([0, *map(len, self._lengths)], dtype=np.int64)
        if self._firsts[-1] >= 1 << 32:
            raise InputError(f"{self._firsts[-1]:,} rows; allowed are fewer than {1 << 32:,}")
        terms, places = _united(parts)
        self._sizes = [live_sizes(part, mask) for part, mask in zip(parts, live, strict=True)]
        sizes = np.zeros(len(terms), np.int64)
        for own, more in zip(places, self._sizes, strict=True):
            sizes[own] += more
        stays = sizes > 0
        self._terms = terms.filter(pa.array(stays))
        self._places = [(np.cumsum(stays) - 1)[own] for own in places]
        self._starts = np.concatenate([[0], np.cumsum(sizes[stays], dtype=np.int64)])

    def tensors(self) -> list[Tensor]:
        """The arrays; postings are merged while they are read, once for rows, once for counts."""
        spelled, letters = _buffers(self._terms)
        word, total = np.dtype(np.uint32), int(self._starts[-1])
        kind = np.result_type(np.uint8, *(part.counts.dtype for part in self._parts))
        return [
            Tensor("starts", self._starts.dtype, len(self._starts), [self._starts]),
            Tensor("spelled", spelled.dtype, len(spelled), [spelled]),
            Tensor("rows", word, total, self._merged("rows", word)),
            Tensor("lengths", word, int(self._firsts[-1]), self._lengths),
            Tensor("counts", kind, total, self._merged("counts", kind)),
            Tensor("letters", letters.dtype, len(letters), [letters]),
        ]

    def _merged(self, name: str, kind: np.dtype[Any]) -> Iterator[Array]:
        """The rows or the counts of all postings, those of some terms at a time."""
        rows = [self._new_rows(number) for number in range(len(self._parts))]
        for first, last in _some(self._starts):
            begin = int(self._starts[first])
            result = np.empty(int(self._starts[last]) - begin, kind)
            free = self._starts[first:last] - begin  # where a term's next posting goes
            for number, places in enumerate(self._places):
                own = slice(*np.searchsorted(places, [first, last]).tolist())
                sizes = self._sizes[number][own]
                terms = places[own][sizes > 0] - first
                sizes = sizes[sizes > 0]
                values = self._values(number, own, name, rows[number])
                before = np.cumsum(sizes) - sizes
                result[np.repeat(free[terms] - before, sizes) + np.arange(len(values))] = values
                free[terms] += sizes
            yield result

    def _new_rows(self, number: int) -> Array:
        """The row in the whole of each row of a part; of those that go, any."""
        mask = self._live[number]
        kept = np.ones(len(self._parts[number]), np.bool_) if mask is None else mask
        rows: Array = np.cumsum(kept) - 1 + self._firsts[number]
        return rows.astype(np.uint32)

    def _values(self, number: int, own: slice, name: str, rows: Array) -> Array:
        """The merged rows or the counts of some of a part's terms."""
        part, mask = self._parts[number], self._live[number]
        postings = slice(int(part.starts[own.start]), int(part.starts[own.stop]))
        stood = part.rows[postings]
        values: Array = rows[stood] if name == "rows" else part.counts[postings]
        return values if mask is None else values[mask[stood]]


def check_live(parts: Sequence[WordCounts], live: Sequence[Mask | None]) -> None:
    """Raises:
    InputError: masks that are not booleans, one for each row of their part.
    """
    shapes = [None if mask is None else (mask.dtype.name, mask.shape) for mask in live]
    wanted = [("bool", (len(part),)) for part in parts]
    if len(live) != len(parts) or any(
        own is not None and own != need for own, need in zip(shapes, wanted, strict=True)
    ):
        raise InputError(
            f"live has masks of {shapes}; expected for each of {len(parts)} segments are None or "
            f"booleans, one for each of its rows: {wanted}"
        )


def live_sizes(part: WordCounts, mask: Mask | None) -> Integers:
    """In how many of the rows that stay each term stands."""
    if mask is None:
        return np.diff(part.starts)
    sizes = np.empty(part.terms, np.int64)
    for first, last in _some(part.starts):
        begin, end = int(part.starts[first]), int(part.starts[last])
        kept = mask[part.rows[begin:end]]
        # Every term has a posting, so that each sum ends where the next begins.
        sizes[first:last] = np.add.reduceat(kept, part.starts[first:last] - begin, dtype=np.int64)
    return sizes


def _some(starts: Array) -> Iterator[tuple[int, int]]:
    """Ranges of terms that have about POSTINGS postings together, one term at least."""
    first, terms = 0, len(starts) - 1
    while first < terms:
        last = int(np.searchsorted(starts, starts[first] + POSTINGS, "right")) - 1
        yield first, (first := max(first + 1, last))


def _united(parts: Sequence[WordCounts]) -> tuple[Any, list[Integers]]:
    """All terms in order, an Arrow array; and the places in it of each part's terms."""
    kind = pa.large_binary()
    arrays = [
        pa.LargeBinaryArray.from_buffers(
            kind, part.terms, [None, pa.py_buffer(part.spelled), pa.py_buffer(part.letters)]
        )
        for part in parts
    ]
    encoded = pa.concat_arrays([pa.array([], kind), *arrays]).dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    places = rank[encoded.indices.to_numpy()]
    ends = np.cumsum([part.terms for part in parts], dtype=np.int64)
    return encoded.dictionary.take(pa.array(order)), np.split(places, ends)[: len(parts)]


def _buffers(terms: Any) -> tuple[Integers, npt.NDArray[np.uint8]]:
    """Where each term of an Arrow array begins, the end of the last included; and their bytes."""
    _, offsets, letters = terms.buffers()
    if not len(terms):
        return np.zeros(1, np.int64), np.empty(0, np.uint8)
    spelled = np.frombuffer(offsets, np.int64)[terms.offset : terms.offset + len(terms) + 1]
    return spelled - spelled[0], np.frombuffer(letters, np.uint8)[spelled[0] : spelled[-1]]
