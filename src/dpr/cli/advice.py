"""What is worth knowing before a training begins: what settings do nothing, what is not read, and
where nothing will be learned.

Takes samples, settings and what was loaded; gives sentences. Shows nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields

from dpr.pipeline.starting import length_of
from dpr.records import Passage
from dpr.samples.files import TrainingSample
from dpr.samples.lengths import count_cut
from dpr.samples.likeness import form
from dpr.shipped import ModelNames
from dpr.tokens import DPRTokenizer
from dpr.training.retriever import RetrieverTask
from dpr.training.settings import LoopSettings, RetrieverSettings

# AdamW moves a weight by about the learning rate a step. With less than this in all, steps times
# rate, a retriever is found to be what it was; 30 steps at 5e-5 taught one 100 questions.
LEAST_MOVED = 5e-4
STEPS, RATE = 30, 5e-5
UNMEASURED = ("patience", "evaluations")


def idle(loop: LoopSettings, dev: bool, pool: bool = False) -> Iterator[str]:
    """Settings that do nothing without dev samples."""
    if dev:
        return
    names = [*(["--pool"] if pool else []), *_changed(loop, UNMEASURED)]
    if names:
        do = "do" if len(names) > 1 else "does"
        yield f"without --dev nothing is measured: {' and '.join(names)} {do} nothing"


def idle_in_curve(loop: LoopSettings) -> Iterator[str]:
    """Settings that do nothing in a learning curve."""
    if names := _changed(loop, UNMEASURED):
        do = "do" if len(names) > 1 else "does"
        yield (
            f"{' and '.join(names)} {do} nothing here: each size is trained to its end, and "
            "measured then"
        )


def _changed(loop: LoopSettings, names: Sequence[str]) -> list[str]:
    usual = {field.name: field.default for field in fields(loop)}
    return [f"--{name}" for name in names if getattr(loop, name) != usual[name]]


def negatives(
    train: Sequence[TrainingSample], loop: LoopSettings, settings: RetrieverSettings
) -> Iterator[str]:
    """Where there are fewer negatives than one may think."""
    if settings.hard_negatives and not any(one.best_negatives for one in train):
        yield (
            "no sample has negatives: passages of other questions in the batch are all there are "
            "(dpr mine finds hard ones)"
        )
    if loop.accumulate > 1:
        size = settings.batch_size
        yield (
            f"{loop.accumulate} batches of {size} questions make an update; each batch has the "
            f"passages of its own {size} as negatives, no more: --cached --batch-size "
            f"{loop.accumulate * size} has them all, in the same memory"
        )


def cut(
    task: RetrieverTask, dev: Sequence[TrainingSample], pool: Sequence[Passage]
) -> Iterator[str]:
    """Texts of which only the beginning is read."""
    settings = task.settings
    if text := _cut(task.questions_cut, len(task.train), "questions", settings.question_length):
        yield f"{text}: a longer --question-length reads more"
    length = settings.passage_length
    if text := _cut(task.passages_cut, len(task.passage_ids), "training passages", length):
        yield f"{text}: a longer --passage-length reads more, and shorter passages are read whole"
    searched = (*(one for sample in dev for one in (*sample.positives, *sample.best_negatives)),)
    keys = {one.key for one in searched} | {(one.title, one.text) for one in pool}
    yield from cut_in_search(task.tokenizer, keys, length, "dev questions")


def cut_in_search(
    tokenizer: DPRTokenizer, passages: set[tuple[str, str]], length: int, questions: str
) -> Iterator[str]:
    """Passages that are searched among by their beginning alone."""
    count = count_cut(tokenizer, passages, length)
    if text := _cut(count, len(passages), f"passages among which {questions} are searched", length):
        yield (
            f"{text}: a longer --passage-length reads more; documents of --pool are taken whole, "
            "a collection's as its passages (dpr index --split)"
        )


def _cut(count: int, total: int, what: str, length: int) -> str:
    """Empty where there are none."""
    if not count:
        return ""
    share = f"{100 * count / total:.1f}%"
    return f"of {count:,} of {total:,} {what} ({share}) only the first {length} tokens are read"


def other_length(start: ModelNames, settings: RetrieverSettings) -> Iterator[str]:
    """A start that reads another length than what is trained."""
    kept = length_of(start.context)
    if kept is not None and kept != settings.passage_length:
        yield (
            f"the start reads {kept} tokens of a passage, and what is trained will read "
            f"{settings.passage_length}: --passage-length {kept} leaves that as it is"
        )


def few_steps(batches: int, loop: LoopSettings) -> Iterator[str]:
    """A training too short to change anything."""
    an_epoch = math.ceil(batches / loop.accumulate)
    steps = an_epoch * loop.epochs
    if steps * loop.learning_rate >= LEAST_MOVED:
        return
    advised = f"--epochs {max(loop.epochs, math.ceil(STEPS / max(1, an_epoch)))}"
    if loop.learning_rate < RATE:
        advised += f" --learning-rate {RATE:g}"
    count = "one step" if steps == 1 else f"{steps:,} steps"
    yield (
        f"{count} at a learning rate of at most {loop.learning_rate:g} change next to nothing: for "
        f"so few samples give more, such as {advised} (the defaults are for tens of thousands)"
    )


def known(train: Sequence[TrainingSample], dev: Sequence[TrainingSample]) -> Iterator[str]:
    """Dev questions that are training questions too."""
    trained = {form(one.question) for one in train} if dev else set()
    same = [one.question for one in dev if form(one.question) in trained]
    if same:
        yield (
            f"{len(same):,} of {len(dev):,} dev questions are training questions too, such as "
            f"{same[0][:60]!r}: best/ is also chosen by what is learned by heart (dpr doctor "
            "TRAIN --test DEV tells which)"
        )
