"""Tuning against ir_measures over lists that ``fuse`` made, and what it must not conclude."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from dpr.errors import InputError, SettingsError
from dpr.evaluation.judged import judge
from dpr.fusion import Candidates, FusionSettings, Ranked, fuse, gather
from dpr.fusion.tuning import NDCG, SUCCESS, Tuned, default_grid, tune

DEPTH = 12
GRID = [FusionSettings(weight=step / 4, depth=DEPTH) for step in range(5)]
GRID += [FusionSettings("weighted", 2.0**step, depth=DEPTH) for step in range(-3, 4)]
GRID += [FusionSettings("rrf", 0.3, constant, DEPTH) for constant in (0, 60)]


def question(
    rng: np.random.Generator, dense_gain: float, bm25_gain: float
) -> tuple[Candidates, dict[int, int]]:
    """40 rows, up to three of them relevant, which each way of searching scores higher by its gain;
    scores are coarse, so that some are equal, and half of the rows share no word."""
    rows = 40
    relevant = rng.choice(rows, rng.integers(1, 4), replace=False)
    dense = np.round(rng.normal(10, 1, rows), 1)
    bm25 = np.round(rng.exponential(2, rows) * rng.integers(0, 2, rows), 1)
    dense[relevant] += dense_gain
    bm25[relevant] += bm25_gain
    words = np.flatnonzero(bm25 > 0)
    first = np.lexsort((np.arange(rows), -dense))[:DEPTH]
    second = words[np.lexsort((words, -bm25[words]))][:DEPTH]
    candidates = gather(
        Ranked(first, dense[first]),
        Ranked(second, bm25[second]),
        dense.__getitem__,
        bm25.__getitem__,
        DEPTH,
    )
    grades = {int(row): int(rng.integers(1, 4)) for row in relevant}
    return candidates, grades | {int(rng.integers(rows)) + 100: 0}


def questions(
    count: int, dense_gain: float, bm25_gain: float, seed: int = 0
) -> tuple[list[Candidates], list[dict[int, int]]]:
    rng = np.random.default_rng(seed)
    pairs = [question(rng, dense_gain, bm25_gain) for _ in range(count)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def by_ir_measures(
    lists: Sequence[Sequence[int]], judgements: Sequence[Mapping[int, int]]
) -> dict[str, np.ndarray[Any, Any]]:
    """nDCG@10 and Success@1 of each question for ranked lists of rows."""
    values = judge(
        {
            f"q{number}": {f"p{row}": -float(place) for place, row in enumerate(rows)}
            for number, rows in enumerate(lists)
        },
        {
            f"q{number}": {f"p{row}": grade for row, grade in grades.items()}
            for number, grades in enumerate(judgements)
        },
        [NDCG, SUCCESS],
    )
    order = [f"q{number}" for number in range(len(judgements))]
    return {name: np.array([of[one] for one in order]) for name, of in values.items()}


def fused_lists(candidates: Sequence[Candidates], settings: FusionSettings) -> list[list[int]]:
    return [[hit.row for hit in fuse(one, settings)] for one in candidates]


def test_every_tried_figure_is_that_of_ir_measures() -> None:
    candidates, judgements = questions(60, 1.0, 2.0)
    judgements[3][-1] = 3  # relevant, and not in the collection
    found = tune(candidates, judgements, GRID)
    start = FusionSettings(depth=DEPTH)
    assert [one.settings for one in found.tried] == [start, *(one for one in GRID if one != start)]
    for one in found.tried:
        expected = by_ir_measures(fused_lists(candidates, one.settings), judgements)
        assert one.ndcg == pytest.approx(expected[NDCG].mean(), abs=1e-9)
        assert one.success == pytest.approx(expected[SUCCESS].mean(), abs=1e-9)
    assert sum(one.chosen for one in found.tried) == 5


def test_the_parts_alone_are_those_of_their_lists() -> None:
    """And held-out fusion is what the other folds choose; each question a fold of its own."""
    candidates, judgements = questions(12, 1.0, 2.0)
    grid = [FusionSettings("weighted", weight, depth=DEPTH) for weight in (0.0, 0.5, 1.0, 4.0)]
    found = tune(candidates, judgements, grid, folds=12, start=grid[0])
    values = [by_ir_measures(fused_lists(candidates, one), judgements) for one in grid]
    held_out = {name: np.zeros(12) for name in (NDCG, SUCCESS)}
    for number in range(12):
        rest = np.arange(12) != number
        best = max(range(4), key=lambda one: values[one][NDCG][rest].mean())
        gain = (values[best][NDCG] - values[0][NDCG])[rest]
        if gain.mean() <= gain.std(ddof=1) / math.sqrt(11):
            best = 0
        for name, own in held_out.items():
            own[number] = values[best][name][number]
    assert found.ndcg.value == pytest.approx(held_out[NDCG].mean())
    assert found.success.value == pytest.approx(held_out[SUCCESS].mean())
    by_rank = {
        "dense": lambda one: (one.dense_ranks, one.rows),
        "bm25": lambda one: (one.bm25_ranks, one.rows),
    }
    assert [(one.measure, one.other) for one in found.comparisons] == [
        (measure, name) for measure in (NDCG, SUCCESS) for name in by_rank
    ]
    for one in found.comparisons:
        lists = []
        for own in candidates:
            ranks, rows = by_rank[one.other](own)
            lists.append(rows[np.argsort(ranks)][np.sort(ranks) > 0].tolist())
        alone = by_ir_measures(lists, judgements)[one.measure]
        assert one.differences == pytest.approx((held_out[one.measure] - alone).tolist())


def tuned(dense_gain: float, bm25_gain: float, **options: Any) -> Tuned:
    candidates, judgements = questions(150, dense_gain, bm25_gain)
    return tune(candidates, judgements, default_grid(candidates, DEPTH), **options)


def test_fusion_is_worth_it_where_both_parts_know_something() -> None:
    found = tuned(1.5, 3.0)
    assert found.worthwhile
    assert all(one.low > 0 and one.p_holm < 0.05 for one in found.comparisons[:2])


def test_fusion_is_not_worth_it_where_one_part_knows_nothing() -> None:
    found = tuned(3.0, 0.0)
    assert not found.worthwhile
    assert found.settings.weight > (0.6 if found.settings.method != "weighted" else 1.0)
    other = tuned(0.0, 6.0)
    assert not other.worthwhile
    assert other.settings.weight < (0.4 if other.settings.method != "weighted" else 1.0)


def test_where_one_starts_is_kept_unless_it_is_clearly_worse() -> None:
    candidates, judgements = questions(150, 1.0, 2.0)
    grid = [FusionSettings(weight=step / 20, depth=DEPTH) for step in range(0, 21, 2)]
    values = {one: by_ir_measures(fused_lists(candidates, one), judgements)[NDCG] for one in grid}
    best = max(grid, key=lambda one: values[one].mean())
    kept = 0
    for start in grid:
        loss = values[best] - values[start]
        clear = loss.mean() > loss.std(ddof=1) / math.sqrt(150)
        kept += not clear and start != best
        found = tune(candidates, judgements, grid, start=start)
        assert found.settings == (best if clear else start)
    assert kept


def test_groups_stay_together() -> None:
    """Each of two documents wants the other's settings: with both in a fold nothing shows it."""
    candidates, judgements = questions(40, 3.0, 0.0)
    more, graded = questions(40, 0.0, 6.0, seed=1)
    grid = [FusionSettings(weight=weight, depth=DEPTH) for weight in (0.0, 1.0)]
    groups = ["a"] * 40 + ["b"] * 40
    apart = tune(candidates + more, judgements + graded, grid, groups, 2, start=grid[0])
    worst = by_ir_measures(
        fused_lists(candidates, grid[0]) + fused_lists(more, grid[1]), judgements + graded
    )
    assert apart.ndcg.value == pytest.approx(worst[NDCG].mean())
    assert tune(candidates + more, judgements + graded, grid).ndcg.value > apart.ndcg.value + 0.1


