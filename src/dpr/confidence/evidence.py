"""Readings of many questions as arrays: first answers under any weights, without reading again.

Takes readings and accepted answers; gives the share and the correctness of each first answer, as
``dpr.reading.combine`` would. Knows nothing of how weights are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpr.evaluation.answers import exact_match, f1, normalize_answer
from dpr.reading import Grounds, Reading, ReadingSettings, Span, retrieval_score, standings
from dpr.records import Hit

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Readings = Sequence[tuple[Hit, Reading]]


@dataclass(frozen=True, slots=True)
class First:
    """The first answers, one a question: shares of the posterior (0 for no answer), exact match
    and F1."""

    share: Array
    exact: Array
    f1: Array


class Evidence:
    """The readings of many questions as arrays: first answers under any weights, without reading
    anything again. Gives what ``combine`` gives."""

    def __init__(self, readings: Sequence[Readings], accepted: Sequence[Sequence[str]]) -> None:
        self.questions = len(readings)
        windows: list[float] = []
        # Of passages: first window, question, score, place, standing.
        passages: list[tuple[int, int, float, int, float]] = []
        # Of spans: window, answer, log-probability, logits, log of the length.
        spans: list[tuple[int, int, float, float, float]] = []
        answers: list[tuple[int, float, float]] = []  # question, exact match, F1
        for number, (one, wanted) in enumerate(zip(readings, accepted, strict=True)):
            grouped: dict[str, list[tuple[Hit, Reading]]] = {}
            for hit, reading in one:
                grouped.setdefault(hit.passage.id, []).append((hit, reading))
            known: dict[str, int] = {}
            standing = standings([of_one[0][0].score for of_one in grouped.values()])
            for place, of_one in enumerate(grouped.values(), 1):
                first, own = of_one[0][0], float(standing[place - 1])
                passages.append((len(windows), number, retrieval_score(first), place, own))
                for hit, reading in of_one:
                    for key, text, span in _texts(hit, reading):
                        if key not in known:
                            known[key] = len(answers)
                            answers.append((number, exact_match(text, wanted), f1(text, wanted)))
                        told = (span.log_probability, span.logits, float(np.log(len(text))))
                        spans.append((len(windows), known[key], *told))
                    windows.append(reading.relevance)
        self._relevance = np.array(windows)
        self._first_window = np.array([one[0] for one in passages], np.int64)
        self._retrieval = np.array([one[2] for one in passages])
        self._log_place = np.log([one[3] for one in passages])
        self._standing = np.array([one[4] for one in passages])
        self._passage = _own(self._first_window, len(windows))
        asked = np.array([one[1] for one in passages], np.int64)
        self._first_passage = np.unique(asked, return_index=True)[1]
        self._question = _own(self._first_passage, len(passages))
        self._window = np.array([one[0] for one in spans], np.int64)
        self._answer = np.array([one[1] for one in spans], np.int64)
        self._log_probability, self._logits, self._length = (
            np.array([one[at] for one in spans]) for at in (2, 3, 4)
        )
        self._asked = np.array([one[0] for one in answers], np.int64)
        self._exact = np.array([one[1] for one in answers])
        self._f1 = np.array([one[2] for one in answers])

    def first(self, settings: ReadingSettings) -> First:
        """The first answer to each question with the weights of some settings, however low its
        share."""
        share, exact, overlap = np.zeros((3, self.questions))
        if len(self._answer):
            total, best = self._best(np.exp(self._logs(settings)))
            asked = self._asked[best]
            share[asked], exact[asked], overlap[asked] = (
                total[best], self._exact[best], self._f1[best],
            )  # fmt: skip
        return First(share, exact, overlap)

    def grounds(self, settings: ReadingSettings) -> Grounds:
        """What the scores of these first answers are made of."""
        rows = np.zeros((5, self.questions))
        if len(self._answer):
            shares = np.exp(self._logs(settings))
            total, best = self._best(shares)
            order = np.lexsort((-shares, self._answer))
            likeliest = order[np.unique(self._answer[order], return_index=True)[1]][best]
            window = self._window[likeliest]
            rows[:, self._asked[best]] = (
                total[best], self._relevance[window], self._logits[likeliest],
                self._length[likeliest], self._standing[self._passage[window]],
            )  # fmt: skip
        return Grounds(*rows)

    def _best(self, shares: Array) -> tuple[Array, Numbers]:
        """The share of each answer, and which answers are the first to their questions."""
        total = np.minimum(1.0, np.bincount(self._answer, shares, len(self._asked)))
        order = np.lexsort((-total, self._asked))
        return total, order[np.unique(self._asked[order], return_index=True)[1]]

    def _logs(self, settings: ReadingSettings) -> Array:
        """The log of each span's part of its answer's share; see ``dpr.reading.answers``."""
        relevance = settings.relevance_weight * self._relevance
        weights = np.maximum.reduceat(relevance, self._first_window)
        weights = weights + settings.retrieval_weight * self._retrieval
        weights -= settings.rank_weight * self._log_place
        posterior = weights - _log_sums(weights, self._first_passage, self._question)
        within = relevance - _log_sums(relevance, self._first_window, self._passage)
        logs: Array = (posterior[self._passage] + within)[self._window] + self._log_probability
        return logs


def _texts(hit: Hit, reading: Reading) -> list[tuple[str, str, Span]]:
    """The different answers of a window, each as it is compared, as it stands, and its span."""
    found: dict[str, tuple[str, str, Span]] = {}
    for span in reading.spans:
        text = hit.passage.text[span.start : span.end]
        key = normalize_answer(text) or text
        found.setdefault(key, (key, text, span))
    return list(found.values())


def _own(firsts: Numbers, count: int) -> Numbers:
    """Of each of ``count`` things the number of its group, groups beginning at ``firsts``."""
    marks = np.zeros(count, np.int64)
    marks[firsts] = 1
    numbers: Numbers = np.cumsum(marks) - 1
    return numbers


def _log_sums(values: Array, firsts: Numbers, own: Numbers) -> Array:
    """Of each value the log of the sum of the exponentials of its group."""
    top = np.maximum.reduceat(values, firsts)
    sums = np.add.reduceat(np.exp(values - top[own]), firsts)
    logs: Array = (top + np.log(sums))[own]
    return logs
