"""Builds that go on: whatever was kept before they stopped, the index is the same or as good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FolderBench

from dpr.errors import InputError, SettingsError
from dpr.indexes import FlatIndex, coarse, hnsw, ivf, kinds
from dpr.indexes.binary import BinarySettings
from dpr.indexes.hnsw import HNSWEffort, HNSWSettings
from dpr.indexes.ivf import IVFEffort, IVFSettings
from dpr.indexes.stored import StoredVectors

ROWS, DIM = 1000, 16
VECTORS = np.random.default_rng(0).standard_normal((ROWS, DIM)).astype(np.float32) + 0.3
QUERIES = np.random.default_rng(1).standard_normal((20, DIM)).astype(np.float32)
SETTINGS = [
    IVFSettings(8, code="rabitq", bits=1),
    IVFSettings(8, code="rabitq", bits=3, refine="none"),
    IVFSettings(8, code="pq", refine="codes"),
    HNSWSettings("int8", 8, 40),
    BinarySettings(),
]
EFFORT: dict[type, kinds.SearchEffort | None] = {
    IVFSettings: IVFEffort(4, 50),
    HNSWSettings: HNSWEffort(60),
    BinarySettings: None,
}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivf, "PART_ROWS", 300)
    monkeypatch.setattr(ivf, "STEP_ROWS", 128)
    monkeypatch.setattr(hnsw, "PART_ROWS", 256)
    monkeypatch.setattr(hnsw, "STEP_ROWS", 64)


class Stopped(Exception):
    pass


class StoppingBench(FolderBench):
    """Stops instead of keeping one file more than so many."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder)
        self.after = after

    def keep(self, name: str, chunks: Any) -> Path:
        if len(self.written) == self.after:
            next(iter(chunks))
            raise Stopped
        return super().keep(name, chunks)


def found(settings: Any, bench: FolderBench, names: tuple[str, ...]) -> Any:
    stored = StoredVectors([VECTORS])
    files = {name: bench.folder / name for name in names}
    index = kinds.load(settings, files, stored, EFFORT[type(settings)])
    return index.search(QUERIES, 10)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_goes_on_from_every_file_that_was_kept(settings: Any, tmp_path: Path) -> None:
    stored = StoredVectors([VECTORS[:333], VECTORS[333:]])
    whole = FolderBench(tmp_path)
    names = kinds.build(settings, stored, whole)
    wanted = found(settings, whole, names)
    files = len(whole.written)
    assert files == {IVFSettings: 5, HNSWSettings: 4, BinarySettings: 1}[type(settings)]
    for after in range(files):
        folder = tmp_path / f"after-{after}"
        folder.mkdir()
        with pytest.raises(Stopped):
            kinds.build(settings, stored, StoppingBench(folder, after))
        bench = FolderBench(folder)
        assert kinds.build(settings, stored, bench) == names
        assert len(bench.written) == files - after
        again = found(settings, bench, names)
        if isinstance(settings, HNSWSettings):
            exact = FlatIndex(stored).search(QUERIES, 10)[1]
            shared = [len(set(a) & set(b)) for a, b in zip(again[1].tolist(), exact.tolist())]  # noqa: B905
            assert np.mean(shared) > 9
        else:
            np.testing.assert_array_equal(again[1], wanted[1])
            np.testing.assert_array_equal(again[0], wanted[0])
        assert kinds.build(settings, stored, StoppingBench(folder, 0)) == names


@pytest.mark.parametrize("settings", SETTINGS[:3], ids=str)
def test_what_was_kept_and_read_again_changes_nothing(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, results = StoredVectors([VECTORS]), []
    for rows in (300, 5000):
        monkeypatch.setattr(ivf, "PART_ROWS", rows)
        bench = FolderBench(tmp_path / str(rows))
        bench.folder.mkdir()
        results.append(found(settings, bench, kinds.build(settings, stored, bench)))
    np.testing.assert_array_equal(results[0][1], results[1][1])
    np.testing.assert_array_equal(results[0][0], results[1][0])


def test_cells_found_by_codes_miss_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With codes of cells, k rows are found however many cells that takes."""
    monkeypatch.setattr(coarse, "BY_LIST", 100)
    stored, bench = StoredVectors([VECTORS]), FolderBench(tmp_path)
    settings = IVFSettings(120, code="pq", bits=2, refine="none")
    names = kinds.build(settings, stored, bench)
    files = {name: tmp_path / name for name in names}
    index = kinds.load(settings, files, stored, IVFEffort(2))
    few, all_ = index.search(QUERIES, 5)[1], index.search(QUERIES, ROWS)[1]
    assert few.min() >= 0
    assert all(sorted(rows) == list(range(ROWS)) for rows in all_.tolist())
    best = FlatIndex(stored).search(QUERIES, 5)[1]
    much = kinds.load(settings, files, stored, IVFEffort(120)).search(QUERIES, 5)[1]
    shared = [len(set(a) & set(b)) for a, b in zip(much.tolist(), best.tolist(), strict=True)]
    assert np.mean(shared) > 2.5


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("rows", [1, 2, 5, 40])
def test_a_few_rows_are_enough(settings: Any, rows: int, tmp_path: Path) -> None:
    stored, bench = StoredVectors([VECTORS[:rows]]), FolderBench(tmp_path)
    names = kinds.build(settings, stored, bench)
    index = kinds.load(settings, {name: tmp_path / name for name in names}, stored)
    scores, every = index.search(QUERIES, 100)
    assert all(sorted(one) == list(range(rows)) for one in every.tolist())
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_tells_how_far_it_is(settings: Any, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    stored = StoredVectors([VECTORS])
    kinds.build(settings, stored, FolderBench(tmp_path), lambda *step: seen.append(step))
    for stage in {stage for stage, _, _ in seen}:
        done = [(at, of) for name, at, of in seen if name == stage]
        assert done == sorted(done) and done[-1][0] == done[-1][1]
    assert {"codes", "graph"} & {stage for stage, _, _ in seen}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_vectors_that_are_not_finite_are_refused(settings: Any, tmp_path: Path) -> None:
    vectors = VECTORS.copy()
    vectors[700, 3] = np.inf
    with pytest.raises(InputError, match="row 700"):
        kinds.build(settings, StoredVectors([vectors]), FolderBench(tmp_path))
    assert not list(tmp_path.iterdir())


def test_more_dims_than_there_are_and_too_few_are_refused(tmp_path: Path) -> None:
    bench = FolderBench(tmp_path)
    with pytest.raises(SettingsError, match="dims is 17; the vectors have 16"):
        kinds.build(IVFSettings(4, dims=17), StoredVectors([VECTORS]), bench)
    narrow = StoredVectors([np.ascontiguousarray(VECTORS[:, :3])])
    with pytest.raises(SettingsError, match="choose code='rabitq'"):
        kinds.build(IVFSettings(4, code="pq"), narrow, bench)
