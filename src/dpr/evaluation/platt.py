"""The map that makes a probability of a score (Platt 1999): a logistic curve, fitted to the truth.

Takes scores and which of them were right, gives slopes and an offset. Knows nothing of readers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError

Array = npt.NDArray[np.float64]
SUREST = 1e-6
STEPS, SMALLEST = 100, 1e-12


def logit(shares: npt.ArrayLike) -> Array:
    """log(p / (1 - p)) of numbers between 0 and 1, kept finite: 0 and 1 count as ``SUREST`` away
    from there."""
    kept = np.clip(np.asarray(shares, np.float64), SUREST, 1 - SUREST)
    odds: Array = np.log(kept) - np.log1p(-kept)
    return odds


def sigmoid(values: npt.ArrayLike) -> Array:
    """1 / (1 + exp(-v)), without overflow."""
    shares: Array = np.exp(-np.logaddexp(0.0, -np.asarray(values, np.float64)))
    return shares


def fit_platt(values: npt.ArrayLike, correct: Sequence[float]) -> Array:
    """The map from values to the probability of being right (Platt 1999):
    P(right) = 1 / (1 + exp(-(values @ slopes + offset))), of greatest likelihood, with Platt's
    targets, which are a little short of 0 and 1 so that few answers do not make it too sure.

    Args:
        values: (answers,) or (answers, n); correct: of the same answers, 1 for right, 0 for wrong.

    Returns:
        The n slopes, and the offset.

    Raises:
        InputError: not so many of each, a number that is not finite, no right answer or no wrong
            one.
    """
    rows = np.asarray(values, np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    right = np.asarray(correct, np.float64)
    rights = float(right.sum())
    wrongs = len(right) - rights
    if rows.ndim != 2 or len(rows) != len(right) or not np.isfinite(rows).all():
        raise InputError(
            f"values of shape {rows.shape} for {len(right)} answers; give as many finite ones"
        )
    if not rights or not wrongs:
        raise InputError(
            f"{rights:g} of {len(right)} answers are right; give right ones and wrong ones"
        )
    targets = np.where(right > 0.5, (rights + 1) / (rights + 2), 1 / (wrongs + 2))
    middle, spread = rows.mean(0), rows.std(0)
    spread[spread <= 1e-9 * np.abs(middle)] = 1.0  # all the same, but for rounding
    ones = np.column_stack([(rows - middle) / spread, np.ones(len(rows))])
    weights = _most_likely(ones, targets)
    slopes = weights[:-1] / spread
    return np.append(slopes, weights[-1] - slopes @ middle)


def _most_likely(rows: Array, targets: Array) -> Array:
    """Newton's method, its steps halved until they help. A touch of ridge keeps it solvable where
    two columns say the same."""
    ridge = 1e-9 * len(rows) * np.eye(rows.shape[1])

    def loss(weights: Array) -> float:
        margins = rows @ weights
        fit = np.logaddexp(0, margins) - targets * margins
        return float(fit.sum() + weights @ ridge @ weights / 2)

    weights = np.zeros(rows.shape[1])
    weights[-1] = np.log(targets.sum() / (1 - targets).sum())
    least = loss(weights)
    for _ in range(STEPS):
        shares = sigmoid(rows @ weights)
        slope = rows.T @ (shares - targets) + ridge @ weights
        curve = (rows * (shares * (1 - shares))[:, None]).T @ rows + ridge
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while loss(weights - size * step) > least and size > SMALLEST:
            size /= 2
        if size <= SMALLEST:
            break
        weights = weights - size * step
        before, least = least, loss(weights)
        if before - least < SMALLEST * len(rows):
            break
    return weights
