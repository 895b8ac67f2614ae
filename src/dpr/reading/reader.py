"""The reader over the passages found: a model, its tokenizer and its settings.

Takes questions and hits, gives readings and answers. Knows nothing of collections.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from dpr.encoding import inference_device, tokenizer_fingerprint
from dpr.errors import SettingsError
from dpr.models.checkpoint import weights_fingerprint
from dpr.models.dpr import DPRReader, pack
from dpr.reading.answers import Array, combine, log_sum
from dpr.reading.records import Reading, Span
from dpr.reading.settings import SETTINGS_NAME, ReadingSettings
from dpr.records import Answer, Hit
from dpr.settings import load_settings
from dpr.tokens import DPRReaderTokenizer, Window, reader_windows
from dpr.tokens.batching import token_batches
from dpr.tokens.spans import best_spans

Progress = Callable[[int], None] | None


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
        floor = log_sum(start[first:last]) + log_sum(end[first:last])
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
