"""Training the reader (Karpukhin et al. 2020, §6.1).

A row of a batch is one question with one passage that holds an answer span and a few that do not.
The loss is that of the original: −log of the summed likelihood of all answer spans in the positive
passage, plus the cross-entropy of the passages' relevance; averaged over the questions of a batch.
With ``null`` a row may be a question that no passage answers: it has negatives only.
Takes samples and a reader, gives the ``Task`` that the loop runs.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dpr.corpus.split import CJK
from dpr.evaluation.answers import exact_match, f1
from dpr.models.dpr import DPRReader, pack
from dpr.reading import SETTINGS_NAME, Reader, ReadingSettings
from dpr.samples.files import Context, TrainingSample
from dpr.samples.likeness import passage_key
from dpr.samples.negatives import Golds
from dpr.settings import save_settings
from dpr.tokens import DPRReaderTokenizer, Window, reader_windows
from dpr.tokens.batching import token_batches
from dpr.training.losses import exact, relevance_loss, span_loss
from dpr.training.processes import Processes
from dpr.training.settings import ReaderSettings as ReaderSettings
from dpr.training.task import Figures, Step

TokenSpan = tuple[int, int]
ALONE = Processes()

# Where an answer may begin and end: between words, and beside a Chinese or Japanese character,
# since those scripts set no words apart. Compiled once, because classes as wide as these are slow
# to compile.
_BEGIN = re.compile(rf"(?<![^\W{CJK}])|(?=[{CJK}])")
_END = re.compile(rf"(?![^\W{CJK}])|(?<=[{CJK}])")


@dataclass(frozen=True, slots=True)
class Positive:
    """A window that holds at least one answer: its ids and the answers as (first, last) token."""

    ids: list[int]
    spans: tuple[TokenSpan, ...]


@dataclass(frozen=True, slots=True)
class ReaderRow:
    """A question of a batch: the positive window, None where there is no answer, and the negatives
    drawn for it."""

    sample: int
    positive: Positive | None
    negatives: tuple[Context, ...]


def answer_spans(context: Context, answers: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Character spans of the answers in a passage: those that the data gives, else every
    occurrence of an answer string between word boundaries, whatever its case. Beside a Chinese or
    Japanese character there is always a boundary."""
    if context.answers:
        return context.answers
    spans = [
        span
        for answer in dict.fromkeys(answers)
        if answer.strip()
        for span in _occurrences(answer.strip(), context.text)
    ]
    return tuple(dict.fromkeys(spans))


def _occurrences(answer: str, text: str) -> Iterator[tuple[int, int]]:
    """Where the answer stands as whole words, from left to right, without overlaps."""
    pattern = re.compile(re.escape(answer), re.IGNORECASE)
    match = pattern.search(text)
    while match:
        start, end = match.span()
        whole = _BEGIN.match(text, start) and _END.match(text, end)
        if whole:
            yield start, end
        match = pattern.search(text, end if whole else start + 1)


def token_spans(window: Window, spans: Iterable[tuple[int, int]]) -> tuple[TokenSpan, ...]:
    """The spans that lie whole in the window, as (first, last) token of the whole sequence."""
    found = []
    for start, end in spans:
        inside = [
            number
            for number, (left, right) in enumerate(window.offsets)
            if right > start and left < end and right > left
        ]
        if not inside:
            continue
        head, tail = inside[0], inside[-1]
        if window.offsets[head][0] <= start and window.offsets[tail][1] >= end:
            found.append((window.text_start + head, window.text_start + tail))
    return tuple(dict.fromkeys(found))


