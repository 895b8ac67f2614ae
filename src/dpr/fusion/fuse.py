"""One list of the two that dense search and BM25 found for a question.

Takes rows and scores, and functions that give the scores of any row; gives rows in one order, with
both scores and both ranks. Knows nothing of how the scores come about.

The candidates are all rows of either list, and both scores of every candidate are the true ones
(Karpukhin et al. 2020, section 5, take the union of the first 2,000 of each). With w the weight of
dense search, a candidate's fused score is

    weighted      bm25 + w dense                                   (the paper's, w = 1.1)
    normalised    ((1 - w) z(bm25)^p + w z(dense)^p)^(1/p)
    rrf           (1 - w) / (c + bm25 rank) + w / (c + dense rank)

z(s) = (s - mean) / standard deviation, over the question's candidates; 0 where all scores are the
same, so that a single candidate, or a question without any known word, is ordered by what is left.
p is the power, and x^p stands for sign(x) |x|^p, as z may be negative. With 1 that is the weighted
mean; the larger p, the more that of both scores decides which is further from its mean, so that
what either is sure of is kept (after Salton, Fox & Wu 1983).
Ranks count from 1, c is the rank constant, and a candidate that a list lacks gets nothing for it;
with w = 0.5 this is half of reciprocal rank fusion as Cormack et al. (2009) define it. Only
"weighted" scores can be compared between questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError
from dpr.fusion.settings import FusionSettings, Method
from dpr.indexes.index import Ids, checked_k
from dpr.indexes.ordering import best

CANCELLED = 1e-12  # a sum of this share of its parts is none

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Scores = Callable[[Rows], npt.NDArray[Any]]
"""Gives the score of each row: (n,) int64 -> (n,) floats."""


class Ranked(NamedTuple):
    """What one way of searching found: rows (n,) and their scores (n,), best first."""

    rows: Sequence[int] | npt.NDArray[Any]
    scores: Sequence[float] | npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The rows of both lists, ascending, with all that fusing takes.

    Attributes:
        rows: (n,), each once.
        dense, bm25: (n,) the true scores.
        dense_ranks, bm25_ranks: (n,) places in the lists, from 1; 0: not in the list.
    """

    rows: Rows
    dense: Floats
    bm25: Floats
    dense_ranks: Rows
    bm25_ranks: Rows

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Fused:
    """A row, its fused score, and what that came from: ranks from 1, None: not in that list."""

    row: int
    score: float
    dense_score: float
    dense_rank: int | None
    bm25_score: float
    bm25_rank: int | None


def gather(
    dense: Ranked, bm25: Ranked, dense_scores: Scores, bm25_scores: Scores, depth: int
) -> Candidates:
    """The candidates of one question: the first ``depth`` rows of either list.

    Args:
        dense, bm25: what was found; either may be empty.
        dense_scores, bm25_scores: asked once at most, for the candidates whose score the list does
            not tell. BM25's is 0 where no word is shared.

    Raises:
        InputError: a list that names a row twice, does not descend, or has more rows than scores
            or fewer; a score that is not finite.
        SettingsError: a depth below 1.
    """
    depth = checked_k(depth)
    dense_rows, dense_found = _checked("dense", dense, depth)
    bm25_rows, bm25_found = _checked("BM25", bm25, depth)
    rows = np.union1d(dense_rows, bm25_rows)
    return Candidates(
        rows=rows,
        dense=_complete("dense", rows, dense_rows, dense_found, dense_scores),
        bm25=_complete("BM25", rows, bm25_rows, bm25_found, bm25_scores),
        dense_ranks=_ranks(rows, dense_rows),
        bm25_ranks=_ranks(rows, bm25_rows),
    )


def fuse(
    candidates: Candidates, settings: FusionSettings, k: int | None = None, ids: Ids | None = None
) -> list[Fused]:
    """The best candidates of one question: by fused score, then by id.

    Args:
        k: how many at most; None: all, which are up to twice the depth.
        ids: gives the ids of rows; asked only where scores are equal. None: then by row.

    The order depends on the candidates alone, not on k or on how lists order equal scores (but for
    "rrf", to which their order is all there is).

    Raises:
        SettingsError: k below 1.
    """
    k = max(len(candidates), 1) if k is None else checked_k(k)
    scores = combine(*parts(candidates, settings.method, settings.rank_constant), settings)
    one = np.zeros(len(candidates), np.int64)
    order = best(one, candidates.rows, scores, 1, k, ids)
    columns = (
        candidates.rows,
        scores,
        candidates.dense,
        candidates.dense_ranks,
        candidates.bm25,
        candidates.bm25_ranks,
    )
    return [
        Fused(row, score, dense, dense_rank or None, bm25, bm25_rank or None)
        for row, score, dense, dense_rank, bm25, bm25_rank in zip(
            *(column[order].tolist() for column in columns), strict=True
        )
    ]


