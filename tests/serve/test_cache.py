"""Kept within the limit, the least recently used go first: compared with a plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dpr.serve.cache import _ENTRY, Cache

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
            assert cache.get(key) == known.get(key)
            if key in known:
                model.remove((key, known[key]))
                model.append((key, known[key]))
        else:
            value = b"x" * size
            cache.put(key, value, 2)
            if size + 2 + _ENTRY <= LIMIT:
                model = [one for one in model if one[0] != key] + [(key, value)]
                while sum(len(one) + 2 + _ENTRY for _, one in model) > LIMIT:
                    model.pop(0)
        assert len(cache) == len(model)
        assert cache.bytes == sum(len(one) + 2 + _ENTRY for _, one in model) <= LIMIT


def test_without_a_limit_nothing_is_kept() -> None:
    cache = Cache(0)
    cache.put("a", b"", 1)
    assert cache.get("a") is None
