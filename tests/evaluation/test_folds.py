"""Folds: groups stay together, and folds are about equally large."""

from __future__ import annotations

import numpy as np
import pytest

from dpr.errors import SettingsError
from dpr.evaluation.folds import deal


@pytest.mark.parametrize("folds", [2, 5])
def test_groups_stay_together_in_folds_of_about_one_size(folds: int) -> None:
    rng = np.random.default_rng(folds)
    groups = [f"d{number}" for number in rng.integers(0, 60, 500)]
    fold = deal(groups, folds, seed=3)
    for group in set(groups):
        assert len({int(fold[n]) for n, one in enumerate(groups) if one == group}) == 1
    sizes = np.bincount(fold, minlength=folds)
    largest = max(groups.count(one) for one in set(groups))
    assert sizes.max() - sizes.min() <= largest
    assert (fold == deal(groups, folds, seed=3)).all()
    assert (fold != deal(groups, folds, seed=4)).any()


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(SettingsError, match="3 folds for 2 groups"):
        deal(["a", "b", "a"], 3)
    with pytest.raises(SettingsError, match="at least 2"):
        deal(["a", "b"], 1)
