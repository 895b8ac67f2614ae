"""The contract of indexes, held by all the approximate kinds, against exact search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dpr.errors import InputError, SettingsError
from dpr.indexes import FlatIndex, approximate, kinds
from dpr.indexes.binary import BinaryEffort, BinarySettings
from dpr.indexes.hnsw import HNSWEffort, HNSWSettings
from dpr.indexes.index import Index, Mask
from dpr.indexes.int8 import to_int8
from dpr.indexes.ivf import IVFEffort, IVFSettings
from dpr.indexes.stored import StoredVectors

ROWS, DIM = 3000, 32

SCORED = [
    HNSWSettings("float16", 8, 32),
    HNSWSettings("int8", 8, 32),
    HNSWSettings("float32", 8, 32),
    IVFSettings(24, code="rabitq"),
    IVFSettings(24, dims=24, code="pq"),
    BinarySettings(),
    BinarySettings(centred=False),
]
ESTIMATED = [
    HNSWSettings("float16", 8, 32, refine="none"),
    IVFSettings(24, code="rabitq", bits=4, refine="none"),
    IVFSettings(24, code="pq", bits=2, refine="none"),
    IVFSettings(24, code="pq", refine="codes"),
]
LITTLE: dict[type, kinds.SearchEffort] = {
    HNSWSettings: HNSWEffort(1),
    IVFSettings: IVFEffort(1),
    BinarySettings: BinaryEffort(0),
}
MUCH: dict[type, kinds.SearchEffort] = {
    HNSWSettings: HNSWEffort(500, 200),
    IVFSettings: IVFEffort(24, 500),
    BinarySettings: BinaryEffort(2500),
}


def clustered(rows: int, seed: int) -> npt.NDArray[np.float32]:
    """Vectors in clusters, with a common part, most of them along few axes."""
    rng, centres = np.random.default_rng(seed), np.random.default_rng(99)
    scale = np.arange(1, DIM + 1) ** -0.5
    middles = centres.standard_normal((40, DIM)) * scale
    noise = rng.standard_normal((rows, DIM)) * scale
    return (middles[rng.integers(0, 40, rows)] + 0.7 * noise + 0.5).astype(np.float32)


VECTORS = clustered(ROWS, 1).astype(np.float16)
QUERIES = clustered(30, 2)


def stored() -> StoredVectors:
    return StoredVectors([VECTORS[:1001], VECTORS[1001:]])


def reversed_ids(rows: Sequence[int]) -> list[str]:
    return [f"p{10**6 - row:07d}" for row in rows]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, dict[str, Path]]:
    """The files of each index, built once."""
    from conftest import FolderBench

    files = {}
    for number, settings in enumerate([*SCORED, *ESTIMATED]):
        bench = FolderBench(tmp_path_factory.mktemp(f"index{number}"))
        names = kinds.build(settings, stored(), bench)
        files[settings] = {name: bench.folder / name for name in names}
    return files


def opened(settings: Any, built: Any, effort: Any, ids: Any = None) -> Index:
    return kinds.load(settings, built[settings], stored(), effort[type(settings)], ids)


def recall(rows: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    pairs = zip(rows, wanted, strict=True)
    return float(np.mean([len(np.intersect1d(*pair)) / len(pair[1]) for pair in pairs]))


def masks() -> list[Mask]:
    rng = np.random.default_rng(3)
    few, half, alone, none = (np.zeros(ROWS, np.bool_) for _ in range(4))
    few[rng.choice(ROWS, 7, replace=False)] = True
    half[rng.random(ROWS) < 0.5] = True
    alone[np.argsort(VECTORS[:, 0])[:200]] = True  # all in one corner
    return [few, half, alone, none]


@pytest.mark.parametrize("settings", [*SCORED, *ESTIMATED], ids=str)
@pytest.mark.parametrize("k", [1, 10, 2999, 5000])
def test_gives_as_many_rows_as_there_are(settings: Any, built: Any, k: int) -> None:
    """With as little effort as there is, for every k."""
    scores, rows = opened(settings, built, LITTLE).search(QUERIES, k)
    assert scores.dtype == np.float32 and rows.dtype == np.int64
    assert scores.shape == rows.shape == (len(QUERIES), min(k, ROWS))
    assert rows.min() >= 0 and rows.max() < ROWS
    assert all(len(set(one)) == len(one) for one in rows.tolist())
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("few_rows", [0, 4096])
@pytest.mark.parametrize("settings", [*SCORED, *ESTIMATED], ids=str)
def test_gives_all_that_are_allowed_and_no_others(
    settings: Any, built: Any, few_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "FEW_ROWS", few_rows)
    index = opened(settings, built, LITTLE)
    for mask in masks():
        count = int(mask.sum())
        for k in (1, 100, ROWS):
            _, rows = index.search(QUERIES[:5], k, mask)
            assert rows.shape == (5, min(k, count))
            assert mask[rows].all()
            assert all(len(set(one)) == len(one) for one in rows.tolist())


@pytest.mark.parametrize("settings", SCORED, ids=str)
def test_scores_and_order_are_those_of_exact_search(
    settings: Any, built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found is scored as FlatIndex scores it; with all the effort, most of it is found."""
    monkeypatch.setattr(approximate, "FEW_ROWS", 0)
    index, exact = opened(settings, built, MUCH), FlatIndex(stored())
    assert index.touched == VECTORS.nbytes and not index.exact
    _, best = exact.search(QUERIES, 10)
    scores, rows = index.search(QUERIES, 10)
    assert recall(rows, best) > 0.97
    every_scores, every_rows = exact.search(QUERIES, ROWS)
    for query in range(len(QUERIES)):
        score_of = dict(zip(every_rows[query].tolist(), every_scores[query].tolist(), strict=True))
        assert [score_of[row] for row in rows[query].tolist()] == scores[query].tolist()


