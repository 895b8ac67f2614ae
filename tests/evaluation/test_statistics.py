"""Intervals, tests and corrections against scipy, slow twins and the error rates they promise."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats

from dpr.errors import InputError, SettingsError
from dpr.evaluation import statistics
from dpr.evaluation.records import Comparison, Estimate
from dpr.evaluation.statistics import (
    StatisticsSettings,
    bootstrap_interval,
    compare,
    compare_all,
    effect_size,
    estimate,
    holm,
    paired_test,
)

Array = npt.NDArray[np.float64]
RECIPROCALS = np.array([0.0, *(1 / rank for rank in range(1, 11))])


def right_or_wrong(seed: int, size: int, chance: float = 0.7) -> Array:
    return (np.random.default_rng(seed).random(size) < chance).astype(np.float64)


def reciprocal_ranks(seed: int, size: int) -> Array:
    chances = [0.1, 0.4, 0.15, 0.1, 0.07, 0.05, 0.04, 0.03, 0.02, 0.02, 0.02]
    return np.random.default_rng(seed).choice(RECIPROCALS, size, p=chances)


# Bootstrap intervals.


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("size", [40, 1000])
def test_intervals_agree_with_scipy(size: int, confidence: float) -> None:
    for values in (
        np.random.default_rng(1).exponential(size=size),
        right_or_wrong(1, size),
        reciprocal_ranks(1, size),
    ):
        theirs = scipy.stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=20_000,
            confidence_level=confidence,
            method="percentile",
            rng=np.random.default_rng(2),
        ).confidence_interval
        low, high = bootstrap_interval(values, confidence, resamples=20_000)
        error = 0.06 * values.std() / math.sqrt(size)  # of both, by chance, and the grid of 1/size
        assert low == pytest.approx(theirs.low, abs=error + 1 / size)
        assert high == pytest.approx(theirs.high, abs=error + 1 / size)


@pytest.mark.parametrize("values", [right_or_wrong(3, 500, 0.9), reciprocal_ranks(3, 500)])
def test_drawing_counts_is_drawing_questions(
    values: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways give means of the same distribution (two-sample Kolmogorov-Smirnov), and another
    sample is told from it."""
    means = {}
    for cost in (0, 10**9):
        monkeypatch.setattr(statistics, "COUNT_COST", cost)
        rng = np.random.default_rng(4)
        means[cost] = statistics._resampled_means(values, 20_000, rng)
    assert len(means[0]) == len(means[10**9]) == 20_000
    assert not np.array_equal(means[0], means[10**9])
    assert scipy.stats.ks_2samp(means[0], means[10**9]).pvalue > 0.01
    other = statistics._resampled_means(np.append(values[:-20], np.ones(20)), 20_000, rng)
    assert scipy.stats.ks_2samp(means[0], other).pvalue < 1e-6


