from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dpr.tokens.batching import token_batches


@given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 1000))
def test_every_item_once_within_the_budget_by_length(lengths: list[int], budget: int) -> None:
    batches = token_batches(lengths, budget)
    order = [index for batch in batches for index in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[i] for i in order] == sorted(lengths)
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= budget


def test_equal_lengths_keep_their_order() -> None:
    assert token_batches([2, 1, 2, 1], 100) == [[1, 3, 0, 2]]
