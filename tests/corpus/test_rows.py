from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dpr.corpus.rows import SeenIds

IDS = st.one_of(
    st.integers(-2, 30).map(str), st.sampled_from(["", "01", "١", "²", "a", "9" * 5000, "-1"])
)


@given(st.lists(IDS, max_size=60))
def test_ids_are_told_apart_as_a_set_would(ids: list[str]) -> None:
    seen, plain = SeenIds(), set[str]()
    for identifier in ids:
        assert seen.add(identifier) == (identifier not in plain)
        plain.add(identifier)


def test_a_count_that_meets_an_id_from_before() -> None:
    seen = SeenIds()
    new = [seen.add(identifier) for identifier in ("1", "3", "2", "3", "4", "1")]
    assert new == [True, True, True, False, True, False]
