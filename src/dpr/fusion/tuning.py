"""Fusion chosen on judged questions: which settings, and whether fusing gains anything at all.

Takes the candidates of each question (``gather``) and which of them are relevant; gives settings,
their cross-validated scores, and what else was tried. Knows nothing of vectors, words or passages.

What is chosen on questions looks better on these than on others. So the questions are dealt into
folds; each is measured with the settings that the other folds choose; and these held-out values are
compared with dense search alone and BM25 alone on the same questions. The settings given at the end
are those that all questions choose.

Many settings do nearly as well as the best, and which of them is best is chance. So the settings
one starts from are kept where they are not worse than the best by more than one standard error of
the mean difference (the one-standard-error rule of Breiman et al. 1984, section 3.4.3): other
questions than these will be asked, and what these do not tell is no reason to change.

Who makes up questions while reading a passage uses its words, and words find more for these than
they will for those who have not read it. Where the mix that will be asked is not known, ``even``
counts both kinds of question the same, whatever their numbers: those that dense search answers
better, and those that words do. Questions that both answer alike are left out of the choice.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError, SettingsError
from dpr.evaluation.folds import deal
from dpr.evaluation.records import Comparison, Estimate
from dpr.evaluation.settings import StatisticsSettings
from dpr.evaluation.statistics import compare, estimate, holm
from dpr.fusion.fuse import Candidates, Floats, Rows, combine, parts
from dpr.fusion.settings import FusionSettings

NDCG, SUCCESS = "nDCG@10", "Success@1"
FUSION, DENSE, BM25 = "fusion", "dense", "bm25"
CUTOFF = 10
POWERS = (1.0, 1.25, 1.5, 1.75, 2.0)
STEPS = 8  # of a factor of 2 ** 0.5, either way from where both scores spread alike
NOT_FOUND = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Tried:
    """Settings with their means over all questions; ``chosen``: for how many folds they were."""

    settings: FusionSettings
    ndcg: float
    success: float
    chosen: int


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning gives.

    Attributes:
        settings: the best by mean nDCG@10 (the first of equal ones), or those one starts from
            where these are not clearly worse.
        ndcg, success: held-out nDCG@10 and Success@1 (a relevant passage comes first).
        comparisons: held-out fusion against ``dense`` and ``bm25`` alone, by nDCG@10, then by
            Success@1; p corrected for the two of a measure.
        tried: the settings one starts from, then the rest of the grid in its order.
    """

    settings: FusionSettings
    ndcg: Estimate
    success: Estimate
    comparisons: tuple[Comparison, ...]
    tried: tuple[Tried, ...]

    @property
    def worthwhile(self) -> bool:
        """Whether held-out fusion beats both parts: the intervals of both gains in nDCG@10 are
        above 0."""
        return all(one.low > 0 for one in self.comparisons if one.measure == NDCG)


def tune(
    candidates: Sequence[Candidates],
    judgements: Sequence[Mapping[int, int]],
    grid: Sequence[FusionSettings],
    groups: Sequence[Hashable] | None = None,
    folds: int = 5,
    seed: int = 0,
    start: FusionSettings | None = None,
    even: bool = False,
) -> Tuned:
    """The best settings of a grid, by nDCG@10 and in cross-validation.

    Args:
        candidates: of each question, gathered at the depth that the grid has.
        judgements: of each question, grades by row; above 0 is relevant. A relevant passage that is
            not in the collection counts too: give it a row that none has, such as -1.
        groups: of each question, what it is about, such as its document; a group's questions stay
            in one fold. None: each stands for itself.
        folds: how many; seed: of dealing and of the intervals.
        start: the settings one starts from; None: the defaults, at the grid's depth.
        even: choose by the mean of two means of nDCG@10, over the questions that dense search
            answers better and over those that BM25 does; else by the mean over all. What is told
            of the choice is over all questions either way.

    The intervals resample questions: where many are about one passage, the truth is less sure.
    Candidates with equal fused scores count in the order of their rows.

    Raises:
        InputError: no questions, none with a relevant passage, or lists of different length; with
            ``even``, no questions of a kind outside some fold.
        SettingsError: an empty grid, one of several depths, fewer than 2 folds or more than groups.
    """
    depth = _check(candidates, judgements, [*grid, *filter(None, [start])], groups)
    grid = list(dict.fromkeys([start or FusionSettings(depth=depth), *grid]))
    judged = _Judged(candidates, judgements)
    own = list(range(len(candidates))) if groups is None else list(groups)
    fold = deal(own, folds, seed)
    values = np.array(_measured(judged, grid))  # (settings, 2, questions)
    alone = {DENSE: judged.measure(judged.dense), BM25: judged.measure(judged.bm25, above=0.0)}
    kinds = _kinds(alone[DENSE][0], alone[BM25][0], fold) if even else None
    held_out, chosen = np.empty(values.shape[1:]), np.zeros(len(grid), int)
    for number in range(folds):
        inside = fold == number
        choice = _choice(values[:, 0, ~inside], None if kinds is None else kinds[:, ~inside])
        held_out[:, inside] = values[choice][:, inside]
        chosen[choice] += 1
    means = values.mean(axis=2)
    statistics = StatisticsSettings(seed=seed)
    return Tuned(
        settings=grid[_choice(values[:, 0], kinds)],
        ndcg=estimate(held_out[0].tolist(), statistics),
        success=estimate(held_out[1].tolist(), statistics),
        comparisons=_comparisons(held_out, alone, statistics),
        tried=tuple(
            Tried(settings, float(ndcg), float(success), int(count))
            for settings, (ndcg, success), count in zip(grid, means, chosen, strict=True)
        ),
    )


