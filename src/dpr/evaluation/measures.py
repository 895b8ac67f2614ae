"""Retrieval measures from ranks: plain arrays in, figures out.

Knows nothing of models, text or files. Names follow ir_measures: ``R@k`` of one gold passage a
question is its ``Success@k``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.int64]


def gold_ranks(
    questions: npt.NDArray[np.float32],
    passages: npt.NDArray[np.float32],
    golds: Sequence[Collection[int]],
    chunk: int = 1024,
) -> Ranks:
    """The rank (0 = first) of each question's best gold passage by inner product.

    Args:
        questions: (q, dim); passages: (p, dim); golds: rows of the gold passages per question.
        chunk: questions scored at a time, so that the full score matrix never exists.

    Passages that score the same as the gold and stand before it count as ranked before it, as a
    stable sort would have it.
    """
    ranks = np.empty(len(questions), dtype=np.int64)
    rows = np.arange(len(passages))
    for first in range(0, len(questions), chunk):
        scores = questions[first : first + chunk] @ passages.T
        for offset, row in enumerate(scores):
            ranks[first + offset] = min(
                int(((row > row[gold]) | ((row == row[gold]) & (rows < gold))).sum())
                for gold in golds[first + offset]
            )
    return ranks


def success(ranks: Ranks, k: int) -> float:
    """Share of questions with a gold passage among the first k."""
    return float((ranks < k).mean())


def reciprocal_rank(ranks: Ranks, k: int = 10) -> float:
    """Mean of 1 / (rank of the first gold passage), 0 where that is past k."""
    return float(np.where(ranks < k, 1.0 / (ranks + 1), 0.0).mean())


def summary(ranks: Ranks) -> dict[str, float]:
    """The figures that the project reports for retrieval."""
    return {
        "R@1": success(ranks, 1),
        "R@5": success(ranks, 5),
        "R@20": success(ranks, 20),
        "MRR@10": reciprocal_rank(ranks),
    }
