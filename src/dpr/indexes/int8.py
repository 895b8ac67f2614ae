"""Vectors of one byte a number: a code of -127 to 127 times a scale that belongs to the row.

Takes and gives arrays. Knows nothing of searching, files or models. The value of a number is
code * scale, rounded to float32: what ``decoded`` gives is what such a vector is, and every search
is exact over that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError

Floats = npt.NDArray[np.float32]
LARGEST = 127


@dataclass(frozen=True, slots=True)
class Int8Vectors:
    """Rows of codes and their scales; not copied.

    Attributes:
        codes: (n, dim) int8.
        scales: (n,) float32.

    Raises:
        InputError: arrays of another shape or type.
    """

    codes: npt.NDArray[np.int8]
    scales: Floats

    def __post_init__(self) -> None:
        codes, scales = self.codes, self.scales
        fits = codes.ndim == 2 and scales.shape == codes.shape[:1]
        if not fits or codes.dtype != np.int8 or scales.dtype != np.float32:
            raise InputError(
                f"codes have shape {codes.shape} and type {codes.dtype}, scales {scales.shape} and "
                f"{scales.dtype}; allowed are int8 of (rows, dim) and float32 of (rows,)"
            )

    def __len__(self) -> int:
        return len(self.codes)

    def decoded(self, rows: slice | npt.NDArray[np.int64] = slice(None)) -> Floats:
        """The values of some rows (n, dim), each rounded to float32 once."""
        return np.multiply(self.codes[rows], self.scales[rows, None], dtype=np.float32)


def to_int8(vectors: npt.NDArray[Any]) -> Int8Vectors:
    """Each row by its own scale, largest absolute value / 127; codes rounded to nearest.

    A row of zeros has the scale 0; so has one whose largest value / 127 is no float32.

    Args:
        vectors: (n, dim) of any float type.

    Raises:
        InputError: another shape or type; numbers that are not finite or beyond float32.
    """
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise InputError(
            f"vectors have shape {vectors.shape} and type {vectors.dtype}; allowed are floats of "
            f"shape (rows, dim)"
        )
    with np.errstate(over="ignore"):
        values = np.asarray(vectors, np.float32)
    largest = np.abs(values).max(axis=1, initial=0)
    if not np.isfinite(largest).all():
        raise InputError(
            f"the vector in row {int(np.argmin(np.isfinite(largest)))} holds NaN, infinity or a "
            f"number beyond float32; check the encoder"
        )
    scales = (largest.astype(np.float64) / LARGEST).astype(np.float32)
    # At the very end of float32, 127 times a scale that was rounded up would leave it.
    beyond = scales.astype(np.float64) * LARGEST > float(np.finfo(np.float32).max)
    scales[beyond] = np.nextafter(scales[beyond], np.float32(0))
    inverse = np.zeros(len(scales), np.float64)
    np.divide(1, scales, out=inverse, where=scales >= np.finfo(np.float32).tiny)
    scales[inverse == 0] = 0
    codes = np.rint(values * inverse[:, None])
    return Int8Vectors(np.clip(codes, -LARGEST, LARGEST).astype(np.int8), scales)
