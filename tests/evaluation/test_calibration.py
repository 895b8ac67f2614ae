"""Calibration and coverage against slow twins and scikit-learn's calibration curve."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from dpr.errors import InputError, SettingsError
from dpr.evaluation.calibration import (
    accuracy_at,
    auroc,
    calibration_error,
    coverage_curve,
    reliability,
    risk_area,
)
from dpr.evaluation.records import Bin


def random_answers(seed: int) -> tuple[list[float], list[int]]:
    """Answers whose confidences are half of them tied, on the bins' edges among others."""
    rng = random.Random(seed)
    given = [
        rng.choice([rng.random(), rng.randint(0, 20) / 20]) for _ in range(rng.randint(1, 400))
    ]
    return given, [int(rng.random() < one) for one in given]


def test_bins_of_a_case_worked_by_hand() -> None:
    found = reliability([0.0, 0.1, 0.1, 0.3, 1.0], [1, 0, 1, 1, 0], bins=10)
    assert found == (
        Bin(0.0, 0.1, 3, pytest.approx(0.2 / 3), pytest.approx(2 / 3)),
        Bin(0.2, 0.3, 1, 0.3, 1.0),
        Bin(0.9, 1.0, 1, 1.0, 0.0),
    )
    # (3 · 0.6 + 1 · 0.7 + 1 · 1) / 5
    assert calibration_error(found) == pytest.approx(0.7)


@pytest.mark.parametrize("bins", [1, 3, 10, 20])
def test_bins_equal_to_a_slow_twin(bins: int) -> None:
    for seed in range(50):
        given, right = random_answers(seed)
        found = {one.low: one for one in reliability(given, right, bins)}
        error = 0.0
        for number in range(bins):
            low, high = number / bins, (number + 1) / bins
            inside = [i for i, c in enumerate(given) if low < c <= high or (c == 0 and low == 0)]
            if not inside:
                assert low not in found
                continue
            bin_ = found.pop(low)
            confidence = sum(given[i] for i in inside) / len(inside)
            accuracy = sum(right[i] for i in inside) / len(inside)
            assert (bin_.high, bin_.count) == (high, len(inside))
            assert bin_.confidence == pytest.approx(confidence, abs=1e-12)
            assert bin_.accuracy == pytest.approx(accuracy, abs=1e-12)
            error += len(inside) / len(given) * abs(accuracy - confidence)
        assert not found
        assert calibration_error(reliability(given, right, bins)) == pytest.approx(error)


def test_bins_equal_to_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    given = rng.random(3000) ** 2
    right = rng.random(3000) < given
    accuracies, confidences = calibration_curve(right, given, n_bins=15)
    found = reliability(given.tolist(), right.tolist(), bins=15)
    assert [one.accuracy for one in found] == pytest.approx(accuracies.tolist())
    assert [one.confidence for one in found] == pytest.approx(confidences.tolist())
    assert calibration_error(found) < 0.05  # it was made calibrated
    assert calibration_error(reliability(given.tolist(), (~right).tolist(), bins=15)) > 0.3


def slow_coverage(given: list[float], right: list[int]) -> list[tuple[float, float]]:
    curve = []
    for threshold in sorted(set(given), reverse=True):
        answered = [right[i] for i, one in enumerate(given) if one >= threshold]
        curve.append((len(answered) / len(given), sum(answered) / len(answered)))
    return curve


def test_coverage_of_a_case_worked_by_hand() -> None:
    curve = coverage_curve([0.5, 0.9, 0.5, 0.1], [1, 1, 0, 0])
    assert curve == ((0.25, 1.0), (0.75, pytest.approx(2 / 3)), (1.0, 0.5))


def test_coverage_equal_to_a_slow_twin() -> None:
    for seed in range(50):
        given, right = random_answers(seed)
        curve = coverage_curve(given, right, points=1000)
        assert np.array(curve) == pytest.approx(np.array(slow_coverage(given, right)), abs=1e-12)