def test_the_same_seed_tunes_the_same() -> None:
    assert tuned(1.0, 1.0, seed=3) == tuned(1.0, 1.0, seed=3)


def test_questions_without_candidates_count_nothing() -> None:
    nothing = gather(Ranked([], []), Ranked([], []), np.zeros, np.zeros, DEPTH)
    candidates, judgements = questions(5, 2.0, 2.0)
    alone = tune(candidates, judgements, GRID[:3], folds=2)
    found = tune([*candidates, nothing], [*judgements, {1: 1}], GRID[:3], folds=2)
    assert found.tried[0].ndcg == pytest.approx(alone.tried[0].ndcg * 5 / 6)
    assert tune([nothing] * 3, [{1: 1}] * 3, GRID[:3], folds=2).ndcg.value == 0


def test_what_is_refused() -> None:
    candidates, judgements = questions(4, 1.0, 1.0)
    with pytest.raises(InputError, match="4 questions with candidates, 3 with judgements"):
        tune(candidates, judgements[:3], GRID)
    with pytest.raises(InputError, match="1 with a group"):
        tune(candidates, judgements, GRID, groups=["a"])
    with pytest.raises(InputError, match="none of the 4 questions has a relevant passage"):
        tune(candidates, [{1: 0}] * 4, GRID)
    with pytest.raises(InputError, match="none of the 0 questions"):
        tune([], [], GRID)
    with pytest.raises(SettingsError, match="the grid has the depths"):
        tune(candidates, judgements, [])
    with pytest.raises(SettingsError, match=r"depths \[12, 200\]"):
        tune(candidates, judgements, [*GRID, FusionSettings()])
    with pytest.raises(SettingsError, match="5 folds for 2 groups"):
        tune(candidates, judgements, GRID, groups=["a", "b", "a", "b"])
    with pytest.raises(SettingsError, match="1 folds"):
        tune(candidates, judgements, GRID, folds=1)


