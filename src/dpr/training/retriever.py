"""Training a dual encoder with in-batch and hard negatives (Karpukhin et al. 2020, §3.2).

Takes samples, a question encoder and a context encoder (the same stack twice: tied), gives the
``Task`` that the loop runs. A passage that several questions of a batch share is encoded once, and
no passage that answers a question counts as its negative.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dpr.encoding import SETTINGS_NAME, ContextEncoder, EncodingSettings, QuestionEncoder
from dpr.evaluation.measures import gold_ranks, summary
from dpr.models.dpr import DPRContextEncoder, DPRQuestionEncoder, pack
from dpr.records import Passage
from dpr.settings import save_settings
from dpr.tokens import DPRTokenizer, passage_ids, question_ids
from dpr.tokens.batching import token_batches
from dpr.training.losses import retrieval_loss
from dpr.training.samples import TrainingSample
from dpr.training.settings import RetrieverSettings as RetrieverSettings

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class RetrieverBatch:
    """Sample numbers, and the passages drawn for them: positives first, then hard negatives."""

    samples: tuple[int, ...]
    passages: tuple[Key, ...]
    positives: tuple[int, ...]


class RetrieverTask:
    """See the module. ``dev``: samples whose passages, all together, are the pool searched."""

    def __init__(
        self,
        question_model: DPRQuestionEncoder,
        context_model: DPRContextEncoder,
        tokenizer: DPRTokenizer,
        train: Sequence[TrainingSample],
        dev: Sequence[TrainingSample],
        settings: RetrieverSettings,
        seed: int,
    ) -> None:
        self.question_model = question_model
        self.context_model = context_model
        self.tied = question_model.stack is context_model.stack
        self.modules: dict[str, nn.Module] = {"question": question_model.encoder}
        if not self.tied:
            self.modules["context"] = context_model.encoder
        self.tokenizer = tokenizer
        self.train, self.dev = train, dev
        self.settings, self.seed = settings, seed
        self.question_ids = question_ids(
            tokenizer, [sample.question for sample in train], settings.question_length
        )
        self.passage_ids = self._tokenize(train)
        self.golds = [{context.key for context in sample.positives} for sample in train]

    def _tokenize(self, samples: Sequence[TrainingSample]) -> dict[Key, list[int]]:
        keys = list(
            dict.fromkeys(
                context.key
                for sample in samples
                for context in (*sample.positives, *sample.best_negatives)
            )
        )
        titles, texts = [key[0] for key in keys], [key[1] for key in keys]
        ids, _ = passage_ids(self.tokenizer, titles, texts, self.settings.passage_length)
        return dict(zip(keys, ids, strict=True))

    def batches(self, epoch: int) -> list[RetrieverBatch]:
        """An epoch's batches. Samples that fill no more than half of a last one are left out of
        this epoch, others of the next: with so few in-batch negatives they would teach little."""
        rng = random.Random(f"{self.seed}/{epoch}")
        # The first positive, as in the original.
        groups: dict[Key, list[int]] = defaultdict(list)
        if self.settings.batching == "neighbours":
            for number, sample in enumerate(self.train):
                groups[sample.positives[0].key].append(number)
            ordered = self._neighbours(list(groups.values()), rng)
        else:
            ordered = [[number] for number in range(len(self.train))]
            rng.shuffle(ordered)
        size = self.settings.batch_size
        flat = [(place, number) for place, group in enumerate(ordered) for number in group]
        last = max(len(flat) - size // 2, min(len(flat), 1))  # the only batch is never left out
        return [self._batch(flat[i : i + size], rng) for i in range(0, last, size)]

    def _neighbours(self, groups: list[list[int]], rng: random.Random) -> list[list[int]]:
        """Shuffled, with up to ``neighbours`` passages of a title left side by side."""
        titles: dict[str, list[list[int]]] = defaultdict(list)
        for group in groups:
            titles[self.train[group[0]].positives[0].title].append(group)
        chunks = []
        for members in titles.values():
            rng.shuffle(members)
            step = self.settings.neighbours
            chunks += [members[i : i + step] for i in range(0, len(members), step)]
        rng.shuffle(chunks)
        return [group for chunk in chunks for group in chunk]

    def _batch(self, members: list[tuple[int, int]], rng: random.Random) -> RetrieverBatch:
        numbers = [number for _, number in members]
        positives = [self.train[number].positives[0].key for number in numbers]
        passages = dict.fromkeys(positives)
        drawn: dict[int, list[int]] = defaultdict(list)
        for place, number in members:
            drawn[place].append(number)
        for group in drawn.values():
            pool: dict[Key, None] = dict.fromkeys(
                context.key for number in group for context in self.train[number].best_negatives
            )
            count = min(self.settings.hard_negatives, len(pool))
            passages |= dict.fromkeys(rng.sample(list(pool), count))
        rows = {key: row for row, key in enumerate(passages)}
        return RetrieverBatch(tuple(numbers), tuple(rows), tuple(rows[key] for key in positives))

    def step(self, batch: RetrieverBatch) -> dict[str, float]:
        questions = self._vectors(
            self.question_model, [self.question_ids[number] for number in batch.samples]
        )
        passages = self._vectors(
            self.context_model, [self.passage_ids[key] for key in batch.passages]
        )
        excluded = torch.tensor(
            [[key in self.golds[number] for key in batch.passages] for number in batch.samples],
            device=questions.device,
        )
        positives = torch.tensor(batch.positives, device=questions.device)
        loss = retrieval_loss(questions, passages, positives, excluded)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            scores = (questions @ passages.T).masked_fill(
                excluded.scatter(1, positives[:, None], False), float("-inf")
            )
            right = (scores.argmax(1) == positives).float().mean()
        return {"loss": loss.item(), "accuracy": right.item()}

    def _vectors(
        self, model: DPRQuestionEncoder | DPRContextEncoder, ids: Sequence[Sequence[int]]
    ) -> Tensor:
        """Vectors (n, dim) with gradients, packed by length."""
        parts, order = [], []
        for batch in token_batches([len(one) for one in ids], self.settings.pack_tokens):
            parts.append(model.encode_packed(*pack([ids[i] for i in batch], model.device)))
            order += batch
        return torch.cat(parts)[torch.tensor(order, device=model.device).argsort()]

    def evaluate(self) -> dict[str, float]:
        """R@1, R@5, R@20 and MRR@10 over the dev pool, and each dataset's where there are several;
        the mean of the datasets' R@5 comes first and chooses the best model."""
        if not self.dev:
            return {}
        rows: dict[Key, int] = {}
        for sample in self.dev:
            for context in (*sample.positives, *sample.best_negatives):
                rows.setdefault(context.key, len(rows))
        pool = [Passage("", text, title) for title, text in rows]
        lengths = EncodingSettings(self.settings.passage_length)
        passages = ContextEncoder(self.context_model, self.tokenizer, lengths).encode(pool)
        lengths = EncodingSettings(self.settings.question_length)
        questions = QuestionEncoder(self.question_model, self.tokenizer, lengths).encode(
            [sample.question for sample in self.dev]
        )
        golds = [[rows[c.key] for c in sample.positives] for sample in self.dev]
        ranks = gold_ranks(questions, passages, golds)
        names = sorted({sample.dataset for sample in self.dev})
        parts = {name: summary(ranks[[s.dataset == name for s in self.dev]]) for name in names}
        measures = {"mean R@5": sum(part["R@5"] for part in parts.values()) / len(parts)}
        for name, part in parts.items():
            measures |= {f"{name} {key}".strip(): value for key, value in part.items()}
        return measures

    def save(self, folder: Path) -> None:
        if self.tied:
            self._save(self.question_model, folder / "encoder")
        else:
            self._save(self.question_model, folder / "question_encoder")
            self._save(self.context_model, folder / "ctx_encoder")

    def _save(self, model: DPRQuestionEncoder | DPRContextEncoder, folder: Path) -> None:
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        save_settings(EncodingSettings(self.settings.passage_length), folder / SETTINGS_NAME)


def tie(question_model: DPRQuestionEncoder, context_model: DPRContextEncoder) -> None:
    """Makes both towers one set of weights: the context encoder takes the question encoder's."""
    context_model.ctx_encoder = question_model.question_encoder
