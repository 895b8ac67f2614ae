"""The index of ids against a plain dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dpr.collection.ids import IdIndex


@given(st.lists(st.lists(st.integers(0, 60).map(str), max_size=20), max_size=12))
def test_finds_rows_and_repeats(portions: list[list[str]]) -> None:
    index = IdIndex()
    rows: dict[str, list[int]] = {}
    count = 0
    for portion in portions:
        pairs = index.add(portion)
        repeated = set()
        for item in portion:
            if rows.get(item):
                repeated.add(count)
            rows.setdefault(item, []).append(count)
            count += 1
        assert {later for _, later in pairs} == repeated
    assert index.rows == count
    for item, wanted in rows.items():
        assert index.candidates(item) == wanted
    assert index.candidates("absent") == []
