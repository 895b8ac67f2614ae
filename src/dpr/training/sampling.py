"""Which questions and passages a step of retriever training sees, and an evaluation.

Takes samples and settings, gives the batches of an epoch: a function of seed and epoch alone. Knows
nothing of tokens or models.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from dpr.errors import SettingsError
from dpr.records import Passage
from dpr.samples.files import TrainingSample
from dpr.training.settings import RetrieverSettings

Key = tuple[str, str]
Group = list[int]


@dataclass(frozen=True, slots=True)
class RetrieverBatch:
    """Sample numbers, and the passages drawn for them: positives first, then hard negatives."""

    samples: tuple[int, ...]
    passages: tuple[Key, ...]
    positives: tuple[int, ...]


def searched(dev: Sequence[TrainingSample], pool: Sequence[Passage] = ()) -> list[Key]:
    """The passages that dev questions are searched for among, each once: those of all their
    samples, then of the pool."""
    contexts = (one for sample in dev for one in (*sample.positives, *sample.best_negatives))
    keys = [*(one.key for one in contexts), *((one.title, one.text) for one in pool)]
    return list(dict.fromkeys(keys))


def draw_batches(
    samples: Sequence[TrainingSample], settings: RetrieverSettings, seed: int, epoch: int
) -> list[RetrieverBatch]:
    """An epoch's batches. Samples that fill no more than half of a last one are left out of this
    epoch, others of the next: with so few in-batch negatives they would teach little.

    With ``rates`` a batch holds one dataset, and a dataset is gone through as often as its rate
    says; its last part by draw.

    Raises:
        SettingsError: a rate for a dataset that is not there, none for one that is, or one that
            comes to no question.
    """
    rng = random.Random(f"{seed}/{epoch}")
    if not settings.rates:
        return _cut(_ordered(range(len(samples)), samples, settings, rng), samples, settings, rng)
    members: dict[str, list[int]] = defaultdict(list)
    for number, sample in enumerate(samples):
        members[sample.dataset].append(number)
    rates = settings.rate_of_dataset
    if members.keys() == {""}:
        raise SettingsError(
            f"rates={settings.rates!r}: no sample says of which dataset it is; leave rates out, or "
            "give several files, whose names are then those of the datasets"
        )
    if rates.keys() != members.keys():
        raise SettingsError(
            f"rates={settings.rates!r} is for {', '.join(sorted(rates))}; the datasets are "
            f"{', '.join(name or '(unnamed)' for name in sorted(members))}: give each a rate"
        )
    batches = []
    for name in sorted(members):
        groups: list[Group] = []
        count = round(rates[name] * len(members[name]))
        if not count:
            raise SettingsError(
                f"rates={settings.rates!r}: of the {len(members[name]):,} questions of {name} that "
                "is none; give a higher rate"
            )
        whole, part = divmod(count, len(members[name]))
        for numbers in (*[members[name]] * whole, rng.sample(members[name], part)):
            groups += _ordered(numbers, samples, settings, rng)
        batches += _cut(groups, samples, settings, rng)
    rng.shuffle(batches)
    return batches


def _ordered(
    numbers: Sequence[int],
    samples: Sequence[TrainingSample],
    settings: RetrieverSettings,
    rng: random.Random,
) -> list[Group]:
    """Samples in the order of the epoch, those that share a passage as one group."""
    if settings.batching == "random":
        groups = [[number] for number in numbers]
        rng.shuffle(groups)
        return groups
    by_passage: dict[Key, Group] = defaultdict(list)
    for number in numbers:
        by_passage[samples[number].positives[0].key].append(number)  # the first, as the original
    by_title: dict[str, list[Group]] = defaultdict(list)
    for (title, _), group in by_passage.items():
        by_title[title].append(group)
    chunks = []
    for found in by_title.values():
        rng.shuffle(found)
        step = settings.neighbours
        chunks += [found[i : i + step] for i in range(0, len(found), step)]
    rng.shuffle(chunks)
    return [group for chunk in chunks for group in chunk]


def _cut(
    groups: Sequence[Group],
    samples: Sequence[TrainingSample],
    settings: RetrieverSettings,
    rng: random.Random,
) -> list[RetrieverBatch]:
    size = settings.batch_size
    flat = [(place, number) for place, group in enumerate(groups) for number in group]
    last = max(len(flat) - size // 2, min(len(flat), 1))  # the only batch is never left out
    return [
        _batch(flat[i : i + size], samples, settings.hard_negatives, rng)
        for i in range(0, last, size)
    ]


def _batch(
    members: Sequence[tuple[int, int]],
    samples: Sequence[TrainingSample],
    hard_negatives: int,
    rng: random.Random,
) -> RetrieverBatch:
    """Samples with their group's place: negatives are drawn for each group."""
    numbers = [number for _, number in members]
    positives = [samples[number].positives[0].key for number in numbers]
    passages = dict.fromkeys(positives)
    drawn: dict[int, list[int]] = defaultdict(list)
    for place, number in members:
        drawn[place].append(number)
    for group in drawn.values():
        pool = dict.fromkeys(
            context.key for number in group for context in samples[number].best_negatives
        )
        passages |= dict.fromkeys(rng.sample(list(pool), min(hard_negatives, len(pool))))
    rows = {key: row for row, key in enumerate(passages)}
    return RetrieverBatch(tuple(numbers), tuple(rows), tuple(rows[key] for key in positives))
