"""Kept within the limit, the least recently used go first: compared with a plain list."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from dpr.serve.cache import _ENTRY, Cache, key_of

LIMIT = 3 * _ENTRY + 60


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("get"), st.integers(0, 5), st.just(0)),
            st.tuples(st.just("put"), st.integers(0, 5), st.integers(0, LIMIT)),
        )
    )
)
def test_it_holds_what_was_used_last(steps: list[tuple[str, int, int]]) -> None:
    cache, model = Cache(LIMIT), list[tuple[int, bytes]]()
    for what, key, size in steps:
        known = dict(model)
        if what == "get":
            assert cache.get(key_of(key)) == known.get(key)
            if key in known:
                model.remove((key, known[key]))
                model.append((key, known[key]))
        else:
            value = b"x" * size
            cache.put(key_of(key), value)
            if size + _ENTRY <= LIMIT:
                model = [one for one in model if one[0] != key] + [(key, value)]
                while sum(len(one) + _ENTRY for _, one in model) > LIMIT:
                    model.pop(0)
        assert len(cache) == len(model)
        assert cache.bytes == sum(len(one) + _ENTRY for _, one in model) <= LIMIT


def test_without_a_limit_nothing_is_kept() -> None:
    cache = Cache(0)
    cache.put(b"a", b"")
    assert cache.get(b"a") is None


def test_it_takes_about_as_much_memory_as_it_counts() -> None:
    cache = Cache(1_000_000)
    tracemalloc.start()
    try:
        for n in range(5000):
            cache.put(key_of(n), b"x" * (n % 300))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 900_000 < cache.bytes <= 1_000_000
    assert 0.5 < held / cache.bytes < 1.2
