"""A collection and questions about it to a model trained on them.

Takes questions with judgements, gives samples with BM25's hard negatives and a run folder. Wires
collection, BM25 and the retriever's training together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from dpr.errors import InputError
from dpr.evaluation.levels import document_of
from dpr.evaluation.matching import Matcher
from dpr.indexes.bm25 import BM25Index
from dpr.models.dpr import DPRContextEncoder, DPRQuestionEncoder
from dpr.pipeline.models import Model, model_names
from dpr.pipeline.systems import Shelf
from dpr.records import Passage, Question, QuestionSet
from dpr.shipped import ModelNames
from dpr.tokens import DPRQuestionEncoderTokenizer
from dpr.training.loop import Event, Run
from dpr.training.retriever import RetrieverTask, tie
from dpr.training.samples import Context, TrainingSample
from dpr.training.settings import LoopSettings, RetrieverSettings

LOOP = LoopSettings(epochs=3, learning_rate=2e-5, warmup_steps=100)
RETRIEVER = RetrieverSettings(batch_size=32, hard_negatives=1)
NEGATIVES, LOOKED_AT = 5, 30
TRAIN, DEV = 0.6, 0.1  # of the documents; the rest is for the test


@dataclass(frozen=True, slots=True)
class Parts:
    """Questions in three parts that share no document."""

    train: QuestionSet
    dev: QuestionSet
    test: QuestionSet


def divide(questions: QuestionSet, seed: int) -> Parts:
    """Judged questions by the documents of their first relevant passage, so that no document that
    is trained on is tested on.

    Raises:
        InputError: fewer than ten documents have questions.
    """
    documents: dict[str, list[Question]] = {}
    for question in questions.questions:
        grades = questions.judgements.get(question.id, {})
        relevant = [one for one, grade in grades.items() if grade > 0]
        if relevant:
            documents.setdefault(document_of(relevant[0]), []).append(question)
    if len(documents) < 10:
        raise InputError(
            f"training needs judged questions about at least 10 documents, {questions.name} has "
            f"them about {len(documents)}; leave training out, or give more questions"
        )
    names = sorted(documents)
    random.Random(seed).shuffle(names)
    train, dev = round(TRAIN * len(names)), max(1, round(DEV * len(names)))
    parts = names[:train], names[train : train + dev], names[train + dev :]
    found = []
    for part, what in zip(parts, ("train", "dev", "test"), strict=True):
        chosen = {question.id for name in part for question in documents[name]}
        kept = tuple(question for question in questions.questions if question.id in chosen)
        judgements = {question.id: questions.judgements[question.id] for question in kept}
        found.append(QuestionSet(f"{questions.name} ({what})", kept, judgements))
    return Parts(*found)


def samples(questions: QuestionSet, shelf: Shelf) -> list[TrainingSample]:
    """Questions with their passages: of a relevant document those that hold an accepted answer, or
    else those that BM25 ranks best; negatives are BM25's best that are neither relevant nor hold
    one."""
    passages = list(shelf)
    by_document: dict[str, list[int]] = {}
    for row, passage in enumerate(passages):
        for name in {passage.id, document_of(passage.id)}:
            by_document.setdefault(name, []).append(row)
    index = BM25Index([f"{one.title} {one.text}" for one in passages])
    found = index.search([question.text for question in questions.questions], LOOKED_AT)
    made = []
    for question, hits in zip(questions.questions, found, strict=True):
        grades = questions.judgements.get(question.id, {})
        relevant = [r for one, g in grades.items() if g > 0 for r in by_document.get(one, ())]
        if not relevant:
            continue
        matcher = Matcher(question.answers) if question.answers else None

        def holds(row: int, matcher: Matcher | None = matcher) -> bool:
            return matcher is not None and matcher.matches(passages[row].text)

        ranked = [row for _, row in hits]
        best = sorted(relevant, key=lambda row: ranked.index(row) if row in ranked else len(ranked))
        positives = [row for row in relevant if holds(row)] or best[:1]
        negatives = [row for row in ranked if row not in relevant and not holds(row)]
        made.append(
            TrainingSample(
                question.text,
                question.answers,
                tuple(_context(passages[row]) for row in positives),
                hard_negatives=tuple(_context(passages[row]) for row in negatives[:NEGATIVES]),
            )
        )
    return made


def _context(passage: Passage) -> Context:
    return Context(passage.text, passage.title, passage.id)


def teach(
    model: Model,
    train: Sequence[TrainingSample],
    dev: Sequence[TrainingSample],
    to: Path,
    tell: Callable[[Event], None] = lambda event: None,
) -> ModelNames:
    """Trains both towers from a model's; tied ones stay tied. Gives the best model, with the
    reader that it had; goes on where it was interrupted."""
    names = model_names(model)
    torch.manual_seed(LOOP.seed)
    question = DPRQuestionEncoder.from_pretrained(names.question, dtype="float32")
    context = DPRContextEncoder.from_pretrained(names.context, dtype="float32")
    if names.question == names.context:
        tie(question, context)
    tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(names.question)
    task = RetrieverTask(question, context, tokenizer, train, dev, RETRIEVER, LOOP.seed)
    description = {"trained": "retriever", "start": names.to_dict(), "retriever": asdict(RETRIEVER)}
    Run(task, LOOP, to, description, tell)()
    best = model_names(to / "best")
    return ModelNames(best.question, best.context, names.reader)
