"""Fusion against its formulas written out over Python's dictionaries, and in the corner cases."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import InputError, SettingsError
from dpr.fusion import METHODS, Candidates, Fused, FusionSettings, Ranked, fuse, gather

Truth = Mapping[int, float]


def ranked(truth: Truth, depth: int, least: float = -math.inf) -> Ranked:
    rows = sorted((row for row in truth if truth[row] > least), key=lambda r: (-truth[r], r))
    return Ranked(rows[:depth], [truth[row] for row in rows[:depth]])


def gathered(dense: Truth, bm25: Truth, depth: int) -> Candidates:
    return gather(
        ranked(dense, depth),
        ranked(bm25, depth, 0.0),
        lambda rows: np.array([dense[row] for row in rows.tolist()]),
        lambda rows: np.array([bm25[row] for row in rows.tolist()]),
        depth,
    )


def by_formula(dense: Truth, bm25: Truth, settings: FusionSettings) -> dict[int, float]:
    """The fused score of every member of the union, term by term."""
    depth, w = settings.depth, settings.weight
    lists = [ranked(dense, depth).rows, ranked(bm25, depth, 0.0).rows]
    union = sorted({*lists[0], *lists[1]})
    if settings.method == "weighted":
        return {row: bm25[row] + w * dense[row] for row in union}
    if settings.method == "rrf":
        shares = [
            [1 / (settings.rank_constant + list(one).index(row) + 1) if row in one else 0.0]
            for row in union
            for one in lists
        ]
        pairs = zip(shares[::2], shares[1::2], strict=True)
        return {row: w * d + (1 - w) * b for row, ([d], [b]) in zip(union, pairs, strict=True)}
    z = []
    for truth in (dense, bm25):
        values = [truth[row] for row in union]
        mean, deviation = statistics.fmean(values), statistics.pstdev(values)
        z.append({row: (truth[row] - mean) / deviation if deviation else 0.0 for row in union})
    p = settings.power
    sums = {row: w * signed(z[0][row], p) + (1 - w) * signed(z[1][row], p) for row in union}
    return {row: signed(one, 1 / p) for row, one in sums.items()}


def signed(value: float, power: float) -> float:
    return math.copysign(abs(value) ** power, value)


def random_case(seed: int) -> tuple[dict[int, float], dict[int, float]]:
    """True scores of 30 rows: some of them share no word, some have the same score."""
    rng = random.Random(seed)
    rows = rng.sample(range(1000), 30)
    dense = {row: rng.choice([1.0, 2.0, rng.gauss(8, 2)]) for row in rows}
    bm25 = {row: rng.choice([0.0, 0.0, 3.0, rng.expovariate(0.2)]) for row in rows}
    return dense, bm25


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("power", [1.0, 1.75, 3.0])
def test_the_scores_are_the_formulas(method: Any, weight: float, power: float) -> None:
    beyond = 0
    for seed in range(50):
        dense, bm25 = random_case(seed)
        settings = FusionSettings(method, weight, seed % 3 * 30, depth=8, power=power)
        expected = by_formula(dense, bm25, settings)
        found = fuse(gathered(dense, bm25, 8), settings)
        assert {one.row: one.score for one in found} == pytest.approx(expected, abs=1e-12)
        assert [one.score for one in found] == sorted((o.score for o in found), reverse=True)
        lists = ranked(dense, 8).rows, ranked(bm25, 8, 0.0).rows
        for one in found:
            assert (one.dense_score, one.bm25_score) == (dense[one.row], bm25[one.row])
            for rank, rows in zip((one.dense_rank, one.bm25_rank), map(list, lists), strict=True):
                assert rank == (rows.index(one.row) + 1 if one.row in rows else None)
                beyond += rank is None
    assert beyond > 100


def test_half_of_reciprocal_rank_fusion_as_it_was_published() -> None:
    """Cormack et al. 2009: the sum of 1 / (60 + rank)."""
    candidates = gathered({1: 3.0, 2: 2.0, 3: 1.0}, {1: 0.0, 2: 5.0, 3: 4.0}, 3)
    found = fuse(candidates, FusionSettings("rrf", 0.5))
    assert [(one.row, 2 * one.score) for one in found] == [
        (2, pytest.approx(1 / 62 + 1 / 61)),
        (3, pytest.approx(1 / 63 + 1 / 62)),
        (1, pytest.approx(1 / 61)),
    ]


def test_the_larger_the_power_the_more_the_surer_score_decides() -> None:
    """1 is found by vectors alone, 2 by both a little; the mean prefers 2, a high power 1. What
    words are sure is wrong comes last with a high power alone."""
    dense = dict.fromkeys(range(3, 13), 1.0) | {1: 9.0, 2: 5.0}
    bm25 = dict.fromkeys(range(3, 13), 4.0) | {1: 3.0, 2: 5.0}
    candidates = gathered(dense, bm25, 12)
    first = [fuse(candidates, FusionSettings(power=p, weight=0.5), 1)[0].row for p in (1, 4)]
    assert first == [2, 1]
    dense = dict.fromkeys(range(3, 13), 5.0) | {1: 7.0, 2: 4.0}
    bm25 = dict.fromkeys(range(3, 13), 9.0) | {1: 1.0, 2: 8.0}
    doubted = gathered(dense, bm25, 12)
    last = [fuse(doubted, FusionSettings(power=p, weight=0.6))[-1].row for p in (1, 9)]
    assert last == [2, 1]


def test_scores_that_cancel_out_are_nothing_whatever_the_power() -> None:
    dense, bm25 = {1: 43.0 * 8 + 3, 2: 16.0 * 8 + 3}, {1: 0.0, 2: 42.0}
    for power in (1.75, 10):
        found = fuse(gathered(dense, bm25, 9), FusionSettings(weight=0.5, power=power))
        assert [(one.row, one.score) for one in found] == [(1, 0.0), (2, 0.0)]


@pytest.mark.parametrize("method", METHODS)
def test_equal_scores_are_ordered_by_id_whatever_k(method: Any) -> None:
    dense = dict.fromkeys(range(12), 5.0) | {12: 6.0}
    candidates = gathered(dense, dict.fromkeys(range(13), 0.0), 20)
    settings = FusionSettings(method, depth=20)
    asked: list[int] = []

    def ids(rows: Any) -> list[str]:
        asked.extend(rows)
        return [f"p{(7 * row) % 12:02}" for row in rows]

    if method == "rrf":  # ranks differ, so no scores are equal
        assert [one.row for one in fuse(candidates, settings, ids=ids)] == [12, *range(12)]
        assert not asked
        return
    whole = [one.row for one in fuse(candidates, settings, ids=ids)]
    assert whole == [12, *sorted(range(12), key=lambda row: (7 * row) % 12)]
    assert set(asked) == set(range(12))
    assert [one.row for one in fuse(candidates, settings, 4, ids)] == whole[:4]
    asked.clear()
    assert [one.row for one in fuse(candidates, settings, 1, ids)] == [12]
    assert not asked


@pytest.mark.parametrize("method", ["normalised", "weighted"])
def test_how_lists_order_equal_scores_is_no_matter(method: Any) -> None:
    dense, bm25 = {1: 2.0, 2: 2.0, 3: 2.0, 4: 1.0}, {1: 0.0, 2: 4.0, 3: 4.0, 4: 4.0}
    lists = [([1, 2, 3, 4], [2, 3, 4]), ([3, 2, 1, 4], [4, 3, 2])]
    found = [
        fuse(
            gather(
                Ranked(one, [dense[row] for row in one]),
                Ranked(two, [bm25[row] for row in two]),
                lambda rows: np.zeros(0),
                lambda rows: np.zeros(len(rows)),
                9,
            ),
            FusionSettings(method, 0.3),
        )
        for one, two in lists
    ]
    assert [(o.row, o.score) for o in found[0]] == [(o.row, o.score) for o in found[1]]


NOTHING = Ranked([], [])


def unasked(rows: Any) -> Any:
    raise AssertionError(f"asked for {rows}")


@pytest.mark.parametrize("method", METHODS)
def test_nothing_found_and_one_list_alone(method: Any) -> None:
    settings = FusionSettings(method)
    assert fuse(gather(NOTHING, NOTHING, unasked, unasked, 9), settings) == []
    found = Ranked([7, 3, 5], [3.0, 2.0, 1.0])
    zeros = gather(found, NOTHING, unasked, lambda rows: np.zeros(len(rows)), 9)
    assert [one.row for one in fuse(zeros, settings)] == [7, 3, 5]
    assert {one.bm25_rank for one in fuse(zeros, settings)} == {None}
    minus = gather(NOTHING, found, lambda rows: np.full(len(rows), -4.0), unasked, 9)
    assert [one.row for one in fuse(minus, settings)] == [7, 3, 5]


@pytest.mark.parametrize("method", METHODS)
def test_a_single_hit(method: Any) -> None:
    one = gather(Ranked([4], [2.5]), Ranked([4], [1.5]), unasked, unasked, 9)
    (hit,) = fuse(one, FusionSettings(method))
    assert hit == Fused(4, hit.score, 2.5, 1, 1.5, 1)
    assert math.isfinite(hit.score)


def test_rounding_is_not_taken_for_a_difference() -> None:
    """Scores of equal passages that differ in their last bit do not outweigh the words."""
    low = np.float32(9.1)
    dense = [float(np.nextafter(low, np.float32(10))), float(low)]
    candidates = gather(Ranked([1, 2], dense), Ranked([2, 1], [1.2, 1.1]), unasked, unasked, 9)
    assert [one.row for one in fuse(candidates, FusionSettings(weight=0.9))] == [2, 1]


score = st.floats(-(2.0**100), 2.0**100, width=32)


@given(
    st.dictionaries(st.integers(0, 40), st.tuples(score, score.map(abs)), max_size=12),
    st.sampled_from(METHODS),
    st.floats(0, 1),
    st.integers(1, 15),
)
def test_any_scores_give_finite_ones_in_one_order(
    truth: dict[int, tuple[float, float]], method: Any, weight: float, depth: int
) -> None:
    dense = {row: pair[0] for row, pair in truth.items()}
    bm25 = {row: pair[1] for row, pair in truth.items()}
    settings = FusionSettings(method, weight, depth=depth)
    found = fuse(gathered(dense, bm25, depth), settings)
    assert all(math.isfinite(one.score) for one in found)
    keys = [(-one.score, one.row) for one in found]
    assert keys == sorted(keys)
    assert len(set(keys)) == len({*ranked(dense, depth).rows, *ranked(bm25, depth, 0.0).rows})
    for k in (1, 3):
        assert fuse(gathered(dense, bm25, depth), settings, k) == found[:k]


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 50)), min_size=2, max_size=9),
    st.floats(0, 1),
)
def test_normalised_order_does_not_depend_on_the_scale_of_scores(
    pairs: list[tuple[int, int]], weight: float
) -> None:
    def scores(factor: float, shift: float) -> dict[int, float]:
        dense = {row: factor * d + shift for row, (d, _) in enumerate(pairs)}
        bm25 = {row: float(b) for row, (_, b) in enumerate(pairs)}
        found = fuse(gathered(dense, bm25, 9), FusionSettings(weight=weight))
        return {one.row: one.score for one in found}

    assert scores(1, 0) == pytest.approx(scores(8, 3), abs=1e-9)


@pytest.mark.parametrize(
    ("dense", "told"),
    [
        (Ranked([1, 2], [1.0]), "the dense list has 2 rows and 1 scores"),
        (Ranked([1, 1], [2.0, 1.0]), "names row 1 twice"),
        (Ranked([1, 2], [1.0, 2.0]), "score 2.0 after 1.0; give it best first"),
        (Ranked([1, 2], [1.0, math.nan]), "score of row 2 is nan"),
    ],
)
def test_lists_that_are_refused(dense: Ranked, told: str) -> None:
    with pytest.raises(InputError, match=told):
        gather(dense, NOTHING, unasked, lambda rows: np.zeros(len(rows)), 9)


def test_scores_and_numbers_that_are_refused() -> None:
    found = Ranked([1, 2], [2.0, 1.0])
    with pytest.raises(InputError, match="give one score a row"):
        gather(found, NOTHING, unasked, lambda rows: np.zeros(1), 9)
    with pytest.raises(InputError, match="BM25 score of row 1 is inf"):
        gather(found, NOTHING, unasked, lambda rows: np.full(len(rows), math.inf), 9)
    with pytest.raises(SettingsError, match="k is 0"):
        gather(found, NOTHING, unasked, unasked, 0)
    candidates = gather(found, found, unasked, unasked, 9)
    with pytest.raises(SettingsError, match="k is 0"):
        fuse(candidates, FusionSettings(), 0)
