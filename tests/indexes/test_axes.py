"""Axes: what they keep, and that their two sides belong together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dpr.indexes import axes
from dpr.indexes.rotation import mixed, principal_axes
from dpr.indexes.stored import StoredVectors


def vectors(rows: int = 4000, dim: int = 24, seed: int = 0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(9).standard_normal((dim, dim)))[0]
    spread = np.arange(1, dim + 1) ** -1.0
    return ((rng.standard_normal((rows, dim)) * spread + 0.1) @ turn).astype(np.float32)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_two_sides_keep_inner_products(width: int) -> None:
    values, queries = vectors(), vectors(50, seed=1)
    energies, found = principal_axes(StoredVectors([values]), 4000)
    for side in (mixed(found, [24], 3), axes.weighted(found, energies, width), found):
        products = (queries @ side.T) @ (values @ axes.other_side(side).T).T
        np.testing.assert_allclose(products, queries @ values.T, atol=2e-4)
        np.testing.assert_allclose(axes.other_side(axes.other_side(side)), side, rtol=1e-5)


def test_weighted_axes_make_errors_cost_the_same() -> None:
    """The same squared error along any axis for rows is, for queries, about the same in scores."""
    values, queries = vectors(), vectors(2000, seed=1)
    energies, found = principal_axes(StoredVectors([values]), 4000)
    side = axes.weighted(found, energies, 2)
    costs = np.square(queries @ side.T).mean(axis=0)
    plain = np.square(queries @ found.T).mean(axis=0)
    assert costs.max() / costs.min() < 2
    assert plain.max() / plain.min() > 50


@pytest.mark.parametrize(("count", "width"), [(24, 2), (24, 4), (25, 4), (3, 4), (1, 2)])
def test_groups_are_balanced(count: int, width: int) -> None:
    energies = np.arange(1, count + 1) ** -2.0
    order = axes.balanced(energies, width)
    size = min(width, count)
    assert sorted(order.tolist()) == list(range(count // size * size))
    products = np.log(energies[order]).reshape(-1, size).sum(axis=1)
    in_order = np.log(energies[: len(order)]).reshape(-1, size).sum(axis=1)
    assert np.ptp(products) <= np.ptp(in_order) / 3 or len(products) == 1
