"""Dense search over changed segments against one index over the rows that are there."""

from __future__ import annotations

import numpy as np
import pytest

from dpr.collection import Collection
from dpr.errors import CorruptionError, InputError, SettingsError
from dpr.filters import Filters, parse_filters
from dpr.indexes.flat import FlatIndex
from dpr.search.dense import DenseIndex
from dpr.search.masks import Masks

from .conftest import DIM, Library, vector_of

QUERIES = np.stack([vector_of(f"query {n}") for n in range(9)])


@pytest.mark.parametrize("k", [1, 7, 1000])
@pytest.mark.parametrize("condition", [None, "year>=1990", "document=d5", "absent=1"])
def test_several_segments_are_searched_as_one_index_of_what_is_there(
    library: Library, k: int, condition: str | None
) -> None:
    filters = parse_filters([condition] if condition else [])
    with Collection.open(library.folder) as collection:
        allowed = Masks(collection).allowed(filters)
        rows = np.flatnonzero(allowed)
        dense = DenseIndex(collection)
        scores, found = dense.search(QUERIES, k, allowed)
        assert dense.exact
        assert len(dense) == collection.starts[-1]
        assert scores.shape == found.shape == (9, min(k, len(rows)))
        if not len(rows):
            return
        every = np.concatenate([np.asarray(part) for part in collection.vectors])
        ids = collection.ids(rows.tolist())
        one = FlatIndex([every[rows]], lambda places: [ids[int(place)] for place in places])
        own_scores, own_places = one.search(QUERIES, k)
        assert np.array_equal(rows[own_places], found)
        np.testing.assert_allclose(scores, own_scores, rtol=1e-6)
        brute = every[rows].astype(np.float64) @ QUERIES.T.astype(np.float64)
        best = np.sort(brute.T, axis=1)[:, ::-1][:, :k]
        np.testing.assert_allclose(scores, best, rtol=1e-5, atol=1e-5)


def test_scores_of_rows_are_their_inner_products(library: Library) -> None:
    with Collection.open(library.folder) as collection:
        dense = DenseIndex(collection)
        rows = np.array([collection.starts[-1] - 1, 3, 0, 3, collection.starts[1]])
        every = np.concatenate([np.asarray(part) for part in collection.vectors])
        wanted = every[rows].astype(np.float64) @ QUERIES[0].astype(np.float64)
        np.testing.assert_allclose(dense.scores(QUERIES[0], rows), wanted, rtol=1e-5)
        found_scores, found_rows = dense.search(QUERIES[:1], 5)
        assert np.array_equal(dense.scores(QUERIES[0], found_rows[0]), found_scores[0])


def test_what_cannot_be_searched_is_refused(library: Library) -> None:
    with Collection.open(library.folder) as collection:
        dense = DenseIndex(collection)
        with pytest.raises(SettingsError):
            dense.search(QUERIES, 0)
        with pytest.raises(InputError):
            dense.search(QUERIES[:, : DIM - 1], 3)
        with pytest.raises(InputError):
            dense.search(QUERIES, 3, np.ones(5, np.bool_))


def test_altered_vectors_are_met(
    library: Library, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import shutil

    copy = shutil.copytree(library.folder, tmp_path_factory.mktemp("dense") / "copy")
    file = sorted(copy.glob("segments/*/vectors.npy"))[0]
    data = bytearray(file.read_bytes())
    data[-3] ^= 64
    file.write_bytes(data)
    with Collection.open(copy) as collection, pytest.raises(CorruptionError):
        DenseIndex(collection).search(QUERIES, 3, Masks(collection).allowed(Filters()))
