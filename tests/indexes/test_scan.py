"""The scan of int8 codes: the fast kernel against the plain product, and when it is not used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from dpr.indexes import scan


@pytest.fixture(autouse=True)
def _chosen_anew() -> Iterator[None]:
    scan.best_scan.cache_clear()
    yield
    scan.best_scan.cache_clear()


def case(rows: int, count: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows + count)
    codes = torch.randint(-127, 128, (rows, dim), dtype=torch.int8, generator=generator)
    return torch.randn((count, dim), generator=generator).bfloat16(), codes


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 64, 5000])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("dim", [32, 288])
def test_the_kernel_equals_the_plain_product(rows: int, count: int, dim: int) -> None:
    queries, codes = case(rows, count, dim)
    exact = queries.double().numpy() @ codes.double().numpy().T
    # What dpr.indexes.narrowing counts on: relative to the lengths, not to the product.
    lengths = torch.linalg.vector_norm(queries.double(), dim=1)[:, None]
    bound = (lengths * torch.linalg.vector_norm(codes.double(), dim=1)).numpy() * 2.0**-8
    plain = scan.plain_scan(queries, codes)
    assert np.abs(plain.double().numpy() - exact).max() < 1e-3 * dim**0.5
    for found in (plain, scan.packed_scan(queries, codes)):
        assert found.shape == (count, rows)
        assert (np.abs(found.double().numpy() - exact) <= bound).all()


def test_no_rows_give_no_products() -> None:
    queries, codes = case(3, 2, 32)
    for one in (scan.plain_scan, scan.best_scan()):
        assert one(queries, codes[:0]).shape == (2, 0)


def test_more_rows_than_ones_are_held_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "ONES", 4)
    queries, codes = case(9, 2, 32)
    wanted = scan.plain_scan(queries, codes).bfloat16()
    torch.testing.assert_close(scan.packed_scan(queries, codes), wanted, rtol=2.0**-7, atol=1e-2)


def test_a_kernel_that_is_missing_or_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch._weight_int8pack_mm

    def wrong(*given: Any) -> torch.Tensor:
        return right(*given) * 1.02

    def refuses(*given: Any) -> torch.Tensor:
        raise RuntimeError("not for this type")

    for kernel in (wrong, refuses):
        monkeypatch.setattr(torch, "_weight_int8pack_mm", kernel)
        assert scan.best_scan() is scan.plain_scan
        scan.best_scan.cache_clear()
    monkeypatch.delattr(torch, "_weight_int8pack_mm")
    assert scan.best_scan() is scan.plain_scan
