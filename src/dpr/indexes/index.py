"""What every index over stored vectors has in common: how it is searched, and how it is built.

Takes and gives arrays only. Knows nothing of passages, models or any particular index; files it
knows only as names that a ``Bench`` keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError, SettingsError

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

Ids = Callable[[Sequence[int]], list[str]]
"""Gives the ids of rows; equal scores are ordered by id (as Python orders strings)."""

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, how much of it is done, and how much there is to do."""


class Index(Protocol):
    """Vectors that can be searched by inner product.

    Attributes:
        dim: numbers of a vector.
        exact: True where the result is always that of ``FlatIndex`` over the same vectors.
    """

    dim: int
    exact: bool

    def __len__(self) -> int:
        """Rows, those that a search may leave out included."""

    @property
    def bytes(self) -> int:
        """What the index itself holds, in memory or mapped from its own files."""

    @property
    def touched(self) -> int:
        """Bytes of the stored vectors that searches may read besides; 0: none."""

    def search(
        self, queries: npt.NDArray[Any], k: int, allowed: Mask | None = None
    ) -> tuple[Floats, Rows]:
        """The k rows with the largest inner products for each query.

        Args:
            queries: (q, dim) floats; used as float32.
            k: at least 1.
            allowed: (rows,) which rows may be found; None: all.

        Returns:
            Scores (q, k') float32 in descending order and their rows (q, k') int64, with k' =
            min(k, rows that are allowed); only rows that are allowed; equal scores by id.

        Raises:
            SettingsError: k below 1.
            InputError: queries of another shape or type, or not finite; a mask of another shape.
        """


class Bench(Protocol):
    """Where a build keeps what it has done, so that another run can go on from there."""

    def kept(self, name: str) -> Path | None:
        """A file that was kept whole, verified; None where there is none."""

    def keep(self, name: str, chunks: Iterable[bytes | memoryview]) -> Path:
        """Writes a file; on return it is durable."""


def checked_queries(queries: npt.NDArray[Any], dim: int) -> Floats:
    """The queries as contiguous float32.

    Raises:
        InputError: another shape or type than floats (q, dim), or a number that is not finite.
    """
    array = np.asarray(queries)
    if array.ndim != 2 or array.shape[1] != dim or array.dtype.kind != "f":
        raise InputError(
            f"queries have shape {array.shape} and type {array.dtype}; allowed are floats of "
            f"shape (queries, {dim}), also for a single query"
        )
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(result).all(axis=1)
    if not finite.all():
        raise InputError(
            f"query {int(np.argmin(finite))} holds NaN, infinity or a number beyond float32; "
            f"check the question encoder"
        )
    return result


def checked_k(k: int) -> int:
    """k as a plain integer.

    Raises:
        SettingsError: not an integer of 1 or more.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise SettingsError(f"k is {k!r}; allowed are integers of 1 or more")
    return int(k)


def checked_allowed(allowed: Mask | None, rows: int) -> Mask | None:
    """The mask; None also where it allows every row.

    Raises:
        InputError: another shape or type than booleans (rows,).
    """
    if allowed is None:
        return None
    mask = np.asarray(allowed)
    if mask.shape != (rows,) or mask.dtype != np.bool_:
        raise InputError(
            f"allowed has shape {mask.shape} and type {mask.dtype}; expected are booleans of "
            f"shape ({rows},), one for each row"
        )
    return None if mask.all() else mask
