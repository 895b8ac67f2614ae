"""The span search against a plain twin that tries every span in turn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import InputError, SettingsError
from dpr.tokens import best_spans


def slow_best_spans(
    start: list[float],
    end: list[float],
    valid_range: tuple[int, int],
    max_answer_length: int,
    num_spans: int,
) -> list[tuple[int, int, float]]:
    """The same by sorting every candidate and comparing it with each chosen one."""
    first, stop = valid_range
    candidates = [
        (s, e, start[s] + end[e])
        for s in range(first, stop)
        for e in range(s, min(s + max_answer_length, stop))
    ]
    candidates.sort(key=lambda span: -span[2])  # stable: earlier start first, then shorter
    chosen: list[tuple[int, int, float]] = []
    for s, e, score in candidates:
        nested = any((s <= a and b <= e) or (a <= s and e <= b) for a, b, _ in chosen)
        if not nested and score > -np.inf and len(chosen) < num_spans:
            chosen.append((s, e, score))
    return chosen


# Few different numbers, so that many spans are equally good and their order shows.
LOGITS = st.lists(
    st.tuples(*[st.sampled_from([-np.inf, -3.0, -0.5, 0.0, 0.25, 1.0, 2.5])] * 2), max_size=24
)


@given(
    logits=LOGITS,
    edges=st.tuples(st.integers(0, 24), st.integers(0, 24)),
    length=st.integers(1, 30),
    spans=st.integers(1, 12),
)
def test_equal_to_the_slow_twin(
    logits: list[tuple[float, float]], edges: tuple[int, int], length: int, spans: int
) -> None:
    start, end = [pair[0] for pair in logits], [pair[1] for pair in logits]
    low, high = sorted(min(edge, len(logits)) for edge in edges)
    expected = slow_best_spans(start, end, (low, high), length, spans)
    assert best_spans(np.array(start), np.array(end), (low, high), length, spans) == expected


def test_equal_to_the_slow_twin_at_the_size_of_a_passage() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        start, end = rng.normal(size=(2, 120)) * 3
        arguments = ((7, 113), 40, 6)
        assert best_spans(start, end, *arguments) == slow_best_spans(
            start.tolist(), end.tolist(), *arguments
        )


def test_partial_overlaps_stay_and_nested_spans_go() -> None:
    start, end = [5.0, 4.0, 0.0, 0.0], [0.0, 0.0, 5.0, 4.0]
    # 0-2 is best; 1-2 lies within it, 0-3 contains it, 1-3 only overlaps.
    assert [span[:2] for span in best_spans(start, end, (0, 4), 4, 2)] == [(0, 2), (1, 3)]


def test_spans_keep_to_the_range_and_the_length() -> None:
    start, end = [9.0, 0.0, 0.0, 0.0, 9.0], [0.0, 0.0, 1.0, 9.0, 9.0]
    assert best_spans(start, end, (1, 4), 9, 1) == [(1, 3, 9.0)]
    assert best_spans(start, end, (1, 4), 2, 1) == [(2, 3, 9.0)]
    assert best_spans(start, end, (3, 3), 9, 1) == []
    assert best_spans(start, end, (-2, 99), 1, 1) == [(4, 4, 18.0)]


def test_half_precision_is_summed_in_single() -> None:
    start = np.array([2048.0, 0.0], dtype=np.float16)
    end = np.array([1.0, 0.0], dtype=np.float16)
    assert best_spans(start, end, (0, 2), 1, 1) == [(0, 0, 2049.0)]


def test_the_caller_s_arrays_are_left_alone() -> None:
    start, end = np.ones(6), np.ones(6)
    best_spans(start, end, (0, 6), 3, 6)
    assert start.tolist() == end.tolist() == [1.0] * 6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_overflowed_logits_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="overflowed"):
        best_spans([0.0, bad], [0.0, 0.0], (0, 2), 2, 1)


def test_bad_shapes_and_numbers_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(2,\) and \(3,\)"):
        best_spans([0.0] * 2, [0.0] * 3, (0, 2), 2, 1)
    with pytest.raises(SettingsError, match="max_answer_length=0"):
        best_spans([0.0], [0.0], (0, 1), 0, 1)
    with pytest.raises(SettingsError, match="num_spans=0"):
        best_spans([0.0], [0.0], (0, 1), 1, 0)
