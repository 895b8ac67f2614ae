from __future__ import annotations

import math
import random
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.corpus.minhash import (
    MISSED,
    Buckets,
    Sets,
    Similar,
    SimilarSets,
    bands_for,
    sequence_sets,
    similarities,
)


def sets_of(given: list[set[int]]) -> Sets:
    values = np.array([value for one in given for value in sorted(one)], np.uint32)
    starts = np.cumsum([0, *map(len, given)]).astype(np.int64)
    return Sets(values, starts)


def jaccard(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one | other)


SMALL = st.lists(st.sets(st.integers(0, 12), max_size=8), max_size=12)


@given(SMALL, SMALL)
def test_similarities_against_python_s_sets(left: list[set[int]], right: list[set[int]]) -> None:
    pairs = [(i, j) for i, one in enumerate(left) for j, other in enumerate(right) if one and other]
    some, others = np.array(pairs, np.int64).reshape(-1, 2).T
    found = similarities(sets_of(left), some, sets_of(right), others)
    assert found.tolist() == [jaccard(left[i], right[j]) for i, j in pairs]


def test_similarities_in_several_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpr.corpus.minhash._PAIRS_AT_ONCE", 3)
    given = [set(range(n, n + 5)) for n in range(10)]
    some, others = np.arange(10), np.arange(10)[::-1]
    found = similarities(sets_of(given), some, sets_of(given), others)
    assert found.tolist() == [jaccard(given[i], given[9 - i]) for i in range(10)]


@given(st.lists(st.lists(st.integers(0, 3), max_size=9), min_size=1, max_size=6))
def test_sequences_are_the_same_where_their_words_are(texts: list[list[int]]) -> None:
    texts = [text if len(text) >= 3 else [] for text in texts]
    found = sequence_sets([array("Q", text) for text in texts], 3)
    plain = [{tuple(text[at : at + 3]) for at in range(len(text) - 2)} for text in texts]
    assert np.diff(found.starts).tolist() == [len(one) for one in plain]
    held = [set(found.take(np.array([at]))[0].tolist()) for at in range(len(texts))]
    for one, plain_one in zip(held, plain, strict=True):
        for other, plain_other in zip(held, plain, strict=True):
            assert len(one & other) == len(plain_one & plain_other)


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=20), max_size=12),
    st.lists(st.integers(0, 11), max_size=10),
)
def test_buckets_against_a_dictionary(portions: list[list[int]], wanted: list[int]) -> None:
    buckets, plain, row = Buckets(), dict[int, set[int]](), 0
    for portion in portions:
        rows = np.arange(row, row + len(portion))
        buckets.add(np.array(portion, np.uint64), rows)
        for key, one in zip(portion, rows, strict=True):
            plain.setdefault(key, set()).add(int(one))
        row += len(portion)
    positions, rows = buckets.find(np.array(wanted, np.uint64))
    found = list(zip(positions.tolist(), rows.tolist(), strict=True))
    expected = [(at, one) for at, key in enumerate(wanted) for one in plain.get(key, ())]
    assert sorted(found) == sorted(expected)
    assert buckets.memory == 12 * row


def test_keys_with_all_bits() -> None:
    buckets = Buckets()
    keys = np.array([0, 2**64 - 1, 2**63], np.uint64)
    buckets.add(keys, np.array([5, 2**32 - 1, 7]))
    positions, rows = buckets.find(keys)
    assert dict(zip(positions.tolist(), rows.tolist(), strict=True)) == {0: 5, 1: 2**32 - 1, 2: 7}


@pytest.mark.parametrize("least", [0.5, 0.55, 0.6, 0.7, 0.75, 0.8, 0.9, 0.99, 1.0])
def test_bands_miss_few_of_what_is_just_similar_enough(least: float) -> None:
    bands, rows = bands_for(least)
    assert (1 - least**rows) ** bands <= MISSED
    assert bands <= 32
    assert rows == 5 or (1 - least ** (rows + 1)) ** 32 > MISSED


def test_signatures_agree_as_often_as_sets_are_similar() -> None:
    """The property that bands rest on, measured: of pairs of similarity s, s^r agree in a band."""
    random.seed(0)
    finder = SimilarSets(0.8)
    agree = total = 0
    for _ in range(60):
        shared = set(random.sample(range(2**32), 80))
        # 80 of 100 values are shared: 10 more in each.
        pair = [shared | set(random.sample(range(2**32), 10)) for _ in range(2)]
        sets = sets_of(pair)
        keys = finder._band_keys(sets, np.arange(2))
        agree += int((keys[:, 0] == keys[:, 1]).sum())
        total += finder.bands
    expected = 0.8**finder.rows
    assert abs(agree / total - expected) < 4 * math.sqrt(expected * (1 - expected) / total)


def test_rows_are_those_that_were_kept() -> None:
    finder = SimilarSets(0.5)
    a, b, c = {1, 2, 3}, {7, 8, 9}, {20, 21, 22, 23}
    assert finder.find(sets_of([a, set(), a, b])) == [None, None, Similar(0, 1.0), None]
    assert finder.find(sets_of([])) == []
    assert finder.find(sets_of([c, b, c | {24}, set(), a])) == [
        None,
        Similar(2, 1.0),
        Similar(3, 0.8),
        None,
        Similar(0, 1.0),
    ]


def test_the_most_similar_is_told_and_of_equals_the_first() -> None:
    finder = SimilarSets(0.5)
    base = set(range(40))
    near, nearer = base | set(range(100, 140)), base | set(range(200, 239))
    assert finder.find(sets_of([near, base | set(range(300, 341))])) == [None, None]
    assert finder.find(sets_of([nearer])) == [None]  # these three share less than half
    assert finder.find(sets_of([base])) == [Similar(2, 40 / 79)]
    # Now ``base`` is as similar to the first as to the second of two others.
    again = SimilarSets(0.5)
    pair = [base | set(range(500, 530)), base | set(range(600, 630))]
    assert again.find(sets_of(pair)) == [None, None]
    assert again.find(sets_of([base])) == [Similar(0, 40 / 70)]


def test_what_is_similar_to_one_that_was_not_kept_may_be_kept() -> None:
    a = set(range(100))
    b, c = set(range(15, 115)), set(range(30, 130))
    assert jaccard(a, b) > 0.7 > jaccard(a, c) and jaccard(b, c) > 0.7
    finder = SimilarSets(0.7)
    assert [one is None for one in finder.find(sets_of([a, b, c]))] == [True, False, True]