class ReaderTask:
    """See the module. ``dev``: samples read with their gold passage, for EM and F1; with
    ``null`` also questions that have none, read with their first negative."""

    def __init__(
        self,
        model: DPRReader,
        tokenizer: DPRReaderTokenizer,
        train: Sequence[TrainingSample],
        dev: Sequence[TrainingSample],
        settings: ReaderSettings,
        seed: int,
        *,
        processes: Processes = ALONE,
    ) -> None:
        self.processes = processes
        self.model, self.tokenizer = model, tokenizer
        self.modules: dict[str, nn.Module] = {"reader": model.span_predictor}
        self.settings, self.seed = settings, seed
        self.dev = dev
        positives, golds = self._positives(train), Golds(train)
        negatives = [_negatives(sample, golds) for sample in train]
        usable = [
            number
            for number, found in enumerate(positives)
            if found or (settings.null and not train[number].positives and negatives[number])
        ]
        self.without_span = len(train) - len(usable)
        self.train = [train[number] for number in usable]
        self.positives = [positives[number] for number in usable]
        self.negatives = [negatives[number] for number in usable]

    def _positives(self, samples: Sequence[TrainingSample]) -> list[list[Positive]]:
        """The windows of each sample's positive passages that hold an answer."""
        rows = [
            (number, context, spans)
            for number, sample in enumerate(samples)
            for context in sample.positives
            if (spans := answer_spans(context, sample.answers))
        ]
        found: list[list[Positive]] = [[] for _ in samples]
        for first in range(0, len(rows), 1024):  # offsets are bulky: a part at a time
            part = rows[first : first + 1024]
            for window in self._windows([(samples[n].question, c) for n, c, _ in part]):
                number, _, spans = part[window.item]
                if inside := token_spans(window, spans):
                    found[number].append(Positive(window.ids, inside))
        return found

    def _windows(self, pairs: Sequence[tuple[str, Context]]) -> list[Window]:
        return reader_windows(
            self.tokenizer,
            [question for question, _ in pairs],
            [context.title for _, context in pairs],
            [context.text for _, context in pairs],
            max_length=self.settings.max_length,
            stride=self.settings.stride,
        )

    def batches(self, epoch: int) -> list[list[ReaderRow]]:
        rng = random.Random(f"{self.seed}/{epoch}")
        order = list(range(len(self.train)))
        rng.shuffle(order)
        rows = []
        for number in order:
            pool, found = self.negatives[number], self.positives[number]
            count = min(self.settings.passages - bool(found), len(pool))
            positive = rng.choice(found) if found else None
            rows.append(ReaderRow(number, positive, tuple(rng.sample(pool, count))))
        size = self.settings.batch_size
        return [rows[i : i + size] for i in range(0, len(rows), size)]

    def step(self, batch: Sequence[ReaderRow], step: Step) -> Figures:
        """See ``Task``. Rows go through the model in parts, so memory is that of a part."""
        own = [batch[row] for row in self.processes.own(len(batch))]
        sequences = self._sequences(own)
        nothing = torch.zeros((), device=self.model.device)
        figures = {"loss": nothing, "span_loss": nothing, "relevance_loss": nothing}
        for part in self._parts(sequences):
            spans, relevances = self._losses(
                [own[n] for n in part], [sequences[n] for n in part], step
            )
            loss = (spans + relevances) / len(batch)
            step.backward(loss * step.share)
            found = (loss, spans / len(batch), relevances / len(batch))
            figures = {
                name: sofar + value.detach()
                for (name, sofar), value in zip(figures.items(), found, strict=True)
            }
        return dict(figures)

    def _losses(
        self, rows: Sequence[ReaderRow], sequences: Sequence[list[list[int]]], step: Step
    ) -> tuple[Tensor, Tensor]:
        """The summed span losses and relevance losses of rows that go through the model at once."""
        ids, layout = pack([one for row in sequences for one in row], self.model.device)
        with step.autocast():
            start, end, relevance = self.model.read_packed(ids, layout)
        token = passage = 0
        spans, relevances = [exact(start.new_zeros(1)).sum()], []
        for row, given in zip(rows, sequences, strict=True):
            if row.positive is not None:
                here = slice(token, token + len(given[0]))
                spans.append(span_loss(start[here], end[here], row.positive.spans))
            of_row = relevance[passage : passage + len(given)]
            answered = row.positive is not None
            relevances.append(relevance_loss(of_row, answered, self.settings.null))
            token += sum(len(one) for one in given)
            passage += len(given)
        return torch.stack(spans).sum(), torch.stack(relevances).sum()

    def epoch_ended(self, epoch: int) -> None:
        """Nothing to do: negatives are drawn from the samples as they are."""

    def describe(self, batch: Sequence[ReaderRow]) -> list[dict[str, Any]]:
        return [
            {
                "question": self.train[row.sample].question,
                "answers": self.train[row.sample].answers,
                "positive": row.positive and self.tokenizer.decode(row.positive.ids),
                "negatives": [context.text for context in row.negatives],
            }
            for row in batch
        ]

    def _sequences(self, batch: Sequence[ReaderRow]) -> list[list[list[int]]]:
        """Each row's token ids: the positive window where it has one, then one of each negative."""
        pairs = [
            (self.train[row.sample].question, context) for row in batch for context in row.negatives
        ]
        first_windows: dict[int, list[int]] = {}
        for window in self._windows(pairs) if pairs else []:
            first_windows.setdefault(window.item, window.ids)
        sequences, item = [], 0
        for row in batch:
            negatives = [first_windows[item + i] for i in range(len(row.negatives))]
            sequences.append([*([row.positive.ids] if row.positive else []), *negatives])
            item += len(row.negatives)
        return sequences

    def _parts(self, sequences: Sequence[Sequence[Sequence[int]]]) -> list[list[int]]:
        """Rows by length, cut to the token budget; a question's passages stay together."""
        lengths = [sum(len(one) for one in row) for row in sequences]
        return token_batches(lengths, self.settings.pack_tokens)

    def evaluate(self) -> dict[str, float]:
        """F1 and EM (percent) given the gold passage, as one figure each. With ``null`` as SQuAD
        2.0 has them (Rajpurkar et al. 2018): relevance of 0 and less is silence, which is right
        where there is no answer and nowhere else."""
        if not self.dev:
            return {}
        reader = Reader(self.model, self.tokenizer, self._reading())
        given = read_gold(reader, self.dev, above=0.0 if self.settings.null else -math.inf)
        right = [
            (f1(text, one.answers), exact_match(text, one.answers))
            if one.positives
            else (float(not text), float(not text))
            for text, one in zip(given, self.dev, strict=True)
        ]
        measures = {
            name: 100 * sum(values) / len(right)
            for name, values in zip(("F1", "EM"), zip(*right, strict=True), strict=True)
        }
        if self.settings.null:
            for name, kind in (("with", True), ("without", False)):
                own = [
                    g for g, one in zip(given, self.dev, strict=True) if bool(one.positives) is kind
                ]
                if own:
                    measures[f"silent {name} an answer"] = 100 * own.count("") / len(own)
        return measures

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder / "reader")
        self.tokenizer.save_pretrained(folder / "reader")
        save_settings(self._reading(), folder / "reader" / SETTINGS_NAME)

    def _reading(self) -> ReadingSettings:
        return ReadingSettings(max_length=self.settings.max_length, stride=self.settings.stride)


def _negatives(sample: TrainingSample, golds: Golds) -> tuple[Context, ...]:
    """A sample's negatives but for those that are positives of its question, in it or another."""
    own = golds.of(sample.question)
    return tuple(one for one in sample.best_negatives if passage_key(*one.key) not in own)


def read_gold(
    reader: Reader, samples: Sequence[TrainingSample], above: float = -math.inf
) -> list[str]:
    """The best span of each sample's first gold passage, or negative where it has none, as text;
    windows of a passage compete by the sum of a span's logits. Empty where no window's relevance is
    above the given one."""
    passages = [(sample.positives or sample.best_negatives)[0] for sample in samples]
    readings = reader.read(
        [sample.question for sample in samples],
        [passage.title for passage in passages],
        [passage.text for passage in passages],
    )
    best: dict[int, tuple[float, str]] = {}
    relevant = {reading.item for reading in readings if reading.relevance > above}
    for reading in readings:
        for span in reading.spans[:1]:
            text = passages[reading.item].text[span.start : span.end]
            if reading.item not in best or span.logits > best[reading.item][0]:
                best[reading.item] = (span.logits, text)
    return [
        best[number][1] if number in best and number in relevant else ""
        for number in range(len(samples))
    ]
