"""Can confidences be believed: bins of them, their calibration error, coverage against accuracy.

Takes a confidence and a correctness per answer, gives points to draw. Knows nothing of readers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError, SettingsError
from dpr.evaluation.records import Bin

Array = npt.NDArray[np.float64]


def reliability(
    confidences: Sequence[float], correct: Sequence[float], bins: int = 10
) -> tuple[Bin, ...]:
    """Answers by confidence, in bins (low, high] of equal width; 0 belongs to the first.

    Args:
        confidences: between 0 and 1; correct: of the same answers, 1 (or True) for right, 0 for
            wrong, or a grade between the two.

    Bins without an answer are left out.

    Raises:
        InputError: lists of different length, or a number that is not between 0 and 1.
        SettingsError: fewer than one bin.
    """
    if bins < 1:
        raise SettingsError(f"bins={bins}; give at least 1")
    given, right = _checked(confidences, correct)
    highs = np.arange(1, bins + 1) / bins
    numbers = np.searchsorted(highs, given)
    found = []
    for number in np.unique(numbers).tolist():
        inside = numbers == number
        found.append(
            Bin(
                low=number / bins,
                high=(number + 1) / bins,
                count=int(inside.sum()),
                confidence=float(given[inside].mean()),
                accuracy=float(right[inside].mean()),
            )
        )
    return tuple(found)


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3): the mean distance of a bin's
    accuracy from its confidence, each bin weighted by its answers. 0.0 where there are none."""
    total = sum(one.count for one in bins)
    distances = (one.count * abs(one.accuracy - one.confidence) for one in bins)
    return sum(distances) / total if total else 0.0


def coverage_curve(
    confidences: Sequence[float], correct: Sequence[float], points: int = 200
) -> tuple[tuple[float, float], ...]:
    """What is gained by answering only where one is sure (El-Yaniv & Wiener 2010).

    Args:
        confidences, correct: as for ``reliability``.
        points: at most so many are given.

    Returns:
        (share of questions answered, share of right answers among them) for thresholds that fall
        from the highest confidence to the lowest; answers of one confidence come in together. Where
        there are more thresholds than points, those nearest to even steps of coverage are given,
        the first and the last always; each is exact. Empty without answers.

    Raises:
        InputError: lists of different length, or a number that is not between 0 and 1.
        SettingsError: fewer than two points.
    """
    if points < 2:
        raise SettingsError(f"points={points}; give at least 2")
    given, right = _checked(confidences, correct)
    if not len(given):
        return ()
    order = np.argsort(-given, kind="stable")
    given, hits = given[order], np.cumsum(right[order])
    ends = np.append(np.flatnonzero(np.diff(given)), len(given) - 1)
    if len(ends) > points:
        even = np.linspace(ends[0], ends[-1], points)
        after = np.searchsorted(ends, even).clip(1)
        before_is_nearer = even - ends[after - 1] < ends[after] - even
        ends = ends[np.unique(after - before_is_nearer)]
    answered = ends + 1
    shares, accuracies = answered / len(given), hits[ends] / answered
    return tuple(zip(shares.tolist(), accuracies.tolist(), strict=True))


def _checked(confidences: Sequence[float], correct: Sequence[float]) -> tuple[Array, Array]:
    given = np.asarray(confidences, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if given.shape != right.shape or given.ndim != 1:
        raise InputError(
            f"{given.size} confidences and {right.size} answers that are right or wrong; "
            "give a list of each, of the same length"
        )
    for name, values in (("confidence", given), ("correctness", right)):
        outside = np.flatnonzero(~((values >= 0) & (values <= 1)))
        if len(outside):
            raise InputError(
                f"the {name} at position {outside[0]} is {values[outside[0]]}; "
                "give numbers between 0 and 1"
            )
    return given, right
