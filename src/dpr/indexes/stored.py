"""Stored vectors, read in bounded memory: chunk by chunk, or row by row where they are needed.

Takes arrays (memory maps do) of float16 or float32, or codes of int8; gives float32. Knows nothing
of ranking, of files or of passages.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from dpr.errors import InputError
from dpr.indexes.index import Floats, Rows
from dpr.indexes.int8 import Int8Vectors
from dpr.indexes.pages import fetch, let_go, outgrows_memory

Part = npt.NDArray[Any] | Int8Vectors

CHUNK_ROWS = 4096
MATRIX_ROWS = 16384  # rows of a matrix product: threads wait for each other after each


class Guard(Protocol):
    """Asked before stored rows are read; several threads may ask at once.

    Both raise CorruptionError where rows are not what was once stored.
    """

    def range(self, first: int, last: int) -> None:
        """The rows from ``first`` to before ``last`` are about to be read."""

    def rows(self, rows: Rows) -> None:
        """These rows are about to be read."""


class StoredVectors:
    """Parts of (rows, dim), taken together as one in order; not copied.

    Args:
        parts: arrays of float16, arrays of float32, or ``Int8Vectors``: all of one kind.
        longest: no vector is longer than this; None: the first search reads all to find out.
        guard: asked before rows are read.

    Attributes:
        kind: "float16", "float32" or "int8".
        starts: the first row of each part, and the number of rows.

    Raises:
        InputError: no rows, parts of another kind or of different dims, or a length that is none.
    """

    def __init__(
        self, parts: Sequence[Part], *, longest: float | None = None, guard: Guard | None = None
    ) -> None:
        self.parts: list[Part] = [
            part if isinstance(part, Int8Vectors) else np.asarray(part) for part in parts
        ]
        kinds = {_kind(part) for part in self.parts}
        dims = {array.shape[1] if array.ndim == 2 else 0 for array in map(_numbers, self.parts)}
        if len(dims) != 1 or 0 in dims or len(kinds) != 1 or not kinds <= set(_KINDS):
            shapes = [(_numbers(part).shape, _kind(part)) for part in self.parts]
            raise InputError(
                f"vectors have shapes and types {shapes}; allowed are one or more arrays "
                f"(rows, dim) of float16 or of float32, or int8 with scales, all of the same kind "
                f"and dim"
            )
        if longest is not None and not 0 <= longest < np.inf:
            raise InputError(f"longest is {longest}; allowed are finite lengths of 0 or more")
        self.kind = kinds.pop()
        self.dim = int(dims.pop())
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])
        self.tensors = [tensor_of(_numbers(part)) for part in self.parts]
        self._scattered = [outgrows_memory(_numbers(part)) for part in self.parts]
        self._longest = longest
        self._guard = guard
        if not len(self):
            raise InputError("there are no vectors to search; give at least one row")

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def bytes(self) -> int:
        """Bytes of all stored vectors."""
        return len(self) * (self.dim * _KINDS[self.kind] + (4 if self.kind == "int8" else 0))

    def exact(self, queries: Floats, which: npt.NDArray[Any], rows: npt.NDArray[Any]) -> Floats:
        """Scores (n,) of pairs (``queries[which]``, ``rows``) in fixed arithmetic: products and
        sums in float64, row by row, rounded to float32; a pair's score depends on it alone."""
        scores = np.empty(len(rows), np.float32)
        for first in range(0, len(rows), CHUNK_ROWS):
            some = slice(first, first + CHUNK_ROWS)
            terms = self.take(rows[some]).astype(np.float64)
            terms *= queries[which[some]]
            scores[some] = terms.sum(axis=1)
        return scores

    def take(self, rows: npt.NDArray[Any]) -> Floats:
        """Some rows (n, dim), in the order given."""
        if self._guard is not None and len(rows):
            self._guard.rows(np.asarray(rows, np.int64))
        taken = np.empty((len(rows), self.dim), np.float32)
        numbers = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(numbers).tolist():
            part, places = self.parts[number], np.flatnonzero(numbers == number)
            wanted = rows[places] - self.starts[number]
            if self._scattered[number] and len(wanted) <= CHUNK_ROWS:
                fetch(_numbers(part), ((row, row + 1) for row in wanted.tolist()))
            # torch converts from float16 about ten times as fast as numpy.
            found = (
                part.decoded(wanted)
                if isinstance(part, Int8Vectors)
                else torch.from_numpy(part[wanted]).float().numpy()
            )
            if len(places) == len(rows):
                return found
            taken[places] = found
        return taken

    def longest(self) -> float:
        """A length that no vector exceeds; found by reading all of them where none was given."""
        if self._longest is None:
            longest = 0.0
            for row, values in self.values():
                longest = max(longest, _longest(values, row))
                self.let_go()
            self._longest = longest
        return self._longest

    def values(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, Floats]]:
        """Chunks of some rows with their first row; each valid until the next one is taken."""
        last = len(self) if last is None else min(last, len(self))
        buffer = torch.empty((min(MATRIX_ROWS, len(self)), self.dim), dtype=torch.float32)
        for number, part in enumerate(self.parts):
            start = int(self.starts[number])
            begin, end = max(first - start, 0), min(last - start, len(part))
            for at in range(begin, end, MATRIX_ROWS):
                some = slice(at, min(at + MATRIX_ROWS, end))
                self.check(start + some.start, start + some.stop)
                yield start + at, self._decoded(number, some, buffer[: some.stop - some.start])

    def let_go(self) -> None:
        """Gives back the memory of what was read, where it is a map; for whoever reads all."""
        for part in self.parts:
            let_go(_numbers(part))

    def check(self, first: int, last: int) -> None:
        """Asks the guard for rows that are about to be read, several threads at once."""
        if self._guard is None:
            return
        if last - first <= MATRIX_ROWS:
            self._guard.range(first, last)
            return
        edges = [*range(first, last, MATRIX_ROWS), last]
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            list(threads.map(self._guard.range, edges[:-1], edges[1:]))

    def _decoded(self, number: int, some: slice, buffer: torch.Tensor) -> Floats:
        part = self.parts[number]
        if isinstance(part, Int8Vectors):
            buffer.copy_(self.tensors[number][some])
            values: Floats = buffer.mul_(tensor_of(part.scales[some, None])).numpy()
            return values
        if self.kind == "float32":
            return part[some]
        halves: Floats = buffer.copy_(self.tensors[number][some]).numpy()
        return halves


_KINDS = {"float16": 2, "float32": 4, "int8": 1}


def _numbers(part: Part) -> npt.NDArray[Any]:
    return part.codes if isinstance(part, Int8Vectors) else part


def _kind(part: Part) -> str:
    if isinstance(part, Int8Vectors):
        return "int8"
    return "int8 without scales" if part.dtype == np.int8 else str(part.dtype)


def tensor_of(part: npt.NDArray[Any]) -> torch.Tensor:
    """The same memory as a tensor, for reading."""
    with warnings.catch_warnings():
        # Read-only memory maps make torch warn of writing, which never happens here.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(part)


def _longest(values: Floats, row: int) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        squares: npt.NDArray[np.floating[Any]] = np.einsum("ij,ij->i", values, values)
    if not np.isfinite(squares).all():
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise InputError(
                f"the vector in row {row + int(np.argmin(finite))} holds NaN or infinity; build "
                f"the collection again"
            )
        squares = np.square(values, dtype=np.float64).sum(axis=1)
    # The sum's own rounding, and a tiny length that was lost to underflow: no bound may be too
    # small for them.
    rounded = 1 + int(values.shape[1]) * 2.0**-24
    return math.sqrt(float(squares.max())) * rounded + 2.0**-60
