"""The order of what is found, against Python's own sort of (query, score, id)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.indexes.ordering import best

PAIRS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(-2, 2)),
    unique_by=lambda pair: pair[:2],
    max_size=60,
)


@given(pairs=PAIRS, k=st.integers(1, 9), named=st.booleans())
def test_equals_pythons_sort(pairs: list[tuple[int, int, int]], k: int, named: bool) -> None:
    asked: list[int] = []

    def ids(rows: Sequence[int]) -> list[str]:
        asked.extend(rows)
        return [f"{row * 7 % 31}" for row in rows]

    queries, rows, scores = (np.array([p[i] for p in pairs], np.int64) for i in range(3))
    found = best(queries, rows, scores.astype(np.float32), 4, k, ids if named else None)
    order = sorted(
        range(len(pairs)),
        key=lambda i: (pairs[i][0], -pairs[i][2], ids([pairs[i][1]])[0] if named else pairs[i][1]),
    )
    taken = [0] * 4
    wanted = []
    for place in order:
        taken[pairs[place][0]] += 1
        if taken[pairs[place][0]] <= k:
            wanted.append(place)
    assert found.tolist() == wanted


def test_ids_are_asked_for_only_where_they_decide() -> None:
    def ids(rows: Sequence[int]) -> list[str]:
        assert sorted(rows) == [4, 5]
        return ["b" if row == 4 else "a" for row in rows]

    queries, rows = np.zeros(6, np.int64), np.array([1, 4, 5, 2, 7, 8])
    scores = np.array([9, 8, 8, 1, 0, 0], np.float32)
    assert rows[best(queries, rows, scores, 1, 3, ids)].tolist() == [1, 5, 4]


@pytest.mark.parametrize("ids", [None, lambda rows: [str(row) for row in rows]])
def test_no_pairs_give_none(ids: object) -> None:
    none = np.empty(0, np.int64)
    assert len(best(none, none, none.astype(np.float32), 2, 3, ids)) == 0  # type: ignore[arg-type]