def default_grid(candidates: Sequence[Candidates], depth: int) -> list[FusionSettings]:
    """All methods, each with weights from hardly any to nearly all; 0 and 1 are either part alone.

    Weights of "weighted" lie about the one with which both scores spread alike over the candidates
    of the median question, since the size of dense scores is the encoder's own affair.
    """
    grid = [
        FusionSettings(weight=step / 20, depth=depth, power=power)
        for power in POWERS
        for step in range(21)
    ]
    spreads = [(one.dense.std(), one.bm25.std()) for one in candidates if len(one)]
    ratios = [bm25 / dense for dense, bm25 in spreads if dense > 0 and bm25 > 0]
    alike = float(np.median(ratios)) if ratios else 1.0
    weights = [float(f"{alike * 2 ** (step / 2):.3g}") for step in range(-STEPS, STEPS + 1)]
    grid += [FusionSettings("weighted", weight, depth=depth) for weight in weights]
    for constant in (10, 60):
        shares = [step / 10 for step in range(1, 10)]
        grid += [FusionSettings("rrf", share, constant, depth) for share in shares]
    return grid


class _Judged:
    """The candidates of all questions end to end, and each relevant one beside its rivals."""

    def __init__(
        self, candidates: Sequence[Candidates], judgements: Sequence[Mapping[int, int]]
    ) -> None:
        self.candidates = candidates
        self.dense = np.concatenate([one.dense for one in candidates])
        self.bm25 = np.concatenate([one.bm25 for one in candidates])
        self.ideal = np.array([_ideal(grades) for grades in judgements])
        found = [_relevant(*pair) for pair in zip(candidates, judgements, strict=True)]
        counts = np.array([len(one) for one in candidates])
        starts = np.cumsum(counts) - counts
        self.question = np.repeat(np.arange(len(found)), [len(one[0]) for one in found])
        self.place = np.concatenate([one[0] for one in found]) + starts[self.question]
        self.grade = np.concatenate([one[1] for one in found])
        self.rivals = rivals = counts[
            self.question
        ]  # how many each relevant candidate has, itself included
        self.first = np.cumsum(rivals) - rivals
        self.rival = np.arange(int(rivals.sum())) + np.repeat(
            starts[self.question] - self.first, rivals
        )
        self.before = self.rival < np.repeat(self.place, rivals)

    def measure(self, scores: Floats, above: float = -np.inf) -> Floats:
        """nDCG@10 and Success@1 of each question, (2, questions), for all candidates' scores.

        Args:
            above: candidates whose score is not above this are not found.
        """
        if not len(self.place):
            return np.zeros((2, len(self.candidates)))
        theirs, own = scores[self.rival], np.repeat(scores[self.place], self.rivals)
        ahead = (theirs > own) | ((theirs == own) & self.before)
        ranks = np.add.reduceat(ahead, self.first, dtype=np.int64)
        ranks[scores[self.place] <= above] = NOT_FOUND
        gains = np.where(ranks < CUTOFF, self.grade / np.log2(np.minimum(ranks, CUTOFF) + 2), 0.0)
        count = len(self.candidates)
        gained = np.bincount(self.question, gains, count)
        success = np.bincount(self.question, ranks == 0, count)
        ndcg = np.divide(gained, self.ideal, out=np.zeros(count), where=self.ideal > 0)
        return np.stack([ndcg, success])