@pytest.mark.parametrize("points", [2, 3, 50, 200])
def test_the_points_kept_are_exact_and_evenly_spread(points: int) -> None:
    rng = random.Random(points)
    given = [rng.random() for _ in range(3000)]
    right = [int(rng.random() < one) for one in given]
    whole = coverage_curve(given, right, points=3000)
    kept = coverage_curve(given, right, points=points)
    assert len(whole) == 3000
    assert len(kept) == points
    assert set(kept) <= set(whole)
    assert (kept[0], kept[-1]) == (whole[0], whole[-1])
    gaps = np.diff([coverage for coverage, _ in kept])
    assert gaps.max() <= 1 / (points - 1) + 2 / 3000


def test_few_steps_are_all_kept_however_uneven() -> None:
    """Many answers of one confidence are one step; a point wanted within it is one of its ends."""
    given = [0.9] * 10 + [0.5] * 900 + [i / 1000 for i in range(90)]
    right = [1] * 10 + [0, 1] * 450 + [0] * 90
    whole = coverage_curve(given, right, points=1000)
    assert coverage_curve(given, right, points=92) == whole
    kept = coverage_curve(given, right, points=20)
    assert {whole[0], whole[1], whole[-1]} <= set(kept) <= set(whole)
    assert len(kept) <= 20


def test_right_above_wrong_equals_scikit_learn() -> None:
    for seed in range(50):
        given, right = random_answers(seed)
        if 0 < sum(right) < len(right):
            assert auroc(given, right) == pytest.approx(roc_auc_score(right, given))
    assert auroc([0.1, 0.9], [0, 1]) == 1.0
    assert auroc([0.5, 0.5], [0, 1]) == 0.5


def expected_order(given: list[float], right: list[int], draws: int = 4000) -> list[float]:
    """Correctness of the surest, of the second surest and so on; equals in random order."""
    rng = random.Random(0)
    total = np.zeros(len(given))
    for _ in range(draws):
        order = sorted(range(len(given)), key=lambda i: (-given[i], rng.random()))
        total += np.array([right[i] for i in order])
    return (total / draws).tolist()


def test_equally_sure_answers_count_as_in_random_order() -> None:
    given, right = [0.9, 0.5, 0.5, 0.5, 0.2], [1, 1, 0, 0, 1]
    order = expected_order(given, right)
    risks = [1 - sum(order[:n]) / n for n in range(1, 6)]
    assert risk_area(given, right) == pytest.approx(sum(risks) / 5, abs=0.02)
    assert accuracy_at(given, right, 0.4) == pytest.approx(sum(order[:2]) / 2, abs=0.02)
    assert accuracy_at(given, right, 1.0) == pytest.approx(0.6)
    assert accuracy_at(given, right, 0.01) == 1.0  # one answer at least


def test_risk_is_least_where_right_answers_come_first() -> None:
    right = [1] * 5 + [0] * 5
    falling = [1 - n / 10 for n in range(10)]
    # 0 for the first five, then 1/6, 2/7, ... 5/10
    best = sum(n / (n + 5) for n in range(1, 6)) / 10
    assert risk_area(falling, right) == pytest.approx(best)
    assert risk_area(falling[::-1], right) > best
    assert risk_area([0.5] * 10, right) == pytest.approx(0.5)


def test_no_answers() -> None:
    assert reliability([], []) == ()
    assert calibration_error([]) == 0.0
    assert coverage_curve([], []) == ()


def test_what_is_no_confidence_or_setting() -> None:
    with pytest.raises(InputError, match=r"the confidence at position 1 is 1\.5"):
        reliability([0.5, 1.5], [1, 0])
    with pytest.raises(InputError, match="the confidence at position 0 is nan"):
        coverage_curve([float("nan")], [1])
    with pytest.raises(InputError, match=r"the correctness at position 0 is -1\.0"):
        coverage_curve([0.5], [-1])
    with pytest.raises(InputError, match="2 confidences and 1 answers"):
        reliability([0.5, 0.5], [1])
    with pytest.raises(SettingsError, match="bins=0; give at least 1"):
        reliability([0.5], [1], bins=0)
    with pytest.raises(SettingsError, match="points=1; give at least 2"):
        coverage_curve([0.5], [1], points=1)
    with pytest.raises(InputError, match="2 of 2 answers are right"):
        auroc([0.5, 0.5], [1, 1])
    with pytest.raises(InputError, match="there are no answers"):
        risk_area([], [])
    with pytest.raises(SettingsError, match=r"share=0\.0; give a share above 0"):
        accuracy_at([0.5], [1], 0.0)
