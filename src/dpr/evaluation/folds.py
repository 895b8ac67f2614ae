"""Questions dealt into folds, so that what is chosen on some is measured on others.

Takes what each question is about, gives the number of its fold. Knows nothing of measures.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from dpr.errors import SettingsError


def deal(groups: Sequence[Hashable], folds: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """The fold of each question: groups in random order, each to the fold with the fewest.

    Args:
        groups: of each question, what it is about, such as its document; a group's questions stay
            in one fold.

    Raises:
        SettingsError: fewer than 2 folds, or more than groups.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if not 2 <= folds <= len(numbers):
        raise SettingsError(
            f"{folds} folds for {len(numbers)} groups of questions; give at least 2, and no more "
            "than there are groups"
        )
    own = np.array([numbers[group] for group in groups])
    sizes = np.bincount(own)
    order = np.random.default_rng(seed).permutation(len(sizes))
    held, fold = np.zeros(folds, int), np.zeros(len(sizes), np.int64)
    for group in sorted(order.tolist(), key=lambda group: -sizes[group]):  # the largest first
        fold[group] = held.argmin()
        held[fold[group]] += sizes[group]
    dealt: npt.NDArray[np.int64] = fold[own]
    return dealt
