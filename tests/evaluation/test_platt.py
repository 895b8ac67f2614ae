"""Platt's map against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import _SigmoidCalibration
from sklearn.linear_model import LogisticRegression

from dpr.errors import InputError
from dpr.evaluation.platt import SUREST, fit_platt, logit, sigmoid


def drawn(seed: int, count: int, slopes: list[float], offset: float) -> tuple[np.ndarray, list]:
    rng = np.random.default_rng(seed)
    values = rng.normal(2, 3, (count, len(slopes)))
    return values, (rng.random(count) < sigmoid(values @ slopes + offset)).astype(float).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_the_map_equals_scikit_learn(seed: int) -> None:
    values, right = drawn(seed, 40 + 200 * seed, [0.7], -1.0)
    slope, offset = fit_platt(values[:, 0], right)
    peer = _SigmoidCalibration().fit(values[:, 0], np.array(right))
    expected = peer.predict(values[:, 0])
    assert sigmoid(slope * values[:, 0] + offset) == pytest.approx(expected, abs=2e-4)


def test_several_values_equal_logistic_regression_on_platts_targets() -> None:
    values, right = drawn(7, 600, [0.5, -0.8, 0.0], 0.3)
    rights = sum(right)
    wrongs = len(right) - rights
    targets = np.where(
        np.array(right) > 0, (rights + 1) / (rights + 2), 1 / (wrongs + 2)
    )  # each answer twice, as right and as wrong, weighted by its target
    peer = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000).fit(
        np.vstack([values, values]),
        [1] * len(right) + [0] * len(right),
        np.concatenate([targets, 1 - targets]),
    )
    found = fit_platt(values, right)
    assert found == pytest.approx([*peer.coef_[0], peer.intercept_[0]], abs=1e-3)


def test_answers_that_are_told_apart_do_not_make_it_endlessly_sure() -> None:
    slope, offset = fit_platt([-2.0, -1.0, 1.0, 2.0], [0, 0, 1, 1])
    assert np.isfinite([slope, offset]).all() and slope > 0
    # The targets are 1/4 and 3/4.
    assert sigmoid(slope * 1.5 + offset) == pytest.approx(0.75, abs=0.05)


def test_values_that_are_all_the_same_give_the_share_of_right_ones() -> None:
    slope, offset = fit_platt([3.0] * 100, [1] * 30 + [0] * 70)
    target = (30 * 31 / 32 + 70 / 72) / 100
    assert sigmoid(slope * 3.0 + offset) == pytest.approx(target, abs=1e-6)


def test_a_value_that_is_all_the_same_but_for_rounding_weighs_nothing() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=200)
    right = (rng.random(200) < 1 / (1 + np.exp(-values))).astype(float).tolist()
    same = np.full(200, np.log(3)) * (1 + 1e-16 * rng.integers(-2, 3, 200))
    slope, other, offset = fit_platt(np.column_stack([values, same]), right)
    assert other == pytest.approx(0, abs=1e-6)
    assert [slope, offset] == pytest.approx(fit_platt(values, right))


def test_logit_and_sigmoid_undo_each_other_and_stay_finite() -> None:
    shares = np.linspace(SUREST, 1 - SUREST, 101)
    assert sigmoid(logit(shares)) == pytest.approx(shares, rel=1e-9)
    assert np.isfinite(logit([0.0, 1.0])).all()
    assert sigmoid([-1e4, 1e4]).tolist() == [0.0, 1.0]


def test_what_cannot_be_fitted() -> None:
    with pytest.raises(InputError, match="0 of 2 answers are right"):
        fit_platt([1.0, 2.0], [0, 0])
    with pytest.raises(InputError, match=r"shape \(3, 1\) for 2 answers"):
        fit_platt([1.0, 2.0, 3.0], [0, 1])
    with pytest.raises(InputError, match="finite"):
        fit_platt([1.0, np.inf], [0, 1])
