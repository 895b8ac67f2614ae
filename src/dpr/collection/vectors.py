"""Vectors as bytes: checks on what an encoder gives, and the header of ``vectors.npy``.

Takes arrays and gives arrays and bytes; knows nothing of manifests or where files lie.
``vectors.npy`` is a plain NumPy file (format 1.0, C order) of shape (rows, dim), whose header is
padded to ``HEADER_BYTES``: rows can be appended behind it and the count filled in at the end. With
``int8`` the numbers are whole, and ``scales.npy`` (rows,) holds what each row is multiplied by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dpr.errors import CollectionError
from dpr.indexes.int8 import to_int8
from dpr.records import Passage

VectorType = Literal["float16", "float32", "int8"]
HEADER_BYTES = 128
_MAGIC = b"\x93NUMPY\x01\x00"


@dataclass(frozen=True, slots=True)
class Stored:
    """Vectors as they are stored.

    Attributes:
        numbers: (rows, dim) of the stored type.
        scales: (rows,) float32 by which the rows of int8 numbers are multiplied; else None.
    """

    numbers: npt.NDArray[Any]
    scales: npt.NDArray[np.float32] | None = None

    def values(self) -> npt.NDArray[np.float32]:
        """What they stand for, (rows, dim) float32."""
        numbers = self.numbers.astype(np.float32)
        return numbers if self.scales is None else numbers * self.scales[:, None]


def header(shape: tuple[int, ...], dtype: str) -> bytes:
    """The first ``HEADER_BYTES`` bytes of a NumPy file of this shape."""
    descr = np.dtype(dtype).newbyteorder("<").str
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    length = HEADER_BYTES - len(_MAGIC) - 2
    return _MAGIC + length.to_bytes(2, "little") + text.ljust(length - 1).encode() + b"\n"


def row_bytes(dim: int, dtype: str) -> int:
    """Bytes of one vector."""
    return dim * np.dtype(dtype).itemsize


def stored(vectors: Any, passages: Sequence[Passage], dim: int, dtype: VectorType) -> Stored:
    """What an encoder gave for these passages, checked and in the type in which it is stored.

    Args:
        vectors: (len(passages), dim), any float type; or ``Stored`` of that very type, which stays
            as it is.

    Raises:
        CollectionError: wrong shape or type; a vector that is not finite, all zero, or out of
            the stored type's range; the message names the passage.
    """
    if isinstance(vectors, Stored):
        return vectors
    array = np.asarray(vectors)
    if array.shape != (len(passages), dim) or array.dtype.kind != "f":
        raise CollectionError(
            f"the encoder gave an array of shape {array.shape} and type {array.dtype} for "
            f"{len(passages)} passages from {passages[0].id!a} on; expected floats of shape "
            f"{(len(passages), dim)}: the encoder is at fault, or its `dim` is"
        )
    _refuse(~np.isfinite(array).all(axis=1), passages, "holds NaN or infinity: the model is damaged"
            " or its numbers ran over; check it with one text at a time")  # fmt: skip
    with np.errstate(over="ignore", under="ignore"):
        if dtype == "int8":
            coded = to_int8(array)
            result = Stored(coded.codes, coded.scales)
        else:
            wanted = np.dtype(dtype).newbyteorder("<")
            result = Stored(np.ascontiguousarray(array, dtype=wanted))
    limit = np.finfo("float32" if dtype == "int8" else dtype).max
    held = result.numbers if result.scales is None else result.scales[:, None]
    _refuse(
        ~np.isfinite(held).all(axis=1),
        passages,
        f"is too large for {dtype} (largest number {limit}); store float32",
    )
    _refuse(
        ~result.numbers.any(axis=1),
        passages,
        f"is all zero in {dtype} and could never be found; check the model, or store float32",
    )
    return result


def _refuse(bad: Any, passages: Sequence[Passage], fault: str) -> None:
    if bad.any():
        first = passages[int(np.argmax(bad))].id
        others = f" ({int(bad.sum())} such in this shard)" if bad.sum() > 1 else ""
        raise CollectionError(f"the vector of passage {first!a}{others} {fault}")