def _relevant(candidates: Candidates, grades: Mapping[int, int]) -> tuple[Rows, Rows]:
    """Places of the relevant candidates, and their grades."""
    rows = np.array([row for row, grade in grades.items() if grade > 0], np.int64)
    given = np.array([grade for grade in grades.values() if grade > 0], np.int64)
    found = np.isin(rows, candidates.rows)
    places: Rows = np.searchsorted(candidates.rows, rows[found])
    return places, given[found]


def _ideal(grades: Mapping[int, int]) -> float:
    """The gain of the best ranking there could be: grade / log2(rank + 1), as trec_eval has it."""
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:CUTOFF]
    return sum(grade / math.log2(rank + 2) for rank, grade in enumerate(best))


def _measured(judged: _Judged, grid: Sequence[FusionSettings]) -> list[Floats]:
    """nDCG@10 and Success@1 for each of the grid; what methods make of scores is made once."""
    made: dict[tuple[str, int], tuple[Floats, Floats]] = {}
    values = []
    for settings in grid:
        method, constant = settings.method, settings.rank_constant
        key = method, constant if method == "rrf" else 0
        if key not in made:
            pairs = [parts(one, method, constant) for one in judged.candidates]
            dense, bm25 = zip(*pairs, strict=True)
            made[key] = np.concatenate(dense), np.concatenate(bm25)
        values.append(judged.measure(combine(*made[key], settings)))
    return values


def _kinds(dense: Floats, bm25: Floats, fold: Rows) -> npt.NDArray[np.bool_]:
    """(2, questions): those that dense search answers better, and those that BM25 does.

    Raises:
        InputError: some folds leave none of either to choose by.
    """
    kinds = np.stack([dense > bm25, dense < bm25])
    if not all(kinds[:, fold != one].any(axis=1).all() for one in np.unique(fold)):
        counts = kinds.sum(axis=1).tolist()
        raise InputError(
            f"dense search answers {counts[0]} questions better than BM25, BM25 {counts[1]} better "
            "than dense search: too few, or about too few documents, to count both kinds the same; "
            "give more of either, or choose by the mean over all (without even)"
        )
    return kinds


def _choice(ndcg: Floats, kinds: npt.NDArray[np.bool_] | None) -> int:
    """The number of the best of the settings, (settings, questions), or 0 where that is as good.

    With ``kinds`` (2, questions) by the mean of both kinds' means, else by the mean over all."""
    parts = [ndcg] if kinds is None else [ndcg[:, kind] for kind in kinds]
    best = int(np.mean([part.mean(axis=1) for part in parts], axis=0).argmax())
    gains = [part[best] - part[0] for part in parts]
    if min(map(len, gains)) < 2:
        return 0
    error = math.sqrt(sum(one.var(ddof=1) / len(one) for one in gains)) / len(gains)
    return best if np.mean([one.mean() for one in gains]) > error else 0


def _comparisons(
    held_out: Floats, alone: Mapping[str, Floats], statistics: StatisticsSettings
) -> tuple[Comparison, ...]:
    found: list[Comparison] = []
    for number, measure in enumerate((NDCG, SUCCESS)):
        both = [
            compare(
                FUSION,
                held_out[number].tolist(),
                name,
                values[number].tolist(),
                measure,
                statistics,
            )
            for name, values in alone.items()
        ]
        corrected = holm([one.p for one in both])
        found += [replace(one, p_holm=p) for one, p in zip(both, corrected, strict=True)]
    return tuple(found)


def _check(
    candidates: Sequence[Candidates],
    judgements: Sequence[Mapping[int, int]],
    grid: Sequence[FusionSettings],
    groups: Sequence[Hashable] | None,
) -> int:
    """The depth of the grid."""
    sizes = {len(candidates), len(judgements), len(candidates if groups is None else groups)}
    if len(sizes) > 1:
        raise InputError(
            f"{len(candidates)} questions with candidates, {len(judgements)} with judgements"
            + ("" if groups is None else f", {len(groups)} with a group")
            + "; give one of each for every question"
        )
    if not any(grade > 0 for grades in judgements for grade in grades.values()):
        raise InputError(
            f"none of the {len(judgements)} questions has a relevant passage; fusion can only be "
            "tuned on questions whose passages are judged"
        )
    depths = sorted({settings.depth for settings in grid})
    if len(depths) != 1:
        raise SettingsError(
            f"the grid has the depths {depths}; give at least one setting, and one depth, that "
            "with which the candidates were gathered"
        )
    return depths[0]
