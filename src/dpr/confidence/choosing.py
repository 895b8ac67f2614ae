"""How sure answers are: weights, map and threshold chosen on questions whose answers are known.

What an answer's score is made of is said in ``dpr.reading.answers``; here its numbers are chosen.
Three things, one after the other, on the same questions:

- the weights of relevance, retrieval and rank with the best F1, or those one starts from where
  these are not worse by more than one standard error of the mean difference (other questions than
  these will be asked, and what these do not tell is no reason to change);
- the map from what is known of an answer to the probability that it is right, which is that it
  matches an accepted answer exactly: Platt's, fitted to the first answers; of their shares alone
  where there are fewer than ``FEW`` questions, which cannot tell six numbers;
- the threshold under which there is no answer. Where at least ``UNANSWERABLE`` of the questions
  have no answer, the one with the best F1 by SQuAD 2.0's rule (silence is worth 1 on them).
  Elsewhere the highest one that keeps ``KEPT`` of the F1: nothing tells then how often people ask
  what is not there, and who asks would rather see an answer with its probability than none.

What is chosen on questions looks better on these than on others. So the questions are dealt into
folds, those about one document or passage together; each is measured with what the other folds
choose, and these held-out figures are reported. The settings at the end are those that all
questions choose.

Takes readings with accepted answers; gives settings and figures. Knows nothing of collections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.confidence.evidence import Array, Evidence
from dpr.confidence.records import Calibrated, Case, Figures, Silence
from dpr.errors import InputError
from dpr.evaluation.calibration import (
    accuracy_at,
    auroc,
    calibration_error,
    coverage_curve,
    reliability,
    risk_area,
)
from dpr.evaluation.folds import deal
from dpr.evaluation.platt import fit_platt
from dpr.evaluation.settings import StatisticsSettings
from dpr.evaluation.statistics import estimate
from dpr.reading import MAP, Grounds, ReadingSettings, confidence

FEWEST, FEW = 100, 300
UNANSWERABLE = 20
RIGHT_AND_WRONG = 10
KEPT = 0.95
LARGEST = 0.4  # of the questions, in one fold
FOLDS = 5
RELEVANCE = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
RETRIEVAL = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5)
RANK = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
STEP = 1000  # thresholds are kept to this part of 1


Mask = npt.NDArray[np.bool_]


def calibrate(
    cases: Sequence[Case], start: ReadingSettings, folds: int = FOLDS, seed: int = 0
) -> Calibrated:
    """Chooses weights, map and threshold; see the module.

    Raises:
        InputError: too few questions with an answer, or too few that are answered right, or wrong.
    """
    return _Choosing(cases, start, folds, seed).run()


@dataclass(slots=True)
class _Choosing:
    cases: Sequence[Case]
    start: ReadingSettings
    folds: int
    seed: int
    notes: list[str] = field(default_factory=list)

    def run(self) -> Calibrated:
        answerable = np.array([bool(case.question.answers) for case in self.cases], bool)
        check_count(int(answerable.sum()))
        accepted = [case.question.answers for case in self.cases]
        evidence = Evidence([case.found for case in self.cases], accepted)
        without = Evidence([case.without for case in self.cases], accepted)
        tried = _Tried(evidence, without, answerable, self.start)
        tried.check()
        fold = deal(self._groups(), self.folds, self.seed)
        held = np.zeros((5, len(self.cases)))
        chosen: Counter[tuple[float, float, float]] = Counter()
        for number in range(self.folds):
            inside = fold == number
            settings = tried.choose(~inside)
            chosen[weights_of(settings)] += 1
            held[:, inside] = tried.measured(settings)[:, inside]
        first = tried.firsts[0]
        had = np.array([bool(case.without) for case in self.cases]) & answerable
        return Calibrated(
            settings=tried.choose(np.ones(len(self.cases), bool)),
            start=self.start,
            before=_figures(
                confidence(tried.grounds(0), self.start), first.exact, first.f1, answerable
            ),
            after=_figures(held[0], held[1], held[2], answerable),
            silence=_silence(held, answerable, had, tried.rule),
            weights=dict(chosen),
            questions=int(answerable.sum()),
            unanswerable=int((~answerable).sum()),
            notes=tuple(self._notes(int(answerable.sum()))),
        )

    def _groups(self) -> list[str]:
        """What questions are about: documents, or passages where these are few, and each question
        for itself where that is not known, or all are about a few."""
        for level in (0, -1):
            about = [
                case.about[level] if case.about else f"\0{number}"
                for number, case in enumerate(self.cases)
            ]
            sizes = Counter(about)
            if len(sizes) >= self.folds and max(sizes.values()) <= LARGEST * len(about):
                return about
        self.notes.append(
            "most questions are about one passage, or all about a few: held-out figures are of "
            "other questions about the same passages"
        )
        return [str(number) for number in range(len(self.cases))]

    def _notes(self, count: int) -> list[str]:
        if count < FEW:
            self.notes.append(f"{count} questions say little: {FEW} or more are better")
        return self.notes


def check_count(questions: int) -> None:
    """Refuses too few questions.

    Raises:
        InputError: fewer than ``FEWEST``.
    """
    if questions < FEWEST:
        raise InputError(
            f"{questions} questions with answers are too few to calibrate on; give at least "
            f"{FEWEST}, and better {FEW} or more, with the answers that are right"
        )


class _Tried:
    """First answers under all weights, and what subsets of the questions choose."""

    def __init__(
        self, evidence: Evidence, without: Evidence, answerable: Mask, start: ReadingSettings
    ) -> None:
        self.grid = _grid(start)
        self.firsts = [evidence.first(one) for one in self.grid]
        self.f1 = np.array([one.f1 for one in self.firsts])
        self.evidence, self.without, self.answerable = evidence, without, answerable
        self._grounds: dict[int, Grounds] = {}
        self.by_squad2 = int((~answerable).sum()) >= UNANSWERABLE
        self.rule = (
            "the best F1 by SQuAD 2.0's rule" if self.by_squad2 else f"keeps {KEPT:.0%} of the F1"
        )

    def check(self) -> None:
        """Refuses what tells nothing, as the start finds it."""
        exact = self.firsts[0].exact
        right = int(exact.sum())
        if not RIGHT_AND_WRONG <= right <= len(exact) - RIGHT_AND_WRONG:
            raise InputError(
                f"of {len(exact)} answers {right} are right; to tell how sure answers are takes "
                f"{RIGHT_AND_WRONG} that are right and {RIGHT_AND_WRONG} that are wrong: give "
                "more questions, and check that their answers are spans of the passages"
            )

    def choose(self, inside: Mask) -> ReadingSettings:
        """What the questions that are inside choose."""
        f1 = self.f1[:, inside & self.answerable]
        best = int(f1.mean(axis=1).argmax())
        gain = f1[best] - f1[0]
        number = best if gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)) else 0
        first, answerable = self.firsts[number], self.answerable[inside]
        settings = replace(
            self.grid[number], **_map(self.grounds(number).rows[inside], first.exact[inside])
        )
        sure = confidence(self.grounds(number), settings)[inside]
        limit = _threshold(sure, first.f1[inside], answerable, self.by_squad2)
        return replace(settings, no_answer_below=limit)

    def grounds(self, number: int) -> Grounds:
        """Of the first answers under the weights of this number."""
        if number not in self._grounds:
            self._grounds[number] = self.evidence.grounds(self.grid[number])
        return self._grounds[number]

    def measured(self, settings: ReadingSettings) -> Array:
        """Of each question: score, exact match and F1 of the first answer, whether it is given, and
        whether one is given without its passages."""
        first, grounds = self.evidence.first(settings), self.evidence.grounds(settings)
        without = self.without.grounds(settings)
        sure, unsure = confidence(grounds, settings), confidence(without, settings)
        given = sure >= settings.no_answer_below
        wrongly = (unsure >= settings.no_answer_below) & (without.share > 0)
        return np.array([sure, first.exact, first.f1, given, wrongly])


def _map(rows: Array, exact: Array) -> dict[str, Any]:
    """The settings ``confidence_...`` that these first answers choose.

    Raises:
        InputError: answers that are far ahead are not more often right.
    """
    columns = len(MAP) - 1 if len(rows) >= FEW else 1
    slopes = fit_platt(rows[:, :columns], exact.tolist())
    if slopes[0] <= 0 and columns > 1:
        columns, slopes = 1, fit_platt(rows[:, :1], exact.tolist())
    if slopes[0] <= 0:
        raise InputError(
            "answers with higher scores are not more often right on these questions, so that "
            "nothing can be chosen by them; check that the questions belong to the collection"
        )
    chosen = dict.fromkeys(MAP, 0.0) | dict(zip(MAP[:columns], slopes, strict=False))
    chosen["offset"] = slopes[-1]
    return {f"confidence_{name}": float(f"{one:.6g}") for name, one in chosen.items()}


def weights_of(settings: ReadingSettings) -> tuple[float, float, float]:
    """Of relevance, retrieval and rank."""
    return settings.relevance_weight, settings.retrieval_weight, settings.rank_weight


def _grid(start: ReadingSettings) -> list[ReadingSettings]:
    """The settings one starts from, and all weights that are tried in their place."""
    weights = dict.fromkeys([weights_of(start), *product(RELEVANCE, RETRIEVAL, RANK)])
    return [
        replace(start, relevance_weight=one, retrieval_weight=other, rank_weight=place)
        for one, other, place in weights
    ]


def _threshold(sure: Array, f1: Array, answerable: Mask, by_squad2: bool) -> float:
    """The threshold by the module's rules, rounded down."""
    steps = np.arange(STEP + 1) / STEP
    ordered = np.argsort(sure)
    gains = np.concatenate([[0.0], np.cumsum((f1 * answerable)[ordered][::-1])])[::-1]
    silent = np.concatenate([[0.0], np.cumsum(~answerable[ordered])])
    at = np.searchsorted(sure[ordered], steps)  # so many are less sure
    if by_squad2:
        return float(steps[int((gains[at] + silent[at]).argmax())])
    return float(steps[gains[at] >= KEPT * gains[0]].max())


def _figures(sure: Array, exact: Array, overlap: Array, answerable: Mask) -> Figures:
    scores, right = sure.tolist(), exact.tolist()
    bins, statistics = reliability(scores, right), StatisticsSettings()
    return Figures(
        exact=estimate(exact[answerable].tolist(), statistics),
        f1=estimate(overlap[answerable].tolist(), statistics),
        error=calibration_error(bins),
        auroc=auroc(scores, right),
        risk_area=risk_area(scores, right),
        half=accuracy_at(scores, right, 0.5),
        right=float(exact.mean()),
        bins=bins,
        coverage=coverage_curve(scores, right),
    )


def _silence(held: Array, answerable: Mask, had: Mask, rule: str) -> Silence:
    overlap, given, wrongly = held[2:]
    return Silence(
        rule=rule,
        answered=float(given[answerable].mean()),
        kept=float((overlap * given)[answerable].sum() / max(overlap[answerable].sum(), 1e-12)),
        silent=float(1 - wrongly[had].mean()) if had.any() else None,
        unanswerable=float(1 - given[~answerable].mean()) if (~answerable).any() else None,
    )
