"""Can confidences be believed: bins of them, their calibration error, coverage against accuracy.

Takes a confidence and a correctness per answer, gives points to draw, and how well the one tells
the other. Knows nothing of readers.
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


def auroc(confidences: Sequence[float], correct: Sequence[float]) -> float:
    """The probability that a right answer is surer than a wrong one, ties counted half.

    Raises:
        InputError: as ``reliability``; no right answer, or no wrong one.
    """
    given, right = _checked(confidences, correct)
    rights = float(right.sum())
    wrongs = len(right) - rights
    if not rights or not wrongs:
        raise InputError(
            f"{rights:g} of {len(right)} answers are right; give right ones and wrong ones"
        )
    values, ties = np.unique(given, return_inverse=True)
    wrong = np.bincount(ties, 1 - right, len(values))
    below = np.cumsum(wrong) - wrong / 2
    return float((right * below[ties]).sum() / (rights * wrongs))


def accuracy_at(
    confidences: Sequence[float], correct: Sequence[float], share: float = 0.5
) -> float:
    """How many of the surest ``share`` of the answers are right. Where the last of them are as sure
    as others that are left out, the mean of these counts for each.

    Raises:
        InputError: as ``reliability``; no answers.
        SettingsError: a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise SettingsError(f"share={share}; give a share above 0, 1 at most")
    ordered = _surest_first(confidences, correct)
    return float(ordered[: max(1, round(share * len(ordered)))].mean())


def risk_area(confidences: Sequence[float], correct: Sequence[float]) -> float:
    """The area under the curve of risk over coverage (Geifman et al. 2019): the mean, over all
    shares of the questions that could be answered, the surest first, of how many answers are wrong.
    The lower the better; without any order it is the share of wrong answers.

    Raises:
        InputError: as ``reliability``; no answers.
    """
    ordered = _surest_first(confidences, correct)
    risks = 1 - np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    return float(risks.mean())


def _surest_first(confidences: Sequence[float], correct: Sequence[float]) -> Array:
    """Correctness, the surest answer first; of equally sure ones the mean for each."""
    given, right = _checked(confidences, correct)
    if not len(given):
        raise InputError("there are no answers; give one or more")
    values, ties, counts = np.unique(-given, return_inverse=True, return_counts=True)
    means = np.bincount(ties, right, len(values)) / counts
    return np.repeat(means, counts)


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
