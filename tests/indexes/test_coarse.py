"""Cells, against scikit-learn's k-means and plain arithmetic."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.cluster import KMeans

from dpr.errors import InputError
from dpr.indexes import coarse
from dpr.indexes.stored import StoredVectors


def blobs(rows: int = 3000, dim: int = 8) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(0)
    middles = rng.standard_normal((30, dim)) * 3
    noise = rng.standard_normal((rows, dim))
    return (middles[rng.integers(0, 30, rows)] + noise).astype(np.float32)


def loss(vectors: npt.NDArray[np.float32], middles: npt.NDArray[np.float32]) -> float:
    squares = np.square(vectors[:, None] - middles[None]).sum(axis=2)
    return float(squares.min(axis=1).mean())


@pytest.mark.parametrize("in_one_step", [4096, 8])
def test_cells_are_about_as_good_as_those_of_scikit_learn(
    in_one_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coarse, "IN_ONE_STEP", in_one_step)
    vectors = blobs()
    seen: list[tuple[int, int]] = []
    middles = coarse.centroids(vectors, 64, 0, lambda _, done, all_: seen.append((done, all_)))
    assert middles.shape == (64, 8) and middles.dtype == np.float32
    wanted = KMeans(64, n_init=1, random_state=0).fit(vectors).inertia_ / len(vectors)
    assert loss(vectors, middles) < 1.15 * wanted
    assert seen == ([] if in_one_step == 4096 else [(cell, 8) for cell in range(1, 9)])


@pytest.mark.parametrize(("rows", "cells"), [(1, 1), (5, 5), (3, 7), (50, 49), (40, 1)])
def test_few_rows_make_as_many_cells_as_asked_for(rows: int, cells: int) -> None:
    middles = coarse.centroids(blobs(rows), cells, 0)
    assert middles.shape == (cells, 8) and np.isfinite(middles).all()


def test_the_same_seed_gives_the_same_cells() -> None:
    vectors = blobs()
    first, second, other = (coarse.centroids(vectors, 20, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("by_list", [4096, 100])
def test_the_nearest_centroids_are_found(by_list: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse, "BY_LIST", by_list)
    middles, vectors = blobs(500), blobs(200)
    index = coarse.nearest(middles)
    assert hasattr(index, "refine_index") == (by_list == 100)
    if by_list == 100:
        index.k_factor = 16  # two codes of four bits tell little of eight numbers
    near = index.search(vectors, 5)[1]
    distances = np.square(vectors[:, None] - middles[None]).sum(axis=2)
    wanted = distances.argsort(axis=1)[:, :5]
    shared = [np.intersect1d(one, other).size for one, other in zip(near, wanted, strict=True)]
    assert np.mean(shared) > 4.9


def test_samples_are_drawn_from_all_parts() -> None:
    values = np.arange(4000, dtype=np.float32).reshape(1000, 4)
    stored = StoredVectors([values[:10], values[10:]])
    drawn = coarse.sample(stored, 100, 0)[:, 0] / 4
    assert len(set(drawn.tolist())) == 100 and (np.diff(drawn) > 0).all()
    assert drawn.min() < 100 and drawn.max() > 900
    np.testing.assert_array_equal(drawn, coarse.sample(stored, 100, 0)[:, 0] / 4)
    np.testing.assert_array_equal(coarse.sample(stored, 2000, 0), values)
    axes = np.array([[0, 1, 0, 0], [1, 0, 0, 1]], np.float32)
    np.testing.assert_array_equal(coarse.sample(stored, 2000, 0, axes), values @ axes.T)


def test_a_row_that_is_not_finite_is_named() -> None:
    values = np.ones((100, 4), np.float32)
    values[41, 2] = np.nan
    with pytest.raises(InputError, match="row 41"):
        coarse.sample(StoredVectors([values]), 100, 0)
