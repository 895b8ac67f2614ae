"""Certified search: always what flat search finds, whatever the vectors, and by reading little."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr.errors import CorruptionError, InputError, SettingsError
from dpr.indexes import FlatIndex, blocks, certified, narrowing, rotation
from dpr.indexes.certified import (
    HEAD,
    ROTATION,
    TAIL,
    CertifiedIndex,
    CertifiedSettings,
    build_certified,
)
from dpr.indexes.index import Bench, Index
from dpr.indexes.int8 import to_int8
from dpr.indexes.scan import plain_scan
from dpr.indexes.stored import StoredVectors

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CHUNK", 512)
    monkeypatch.setattr(narrowing, "CHUNK", 512)
    monkeypatch.setattr(blocks, "ROWS_AT_ONCE", 200)
    monkeypatch.setattr(narrowing, "AT_ONCE", 100)


class Memory:
    """A bench for examples: keeps files under their names in one folder, over and over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def kept(self, name: str) -> Path | None:
        return None

    def keep(self, name: str, chunks: Iterable[bytes | memoryview]) -> Path:
        (self.folder / name).unlink(missing_ok=True)
        (self.folder / name).write_bytes(b"".join(chunks))
        return self.folder / name


def reversed_ids(rows: Sequence[int]) -> list[str]:
    return [f"p{10**6 - row:07d}" for row in rows]


def spread(count: int, dim: int = 96, seed: int = 0, power: float = 1.0) -> Array:
    """Vectors whose length is in their first axes, turned at random."""
    axes = np.linalg.qr(np.random.default_rng(9).standard_normal((dim, dim)))[0]
    values = np.random.default_rng(seed).standard_normal((count, dim))
    return ((values / np.arange(1, dim + 1) ** power) @ axes).astype(np.float32)


def opened(
    stored: StoredVectors, bench: Bench, folder: Path, share: float = 0.1, ids: Any = reversed_ids
) -> CertifiedIndex:
    names = build_certified(stored, bench, CertifiedSettings(tail=share, sample=1000))
    return CertifiedIndex.load({name: folder / name for name in names}, stored, ids)


def assert_same(
    index: CertifiedIndex, flat: FlatIndex, queries: Array, k: int, **more: Any
) -> None:
    scores, rows = index.search(queries, k, **more)
    wanted_scores, wanted_rows = flat.search(queries, k, **more)
    np.testing.assert_array_equal(rows, wanted_rows)
    np.testing.assert_array_equal(scores, wanted_scores)