def parts(candidates: Candidates, method: Method, rank_constant: int) -> tuple[Floats, Floats]:
    """What a method makes of the dense scores and of BM25's, before they are weighed: (n,) each."""
    if method == "weighted":
        return candidates.dense, candidates.bm25
    if method == "normalised":
        return _standardised(candidates.dense), _standardised(candidates.bm25)
    return (
        _reciprocal(candidates.dense_ranks, rank_constant),
        _reciprocal(candidates.bm25_ranks, rank_constant),
    )


def combine(dense: Floats, bm25: Floats, settings: FusionSettings) -> Floats:
    """The fused scores (n,) of the two parts."""
    kept = 1.0 if settings.method == "weighted" else 1.0 - settings.weight
    power = settings.power if settings.method == "normalised" else 1.0
    if power == 1.0:
        return kept * bm25 + settings.weight * dense
    words, vectors = kept * _raised(bm25, power), settings.weight * _raised(dense, power)
    total = words + vectors
    # Where both cancel out, rounding is all that is left, and the root would magnify it.
    total[np.abs(total) <= CANCELLED * (np.abs(words) + np.abs(vectors))] = 0.0
    return _raised(total, 1 / power)


def _raised(values: Floats, power: float) -> Floats:
    """To a power, the signs kept: that is monotone, and its inverse is the inverse power's."""
    result: Floats = np.copysign(np.abs(values) ** power, values)
    return result


def _standardised(scores: Floats) -> Floats:
    """Scores that differ by no more than float32 can tell are the same: theirs would be noise."""
    largest = np.abs(scores).max(initial=0.0)
    if not largest or np.ptp(scores) <= np.finfo(np.float32).eps * largest:
        return np.zeros(len(scores))
    shares = scores / largest  # the squares of these are neither too large nor too small
    result: Floats = (shares - shares.mean()) / shares.std()
    return result


def _reciprocal(ranks: Rows, constant: int) -> Floats:
    return np.where(ranks > 0, 1.0 / (constant + np.maximum(ranks, 1)), 0.0)


def _checked(name: str, found: Ranked, depth: int) -> tuple[Rows, Floats]:
    """The first rows of a list and their scores."""
    rows = np.asarray(found.rows, np.int64)[:depth]
    scores = np.asarray(found.scores, np.float64)[:depth]
    if rows.shape != scores.shape or rows.ndim != 1 or len(found.rows) != len(found.scores):
        raise InputError(
            f"the {name} list has {len(found.rows)} rows and {len(found.scores)} scores; give a "
            "list of rows and one of their scores, of the same length"
        )
    if len(np.unique(rows)) < len(rows):
        values, counts = np.unique(rows, return_counts=True)
        raise InputError(
            f"the {name} list names row {values[counts > 1][0]} twice; give each row once"
        )
    _finite(name, rows, scores)
    if (np.diff(scores) > 0).any():
        place = int(np.argmax(np.diff(scores) > 0)) + 1
        raise InputError(
            f"the {name} list has score {scores[place]} after {scores[place - 1]}; give it best "
            "first"
        )
    return rows, scores


def _finite(name: str, rows: Rows, scores: Floats) -> None:
    finite = np.isfinite(scores)
    if not finite.all():
        place = int(np.argmin(finite))
        raise InputError(
            f"the {name} score of row {rows[place]} is {scores[place]}; give finite numbers"
        )


def _complete(name: str, rows: Rows, own: Rows, found: Floats, scores: Scores) -> Floats:
    """The score of each of ``rows``, asked for where the list ``own`` does not tell it."""
    complete = np.empty(len(rows))
    complete[np.searchsorted(rows, own)] = found
    missing = ~np.isin(rows, own)
    if missing.any():
        given = np.asarray(scores(rows[missing]), np.float64)
        if given.shape != (int(missing.sum()),):
            raise InputError(
                f"the {name} scores of {int(missing.sum())} rows have the shape {given.shape}; "
                "give one score a row"
            )
        _finite(name, rows[missing], given)
        complete[missing] = given
    return complete


def _ranks(rows: Rows, own: Rows) -> Rows:
    ranks = np.zeros(len(rows), np.int64)
    ranks[np.searchsorted(rows, own)] = np.arange(1, len(own) + 1)
    return ranks