def test_the_default_grid_lies_about_where_scores_spread_alike() -> None:
    candidates, _ = questions(20, 1.0, 1.0)
    for factor in (1.0, 1000.0):
        scaled = [
            Candidates(one.rows, one.dense / factor, one.bm25, one.dense_ranks, one.bm25_ranks)
            for one in candidates
        ]
        weights = [one.weight for one in default_grid(scaled, DEPTH) if one.method == "weighted"]
        ratio = np.median([one.bm25.std() / one.dense.std() for one in scaled])
        assert weights[len(weights) // 2] == pytest.approx(ratio, rel=1e-2)
        assert weights[-1] == pytest.approx(16 * ratio, rel=1e-2)
    assert FusionSettings(depth=DEPTH) in default_grid([], DEPTH)


def test_both_kinds_of_question_count_the_same_where_that_is_asked() -> None:
    """Words are the better part of most questions; counted the same, vectors weigh more. The
    choice is that of a slow twin: the mean of two means."""
    many, few = questions(90, 0.5, 4.0), questions(30, 3.0, 0.0, seed=1)
    candidates, judgements = [*many[0], *few[0]], [*many[1], *few[1]]
    grid = [FusionSettings(weight=step / 10, depth=DEPTH, power=1.0) for step in range(11)]
    values = [by_ir_measures(fused_lists(candidates, one), judgements)[NDCG] for one in grid]
    by_words, by_vectors = values[0], values[-1]
    kinds = [by_vectors > by_words, by_vectors < by_words]
    even = [np.mean([own[kind].mean() for kind in kinds]) for own in values]
    start = FusionSettings(weight=0.0, depth=DEPTH, power=1.0)
    mean = tune(candidates, judgements, grid, start=start).settings
    found = tune(candidates, judgements, grid, start=start, even=True)
    assert found.settings == grid[int(np.argmax(even))]
    assert found.settings.weight > mean.weight
    assert [one.ndcg for one in found.tried] == pytest.approx([own.mean() for own in values])


def test_of_either_kind_there_must_be_some() -> None:
    candidates, judgements = questions(40, 0.0, 9.0)
    with pytest.raises(InputError, match=r"BM25 \d+ better than dense search: too few"):
        tune(candidates, judgements, GRID, even=True)


def test_of_either_kind_there_must_be_some_outside_every_fold() -> None:
    """All questions that dense search answers better are about one thing, and so in one fold."""
    many, few = questions(40, 0.0, 9.0), questions(6, 9.0, 0.0, seed=1)
    candidates, judgements = [*few[0], *many[0]], [*few[1], *many[1]]
    groups = ["one"] * len(few[0]) + [f"of {number}" for number in range(len(many[0]))]
    assert tune(candidates, judgements, GRID, even=True).settings in GRID
    with pytest.raises(InputError, match="too few, or about too few documents"):
        tune(candidates, judgements, GRID, groups, even=True)