def kinds(values: Array) -> list[Any]:
    return [values, values.astype(np.float16), to_int8(values)]


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs each pass left over; a search that gave up and read all rows fails."""
    left: list[int] = []
    original = narrowing.Narrowing.candidates

    def watched(self: narrowing.Narrowing, most: int) -> narrowing.Candidates | None:
        found = original(self, most)
        assert found is not None
        left.append(len(found.rows))
        return found

    monkeypatch.setattr(narrowing.Narrowing, "candidates", watched)
    return left


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_finds_what_flat_search_finds(
    kind: int, share: float, bench: Any, tmp_path: Path, proven: list[int]
) -> None:
    part = kinds(spread(3000))[kind]
    stored = StoredVectors([part])
    index, flat = opened(stored, bench, tmp_path, share), FlatIndex(stored, reversed_ids)
    assert (index._rotation.head == 96) == (share == 0)
    for count in (1, 2, 8, 11):
        queries = spread(count, seed=count)
        for k in (1, 10, 100):
            assert_same(index, flat, queries, k)
    assert len(proven) == 15
    assert index._scan is not plain_scan


@pytest.mark.parametrize("allowed", [0.0, 0.01, 0.3, 0.9, 1.0])
def test_finds_only_what_is_allowed(allowed: float, bench: Any, tmp_path: Path) -> None:
    stored = StoredVectors([spread(1000), spread(1500, seed=1)])
    index, flat = opened(stored, bench, tmp_path), FlatIndex(stored, reversed_ids)
    mask = np.random.default_rng(3).random(2500) < allowed
    mask[600:1200] &= allowed == 1  # a chunk without any
    for k in (1, 50, 2500):
        assert_same(index, flat, spread(3, seed=4), k, allowed=mask)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.integers(1, 40),
    levels=st.integers(1, 4),
    k=st.integers(1, 60),
    count=st.integers(1, 9),
    share=st.sampled_from([0.0, 0.2, 0.6]),
    kind=st.integers(0, 2),
)
def test_ties_and_odd_shapes(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    dim: int,
    levels: int,
    k: int,
    count: int,
    share: float,
    kind: int,
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-levels, levels + 1, (1100, dim)).astype(np.float32)
    queries = rng.integers(-levels, levels + 1, (count, dim)).astype(np.float32)
    stored = StoredVectors([kinds(values)[kind]])
    folder = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certified, "DOUBTFUL", 1.0)  # ties by the hundred, and no giving up
        index = opened(stored, Memory(folder), folder, share)
        assert_same(index, FlatIndex(stored, reversed_ids), queries, k)


@pytest.mark.parametrize("kind", [0, 1])
def test_near_ties(kind: int, bench: Any, tmp_path: Path) -> None:
    """Rows that differ in the last bits or not at all: bounds must not tell them apart."""
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((300, 96)) * 2e-7
    values = np.concatenate([spread(4000), spread(1, seed=7) * 3 + noise]).astype(np.float32)
    values[4200:4240] = values[4100]
    stored = StoredVectors([kinds(values)[kind]])
    index, flat = opened(stored, bench, tmp_path), FlatIndex(stored, reversed_ids)
    queries = np.concatenate([values[4000:4002], spread(3, seed=8)])
    for k in (1, 20, 200):
        assert_same(index, flat, queries, k)


def test_vectors_and_queries_of_very_different_lengths(bench: Any, tmp_path: Path) -> None:
    values = spread(3000) * np.logspace(-8, 8, 3000, dtype=np.float32)[:, None]
    np.random.default_rng(2).shuffle(values)
    values[5] = 0
    stored = StoredVectors([values])
    index, flat = opened(stored, bench, tmp_path), FlatIndex(stored, reversed_ids)
    queries = spread(6, seed=3) * np.array([[1e-40], [1e-20], [1e-3], [1], [1e20], [0]])
    assert_same(index, flat, queries.astype(np.float32), 20)
    with pytest.raises(InputError, match="too large"):
        index.search(np.full((1, 96), 3e38, np.float32), 1)


def test_where_all_vectors_are_equal_the_smallest_ids_are_found(bench: Any, tmp_path: Path) -> None:
    stored = StoredVectors([np.tile(spread(1), (2000, 1))])
    index = opened(stored, bench, tmp_path)
    rows = index.search(spread(2, seed=1), 5)[1]
    assert rows.tolist() == [list(range(1999, 1994, -1))] * 2


def test_bounds_hold_for_every_row(bench: Any, tmp_path: Path) -> None:
    values, queries = spread(1500), spread(4, seed=1)
    stored = StoredVectors([values])
    index = opened(stored, bench, tmp_path)
    unit = queries / np.linalg.norm(queries.astype(np.float64), axis=1, keepdims=True)
    exact = unit @ values.astype(np.float64).T
    turned = unit @ index._rotation.axes.T
    head, longest = index._rotation.head, index._rotation.longest
    pass_ = narrowing.Narrowing(
        narrowing.asked(turned[:, :head], longest),
        narrowing.asked(turned[:, head:], longest),
        index._blocks,
        1500,
        None,
        10,
        longest,
        index._rotation.stray,
        index._scan,
    )
    upper, _ = pass_._scanned()
    assert (upper.numpy() + pass_.head.error[:, None] + pass_.rest >= exact).all()
    assert (upper.numpy() - exact).max() < 2  # and says something
    for query in range(4):
        closer = pass_._closer(query, np.arange(1500))
        off = np.abs(closer.near - exact[query])
        assert (off <= closer.error).all()
        assert closer.error.max() < 0.05 * longest


class Watch:
    """A guard that counts the rows that are read."""

    def __init__(self) -> None:
        self.scanned = self.taken = 0

    def range(self, first: int, last: int) -> None:
        self.scanned += last - first

    def rows(self, rows: npt.NDArray[np.int64]) -> None:
        self.taken += len(rows)


def test_few_stored_vectors_are_read(bench: Any, tmp_path: Path) -> None:
    watch = Watch()
    stored = StoredVectors([spread(6000)], guard=watch)
    index = opened(stored, bench, tmp_path)
    assert watch.scanned >= 2 * 6000  # both blocks
    watch.scanned = watch.taken = 0
    index.search(spread(4, seed=1), 10)
    assert watch.scanned == 0
    assert 40 <= watch.taken < 400


def test_a_kernel_that_breaks_its_bound_is_left(bench: Any, tmp_path: Path) -> None:
    stored = StoredVectors([spread(3000)])
    index = opened(stored, bench, tmp_path)
    kernel = index._scan

    def sloppy(queries: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return kernel(queries, codes) * 0.9

    index._scan = sloppy
    flat = FlatIndex(stored, reversed_ids)
    assert_same(index, flat, spread(2, seed=1), 10)
    assert index._scan is plain_scan
    assert_same(index, flat, spread(2, seed=1), 10)


def test_a_build_goes_on_where_it_stopped(bench: Any, tmp_path: Path) -> None:
    stored = StoredVectors([spread(1300)])
    whole = tmp_path / "whole"
    whole.mkdir()
    names = build_certified(stored, Memory(whole), CertifiedSettings(sample=1000))
    assert names == (ROTATION, HEAD, TAIL)
    told: list[tuple[str, int, int]] = []

    def stop(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))
        if stage == "tail":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_certified(stored, bench, CertifiedSettings(sample=1000), stop)
    assert bench.written == [ROTATION, HEAD]
    assert ("rotation", 1, 1) in told and ("head", 1300, 1300) in told
    assert [done for stage, done, _ in told if stage == "head"] == sorted(
        done for stage, done, _ in told if stage == "head"
    )
    assert build_certified(stored, bench, CertifiedSettings(sample=1000)) == names
    assert bench.written == list(names)
    for name in names:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_keeps_the_contract(bench: Any, tmp_path: Path) -> None:
    stored = StoredVectors([spread(700)])
    index: Index = opened(stored, bench, tmp_path)
    assert (len(index), index.dim, index.exact, index.touched) == (700, 96, True, 700 * 96 * 4)
    files = sum((tmp_path / name).stat().st_size for name in (HEAD, TAIL))
    assert index.bytes == files + 8 * 96 * 96
    assert index.search(np.empty((0, 96), np.float32), 3)[1].shape == (0, 3)
    with pytest.raises(SettingsError, match="k is 0"):
        index.search(spread(1), 0)
    with pytest.raises(InputError, match="shape"):
        index.search(spread(1)[:, :5], 1)


def test_files_of_other_vectors_are_refused(bench: Any, tmp_path: Path) -> None:
    stored = StoredVectors([spread(700)])
    names = build_certified(stored, bench)
    files = {name: tmp_path / name for name in names}
    for name in names:
        with pytest.raises(CorruptionError, match=f"{name} .* missing"):
            CertifiedIndex.load({key: files[key] for key in names if key != name}, stored)
    with pytest.raises(CorruptionError, match="made for 700 vectors of 96"):
        CertifiedIndex.load(files, StoredVectors([spread(701)]))
    for name in names:
        data = files[name].read_bytes()
        files[name].write_bytes(data[:-5])
        with pytest.raises(CorruptionError, match=name):
            CertifiedIndex.load(files, stored)
        files[name].write_bytes(data)
    CertifiedIndex.load(files, stored)


def test_settings_are_checked() -> None:
    for wrong in ({"tail": 1.0}, {"tail": -0.1}, {"sample": 0}, {"seed": -1}):
        with pytest.raises(SettingsError, match="allowed"):
            CertifiedSettings(**wrong)  # type: ignore[arg-type]


def test_vectors_that_are_not_finite_are_refused(bench: Any) -> None:
    values = spread(700)
    values[650, 3] = np.nan
    with pytest.raises(InputError, match="row 650"):
        build_certified(StoredVectors([values]), bench)


def test_a_rotation_is_orthogonal_and_gathers_length() -> None:
    stored = StoredVectors([spread(2000)])
    energies, axes = rotation.principal_axes(stored, 10_000)
    assert (np.diff(energies) <= 1e-12).all()
    np.testing.assert_allclose(
        energies.sum(), np.square(spread(2000), dtype=np.float64).sum() / 2000, rtol=1e-6
    )
    turned = rotation.mixed(axes, [32, 64], 0)
    off = np.linalg.norm(turned.T @ turned - np.eye(96), 2)
    assert off <= rotation.deviation(turned) < 1e-9
    assert rotation.deviation(turned * 1.001) > 2e-3
    head = np.square(spread(2000) @ turned[:32].T).sum() / 2000
    np.testing.assert_allclose(head, energies[:32].sum(), rtol=1e-5)
    # Mixed within the block: its numbers are of much the same size.
    plain, mixed = (np.abs(spread(2000) @ some[:32].T).max(axis=0) for some in (axes, turned))
    assert mixed.max() / mixed.min() < plain.max() / plain.min() / 3