@pytest.mark.parametrize("settings", SCORED, ids=str)
def test_few_allowed_rows_are_searched_exactly(settings: Any, built: Any) -> None:
    index = opened(settings, built, LITTLE, reversed_ids)
    exact = FlatIndex(stored(), reversed_ids)
    for mask in masks():
        for found, wanted in zip(
            index.search(QUERIES, 50, mask), exact.search(QUERIES, 50, mask), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("settings", ESTIMATED, ids=str)
def test_estimates_are_near_the_scores_and_read_no_vectors(settings: Any, built: Any) -> None:
    """Vectors that refuse to be read show that they are not."""

    class Closed:
        def range(self, first: int, last: int) -> None:
            raise AssertionError("read")

        def rows(self, rows: Any) -> None:
            raise AssertionError("read")

    closed = StoredVectors([VECTORS], guard=Closed())
    index = kinds.load(settings, built[settings], closed, MUCH[type(settings)])
    assert index.touched == 0
    scores, rows = index.search(QUERIES, 10)
    _, best = FlatIndex(stored()).search(QUERIES, 10)
    assert recall(rows, best) > 0.6
    true = np.einsum("qd,qkd->qk", QUERIES, VECTORS[rows].astype(np.float32))
    assert np.abs(scores - true).mean() < 0.2 * true.std()
    for mask in masks():
        _, rows = index.search(QUERIES, 20, mask)
        assert mask[rows].all() and rows.shape[1] == min(20, mask.sum())


@pytest.mark.parametrize("settings", [one for one in ESTIMATED if one.refine == "codes"], ids=str)
def test_the_best_by_codes_can_be_scored_by_the_stored_vectors(settings: Any, built: Any) -> None:
    _, best = FlatIndex(stored()).search(QUERIES, 10)
    codes, vectors, every = (
        kinds.load(settings, built[settings], stored(), IVFEffort(64, 400, some))
        for some in (0, 50, ROWS)
    )
    assert codes.touched == 0 and vectors.touched == stored().bytes
    scores, rows = vectors.search(QUERIES, 10)
    for query, own, found in zip(QUERIES, scores, rows, strict=True):
        wanted = stored().exact(query[None], np.zeros(10, np.int64), found)
        np.testing.assert_array_equal(own, wanted)
        assert (np.diff(own) <= 0).all()
    assert recall(codes.search(QUERIES, 10)[1], best) < recall(rows, best)
    np.testing.assert_array_equal(every.search(QUERIES, 10)[1], best)
    for mask in masks():
        found = vectors.search(QUERIES, 20, mask)[1]
        assert mask[found].all() and found.shape[1] == min(20, mask.sum())


@pytest.mark.parametrize("settings", [*SCORED, *ESTIMATED], ids=str)
def test_more_effort_finds_more(settings: Any, built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "FEW_ROWS", 0)
    _, best = FlatIndex(stored()).search(QUERIES, 20)
    little, much = (
        recall(opened(settings, built, effort).search(QUERIES, 20)[1], best)
        for effort in (LITTLE, MUCH)
    )
    assert little < much


@pytest.mark.parametrize("settings", [*SCORED, *ESTIMATED], ids=str)
def test_bytes_are_those_of_the_files_and_foreseen(settings: Any, built: Any) -> None:
    index = opened(settings, built, LITTLE)
    assert index.bytes == sum(path.stat().st_size for path in built[settings].values())
    assert index.bytes == pytest.approx(settings.bytes(ROWS, DIM), rel=0.25)
    assert len(index) == ROWS and index.dim == DIM


def test_equal_scores_are_ordered_by_id(tmp_path: Path) -> None:
    """The same vector many times, in an index without and with ids."""
    from conftest import FolderBench

    vectors = np.repeat(VECTORS[:60], 5, axis=0)
    some = StoredVectors([vectors])
    bench = FolderBench(tmp_path)
    settings = HNSWSettings("float32", 16, 64)
    names = kinds.build(settings, some, bench)
    files = {name: bench.folder / name for name in names}
    index = kinds.load(settings, files, some, HNSWEffort(300), reversed_ids)
    wanted = FlatIndex(some, reversed_ids).search(QUERIES, 20)
    for found, expected in zip(index.search(QUERIES, 20), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_vectors_of_int8_are_indexed_too(tmp_path: Path) -> None:
    from conftest import FolderBench

    some = StoredVectors([to_int8(VECTORS.astype(np.float32))])
    _, best = FlatIndex(some).search(QUERIES, 10)
    for number, settings in enumerate((SCORED[0], SCORED[3], SCORED[5])):
        (tmp_path / str(number)).mkdir()
        bench = FolderBench(tmp_path / str(number))
        files = {name: bench.folder / name for name in kinds.build(settings, some, bench)}
        index = kinds.load(settings, files, some, MUCH[type(settings)])
        assert recall(index.search(QUERIES, 10)[1], best) > 0.97


@pytest.mark.parametrize("settings", [SCORED[0], SCORED[3], SCORED[5]], ids=str)
def test_refuses_what_cannot_be_searched(settings: Any, built: Any) -> None:
    index = opened(settings, built, LITTLE)
    with pytest.raises(SettingsError, match="k is 0"):
        index.search(QUERIES, 0)
    with pytest.raises(InputError, match="shape"):
        index.search(QUERIES[0], 1)
    with pytest.raises(InputError, match="NaN"):
        index.search(np.full((1, DIM), np.nan, np.float32), 1)
    with pytest.raises(InputError, match="allowed has shape"):
        index.search(QUERIES, 1, np.ones(3, np.bool_))
    assert index.search(QUERIES[:0], 5)[1].shape == (0, 5)
