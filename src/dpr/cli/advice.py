"""What is worth knowing before a training begins: what settings do nothing, what is not read, and
where nothing will be learned.

Takes samples, settings and what was loaded; gives sentences. Shows nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from dpr.pipeline.learning import SizeRun
from dpr.pipeline.starting import length_of
from dpr.samples.files import TrainingSample
from dpr.samples.lengths import count_cut
from dpr.samples.likeness import form
from dpr.shipped import ModelNames
from dpr.tokens import DPRTokenizer
from dpr.training.retriever import RetrieverTask
from dpr.training.sampling import Key
from dpr.training.settings import (
    LearningSettings,
    LoopSettings,
    RefreshSettings,
    RetrieverSettings,
)

STEPS, RATE = 30, 5e-5  # which taught a retriever 100 questions
UNMEASURED = ("patience", "evaluations")


def idle(loop: LoopSettings, dev: bool, pool: bool = False, pool_size: int = 0) -> Iterator[str]:
    """Settings that do nothing without dev samples, or without passages beside theirs."""
    if pool_size and not pool:
        yield _nothing(["--pool-size"], "without --pool")
    if dev:
        return
    names = [*(["--pool"] if pool else []), *_changed(loop, UNMEASURED)]
    if names:
        yield f"without --dev nothing is measured: {_nothing(names)}"


def idle_in_curve(loop: LoopSettings) -> Iterator[str]:
    """Settings that do nothing in a learning curve."""
    if names := _changed(loop, UNMEASURED):
        yield _nothing(names, "here: each size is trained to its end, and measured then")


def idle_without(settings: RetrieverSettings) -> Iterator[str]:
    """Settings of something that is not asked for."""
    for asked, option, name in (
        (settings.distillation, "--distillation", "teacher_temperature"),
        (settings.hybrid, "--hybrid", "hybrid_weight"),
        (settings.batching == "neighbours", "--batching neighbours", "neighbours"),
    ):
        if not asked and (names := _changed(settings, [name])):
            yield _nothing(names, f"without {option}")


def idle_refreshing(
    refresh: RefreshSettings, loop: LoopSettings, settings: RetrieverSettings
) -> Iterator[str]:
    """Settings of negatives that are never found anew, or found for nothing."""
    every = refresh.refresh_every
    if not every:
        if names := _changed(refresh, [field.name for field in fields(refresh)]):
            yield _nothing(names, "without --refresh-every")
        return
    if not settings.hard_negatives:
        yield _nothing(["--refresh-every"], "with --hard-negatives 0: no negative is drawn")
    if (first := refresh.first_used + 1) > loop.epochs:
        yield _nothing(
            [f"--refresh-every {every}"],
            f"with --epochs {loop.epochs}: what is found after epoch {every} is used from epoch "
            f"{first}; give more --epochs, or a smaller number",
        )


def _nothing(names: Sequence[str], why: str = "") -> str:
    do = "do" if len(names) > 1 else "does"
    return f"{' and '.join(names)} {do} nothing {why}".rstrip()


def _changed(settings: Any, names: Sequence[str]) -> list[str]:
    """The options of a record that are not as usual."""
    usual = {field.name: field.default for field in fields(settings)}
    return [
        f"--{'no-' if usual[name] is True else ''}{name.replace('_', '-')}"
        for name in names
        if getattr(settings, name) != usual[name]
    ]


def negatives(train: Sequence[TrainingSample], settings: RetrieverSettings) -> Iterator[str]:
    """Samples without the negatives that are to be drawn of them."""
    if settings.hard_negatives and not any(one.best_negatives for one in train):
        yield (
            "no sample has negatives: passages of other questions in the batch are all there are "
            "(dpr mine finds hard ones)"
        )


def accumulated(loop: LoopSettings, settings: RetrieverSettings) -> Iterator[str]:
    """Batches that make an update together: no question has the negatives of another batch."""
    if loop.accumulate > 1:
        size = settings.batch_size
        yield (
            f"{loop.accumulate} batches of {size} questions make an update; each batch has the "
            f"passages of its own {size} as negatives, no more: --cached --batch-size "
            f"{loop.accumulate * size} has them all, in the same memory"
        )


def cut(task: RetrieverTask, searched: Collection[Key]) -> Iterator[str]:
    """Texts of which only the beginning is read, of what is trained on and of what is searched."""
    settings = task.settings
    if text := _cut(task.questions_cut, len(task.train), "questions", settings.question_length):
        yield f"{text}: a longer --question-length reads more"
    length = settings.passage_length
    if text := _cut(task.passages_cut, len(task.passage_ids), "training passages", length):
        yield f"{text}: a longer --passage-length reads more, and shorter passages are read whole"
    yield from cut_in_search(task.tokenizer, searched, length, "dev questions")


def cut_in_search(
    tokenizer: DPRTokenizer, passages: Collection[Key], length: int, questions: str
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
    an_epoch = loop.updates(batches)
    steps = an_epoch * loop.epochs
    if not steps or not loop.too_short(batches):  # without any step training says what is wrong
        return
    advised = f"--epochs {max(loop.epochs, math.ceil(STEPS / an_epoch))}{_rate(loop)}"
    count = "one step" if steps == 1 else f"{steps:,} steps"
    yield (
        f"{count} at a learning rate of at most {loop.learning_rate:g} change next to nothing: for "
        f"so few samples give more, such as {advised} (the defaults are for tens of thousands)"
    )


def in_curve(
    runs: Mapping[int, SizeRun],
    loop: LoopSettings,
    retriever: RetrieverSettings,
    settings: LearningSettings,
) -> Iterator[str]:
    """What would be told of the training of each size, once, with the sizes that it is true of."""
    if short := [size for size, run in runs.items() if run.too_short]:
        advised = f"--fewest-steps {max(settings.fewest_steps, STEPS)}{_rate(loop)}"
        yield (
            f"training on {_listed(short)} questions: so few steps at a learning rate of at most "
            f"{loop.learning_rate:g} change next to nothing; give more, such as {advised}"
        )
    said: dict[str, list[int]] = {}
    for size, run in runs.items():
        texts = [*negatives(run.samples, retriever)]
        if run.batches > 1:
            texts += accumulated(loop, retriever)
        for text in texts:
            said.setdefault(text, []).append(size)
    for text, sizes in said.items():
        yield f"training on {_listed(sizes)} questions: {text}"


def _rate(loop: LoopSettings) -> str:
    """The option for a rate that teaches something in a few steps, where the given one does not."""
    return f" --learning-rate {RATE:g}" if loop.learning_rate < RATE else ""


def _listed(sizes: Sequence[int]) -> str:
    *most, last = (f"{size:,}" for size in sizes)
    return f"{', '.join(most)} and {last}" if most else last


def known(train: Sequence[TrainingSample], dev: Sequence[TrainingSample]) -> Iterator[str]:
    """Dev questions that are training questions too."""
    trained = {form(one.question) for one in train} - {""} if dev else set()
    same = [one.question for one in dev if form(one.question) in trained]
    if same:
        yield (
            f"{len(same):,} of {len(dev):,} dev questions are training questions too, such as "
            f"{same[0][:60]!r}: best/ is also chosen by what is learned by heart (dpr doctor "
            "TRAIN --test DEV tells which)"
        )
