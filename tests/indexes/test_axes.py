"""Axes: what they keep, and that their two sides belong together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.linalg

from dpr.indexes import axes


def vectors(rows: int = 4000, dim: int = 24, seed: int = 0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(9).standard_normal((dim, dim)))[0]
    spread = np.arange(1, dim + 1) ** -1.0
    return ((rng.standard_normal((rows, dim)) * spread + 0.1) @ turn).astype(np.float32)


def test_principal_axes_are_those_of_a_singular_value_decomposition() -> None:
    values = vectors()
    found, energies = axes.principal(values, 10)
    _, singular, wanted = scipy.linalg.svd(values.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(energies, singular[:10] ** 2 / len(values), rtol=1e-6)
    np.testing.assert_allclose(np.abs((found * wanted[:10]).sum(axis=1)), 1, atol=1e-4)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_two_sides_keep_inner_products(width: int) -> None:
    values, queries = vectors(), vectors(50, seed=1)
    found, energies = axes.principal(values, 24)
    for side in (axes.rotated(found, 3), axes.weighted(found, energies, width), found):
        products = (queries @ side.T) @ (values @ axes.other_side(side).T).T
        np.testing.assert_allclose(products, queries @ values.T, atol=2e-4)
        np.testing.assert_allclose(axes.other_side(axes.other_side(side)), side, rtol=1e-5)


def test_rotated_axes_share_the_energy() -> None:
    values = vectors()
    found, energies = axes.principal(values, 24)
    turned = np.square(values @ axes.rotated(found, 0).T).mean(axis=0)
    assert turned.max() / turned.min() < energies[0] / energies[-1] / 10
    np.testing.assert_allclose(turned.sum(), energies.sum(), rtol=1e-4)
    assert not np.allclose(axes.rotated(found, 0), axes.rotated(found, 1))


def test_weighted_axes_make_errors_cost_the_same() -> None:
    """The same squared error along any axis for rows is, for queries, about the same in scores."""
    values, queries = vectors(), vectors(2000, seed=1)
    found, energies = axes.principal(values, 24)
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
