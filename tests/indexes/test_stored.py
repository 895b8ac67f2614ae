"""Stored vectors: that what is read was asked for first, and how long vectors may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dpr.errors import CorruptionError, InputError
from dpr.indexes import FlatIndex, stored
from dpr.indexes.int8 import Int8Vectors, to_int8
from dpr.indexes.stored import StoredVectors

ROWS = 300


class Watch:
    """A guard that notes what it was asked for and refuses one row."""

    def __init__(self, damaged: int = -1) -> None:
        self.damaged = damaged
        self.asked = np.zeros(ROWS, np.bool_)
        self.scanned = 0

    def range(self, first: int, last: int) -> None:
        self.scanned += last - first
        self.asked[first:last] = True
        if first <= self.damaged < last:
            raise CorruptionError(f"row {self.damaged} was altered")

    def rows(self, rows: npt.NDArray[np.int64]) -> None:
        self.asked[rows] = True
        if self.damaged in rows:
            raise CorruptionError(f"row {self.damaged} was altered")


def parts_of(kind: str) -> list[Any]:
    values = np.random.default_rng(1).standard_normal((ROWS, 8)).astype(np.float32)
    if kind == "int8":
        return [to_int8(values[:100]), to_int8(values[100:])]
    return [values[:100].astype(kind), values[100:].astype(kind)]


def decoded(parts: list[Any]) -> Any:
    return np.concatenate([p.decoded() if isinstance(p, Int8Vectors) else p for p in parts])


@pytest.fixture(params=["float16", "float32", "int8"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(stored, "MATRIX_ROWS", 64)
    monkeypatch.setattr(stored, "CHUNK_ROWS", 32)
    name: str = request.param
    return name


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("longest", [None, 100.0])
def test_every_scan_asks_first(kind: str, count: int, longest: float | None) -> None:
    queries = np.random.default_rng(2).standard_normal((count, 8)).astype(np.float32)
    watch = Watch()
    FlatIndex(StoredVectors(parts_of(kind), longest=longest, guard=watch)).search(queries, 3)
    assert watch.asked.all()
    for damaged in (0, 99, 100, ROWS - 1):
        index = FlatIndex(StoredVectors(parts_of(kind), longest=longest, guard=Watch(damaged)))
        with pytest.raises(CorruptionError, match="altered"):
            index.search(queries, 3)


def test_few_rows_that_are_allowed_are_all_that_is_read(kind: str) -> None:
    watch = Watch()
    index = FlatIndex(StoredVectors(parts_of(kind), longest=100.0, guard=watch))
    allowed = np.zeros(ROWS, np.bool_)
    allowed[[3, 99, 100, 222]] = True
    index.search(np.ones((2, 8), np.float32), 2, allowed)
    np.testing.assert_array_equal(watch.asked, allowed)
    assert watch.scanned == 0


def test_a_pair_is_scored_by_itself(kind: str) -> None:
    parts = parts_of(kind)
    queries = np.random.default_rng(2).standard_normal((2, 8)).astype(np.float32)
    watch = Watch()
    vectors = StoredVectors(parts, guard=watch)
    rows = np.array([250, 3, 99, 100, 3])
    scores = vectors.exact(queries, np.array([0, 1, 1, 0, 0]), rows)
    wanted = [
        np.float32((decoded(parts)[row].astype(np.float64) * queries[query]).sum())
        for row, query in zip(rows, [0, 1, 1, 0, 0], strict=True)
    ]
    assert scores.tolist() == wanted
    assert np.flatnonzero(watch.asked).tolist() == [3, 99, 100, 250]
    np.testing.assert_array_equal(vectors.take(rows), decoded(parts)[rows])
    assert vectors.take(np.empty(0, np.int64)).shape == (0, 8)


def test_values_come_in_order(kind: str) -> None:
    parts = parts_of(kind)
    vectors = StoredVectors(parts)
    for first, last in ((0, None), (0, 100), (70, 260), (120, 121), (5, 5)):
        chunks = [(row, values.copy()) for row, values in vectors.values(first, last)]
        rows = [row + i for row, values in chunks for i in range(len(values))]
        assert rows == list(range(first, ROWS if last is None else last))
        if chunks:
            found = np.concatenate([values for _, values in chunks])
            np.testing.assert_array_equal(found, decoded(parts)[first:last])


def test_no_vector_is_longer_than_the_longest(kind: str) -> None:
    parts = parts_of(kind)
    lengths = np.linalg.norm(decoded(parts).astype(np.float64), axis=1)
    assert lengths.max() <= StoredVectors(parts).longest() <= lengths.max() * (1 + 1e-5)
    assert StoredVectors(parts, longest=7.5).longest() == 7.5
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="longest"):
            StoredVectors(parts, longest=wrong)


def test_bytes_and_kind(kind: str) -> None:
    parts = parts_of(kind)
    vectors = StoredVectors(parts)
    assert vectors.kind == kind
    assert vectors.bytes == {"float16": 16, "float32": 32, "int8": 12}[kind] * ROWS
    assert FlatIndex(vectors).touched == vectors.bytes
    assert FlatIndex(vectors).bytes == 0


def test_parts_are_of_one_kind() -> None:
    one, other = parts_of("float16"), parts_of("int8")
    with pytest.raises(InputError, match="same kind"):
        StoredVectors([one[0], other[0]])
