"""What is chance and what is not: bootstrap intervals, paired tests, Holm's correction, effects.

Takes a value per question, gives records; every random draw comes from the seed in the settings.
Knows nothing of how the values are measured. The methods are the ones that the field compared and
found sound (Smucker, Allan & Carterette 2007).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError, SettingsError
from dpr.evaluation.records import Comparison, Estimate
from dpr.evaluation.settings import StatisticsSettings

Array = npt.NDArray[np.float64]
Values = Sequence[float] | Array

# Differences below this are rounding: the same value summed in another order.
TIE = 1e-9
# A distribution of at most so many sums is written out whole instead of drawn from.
EXACT_SUMS = 1 << 16
# Numbers drawn at once: so many fit in a core's cache.
CHUNK = 1 << 17
# Drawing how often a value comes takes about so many times as long as drawing one question.
COUNT_COST = 32


def estimate(
    values: Sequence[float | None], settings: StatisticsSettings | None = None
) -> Estimate:
    """The mean over the questions that were measured (not None), with its interval.

    Raises:
        InputError: no question was measured, or a value is not finite.
    """
    settings = settings or StatisticsSettings()
    measured = _array([one for one in values if one is not None])
    low, high = bootstrap_interval(
        measured, settings.confidence, settings.resamples, seed=settings.seed
    )
    return Estimate(float(measured.mean()), low, high, len(measured))


def bootstrap_interval(
    values: Values, confidence: float = 0.95, resamples: int = 5000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean (Efron & Tibshirani 1993, chapter 13).

    Where all values are the same, or there is only one, low and high are that value: resampling
    shows no spread, which does not mean that there is none.

    Raises:
        InputError: no values, or one that is not finite.
        SettingsError: a setting outside what StatisticsSettings allows.
    """
    StatisticsSettings(confidence=confidence, resamples=resamples, seed=seed)
    means = _resampled_means(_array(values), resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def paired_test(
    a: Values, b: Values, method: str = "randomization", resamples: int = 5000, seed: int = 0
) -> float:
    """The two-sided p of the mean difference between two systems on the same questions.

    Args:
        a, b: a value per question, in the same order.
        method: "randomization" is Fisher's and Pitman's: had the systems no difference, each
            question's difference might as well have the other sign; p is the share of such sign
            assignments that give a mean difference at least as large. It is exact where few sums
            can occur, as with measures of 0 and 1 (then it is the sign test) or with few questions.
            "bootstrap" shifts the differences to a mean of 0 and resamples questions; where all
            differences are alike, as with one question, that shows nothing, and signs are tested.
        resamples: drawn where the test is not exact; the observed one counts as one more, so that p
            is never 0 (Davison & Hinkley 1997, §4.2).

    Raises:
        InputError: lists of different length, without values, or with one that is not finite.
        SettingsError: a setting outside what StatisticsSettings allows.
    """
    StatisticsSettings(resamples=resamples, seed=seed, test=method)
    return _test(_differences(a, b), method, resamples, seed)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in the order given (Holm 1979).

    A corrected p is at most α exactly where Holm's step-down procedure rejects at level α.

    Raises:
        InputError: a p that is not between 0 and 1.
    """
    for p in p_values:
        if not 0 <= p <= 1:
            raise InputError(f"p={p}; give numbers between 0 and 1")
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[number]))
        corrected[number] = highest
    return corrected


def effect_size(a: Values, b: Values) -> float:
    """Cohen's d_z (Cohen 1988, §2.3.5): the mean of a - b over the standard deviation (n - 1) of
    these differences. 0.0 where the mean is 0; infinite, with the sign of the mean, where every
    question differs by the same amount.

    Raises:
        InputError: lists of different length, without values, or with one that is not finite.
    """
    return _effect(_differences(a, b))


def compare(
    name_a: str,
    values_a: Sequence[float | None],
    name_b: str,
    values_b: Sequence[float | None],
    measure: str,
    settings: StatisticsSettings | None = None,
) -> Comparison:
    """Two systems by one measure, over the questions that both were measured on (not None).

    A difference below 1e-9 is a tie. ``p_holm`` is p: there is one comparison.

    Raises:
        InputError: lists of different length, no question in common, or a value not finite.
    """
    settings = settings or StatisticsSettings()
    if len(values_a) != len(values_b):
        raise InputError(
            f"{measure}: {len(values_a)} values of {name_a!r} and {len(values_b)} of {name_b!r}; "
            "give a value, or None, for each of the same questions"
        )
    pairs = [
        (a, b) for a, b in zip(values_a, values_b, strict=True) if a is not None and b is not None
    ]
    if not pairs:
        raise InputError(f"{measure}: {name_a!r} and {name_b!r} have no question in common")
    differences = _differences([a for a, _ in pairs], [b for _, b in pairs])
    low, high = bootstrap_interval(
        differences, settings.confidence, settings.resamples, seed=settings.seed
    )
    p = _test(differences, settings.test, settings.resamples, settings.seed)
    return Comparison(
        measure=measure,
        system=name_a,
        other=name_b,
        difference=float(differences.mean()),
        low=low,
        high=high,
        p=p,
        p_holm=p,
        effect=_effect(differences),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        ties=int((differences == 0).sum()),
        differences=tuple(differences.tolist()),
    )


def compare_all(
    values: Mapping[str, Sequence[float | None]],
    measure: str,
    baseline: str = "",
    settings: StatisticsSettings | None = None,
) -> tuple[Comparison, ...]:
    """Every other system against the baseline, or without one all pairs, by one measure.

    p is corrected by Holm for all comparisons given. Two systems without a question in common are
    not compared.

    Args:
        values: by system, a value per question, None where it was not measured.

    Raises:
        SettingsError: the baseline is none of the systems.
        InputError: lists of different length, or a value that is not finite.
    """
    if baseline and baseline not in values:
        raise SettingsError(
            f"baseline={baseline!r} is none of the systems: {', '.join(map(repr, values))}"
        )
    pairs = (
        [(name, baseline) for name in values if name != baseline]
        if baseline
        else list(combinations(values, 2))
    )
    found = [
        compare(name, values[name], other, values[other], measure, settings)
        for name, other in pairs
        if _share_a_question(values[name], values[other])
    ]
    corrected = holm([one.p for one in found])
    return tuple(replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True))


def _share_a_question(a: Sequence[float | None], b: Sequence[float | None]) -> bool:
    if len(a) != len(b):
        return True  # for ``compare`` to say what is wrong
    return any(x is not None and y is not None for x, y in zip(a, b, strict=True))


def _array(values: Values) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise InputError("no values; give a list with the value of at least one question")
    if not np.isfinite(array).all():
        position = int(np.flatnonzero(~np.isfinite(array))[0])
        raise InputError(
            f"the value of question {position} (from 0) is {array[position]}; give finite numbers"
        )
    return array


def _differences(a: Values, b: Values) -> Array:
    first, second = _array(a), _array(b)
    if len(first) != len(second):
        raise InputError(f"{len(first)} values and {len(second)}; give one per question to each")
    differences: Array = first - second
    differences[np.abs(differences) < TIE] = 0.0
    return differences


def _test(differences: Array, method: str, resamples: int, seed: int) -> float:
    """See ``paired_test``; the share of chance results at least as far from 0 as the observed."""
    if not differences.any():
        return 1.0
    rng = np.random.default_rng(seed)
    observed, scale = abs(float(differences.sum())), float(np.abs(differences).sum())
    least = observed - 1e-10 * scale  # sums that are equal may differ by rounding
    if method == "bootstrap" and np.ptp(differences) >= TIE:
        centred = differences - differences.mean()
        sums = _resampled_means(centred, resamples, rng) * len(centred)
        return (int((np.abs(sums) >= least).sum()) + 1) / (resamples + 1)
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if math.prod((counts + 1).tolist()) <= EXACT_SUMS:
        sums, chances = _all_sign_sums(sizes, counts)
        p = float(chances[np.abs(sums) >= least].sum())
        return min(1.0, max(p, sys.float_info.min))  # thousands of wins and no loss: below a float
    sums = _drawn_sign_sums(np.repeat(sizes, counts), resamples, rng)
    return (int((np.abs(sums) >= least).sum()) + 1) / (resamples + 1)


def _effect(differences: Array) -> float:
    mean = float(differences.mean())
    if mean == 0:
        return 0.0
    if np.ptp(differences) < TIE:  # one question, or all alike
        return math.copysign(math.inf, mean)
    return mean / float(differences.std(ddof=1))


def _resampled_means(values: Array, resamples: int, rng: np.random.Generator) -> Array:
    """The means of samples of the same size, drawn with replacement: (resamples,).

    Where few distinct values occur, how often each is drawn is drawn at once (multinomial): the
    same distribution, in a hundredth of the time for answers that are right or wrong.
    """
    size = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) == 1:
        return np.full(resamples, distinct[0])
    if len(distinct) * COUNT_COST <= size:
        means: Array = rng.multinomial(size, counts / size, size=resamples) @ distinct / size
        return means
    means = np.empty(resamples)
    rows = max(1, CHUNK // size)
    for first in range(0, resamples, rows):
        drawn = rng.integers(0, size, size=(min(rows, resamples - first), size))
        means[first : first + rows] = values.take(drawn).mean(axis=1)
    return means


def _all_sign_sums(sizes: Array, counts: npt.NDArray[np.intp]) -> tuple[Array, Array]:
    """Every sum that random signs can give to ``counts[i]`` differences of ``sizes[i]``, and its
    probability. The number of plus signs among n is binomial."""
    sums, chances = np.zeros(1), np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        plus = np.arange(count + 1)
        logs = np.append(0.0, np.cumsum(np.log((count - plus[1:] + 1) / plus[1:])))
        sums = np.add.outer(sums, size * (2 * plus - count)).ravel()
        chances = np.multiply.outer(chances, np.exp(logs - count * math.log(2))).ravel()
    return sums, chances


def _drawn_sign_sums(sizes: Array, resamples: int, rng: np.random.Generator) -> Array:
    """Sums of the sizes, each with a random sign: (resamples,).

    Eight signs are a random byte, and the sum that each of the 256 bytes gives to eight sizes is
    looked up: a draw and an addition for eight differences.
    """
    eights = np.zeros((-(-len(sizes) // 8), 8))
    eights.ravel()[: len(sizes)] = sizes
    signs = 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) - 1.0
    table = (eights @ signs.T).ravel()
    offsets = 256 * np.arange(len(eights))
    sums = np.empty(resamples)
    rows = max(1, CHUNK // len(eights))
    for first in range(0, resamples, rows):
        shape = (min(rows, resamples - first), len(eights))
        drawn = rng.integers(0, 256, size=shape, dtype=np.uint8) + offsets
        sums[first : first + rows] = table.take(drawn).sum(axis=1)
    return sums
