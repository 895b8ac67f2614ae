"""Flat search against a slow twin in float64 and against faiss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr.errors import InputError, SettingsError
from dpr.indexes import FlatIndex, flat, products, stored
from dpr.indexes.int8 import Int8Vectors, to_int8
from dpr.indexes.stored import StoredVectors

Array = npt.NDArray[Any]


def slow_search(
    vectors: Sequence[Array],
    queries: Array,
    k: int,
    ids: Callable[[Sequence[int]], list[str]] | None = None,
    allowed: Array | None = None,
) -> tuple[Array, Array]:
    """Every product one by one in float64, every row sorted by (score, id)."""
    stored = np.concatenate([np.asarray(part, np.float64) for part in vectors])
    names = ids(range(len(stored))) if ids else list(range(len(stored)))
    wanted = range(len(stored)) if allowed is None else np.flatnonzero(allowed).tolist()
    scores, rows = [], []
    for query in queries.astype(np.float32).astype(np.float64):
        exact = [np.float32((row * query).sum()) for row in stored]
        order = sorted(wanted, key=lambda i: (-exact[i], names[i]))[:k]
        scores.append([exact[i] for i in order])
        rows.append(order)
    return np.array(scores, np.float32), np.array(rows, np.int64)


def reversed_ids(rows: Sequence[int]) -> list[str]:
    return [f"p{10**6 - row:07d}" for row in rows]


def random(shape: tuple[int, ...], seed: int = 0, dtype: str = "float32") -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def chunks_of(chunk: int, matrix: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (products, stored):
        monkeypatch.setattr(module, "CHUNK_ROWS", chunk)
        monkeypatch.setattr(module, "MATRIX_ROWS", matrix)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks_of(64, 100, monkeypatch)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("k", [1, 7, 100, 1000])
@pytest.mark.parametrize("count", [5, 12])
@pytest.mark.usefixtures("small_chunks")
def test_equals_the_slow_twin(dtype: str, k: int, count: int) -> None:
    parts = [random((300, 24), 1, dtype), random((1, 24), 2, dtype), random((199, 24), 3, dtype)]
    queries = random((count, 24), 4)
    scores, rows = FlatIndex(parts, reversed_ids).search(queries, k)
    wanted_scores, wanted_rows = slow_search(parts, queries, k, reversed_ids)
    assert scores.dtype == np.float32 and rows.dtype == np.int64
    assert scores.shape == rows.shape == (count, min(k, 500))
    np.testing.assert_array_equal(rows, wanted_rows)
    np.testing.assert_array_equal(scores, wanted_scores)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 200),
    dim=st.integers(1, 9),
    levels=st.integers(1, 3),
    k=st.integers(1, 220),
    dtype=st.sampled_from(["float16", "float32"]),
    by_id=st.booleans(),
    count=st.sampled_from([3, 10]),
)
def test_ties_equal_the_slow_twin(
    seed: int, rows: int, dim: int, levels: int, k: int, dtype: str, by_id: bool, count: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-levels, levels + 1, (rows, dim)).astype(dtype)
    queries = rng.integers(-levels, levels + 1, (count, dim)).astype(np.float32)
    names = [f"p{i}" for i in rng.permutation(rows)]

    def ids(wanted: Sequence[int]) -> list[str]:
        return [names[row] for row in wanted]

    chosen = ids if by_id else None
    with pytest.MonkeyPatch.context() as patch:
        chunks_of(32, 48, patch)
        found = FlatIndex([vectors], chosen).search(queries, k)
    wanted = slow_search([vectors], queries, k, chosen)
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(found[0], wanted[0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
@pytest.mark.parametrize("count", [1, 4, 12])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.usefixtures("small_chunks")
def test_only_rows_that_are_allowed_are_found(dtype: str, count: int, share: float) -> None:
    vectors, queries = random((700, 24), 1), random((count, 24), 2)
    part = to_int8(vectors) if dtype == "int8" else vectors.astype(dtype)
    values = part.decoded() if isinstance(part, Int8Vectors) else part
    allowed = np.random.default_rng(3).random(700) < share
    parts = (
        [Int8Vectors(part.codes[some], part.scales[some]) for some in (slice(90), slice(90, 700))]
        if isinstance(part, Int8Vectors)
        else [part[:90], part[90:]]
    )
    index = FlatIndex(parts, reversed_ids)
    for k in (1, 20, 700):
        scores, rows = index.search(queries, k, allowed)
        wanted_scores, wanted_rows = slow_search([values], queries, k, reversed_ids, allowed)
        np.testing.assert_array_equal(rows, wanted_rows)
        np.testing.assert_array_equal(scores, wanted_scores)
    np.testing.assert_array_equal(
        index.search(queries, 9, np.ones(700, np.bool_))[1], index.search(queries, 9)[1]
    )


def test_where_no_row_is_allowed_none_is_found() -> None:
    index = FlatIndex([random((30, 4))])
    scores, rows = index.search(random((3, 4)), 5, np.zeros(30, np.bool_))
    assert scores.shape == rows.shape == (3, 0)
    for mask in (np.ones(29, np.bool_), np.ones(30, np.int8)):
        with pytest.raises(InputError, match="booleans"):
            index.search(random((3, 4)), 5, mask)


def test_results_over_int8_are_those_over_what_it_decodes_to() -> None:
    part = to_int8(random((5000, 48), 1))
    for count in (1, 5, 30):
        queries = random((count, 48), 2)
        found = FlatIndex([part], reversed_ids).search(queries, 40)
        wanted = FlatIndex([part.decoded()], reversed_ids).search(queries, 40)
        np.testing.assert_array_equal(found[1], wanted[1])
        np.testing.assert_array_equal(found[0], wanted[0])


def near_ties(dtype: str) -> tuple[Array, Array]:
    """Vectors whose scores differ in the last bits or not at all, in a shuffled order."""
    rng = np.random.default_rng(5)
    base = rng.standard_normal(96).astype(np.float32)
    noise = rng.standard_normal((6000, 96)).astype(np.float32) * np.float32(2e-7)
    vectors = (base + noise).astype(dtype)
    vectors[rng.integers(0, 6000, 1500)] = vectors[0]
    return vectors, rng.standard_normal((40, 96)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_results_do_not_depend_on_k_batch_chunk_or_threads(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, queries = near_ties(dtype)
    index = FlatIndex([vectors], reversed_ids)
    scores, rows = index.search(queries, 200)
    for k in (1, 10, 199):
        np.testing.assert_array_equal(index.search(queries, k)[1], rows[:, :k])
    for first, last in ((0, 1), (3, 11), (39, 40)):
        few_scores, few_rows = index.search(queries[first:last], 200)
        np.testing.assert_array_equal(few_rows, rows[first:last])
        np.testing.assert_array_equal(few_scores, scores[first:last])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        chunks_of(37, 61, monkeypatch)
        pieces = [vectors[:1], vectors[1:4000], vectors[4000:]]
        np.testing.assert_array_equal(FlatIndex(pieces, reversed_ids).search(queries, 200)[1], rows)
    finally:
        torch.set_num_threads(threads)


def test_near_ties_equal_the_slow_twin() -> None:
    vectors, queries = near_ties("float32")
    found = FlatIndex([vectors], reversed_ids).search(queries[:3], 50)
    wanted = slow_search([vectors], queries[:3], 50, reversed_ids)
    np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("count", [3, 9])
def test_all_vectors_equal_gives_the_smallest_ids(
    dtype: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks_of(512, 512, monkeypatch)
    monkeypatch.setattr(flat, "MAX_CANDIDATES", 4000)
    vectors = np.tile(random((1, 33), 1, dtype), (20_000, 1))
    queries = random((count, 33), 2)
    pool_sizes = []
    original = flat._Pool._prune

    def watched(pool: flat._Pool) -> None:
        pool_sizes.append(pool.size)
        original(pool)

    monkeypatch.setattr(flat._Pool, "_prune", watched)
    scores, rows = FlatIndex([vectors], reversed_ids).search(queries, 10)
    assert rows.tolist() == [list(range(19_999, 19_989, -1))] * count
    assert (scores == scores[:, :1]).all()
    assert max(pool_sizes) < 70_000 + 2 * 512 * count  # bounded, though every row is a candidate


def test_one_query_over_float16_needs_no_trust_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = near_ties("float16")
    index = FlatIndex([vectors], reversed_ids)
    wanted = index.search(queries[:2], 50)[1][:1]
    original, calls = torch.mv, []

    def sloppy(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return original(matrix, vector) * 0.9 + 1

    monkeypatch.setattr(torch, "mv", sloppy)
    np.testing.assert_array_equal(index.search(queries[:1], 50)[1], wanted)
    assert calls


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 300.0])
def test_single_queries_of_any_length_over_float16(scale: float) -> None:
    vectors = (random((2000, 32), 1) * scale).astype("float16")
    for size in (1e-20, 1e-3, 1.0, 1e20):
        query = random((1, 32), 3) * np.float32(size)
        found = FlatIndex([vectors]).search(query, 20)
        wanted = slow_search([vectors], query, 20)
        np.testing.assert_array_equal(found[1], wanted[1])


def test_a_zero_query_gives_the_first_ids() -> None:
    for dtype in ("float16", "float32"):
        index = FlatIndex([random((500, 8), 1, dtype)], reversed_ids)
        scores, rows = index.search(np.zeros((1, 8), np.float32), 3)
        assert rows.tolist() == [[499, 498, 497]] and not scores.any()


def test_bounds_hold_for_every_row() -> None:
    for dtype in ("float16", "float32"):
        vectors = random((3000, 96), 1, dtype) * 4
        for count in (1, 5):
            queries = random((count, 96), 2) * 3
            exact = queries.astype(np.float64) @ vectors.astype(np.float64).T
            for rows, near, error in products.products(StoredVectors([vectors]), queries):
                off = np.abs(near - exact[:, rows])
                assert (off <= error[:, None]).all()


def test_agrees_with_faiss() -> None:
    vectors, queries = random((20_000, 64), 1), random((50, 64), 2)
    peer = faiss.IndexFlatIP(64)
    peer.add(vectors)
    peer_scores, peer_rows = peer.search(queries, 100)
    scores, rows = FlatIndex([vectors]).search(queries, 100)
    np.testing.assert_allclose(scores, peer_scores, rtol=1e-4, atol=1e-4)
    assert (rows == peer_rows).mean() > 0.999


def test_vectors_of_very_different_lengths() -> None:
    vectors = random((3000, 16), 1) * np.logspace(-15, 15, 3000, dtype=np.float32)[:, None]
    np.random.default_rng(2).shuffle(vectors)
    queries = random((4, 16), 3)
    found = FlatIndex([vectors]).search(queries, 20)
    wanted = slow_search([vectors], queries, 20)
    np.testing.assert_array_equal(found[1], wanted[1])


def test_reads_a_read_only_memory_map(tmp_path: Any) -> None:
    vectors = random((5000, 8), 1, "float16")
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    queries = random((2, 8), 2)
    np.testing.assert_array_equal(
        FlatIndex([mapped]).search(queries, 9)[1], slow_search([vectors], queries, 9)[1]
    )


def test_no_queries_give_no_rows() -> None:
    scores, rows = FlatIndex([random((3, 4))]).search(np.empty((0, 4), np.float32), 2)
    assert scores.shape == rows.shape == (0, 2)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None])
def test_k_must_be_a_positive_integer(k: Any) -> None:
    with pytest.raises(SettingsError, match="k is"):
        FlatIndex([random((3, 4))]).search(random((1, 4)), k)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (random((4,)), "shape"),
        (random((1, 5)), r"\(queries, 4\)"),
        (np.ones((1, 4), np.int64), "int64"),
        (np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]], np.float32), "query 1"),
        (np.array([[np.inf, 0, 0, 0]], np.float32), "query 0"),
        (np.array([[1e300, 0, 0, 0]]), "query 0"),
        (np.full((1, 4), 3e38, np.float32), "too large"),
    ],
)
def test_wrong_queries_are_refused(queries: Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FlatIndex([random((3, 4))]).search(queries, 1)


@pytest.mark.parametrize(
    "vectors",
    [
        [],
        [np.empty((0, 4), np.float32)],
        [random((4,))],
        [random((2, 4)), random((2, 5))],
        [random((2, 4)).astype(np.float64)],
        [np.ones((2, 4), np.int8)],
    ],
)
def test_wrong_vectors_are_refused(vectors: list[Array]) -> None:
    with pytest.raises(InputError):
        FlatIndex(vectors)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_vectors_that_are_not_finite_are_refused(dtype: str) -> None:
    vectors = random((5000, 4), 1, dtype)
    vectors[4500, 2] = np.nan
    with pytest.raises(InputError, match="row 4500"):
        FlatIndex([vectors]).search(random((1, 4)), 1)
