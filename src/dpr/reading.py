"""Hits to answers: the reader over the passages found (Karpukhin et al. 2020, §6.1).

How an answer's score is made. The reader gives each passage a relevance logit r and each span
start and end probabilities; the retriever gives each passage a score s and a place n among the
hits, from 1. Passages read for one question share one posterior

    P(passage) = softmax over the passages of
                 (relevance_weight · r + retrieval_weight · s - rank_weight · log n)

and a span of a passage has P(span | passage) = P(start) · P(end), each a softmax over the tokens of
the passage's text. A passage that is read in several windows has the relevance of its most relevant
one, and P(span | passage) is the mean over its windows, weighted by the softmax of their relevance:
what stands in the overlap of two counts once. An answer's score is Σ P(passage) · P(span | passage)
over all the passages that give the same answer (compared as SQuAD compares answers), brought by
Platt's map to the probability that the answer is right:

    score = 1 / (1 + exp(-(confidence_slope · log(Σ / (1 - Σ)) + confidence_offset)))

which with slope 1 and offset 0 is Σ itself. ``dpr.confidence`` chooses these numbers on questions
whose answers are known. Where even the best answer stays under ``no_answer_below``, there is no
answer.

Takes questions and hits, gives answers with character offsets. Knows nothing of collections.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dpr.encoding import inference_device, tokenizer_fingerprint
from dpr.errors import CorruptionError, SettingsError
from dpr.evaluation.answers import normalize_answer
from dpr.evaluation.platt import logit, sigmoid
from dpr.models.checkpoint import weights_fingerprint
from dpr.models.dpr import DPRReader, pack
from dpr.records import Answer, Hit
from dpr.settings import load_settings
from dpr.tokens import DPRReaderTokenizer, Window, reader_windows
from dpr.tokens.batching import token_batches
from dpr.tokens.spans import best_spans

SETTINGS_NAME = "reading.json"
KEY = "reading"
Array = npt.NDArray[np.float64]
Progress = Callable[[int], None] | None


@dataclass(frozen=True, slots=True)
class ReadingSettings:
    """How passages are read.

    Attributes:
        passages: hits read for a question, from the best on.
        answers: answers given for a question, at most.
        max_answer_tokens: longest span, in tokens.
        spans_per_passage: spans of a passage that compete.
        relevance_weight, retrieval_weight, rank_weight: see the module.
        confidence_slope, confidence_offset: likewise.
        no_answer_below: an answer with a lower score is not given.
        max_length: tokens read at once, the question included; longer passages are read in
            windows that overlap by ``stride`` tokens.
        batch_tokens: tokens that go through the model at once.
    """

    passages: int = 10
    answers: int = 3
    max_answer_tokens: int = 20
    spans_per_passage: int = 4
    relevance_weight: float = 1.0
    retrieval_weight: float = 1.0
    no_answer_below: float = 0.02
    max_length: int = 350
    stride: int = 128
    batch_tokens: int = 2048
    rank_weight: float = 0.0
    confidence_slope: float = 1.0
    confidence_offset: float = 0.0

    def __post_init__(self) -> None:
        for name in ("passages", "answers", "max_answer_tokens", "spans_per_passage", "max_length"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 1")
        if not 0 <= self.no_answer_below <= 1:
            raise SettingsError(
                f"no_answer_below={self.no_answer_below}; give a share between 0 and 1"
            )
        if not 0 < self.confidence_slope < np.inf:  # or a better answer would have a lower score
            raise SettingsError(
                f"confidence_slope={self.confidence_slope}; give a finite number above 0"
            )
        if not np.isfinite(self.confidence_offset):
            raise SettingsError(f"confidence_offset={self.confidence_offset}; give a finite number")

    @classmethod
    def kept(cls, search: Mapping[str, Any], reader: Callable[[], str]) -> ReadingSettings | None:
        """What a collection keeps for a reader; None where it keeps nothing, or for another one.

        Args:
            search: of the collection's manifest.
            reader: gives the reader's fingerprint.

        Raises:
            CorruptionError: it is nothing that ``to_keep`` gave.
        """
        value = search.get(KEY)
        if value is None:
            return None
        try:
            return cls(**value["settings"]) if value["reader"] == reader() else None
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptionError(
                f"the collection keeps reading settings that make no sense ({error!r}): {value}; "
                "use the release that made it, or run `dpr calibrate` on it again"
            ) from error

    def to_keep(self, search: Mapping[str, Any], reader: str, questions: str) -> dict[str, Any]:
        """What the manifest is to keep, with the reader's fingerprint and what it was chosen on."""
        return {**search, KEY: {"reader": reader, "questions": questions, "settings": asdict(self)}}

    def within(self, positions: int) -> ReadingSettings:
        """The same for a model that has only so many positions."""
        if self.max_length <= positions:
            return self
        return replace(self, max_length=positions, stride=min(self.stride, positions // 4))


@dataclass(frozen=True, slots=True)
class Span:
    """A span of one text: character offsets, log P(start)·P(end), and the sum of its logits."""

    start: int
    end: int
    log_probability: float
    logits: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one window of a text gives: its relevance logit and best spans, best first."""

    item: int
    relevance: float
    spans: tuple[Span, ...]


class Reader:
    """A reader model, its tokenizer and its settings as one thing."""

    def __init__(
        self,
        model: DPRReader,
        tokenizer: DPRReaderTokenizer,
        settings: ReadingSettings | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        limit = model.config.max_position_embeddings
        self.settings = settings or ReadingSettings().within(limit)
        if self.settings.max_length > limit:
            raise SettingsError(
                f"max_length={self.settings.max_length}; the model has {limit} positions"
            )
        size = max(tokenizer.get_vocab().values()) + 1
        self._continues = np.zeros(size, dtype=bool)
        self._continues[
            [number for token, number in tokenizer.get_vocab().items() if token.startswith("##")]
        ] = True

    @classmethod
    def from_pretrained(
        cls, place: str | os.PathLike[str], settings: ReadingSettings | None = None
    ) -> Reader:
        """Loads model and tokenizer, and the settings kept beside them where none are given; the
        model to the device that ``dpr.encoding.inference_device`` gives.

        Raises:
            CheckpointError: the model or its tokenizer cannot be loaded.
            SettingsError: there is no such device.
        """
        if settings is None:
            settings = load_settings(ReadingSettings, Path(place) / SETTINGS_NAME)
        model = DPRReader.from_pretrained(place, dtype=torch.float32).to(inference_device())
        model.prepare_for_inference(bulk=True)
        return cls(model, DPRReaderTokenizer.from_pretrained(place), settings)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights and tokenizer: equal fingerprints, equal readings under the same
        settings."""
        config = self.model.config
        parts = {
            "weights": weights_fingerprint(self.model.state_dict()),
            "config": [config.hidden_act, config.num_attention_heads, config.layer_norm_eps],
            "tokenizer": tokenizer_fingerprint(self.tokenizer),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def read(
        self,
        questions: Sequence[str],
        titles: Sequence[str],
        texts: Sequence[str],
        progress: Progress = None,
    ) -> list[Reading]:
        """Reads text i for question i. Gives the readings in input order, a text that is longer
        than ``max_length`` several times (a reading for each window). ``progress`` is called with
        the number of windows of each batch that is done; what it raises ends the reading."""
        windows = reader_windows(
            self.tokenizer,
            questions,
            titles,
            texts,
            max_length=self.settings.max_length,
            stride=self.settings.stride,
        )
        readings: list[Reading | None] = [None] * len(windows)
        with torch.inference_mode():
            lengths = [len(window.ids) for window in windows]
            for batch in token_batches(lengths, self.settings.batch_tokens):
                ids, layout = pack([windows[i].ids for i in batch], self.model.device)
                start, end, relevance = (
                    one.double().cpu().numpy() for one in self.model.read_packed(ids, layout)
                )
                offset = 0
                for row, i in enumerate(batch):
                    stop = offset + lengths[i]
                    readings[i] = self._reading(
                        windows[i], start[offset:stop], end[offset:stop], float(relevance[row])
                    )
                    offset = stop
                if progress is not None:
                    progress(len(batch))
        return [reading for reading in readings if reading is not None]

    def _reading(self, window: Window, start: Array, end: Array, relevance: float) -> Reading:
        first, last = window.text_start, window.text_start + len(window.offsets)
        if first == last:
            return Reading(window.item, relevance, ())
        floor = _log_sum(start[first:last]) + _log_sum(end[first:last])
        found = best_spans(
            start,
            end,
            (first, last),
            self.settings.max_answer_tokens,
            self.settings.spans_per_passage,
        )
        spans = []
        for head, tail, score in found:
            begin, finish = self._whole_words(window, head - first, tail - first)
            spans.append(Span(begin, finish, float(score) - floor, float(score)))
        return Reading(window.item, relevance, tuple(spans))

    def _whole_words(self, window: Window, head: int, tail: int) -> tuple[int, int]:
        """Character offsets of a token span, widened where it begins or ends inside a word."""
        ids, first = window.ids, window.text_start
        while head > 0 and self._continues[ids[first + head]]:
            head -= 1
        while tail + 1 < len(window.offsets) and self._continues[ids[first + tail + 1]]:
            tail += 1
        return window.offsets[head][0], window.offsets[tail][1]

    def answer(self, question: str, hits: Sequence[Hit]) -> tuple[Answer, ...]:
        """The answers to one question, best first; none where nothing convinces."""
        return self.answer_many([question], [hits])[0]

    def answer_many(
        self,
        questions: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        progress: Progress = None,
    ) -> list[tuple[Answer, ...]]:
        """The answers to each question, from its hits; all are read in shared batches."""
        return [combine(one, self.settings) for one in self.read_hits(questions, hits, progress)]

    def read_hits(
        self,
        questions: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        progress: Progress = None,
    ) -> list[list[tuple[Hit, Reading]]]:
        """The readings of each question's first ``settings.passages`` hits, for ``combine``: hits
        in their order, a long one several times (a reading for each window)."""
        read = [list(one[: self.settings.passages]) for one in hits]
        rows = [(number, hit) for number, found in enumerate(read) for hit in found]
        readings = self.read(
            [questions[number] for number, _ in rows],
            [hit.passage.title for _, hit in rows],
            [hit.passage.text for _, hit in rows],
            progress,
        )
        grouped: list[list[tuple[Hit, Reading]]] = [[] for _ in questions]
        for reading in readings:
            number, hit = rows[reading.item]
            grouped[number].append((hit, reading))
        return grouped


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
    for of_one, passage in zip(windows.values(), weights - _log_sum(weights), strict=True):
        posterior[of_one] = passage + relevance[of_one] - _log_sum(relevance[of_one])
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
    scores = confidence([answer.score for answer in best], settings).tolist()
    return tuple(
        replace(answer, score=score)
        for answer, score in zip(best, scores, strict=True)
        if score >= settings.no_answer_below
    )


def confidence(shares: npt.ArrayLike, settings: ReadingSettings) -> Array:
    """Shares of the posterior as probabilities of being right; see the module. None is 0, as there
    is nothing to be sure of."""
    given = np.asarray(shares, np.float64)
    slope, offset = settings.confidence_slope, settings.confidence_offset
    if (slope, offset) == (1.0, 0.0):
        return given
    return np.where(given > 0, sigmoid(slope * logit(given) + offset), 0.0)


def retrieval_score(hit: Hit) -> float:
    """The retriever's score that the rule above weighs: the inner product wherever it is known,
    since weights and thresholds are chosen for that, whatever the hits were ranked by."""
    return hit.score if hit.dense_score is None else hit.dense_score


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


def _log_sum(values: Array) -> float:
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum()))
