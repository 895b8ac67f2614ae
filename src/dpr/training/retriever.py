"""Training a dual encoder with in-batch and hard negatives (Karpukhin et al. 2020, §3.2).

Takes samples, a question encoder and a context encoder (the same stack twice: tied), gives the
``Task`` that the loop runs. A passage that several questions of a batch share is encoded once, and
no passage that answers a question counts as its negative. In several processes each encodes a part
of the batch, and its questions are compared with the passages of all.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dpr.encoding import (
    SETTINGS_NAME,
    ContextEncoder,
    EncodingSettings,
    QuestionEncoder,
    Vectors,
)
from dpr.errors import SettingsError
from dpr.evaluation.measures import gold_ranks, summary
from dpr.models.dpr import DPRContextEncoder, DPRQuestionEncoder
from dpr.records import Passage
from dpr.samples.files import TrainingSample
from dpr.samples.likeness import passage_key
from dpr.samples.negatives import Golds, answer_matcher
from dpr.settings import save_settings
from dpr.tokens import DPRTokenizer, passage_ids, question_ids
from dpr.training.losses import (
    distillation_loss,
    hash_softly,
    hashing_loss,
    likelihood_loss,
    similarity,
    suspects,
    without,
)
from dpr.training.processes import Processes
from dpr.training.sampling import Key, RetrieverBatch, draw_batches, searched
from dpr.training.settings import RetrieverSettings as RetrieverSettings
from dpr.training.task import Figures, Step
from dpr.training.teachers import Teachers, WordScores
from dpr.training.vectors import Encoding

ALONE = Processes()
AT_ONCE = 10_000  # passages tokenized together


class Refresher(Protocol):
    """Finds negatives with the model that is being trained."""

    def epoch_ended(self, epoch: int, save: Callable[[Path], None]) -> None:
        """Keeps the model as it is at the end of an epoch, and looks for negatives with it."""

    def samples(self, epoch: int) -> Sequence[TrainingSample] | None:
        """The samples in their order with the negatives found for an epoch; None where those given
        at first still hold."""


class RetrieverTask:
    """See the module.

    ``dev``: samples whose passages, all together and with those of ``pool``, are searched when the
    model is measured. ``refresher`` finds negatives anew while training goes on.
    """

    def __init__(
        self,
        question_model: DPRQuestionEncoder,
        context_model: DPRContextEncoder,
        tokenizer: DPRTokenizer,
        train: Sequence[TrainingSample],
        dev: Sequence[TrainingSample],
        settings: RetrieverSettings,
        seed: int,
        *,
        processes: Processes = ALONE,
        pool: Sequence[Passage] = (),
        refresher: Refresher | None = None,
    ) -> None:
        self.question_model = question_model
        self.context_model = context_model
        self.tied = question_model.stack is context_model.stack
        if self.tied and settings.question_tower_only:
            raise SettingsError(
                "question_tower_only with tied towers: training one would train both; untie them"
            )
        self.modules: dict[str, nn.Module] = {"question": question_model.encoder}
        if not self.tied and not settings.question_tower_only:
            self.modules["context"] = context_model.encoder
        self.tokenizer = tokenizer
        self.given = self.train = train
        self.dev, self.pool = dev, pool
        self.settings, self.seed = settings, seed
        self.processes, self.refresher = processes, refresher
        self.question_ids, self.questions_cut = self._ids_of_questions()
        self.passage_ids: dict[Key, Sequence[int]] = {}
        self.passages_cut = 0
        self._passage_keys: dict[Key, bytes] = {}
        self._fixed: dict[Key, Tensor] = {}
        self._take_passages(train)
        golds = Golds(train)
        self.golds = [golds.of(sample.question) for sample in train]
        self.matchers = [answer_matcher(one.answers) for one in train if settings.mask_answers]
        self._check()
        self._words = self._make_words()
        self._teachers = self._make_teachers() if settings.teachers else None

    def _check(self) -> None:
        """Refuses settings that the samples have nothing for.

        Raises:
            SettingsError: says which.
        """
        if self.settings.hybrid and self.refresher is not None:
            raise SettingsError(
                "hybrid with negatives that are found anew (refresh_every): BM25 knows the "
                "passages that the samples begin with; leave one out, or mine once (dpr mine)"
            )
        if self.settings.distillation:
            if self.refresher is not None:
                raise SettingsError(
                    "distillation with negatives that are found anew (refresh_every): no teacher "
                    "has scored those; leave one out, or mine once, with a teacher (dpr mine "
                    "--teacher)"
                )
            scored = sum(_scored(sample) for sample in self.train)
            by_samples = not self.settings.teachers
            if by_samples and not (scored and self.settings.hard_negatives):
                raise SettingsError(
                    f"distillation={self.settings.distillation}: {scored:,} of {len(self.train):,} "
                    "samples have a teacher's score of their positive and of a hard negative, and "
                    f"hard_negatives={self.settings.hard_negatives}; score them (dpr mine "
                    "--teacher) and draw at least one, or give teachers"
                )
        if self.settings.mask_answers and not any(self.matchers):
            raise SettingsError("mask_answers: no sample has an answer to look for")

    def _make_words(self) -> WordScores | None:
        """BM25 over the passages of the samples, where the loss asks for it."""
        if not self.settings.hybrid and "bm25" not in self.settings.teacher_weights:
            return None
        return WordScores([sample.question for sample in self.train], list(self.passage_ids))

    def _make_teachers(self) -> Teachers:
        """Of the model as it is now, before any step."""
        weights = self.settings.teacher_weights
        vectors = None
        if "start" in weights:
            asked = QuestionEncoder(self.question_model, self.tokenizer, self._encoding())
            numbers = replace(self._encoding(), signs=False)  # which are of another scale
            read = ContextEncoder(self.context_model, self.tokenizer, numbers)
            vectors = (
                self._shared(self.question_ids, asked.encode_ids),
                self._shared(list(self.passage_ids.values()), read.encode_ids),
            )
        words = self._words if "bm25" in weights else None
        return Teachers(weights, list(self.passage_ids), words, vectors)

    def _ids_of_questions(self) -> tuple[list[list[int]], int]:
        """The tokens of the questions, and how many of them are cut."""
        length = self.settings.question_length
        # One more than fits: what is longer was cut.
        found = question_ids(self.tokenizer, [one.question for one in self.train], length + 1)
        ids = [[*one[: length - 1], one[-1]] if len(one) > length else one for one in found]
        return ids, sum(len(one) > length for one in found)

    def _take_passages(self, samples: Sequence[TrainingSample]) -> None:
        """Tokenizes the passages that are new; of a context encoder that is left as it is, takes
        their vectors."""
        new = [
            key
            for key in dict.fromkeys(
                context.key
                for sample in samples
                for context in (*sample.positives, *sample.best_negatives)
            )
            if key not in self.passage_ids
        ]
        for first in range(0, len(new), AT_ONCE):  # what the tokenizer gives is bulky
            keys = new[first : first + AT_ONCE]
            titles, texts = [key[0] for key in keys], [key[1] for key in keys]
            ids, cut = passage_ids(self.tokenizer, titles, texts, self.settings.passage_length)
            self.passages_cut += cut
            self.passage_ids |= {key: array("i", one) for key, one in zip(keys, ids, strict=True)}
            self._passage_keys |= {key: passage_key(*key) for key in keys}
            if self.settings.question_tower_only:
                encoder = ContextEncoder(self.context_model, self.tokenizer, self._encoding())
                vectors = torch.from_numpy(encoder.encode_ids(ids))
                self._fixed |= zip(keys, vectors.to(self.question_model.device), strict=True)

    def batches(self, epoch: int) -> list[RetrieverBatch]:
        """See ``draw_batches``; of negatives that were found anew, those for this epoch."""
        found = None if self.refresher is None else self.refresher.samples(epoch)
        self.train = self.given if found is None else found
        self._take_passages(self.train)
        return draw_batches(self.train, self.settings, self.seed, epoch)

    def epoch_ended(self, epoch: int) -> None:
        if self.refresher is not None:
            self.refresher.epoch_ended(epoch, self.save)

    def step(self, batch: RetrieverBatch, step: Step) -> Figures:
        own = self.processes.own(len(batch.samples))
        numbers = [batch.samples[row] for row in own]
        questions = self._encoding_of(
            self.question_model, [self.question_ids[number] for number in numbers], step, 0
        )
        passages, vectors = self._passages(batch, step)
        positives = torch.tensor([batch.positives[row] for row in own], dtype=torch.long)
        loss, figures = self._loss(
            questions.vectors, vectors, positives.to(vectors.device), batch, numbers, step
        )
        step.backward(loss * step.share)
        for one in (questions, *passages):
            one.backward()
        return {"loss": loss.detach()} | figures

    def _encoding_of(
        self,
        model: DPRQuestionEncoder | DPRContextEncoder,
        ids: Sequence[Sequence[int]],
        step: Step,
        tower: int,
    ) -> Encoding:
        return Encoding(
            model,
            ids,
            self.settings.pack_tokens,
            seed=2 * step.seed + tower,
            cached=self.settings.cached,
            autocast=step.autocast,
        )

    def _passages(self, batch: RetrieverBatch, step: Step) -> tuple[list[Encoding], Tensor]:
        """The vectors of all the batch's passages, and what this process encoded of them."""
        if self.settings.question_tower_only:
            return [], torch.stack([self._fixed[key] for key in batch.passages])
        own = self.processes.own(len(batch.passages))
        ids = [self.passage_ids[batch.passages[row]] for row in own]
        encoding = self._encoding_of(self.context_model, ids, step, 1)
        return [encoding], self.processes.gather(encoding.vectors, len(batch.passages))

    def _loss(
        self,
        questions: Tensor,
        passages: Tensor,
        positives: Tensor,
        batch: RetrieverBatch,
        numbers: Sequence[int],
        step: Step,
    ) -> tuple[Tensor, Figures]:
        """This process's part of the loss, and of the figures for the log."""
        settings, total = self.settings, len(batch.samples)
        # A context encoder that is left as it is gives signs already.
        soft = settings.hashing and not settings.question_tower_only
        codes = hash_softly(passages, step.number) if soft else passages
        raw = similarity(questions, codes)
        excluded = self._excluded(batch, numbers).to(raw.device)
        if settings.mask_margin is not None:
            excluded |= suspects(raw, positives, settings.mask_margin)
        scores = without(raw, positives, excluded)
        loss = likelihood_loss(scores, positives)
        right = (scores.detach().argmax(1) == positives).sum()
        figures: Figures = {"accuracy": right / total}
        if settings.distillation:
            teacher = self._teacher(batch, numbers).to(raw.device)
            divergence = distillation_loss(raw, teacher, settings.teacher_temperature)
            figures["divergence"] = divergence.detach() / total
            loss = (1 - settings.distillation) * loss + settings.distillation * divergence
        if settings.hybrid:
            assert self._words is not None
            by_words = self._words.scores(numbers, batch.passages).to(raw.device)
            both = without(raw + settings.hybrid_weight * by_words, positives, excluded)
            together = likelihood_loss(both, positives)
            figures["hybrid"] = together.detach() / total
            loss = (1 - settings.hybrid) * loss + settings.hybrid * together
        if settings.hashing:
            by_codes = similarity(hash_softly(questions, step.number), codes)
            loss = loss + hashing_loss(without(by_codes, positives, excluded), positives)
        return loss / total, figures

    def _excluded(self, batch: RetrieverBatch, numbers: Sequence[int]) -> Tensor:
        """(own questions, passages) True where a passage is gold to a question, or holds one of
        its answers where that is asked for."""
        rows: dict[bytes, list[int]] = defaultdict(list)  # the same text may have several titles
        for row, key in enumerate(batch.passages):
            rows[self._passage_keys[key]].append(row)
        excluded = torch.zeros(len(numbers), len(batch.passages), dtype=torch.bool)
        for place, number in enumerate(numbers):
            excluded[place, [row for one in self.golds[number] for row in rows.get(one, ())]] = True
            matcher = self.matchers[number] if self.settings.mask_answers else None
            if matcher is not None:
                holding = [matcher.matches(text) for _, text in batch.passages]
                excluded[place] |= torch.tensor(holding)
        return excluded

    def _teacher(self, batch: RetrieverBatch, numbers: Sequence[int]) -> Tensor:
        """(own questions, passages): the teacher's scores, NaN where there is none."""
        if self._teachers is not None:
            return self._teachers.scores(numbers, batch.passages)
        rows = {key: row for row, key in enumerate(batch.passages)}
        scores = torch.full((len(numbers), len(rows)), float("nan"))
        for place, number in enumerate(numbers):
            sample = self.train[number]
            for context in (*sample.positives, *sample.best_negatives):
                row = rows.get(context.key)
                if row is not None and context.teacher_score is not None:
                    scores[place, row] = context.teacher_score
        return scores

    def describe(self, batch: RetrieverBatch) -> dict[str, Any]:
        return asdict(batch) | {"questions": [self.train[n].question for n in batch.samples]}

    def evaluate(self) -> dict[str, float]:
        """R@1, R@5, R@20, MRR@10 and the paper's average rank over the dev pool, and each
        dataset's where there are several; the mean of the datasets' R@5 comes first and chooses
        the best model."""
        if not self.dev:
            return {}
        rows = {key: row for row, key in enumerate(searched(self.dev, self.pool))}
        contexts = ContextEncoder(self.context_model, self.tokenizer, self._encoding())
        passages = self._shared([Passage("", text, title) for title, text in rows], contexts.encode)
        lengths = EncodingSettings(self.settings.question_length)
        asked = QuestionEncoder(self.question_model, self.tokenizer, lengths)
        questions = self._shared([sample.question for sample in self.dev], asked.encode)
        golds = [[rows[c.key] for c in sample.positives] for sample in self.dev]
        ranks = gold_ranks(questions.numpy(), passages.numpy(), golds)
        names = sorted({sample.dataset for sample in self.dev})
        parts = {name: summary(ranks[[s.dataset == name for s in self.dev]]) for name in names}
        measures = {"mean R@5": sum(part["R@5"] for part in parts.values()) / len(parts)}
        for name, part in parts.items():
            measures |= {f"{name} {key}".strip(): value for key, value in part.items()}
        return measures

    def _shared(self, items: Sequence[Any], encode: Callable[[Sequence[Any]], Vectors]) -> Tensor:
        """Vectors (items, dim) of texts or token ids, on the CPU; each process encodes a part."""
        own = torch.from_numpy(encode([items[row] for row in self.processes.own(len(items))]))
        return self.processes.gather(own.to(self.question_model.device), len(items)).cpu()

    def _encoding(self) -> EncodingSettings:
        return EncodingSettings(self.settings.passage_length, signs=self.settings.hashing)

    def save(self, folder: Path) -> None:
        if self.tied:
            self._save(self.question_model, folder / "encoder")
        else:
            self._save(self.question_model, folder / "question_encoder")
            self._save(self.context_model, folder / "ctx_encoder")

    def _save(self, model: DPRQuestionEncoder | DPRContextEncoder, folder: Path) -> None:
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        save_settings(self._encoding(), folder / SETTINGS_NAME)


def _scored(sample: TrainingSample) -> bool:
    """Whether a teacher has scored the positive that is trained on and a hard negative."""
    return sample.positives[0].teacher_score is not None and any(
        one.teacher_score is not None for one in sample.best_negatives
    )


def tie(question_model: DPRQuestionEncoder, context_model: DPRContextEncoder) -> None:
    """Makes both towers one set of weights: the context encoder takes the question encoder's."""
    context_model.ctx_encoder = question_model.question_encoder
