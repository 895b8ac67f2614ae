"""Int8 vectors: what they decode to, and how far that is from what was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dpr.errors import InputError
from dpr.indexes.int8 import Int8Vectors, to_int8

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=FINITE))
def test_each_number_is_within_half_a_step(values: Any) -> None:
    part = to_int8(values)
    largest = np.abs(values).max(axis=1).astype(np.float64)
    normal = largest >= 127 * float(np.finfo(np.float32).tiny)
    assert (np.abs(part.codes[normal].astype(int)).max(axis=1) == 127).all()
    off = np.abs(part.decoded().astype(np.float64) - values).max(axis=1)
    assert (off[normal] <= largest[normal] / 254 * (1 + 1e-5)).all()
    assert (np.abs(part.decoded()) <= largest[:, None] * (1 + 1e-6)).all()


def test_the_scale_is_the_largest_value_over_127() -> None:
    part = to_int8(np.array([[0.5, -12.7, 3.14], [0, 0, 0]], np.float16))
    assert part.scales.tolist() == [np.float32(float(np.float16(12.7)) / 127), 0]
    assert part.codes.tolist() == [[5, -127, 31], [0, 0, 0]]
    assert len(part) == 2
    np.testing.assert_array_equal(part.decoded(np.array([1, 0])), part.decoded()[::-1])


def test_a_value_is_code_times_scale_rounded_once() -> None:
    part = to_int8(np.random.default_rng(0).standard_normal((50, 20)))
    exact = part.codes.astype(np.float64) * part.scales.astype(np.float64)[:, None]
    np.testing.assert_array_equal(part.decoded(), exact.astype(np.float32))


@pytest.mark.parametrize(
    "vectors",
    [np.ones(3), np.ones((2, 3), np.int64), np.array([[1, np.nan]]), np.array([[1e300]])],
)
def test_what_cannot_be_stored_is_refused(vectors: Any) -> None:
    with pytest.raises(InputError):
        to_int8(vectors)


@pytest.mark.parametrize(
    ("codes", "scales"),
    [
        (np.ones((2, 3), np.int16), np.ones(2, np.float32)),
        (np.ones((2, 3), np.int8), np.ones(3, np.float32)),
        (np.ones((2, 3), np.int8), np.ones(2, np.float64)),
        (np.ones(2, np.int8), np.ones(2, np.float32)),
    ],
)
def test_codes_and_scales_must_fit(codes: Any, scales: Any) -> None:
    with pytest.raises(InputError, match="codes have shape"):
        Int8Vectors(codes, scales)
