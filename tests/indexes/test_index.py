"""What indexes have in common: the indexes of this room keep the contract."""

from __future__ import annotations

import numpy as np
import pytest

from dpr.errors import InputError, SettingsError
from dpr.indexes import FlatIndex
from dpr.indexes.index import Index, checked_allowed, checked_k, checked_queries


def test_a_flat_index_keeps_the_contract() -> None:
    index: Index = FlatIndex([np.eye(4, dtype=np.float32)])
    assert (len(index), index.dim, index.exact, index.bytes, index.touched) == (4, 4, True, 0, 64)


def test_queries_become_float32() -> None:
    queries = np.asfortranarray(np.ones((3, 4), np.float16))
    checked = checked_queries(queries, 4)
    assert checked.dtype == np.float32 and checked.flags.c_contiguous
    with pytest.raises(InputError, match=r"\(queries, 4\)"):
        checked_queries(np.ones((3, 5)), 4)


def test_k_becomes_a_plain_integer() -> None:
    assert type(checked_k(np.int64(3))) is int  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="k is 0"):
        checked_k(0)


def test_a_mask_that_allows_all_is_none() -> None:
    assert checked_allowed(None, 3) is None
    assert checked_allowed(np.ones(3, np.bool_), 3) is None
    mask = np.array([True, False, True])
    assert checked_allowed(mask, 3) is mask
    with pytest.raises(InputError, match=r"booleans of shape \(4,\)"):
        checked_allowed(mask, 4)