def test_chunks_hold_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Means of distinct values, in chunks of any size: all are drawn, none is left from before."""
    values = np.random.default_rng(5).random(50)
    whole = statistics._resampled_means(values, 1001, np.random.default_rng(6))
    monkeypatch.setattr(statistics, "CHUNK", 350)
    parts = statistics._resampled_means(values, 1001, np.random.default_rng(6))
    assert whole.shape == parts.shape == (1001,)
    assert whole == pytest.approx(parts, abs=1e-12)
    assert values.min() < whole.min() < whole.max() < values.max()


def test_intervals_without_spread() -> None:
    assert bootstrap_interval([0.3] * 7) == (0.3, 0.3)
    assert bootstrap_interval([1.0]) == (1.0, 1.0)
    assert bootstrap_interval([0.0] * 10_000) == (0.0, 0.0)


def test_a_seed_decides_all_draws() -> None:
    values = np.random.default_rng(7).random(200)
    first = bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values.tolist(), seed=1) == first
    assert bootstrap_interval(values, seed=2) != first
    other = np.random.default_rng(8).random(200)
    for method in ("randomization", "bootstrap"):
        p = paired_test(values, other, method, seed=1)
        assert paired_test(values.tolist(), other.tolist(), method, seed=1) == p
        assert paired_test(values, other, method, seed=2) != p


def test_an_estimate_is_of_what_was_measured() -> None:
    assert estimate([None, 1.0, 1.0, None]) == Estimate(1.0, 1.0, 1.0, 2)
    values = right_or_wrong(9, 300).tolist()
    settings = StatisticsSettings(confidence=0.8, resamples=400, seed=3)
    low, high = bootstrap_interval(values, 0.8, 400, seed=3)
    assert estimate([None, *values], settings) == Estimate(sum(values) / 300, low, high, 300)
    wider = estimate(values, replace(settings, confidence=0.99))
    assert wider.low < low < high < wider.high


# Paired tests.


def slow_randomization(differences: list[float]) -> float:
    """Every assignment of signs, one by one."""
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * one for sign, one in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(one >= observed - 1e-9 for one in sums) / len(sums)


def test_few_questions_are_tested_exactly() -> None:
    rng = random.Random(10)
    for size in (1, 2, 5, 10):
        for _ in range(5):
            a = [rng.choice([0.0, 0.5, 1.0, rng.random()]) for _ in range(size)]
            b = [rng.choice([0.0, 0.5, 1.0, rng.random()]) for _ in range(size)]
            slow = slow_randomization([x - y for x, y in zip(a, b, strict=True)])
            assert paired_test(a, b) == pytest.approx(slow)
            if size == 1:
                continue  # which scipy does not take
            theirs = scipy.stats.permutation_test(
                (a, b),
                lambda x, y, axis: np.mean(x - y, axis=axis),
                permutation_type="samples",
                n_resamples=np.inf,
                vectorized=True,
            )
            assert paired_test(a, b) == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize(("wins", "losses"), [(1, 0), (8, 2), (90, 60), (75, 75), (5000, 4800)])
def test_right_or_wrong_is_the_exact_sign_test(wins: int, losses: int) -> None:
    a = [1.0] * wins + [0.0] * losses + [1.0] * 50 + [0.0] * 50
    b = [0.0] * wins + [1.0] * losses + [1.0] * 50 + [0.0] * 50
    expected = scipy.stats.binomtest(wins, wins + losses).pvalue
    assert paired_test(a, b) == pytest.approx(expected, rel=1e-9)
    assert paired_test(b, a) == paired_test(a, b)


def test_drawn_signs_agree_with_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    ps = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        a, b = rng.random(13), rng.random(13) + 0.2 * (seed % 3)
        exact = paired_test(a, b)
        monkeypatch.setattr(statistics, "EXACT_SUMS", 0)
        drawn = paired_test(a, b, resamples=20_000)
        monkeypatch.undo()
        assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000) + 1e-4)
        ps.append(exact)
    assert min(ps) < 0.1 < 0.5 < max(ps)


@pytest.mark.parametrize("size", [1, 3, 8, 9])
def test_drawn_signs_give_every_sum_alike(size: int) -> None:
    """Whether or not the sizes fill their eights; 2 ** i lets every sum show its signs."""
    sizes = 2.0 ** np.arange(size)
    drawn = statistics._drawn_sign_sums(sizes, 100_000, np.random.default_rng(11))
    sums, counts = np.unique(drawn, return_counts=True)
    expected = sorted(sum(one) for one in itertools.product(*((-x, x) for x in sizes.tolist())))
    assert sums.tolist() == expected
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_many_distinct_differences_agree_with_scipy() -> None:
    rng = np.random.default_rng(12)
    a, b = rng.random(300), rng.random(300)
    b += a.mean() - b.mean() + 0.035  # p is about 0.15
    theirs = scipy.stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        batch=1000,
        rng=rng,
    ).pvalue
    assert 0.05 < theirs < 0.3
    assert paired_test(a, b, resamples=20_000) == pytest.approx(theirs, abs=0.02)
    assert paired_test(a, b, "bootstrap", resamples=20_000) == pytest.approx(theirs, abs=0.03)
    assert paired_test(a, b, "bootstrap") == pytest.approx(
        scipy.stats.ttest_rel(a, b).pvalue, abs=0.03
    )


def test_rounding_is_no_difference() -> None:
    assert paired_test([0.1 + 0.2] * 30, [0.3] * 30) == 1.0
    # Sums that tie with the observed one but for rounding count.
    a, b = [0.3, 0.1, 0.2, 0.7], [0.2, 0.2, 0.3, 0.6]
    assert paired_test(a, b) == 1.0


@pytest.mark.parametrize("method", ["randomization", "bootstrap"])
def test_p_is_never_0_and_1_without_a_difference(method: str) -> None:
    values = reciprocal_ranks(13, 100)
    assert paired_test(values, values, method) == 1.0
    distinct = np.random.default_rng(14).random(100)
    assert paired_test(2 * distinct + 5, distinct, method, resamples=999) == 1 / 1000
    assert 0 < paired_test(np.ones(3000), np.zeros(3000), method) < 0.001
    assert paired_test([1.0], [0.0], method) == 1.0
    assert paired_test([1.0] * 5, [0.0] * 5, method) == pytest.approx(2 / 2**5)


# Holm's correction.


def test_holm_of_a_textbook_example() -> None:
    # Four hypotheses as at https://en.wikipedia.org/wiki/Holm–Bonferroni_method: at 0.05 the
    # fourth and the first are rejected.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def step_down(p_values: list[float], level: float) -> set[int]:
    """Holm 1979, as he states it: the positions rejected."""
    rejected: set[int] = set()
    for rank, number in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[number] > level / (len(p_values) - rank):
            break
        rejected.add(number)
    return rejected


def test_holm_rejects_what_the_step_down_procedure_does() -> None:
    rng = random.Random(15)
    rejected = 0
    for _ in range(300):
        ps = [rng.choice([rng.random(), rng.random() / 20, 0.01]) for _ in range(rng.randint(1, 8))]
        corrected = holm(ps)
        assert all(p <= q <= 1 for p, q in zip(ps, corrected, strict=True))
        order = sorted(range(len(ps)), key=lambda i: ps[i])
        assert [corrected[i] for i in order] == sorted(corrected)
        for level in (0.01, 0.05, 0.2, 0.5):
            found = {i for i, q in enumerate(corrected) if q <= level * (1 + 1e-12)}
            assert found == step_down(ps, level * (1 + 1e-12))
            rejected += len(found)
    assert rejected > 500
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    with pytest.raises(InputError, match=r"p=1\.2; give numbers between 0 and 1"):
        holm([0.1, 1.2])


# Effect size and comparisons.


def test_effect_sizes() -> None:
    # Differences 1, 0, 0, 1: mean 1/2, standard deviation sqrt(1/3).
    assert effect_size([1, 0, 1, 1], [0, 0, 1, 0]) == pytest.approx(0.5 / math.sqrt(1 / 3))
    a, b = reciprocal_ranks(16, 80), reciprocal_ranks(17, 80)
    t = scipy.stats.ttest_rel(a, b).statistic  # is d_z times the root of n
    assert effect_size(a, b) == pytest.approx(t / math.sqrt(80))
    assert effect_size(b, a) == -effect_size(a, b)
    assert effect_size(a, a) == 0.0
    assert effect_size([1, 0], [0, 1]) == 0.0
    assert effect_size([0.5], [0.5]) == 0.0
    assert effect_size([1.0] * 5, [0.0] * 5) == math.inf
    assert effect_size([0.2], [0.9]) == -math.inf


def test_a_comparison_is_over_the_questions_that_both_have() -> None:
    a = [None, 1.0, 1.0, 0.0, 0.5, 0.1 + 0.2, 1.0]
    b = [1.0, None, 0.0, 0.25, 0.5, 0.3, 0.0]
    found = compare("a", a, "b", b, "RR@10", StatisticsSettings(seed=5))
    assert (found.measure, found.system, found.other) == ("RR@10", "a", "b")
    assert found.differences == (1.0, -0.25, 0.0, 0.0, 1.0)
    assert (found.wins, found.losses, found.ties) == (2, 1, 2)
    assert found.difference == pytest.approx(1.75 / 5)
    both = [1.0, 0.0, 0.5, 0.3, 1.0], [0.0, 0.25, 0.5, 0.3, 0.0]
    assert (found.low, found.high) == bootstrap_interval(list(found.differences), seed=5)
    assert found.p == found.p_holm == paired_test(*both) == 0.5
    assert found.effect == effect_size(*both)
    tested = compare("a", a, "b", b, "RR@10", StatisticsSettings(test="bootstrap"))
    assert tested.p == paired_test(*both, method="bootstrap") != found.p


def test_all_pairs_or_all_against_the_baseline() -> None:
    values = {
        name: right_or_wrong(seed, 200, chance).tolist()
        for seed, (name, chance) in enumerate([("bm25", 0.5), ("dpr", 0.7), ("both", 0.72)])
    }
    pairs = compare_all(values, "Success@5")
    assert [(one.system, one.other) for one in pairs] == [
        ("bm25", "dpr"),
        ("bm25", "both"),
        ("dpr", "both"),
    ]
    against = compare_all(values, "Success@5", baseline="bm25")
    assert [(one.system, one.other) for one in against] == [("dpr", "bm25"), ("both", "bm25")]
    for found in (pairs, against):
        for one in found:
            alone = compare(one.system, values[one.system], one.other, values[one.other], "x")
            assert replace(one, measure="x", p_holm=one.p) == alone
        assert [one.p_holm for one in found] == holm([one.p for one in found])
    assert pairs[0].p < pairs[0].p_holm < 0.05 < pairs[2].p_holm
    assert compare_all({"alone": [1.0]}, "AP") == ()


def test_systems_without_a_question_in_common_are_not_compared() -> None:
    values = {"a": [1.0, None, 1.0], "b": [None, 1.0, None], "c": [0.0, 1.0, None]}
    found = compare_all(values, "AP")
    assert [(one.system, one.other) for one in found] == [("a", "c"), ("b", "c")]
    with pytest.raises(InputError, match="AP: 'a' and 'b' have no question in common"):
        compare("a", values["a"], "b", values["b"], "AP")


# What is refused.


def test_values_that_cannot_be_averaged() -> None:
    for empty in (lambda: bootstrap_interval([]), lambda: estimate([None]), lambda: estimate([])):
        with pytest.raises(InputError, match="no values; give a list"):
            empty()
    with pytest.raises(InputError, match=r"the value of question 1 \(from 0\) is nan"):
        bootstrap_interval([0.5, math.nan])
    with pytest.raises(InputError, match="1 values and 2; give one per question to each"):
        paired_test([1.0], [1.0, 0.0])
    with pytest.raises(InputError, match="AP: 1 values of 'a' and 2 of 'b'"):
        compare("a", [1.0], "b", [1.0, None], "AP")
    with pytest.raises(InputError, match="AP: 1 values of 'a' and 2 of 'b'"):
        compare_all({"a": [1.0], "b": [None, None]}, "AP")
    with pytest.raises(SettingsError, match="baseline='c' is none of the systems: 'a', 'b'"):
        compare_all({"a": [1.0], "b": [0.0]}, "AP", baseline="c")


def test_settings_outside_what_is_allowed() -> None:
    with pytest.raises(SettingsError, match="confidence=95; give a share between 0 and 1"):
        StatisticsSettings(confidence=95)
    with pytest.raises(SettingsError, match="resamples=99; give at least 100"):
        StatisticsSettings(resamples=99)
    with pytest.raises(SettingsError, match="seed=-1; give 0 or more"):
        bootstrap_interval([1.0], seed=-1)
    with pytest.raises(SettingsError, match="test='t'; give one of randomization, bootstrap"):
        paired_test([1.0], [0.0], method="t")


# The error rates that all of it promises, over 2,000 simulations of 1,000 paired questions.

SIMULATIONS, QUESTIONS, DISCORDANT, TRUTH = 2000, 1000, 0.15, 0.9
OUTCOMES = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])


def paired_outcomes(difference: float, seed: int) -> tuple[list[float], list[float]]:
    """Two systems, right or wrong on the same questions: 15% of them discordant, the first right
    on 90% of all, the second on ``difference`` less."""
    first_only, second_only = (DISCORDANT + difference) / 2, (DISCORDANT - difference) / 2
    chances = [TRUTH - first_only, first_only, second_only, 1 - TRUTH - second_only]
    drawn = np.random.default_rng([seed, 1]).choice(4, QUESTIONS, p=chances)
    first, second = OUTCOMES[drawn].T.tolist()
    return first, second


def covers(found: Estimate | Comparison, truth: float) -> bool:
    return found.low <= truth + 1e-12 and found.high >= truth - 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("test", ["randomization", "bootstrap"])
def test_error_rates(test: str) -> None:
    alarms = found = covered = covered_0 = covered_mean = 0
    for seed in range(SIMULATIONS):
        settings = StatisticsSettings(resamples=1000, seed=seed, test=test)
        a, b = paired_outcomes(0.0, seed)
        same = compare("a", a, "b", b, "Success@5", settings)
        alarms += same.p <= 0.05
        covered_0 += covers(same, 0.0)
        covered_mean += covers(estimate(a, settings), TRUTH)
        a, b = paired_outcomes(0.05, seed)
        better = compare("a", a, "b", b, "Success@5", settings)
        found += better.p <= 0.05
        covered += covers(better, 0.05)
    assert 0.03 <= alarms / SIMULATIONS <= 0.07
    assert found / SIMULATIONS >= 0.95
    for count in (covered, covered_0, covered_mean):
        assert 0.93 <= count / SIMULATIONS <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("test", ["randomization", "bootstrap"])
def test_error_rates_of_graded_values(test: str) -> None:
    """The same for reciprocal ranks, whose many sums are drawn: 250 simulations, and the bounds
    wider by two standard errors for it."""
    alarms = covered = 0
    for seed in range(250):
        a, other = reciprocal_ranks(2 * seed, QUESTIONS), reciprocal_ranks(2 * seed + 1, QUESTIONS)
        kept = np.random.default_rng([seed, 1]).random(QUESTIONS) >= DISCORDANT
        b = np.where(kept, a, other)
        settings = StatisticsSettings(resamples=1000, seed=seed, test=test)
        found = compare("a", a.tolist(), "b", b.tolist(), "RR@10", settings)
        alarms += found.p <= 0.05
        covered += covers(found, 0.0)
    assert 0.01 <= alarms / 250 <= 0.09
    assert 0.91 <= covered / 250 <= 0.99
