"""Retrieval measures from ranks: plain arrays in, figures out.

Knows nothing of models, text or files. Names follow ir_measures: ``R@k`` of one gold passage a
question is its ``Success@k``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError

Ranks = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


def gold_ranks(
    questions: Vectors,
    passages: Vectors,
    golds: Sequence[Collection[int]],
    chunk: int = 1024,
    piece: int = 65_536,
) -> Ranks:
    """The rank (0 = first) of each question's best gold passage by inner product.

    Args:
        questions: (q, dim); passages: (p, dim); golds: rows of the gold passages per question.
        chunk, piece: questions and passages scored at a time, so that the full score matrix never
            exists.

    Passages that score the same as the gold and stand before it count as ranked before it, as a
    stable sort would have it.

    Raises:
        InputError: the score of a gold passage is not finite.
    """
    ranks = np.empty(len(questions), dtype=np.int64)
    starts = range(0, len(passages), piece)
    for first in range(0, len(questions), chunk):
        some = questions[first : first + chunk]

        @lru_cache(maxsize=1)  # one piece is multiplied once
        def scored(start: int, some: Vectors = some) -> Vectors:
            return some @ passages[start : start + piece].T

        pairs = [
            (q, row) for q, of_one in enumerate(golds[first : first + chunk]) for row in of_one
        ]
        asked, rows = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        # The golds' scores from the very products that rank the others: another order of summing
        # would set a passage apart from its own copy.
        own = np.empty(len(rows), dtype=np.float32)
        for start in sorted({row - row % piece for row in rows.tolist()}):
            here = (rows >= start) & (rows < start + piece)
            own[here] = scored(start)[asked[here], rows[here] - start]
        if not np.isfinite(own).all():
            raise InputError("a vector holds numbers that are not finite: nothing can be ranked")
        before = np.zeros(len(rows), dtype=np.int64)
        for start in starts:
            scores = scored(start)
            for pair, (question, row) in enumerate(pairs):
                given = scores[question]
                before[pair] += np.count_nonzero(given > own[pair])
                before[pair] += np.count_nonzero(given[: max(0, row - start)] == own[pair])
        best = np.full(len(some), len(passages), dtype=np.int64)
        np.minimum.at(best, asked, before)
        ranks[first : first + chunk] = best
    return ranks


def success(ranks: Ranks, k: int) -> float:
    """Share of questions with a gold passage among the first k."""
    return float((ranks < k).mean())


def reciprocal_rank(ranks: Ranks, k: int = 10) -> float:
    """Mean of 1 / (rank of the first gold passage), 0 where that is past k."""
    return float(np.where(ranks < k, 1.0 / (ranks + 1), 0.0).mean())


def summary(ranks: Ranks) -> dict[str, float]:
    """The figures that the project reports for retrieval. The average rank is the one that the
    original code chooses its best model by; 0 is the first."""
    return {
        "R@1": success(ranks, 1),
        "R@5": success(ranks, 5),
        "R@20": success(ranks, 20),
        "MRR@10": reciprocal_rank(ranks),
        "average rank": float(ranks.mean()),
    }
