"""A collection and questions about it to a model trained on them.

Takes questions with judgements, gives samples with BM25's hard negatives and a run folder. Wires
collection, BM25 and the retriever's training together.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from dpr.errors import InputError
from dpr.evaluation.levels import document_of
from dpr.indexes.bm25 import BM25Index
from dpr.pipeline.models import Model, model_names
from dpr.pipeline.starting import load_towers
from dpr.pipeline.systems import Shelf
from dpr.records import Passage, QuestionSet
from dpr.samples.files import Context, TrainingSample, sample_to_json
from dpr.samples.mining import mine
from dpr.samples.negatives import MiningSettings, Pool, answer_matcher
from dpr.samples.searchers import BM25Searcher
from dpr.shipped import ModelNames
from dpr.training.card import measured_on, model_card
from dpr.training.engine import Engine
from dpr.training.loop import Event, Run
from dpr.training.retriever import RetrieverTask
from dpr.training.sampling import searched
from dpr.training.settings import LoopSettings, RetrieverSettings

LOOP = LoopSettings(epochs=3, learning_rate=2e-5, warmup_steps=100)
RETRIEVER = RetrieverSettings(batch_size=32, hard_negatives=1)
LOOKED_AT = 30
NEGATIVES = MiningSettings(negatives=5, last_rank=LOOKED_AT, near=0)
TRAIN, DEV = 0.6, 0.1  # of the documents; the rest is for the test


@dataclass(frozen=True, slots=True)
class Parts:
    """Questions in three parts that share no document."""

    train: QuestionSet
    dev: QuestionSet
    test: QuestionSet


def divide(questions: QuestionSet, seed: int) -> Parts:
    """Judged questions in parts, so that no document that is relevant to a question of one part is
    relevant to one of another.

    Raises:
        InputError: fewer than ten groups of documents have questions.
    """
    relevant = {
        question.id: [
            document_of(one)
            for one, grade in questions.judgements.get(question.id, {}).items()
            if grade > 0
        ]
        for question in questions.questions
    }
    group = _groups([documents for documents in relevant.values() if documents])
    names = sorted(set(group.values()))
    if len(names) < 10:
        raise InputError(
            f"training needs questions about at least 10 documents that share none, "
            f"{questions.name} has them about {len(names)}; leave training out, or give more"
        )
    random.Random(seed).shuffle(names)
    train, dev = round(TRAIN * len(names)), max(1, round(DEV * len(names)))
    parts = names[:train], names[train : train + dev], names[train + dev :]
    found = []
    for part, what in zip(parts, ("train", "dev", "test"), strict=True):
        chosen = set(part)
        kept = tuple(
            question
            for question in questions.questions
            if relevant[question.id] and group[relevant[question.id][0]] in chosen
        )
        judgements = {question.id: questions.judgements[question.id] for question in kept}
        found.append(QuestionSet(f"{questions.name} ({what})", kept, judgements))
    return Parts(*found)


def _groups(together: Sequence[Sequence[str]]) -> dict[str, str]:
    """Documents that are relevant to one question are in one group, and so are theirs: the name of
    its group by document."""
    first: dict[str, str] = {}

    def root(name: str) -> str:
        while first.setdefault(name, name) != name:
            first[name] = first[first[name]]
            name = first[name]
        return name

    for documents in together:
        for other in documents:
            first[root(other)] = root(documents[0])
    return {name: root(name) for name in list(first)}


def by_answers(questions: QuestionSet, shelf: Shelf) -> QuestionSet:
    """Questions judged by their answers: the passage that BM25 ranks highest among those that hold
    one is relevant (Karpukhin et al. 2020, §4.1). Questions without such a passage are left out."""
    index, passages = _bm25(shelf)
    judgements = {}
    found = index.search([question.text for question in questions.questions], LOOKED_AT)
    for question, hits in zip(questions.questions, found, strict=True):
        matcher = answer_matcher(question.answers)
        holding = (row for _, row in hits if matcher and matcher.matches(passages[row].text))
        if (row := next(holding, None)) is not None:
            judgements[question.id] = {passages[row].id: 1}
    kept = tuple(question for question in questions.questions if question.id in judgements)
    return QuestionSet(questions.name, kept, judgements)


def _bm25(shelf: Shelf) -> tuple[BM25Index, list[Passage]]:
    passages = list(shelf)
    return BM25Index([f"{one.title} {one.text}" for one in passages]), passages


def samples(questions: QuestionSet, shelf: Shelf) -> list[TrainingSample]:
    """Questions with their passages: of a relevant document those that hold an accepted answer, or
    else the one that BM25 scores best; negatives are BM25's best that are neither relevant nor hold
    one."""
    pool = Pool()
    by_document: dict[str, list[Context]] = {}
    for passage in shelf:
        context = _context(passage)
        pool.add(context)
        for name in {passage.id, document_of(passage.id)}:
            by_document.setdefault(name, []).append(context)
    asked = []
    for question in questions.questions:
        grades = questions.judgements.get(question.id, {})
        relevant = [c for one, g in grades.items() if g > 0 for c in by_document.get(one, ())]
        if relevant:
            asked.append(TrainingSample(question.text, question.answers, tuple(relevant)))
    found = mine(asked, pool, [BM25Searcher(pool)], NEGATIVES) if asked else ()
    return [replace(sample, positives=_best(sample)) for sample in found]


def _best(sample: TrainingSample) -> tuple[Context, ...]:
    """The positives that hold an answer; or else the one with the best score."""
    matcher = answer_matcher(sample.answers)
    holding = tuple(one for one in sample.positives if matcher and matcher.matches(one.text))
    return holding or (max(sample.positives, key=lambda one: one.score or 0.0),)


def _context(passage: Passage) -> Context:
    return Context(passage.text, passage.title, passage.id)


def teach(
    model: Model,
    train: Sequence[TrainingSample],
    dev: Sequence[TrainingSample],
    to: Path,
    tell: Callable[[Event], None] = lambda event: None,
    loop: LoopSettings = LOOP,
    settings: RetrieverSettings = RETRIEVER,
    tied: bool | None = None,
) -> ModelNames:
    """Trains both towers from a model's, or from a BERT; see ``load_towers``. Gives the best model
    (the last where there are no dev samples), with the reader that it had; goes on where it was
    interrupted."""
    engine = Engine(loop.precision)
    start = load_towers(model, settings, loop.seed, tied, engine.device)
    task = RetrieverTask(
        start.question,
        start.context,
        start.tokenizer,
        train,
        dev,
        settings,
        loop.seed,
        processes=engine.processes,
    )
    description = {
        "trained": "retriever",
        # A run goes on only with the weights and samples that it began with.
        "start": start.fingerprints(),
        "data": {"train": _digest(train), "dev": _digest(dev)},
        "tied": start.tied,
        "retriever": asdict(settings),
    }
    card = partial(model_card, measured=measured_on(len(dev), len(searched(dev))))
    Run(task, loop, to, description, tell, engine, card)()
    best = model_names(to / "best")
    return ModelNames(best.question, best.context, start.names.reader)


def _digest(samples: Sequence[TrainingSample]) -> str:
    rows = [sample_to_json(sample) for sample in samples]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
