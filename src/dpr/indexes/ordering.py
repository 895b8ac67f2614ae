"""The order of what is found: by query, then score, then id.

Takes pairs of a query and a row with their scores; gives the places of the best ones. Knows nothing
of vectors. Ids are asked for only where they decide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.indexes.index import Ids, Rows

Scores = npt.NDArray[np.floating[Any]]
Places = npt.NDArray[np.intp]


def best(
    queries: npt.NDArray[np.int64], rows: Rows, scores: Scores, count: int, k: int, ids: Ids | None
) -> Places:
    """Places of the k best pairs of each query (all, where it has fewer), in order.

    Args:
        queries, rows, scores: (n,) each pair's query below ``count``, row and fixed score.
        ids: None: equal scores are ordered by row.
    """
    order = np.lexsort((rows, -scores, queries))
    if ids is not None:
        order = order[_by_id(queries[order], rows[order], scores[order], count, k, ids)]
    return order[_rank(queries[order], count) < k]


def _rank(queries: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """The place of each pair among its query's, where the pairs are sorted by query."""
    counts = np.bincount(queries, minlength=count)
    return np.arange(len(queries)) - (np.cumsum(counts) - counts)[queries]


def _by_id(
    queries: npt.NDArray[np.int64], rows: Rows, scores: Scores, count: int, k: int, ids: Ids
) -> Places:
    """The order by score, then id, of pairs that are sorted by score."""
    new = np.ones(len(rows), np.bool_)
    new[1:] = (queries[1:] != queries[:-1]) | (scores[1:] != scores[:-1])
    run = np.cumsum(new) - 1
    tied = (np.bincount(run) > 1) & (_rank(queries, count)[np.flatnonzero(new)] < k)
    members = np.flatnonzero(tied[run])
    if not len(members):
        return np.arange(len(rows))
    ranks = np.zeros(len(rows), np.int64)
    unique, which = np.unique(rows[members], return_inverse=True)
    names = ids(unique.tolist())
    rank = np.empty(len(unique), np.int64)
    rank[sorted(range(len(unique)), key=names.__getitem__)] = np.arange(len(unique))
    ranks[members] = rank[which]
    return np.lexsort((ranks, run))
