"""Readings to answers, each with its score (Karpukhin et al. 2020, §6.1).

How an answer's score is made. The reader gives each passage a relevance logit r and each span
start and end probabilities; the retriever gives each passage a score s and a place n among the
hits, from 1. Passages read for one question share one posterior

    P(passage) = softmax over the passages of
                 (relevance_weight · r + retrieval_weight · s - rank_weight · log n)

and a span of a passage has P(span | passage) = P(start) · P(end), each a softmax over the tokens of
the passage's text. A passage that is read in several windows has the relevance of its most relevant
one, and P(span | passage) is the mean over its windows, weighted by the softmax of their relevance:
what stands in the overlap of two counts once. An answer's share Σ is the sum of P(passage) ·
P(span | passage) over all the passages that give the same answer (compared as SQuAD compares
answers); answers are in the order of their shares.

The share tells how far an answer is ahead of others, and not whether even the best is any good. So
the score, the probability that the answer is right, is a logistic map (Platt 1999) of the share and
of what is known of the answer where it is likeliest: the relevance logit r of its window, the sum l
of its two logits, the number c of its characters, and the standing z of its passage among those
read, which is the score that hits are ranked by, less the mean, in units of the spread:

    score = 1 / (1 + exp(-(slope · log(Σ / (1 - Σ)) + relevance · r + span · l + length · log c
                           + standing · z + offset)))

with the ``confidence_...`` of the settings; no score is above that of an answer before it. With
slope 1 and all others 0 it is Σ itself. ``dpr.confidence`` chooses these numbers on questions whose
answers are known. Where even the best answer stays under ``no_answer_below``, there is no answer.

Takes readings of a question's hits, gives answers with character offsets. Knows nothing of models.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dpr.evaluation.answers import normalize_answer
from dpr.evaluation.platt import logit, sigmoid
from dpr.reading.records import Reading, Span
from dpr.reading.settings import ReadingSettings
from dpr.records import Answer, Hit

Array = npt.NDArray[np.float64]
MAP = ("slope", "relevance", "span", "length", "standing", "offset")
"""What the map is made of, in the order of ``Grounds.rows``: settings ``confidence_...``."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the scores of answers are made of, an array each; see the module.

    Attributes:
        share: Σ; 0 where there is no answer, and nothing to be sure of.
        relevance, span, length, standing: r, l, log c and z.
    """

    share: Array
    relevance: Array
    span: Array
    length: Array
    standing: Array

    @property
    def rows(self) -> Array:
        """What the map weighs, (answers, 5): the share as log-odds, and the others."""
        others = (self.relevance, self.span, self.length, self.standing)
        return np.column_stack([logit(self.share), *others])


def combine(
    readings: Sequence[tuple[Hit, Reading]], settings: ReadingSettings
) -> tuple[Answer, ...]:
    """The answers to one question from the readings of its hits, both best first: the same answer
    is added up over passages; see the module for the rule."""
    if not readings:
        return ()
    windows: dict[str, list[int]] = defaultdict(list)
    for number, (hit, _) in enumerate(readings):
        windows[hit.passage.id].append(number)
    relevance = settings.relevance_weight * np.array([one.relevance for _, one in readings])
    weights = np.array(
        [
            relevance[of_one].max()
            + settings.retrieval_weight * retrieval_score(readings[of_one[0]][0])
            - settings.rank_weight * np.log(place)
            for place, of_one in enumerate(windows.values(), 1)
        ]
    )
    posterior = np.empty(len(readings))
    for of_one, passage in zip(windows.values(), weights - log_sum(weights), strict=True):
        posterior[of_one] = passage + relevance[of_one] - log_sum(relevance[of_one])
    groups: dict[str, list[tuple[float, Answer]]] = defaultdict(list)
    for (hit, reading), window in zip(readings, posterior, strict=True):
        seen = set()
        for span in reading.spans:
            text = hit.passage.text[span.start : span.end]
            key = normalize_answer(text) or text
            if key in seen:  # widening can make one of two spans
                continue
            seen.add(key)
            share = float(np.exp(window + span.log_probability))
            groups[key].append((share, _answer(hit, reading, span, text)))
    answers = [_together(group) for group in groups.values()]
    answers.sort(key=lambda answer: (-answer.score, answer.passage_id, answer.start))
    best = answers[: settings.answers]
    grounds = _grounds(best, dict(zip(windows, standings(_scores(readings, windows)), strict=True)))
    scores = np.minimum.accumulate(confidence(grounds, settings)).tolist()
    return tuple(
        replace(answer, score=score)
        for answer, score in zip(best, scores, strict=True)
        if score >= settings.no_answer_below
    )


def confidence(grounds: Grounds, settings: ReadingSettings) -> Array:
    """The probabilities that answers are right; see the module."""
    weights = [getattr(settings, f"confidence_{name}") for name in MAP]
    if weights == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]:
        return grounds.share
    margins = grounds.rows @ np.array(weights[:-1]) + weights[-1]
    return np.where(grounds.share > 0, sigmoid(margins), 0.0)


def standings(scores: npt.ArrayLike) -> Array:
    """Of the passages read for a question, each once: z of the module; 0 where all score alike."""
    given = np.asarray(scores, np.float64)
    if not len(given) or not (spread := given.std()):
        return np.zeros(len(given))
    standing: Array = (given - given.mean()) / spread
    return standing


def retrieval_score(hit: Hit) -> float:
    """The retriever's score that the rule above weighs: the inner product wherever it is known,
    since weights and thresholds are chosen for that, whatever the hits were ranked by."""
    return hit.score if hit.dense_score is None else hit.dense_score


def _scores(
    readings: Sequence[tuple[Hit, Reading]], windows: Mapping[str, Sequence[int]]
) -> list[float]:
    return [readings[of_one[0]][0].score for of_one in windows.values()]


def _grounds(answers: Sequence[Answer], standing: Mapping[str, float]) -> Grounds:
    rows = [
        (one.score, one.relevance, one.span_score, np.log(len(one.text)), standing[one.passage_id])
        for one in answers
    ]
    return Grounds(*np.array(rows, np.float64).reshape(-1, 5).T)


def _answer(hit: Hit, reading: Reading, span: Span, text: str) -> Answer:
    passage = hit.passage
    return Answer(
        text=text,
        score=0.0,
        passage_id=passage.id,
        start=span.start,
        end=span.end,
        document_start=passage.start + span.start,
        document_end=passage.start + span.end,
        retrieval_score=retrieval_score(hit),
        relevance=reading.relevance,
        span_score=span.logits,
    )


def _together(group: Sequence[tuple[float, Answer]]) -> Answer:
    """One answer of all that say the same: shown where it is likeliest, with the summed score."""
    ordered = sorted(group, key=lambda one: -one[0])
    support = tuple(dict.fromkeys(answer.passage_id for _, answer in ordered))
    total = min(1.0, sum(share for share, _ in ordered))
    return replace(ordered[0][1], score=total, support=support)


def log_sum(values: Array) -> float:
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum()))
