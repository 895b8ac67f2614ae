"""Training pairs made from passages alone: for documents that nobody has asked anything of yet.

Takes passages in the order of their documents, gives ``TrainingSample`` records without negatives,
whose ``dataset`` is the kind of pair. Knows nothing of files and models.

A sample's first positive is what its question is to find. Others follow where another text also
holds the question: the passage whole where the first is a part of it, the passages beside it that
have the same title. Training never takes these for negatives. All parts of a passage have its id.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from dpr.errors import SettingsError
from dpr.records import Passage
from dpr.samples.files import Context, TrainingSample
from dpr.samples.kinds import KINDS, Place
from dpr.samples.pair_settings import KEYWORDS as KEYWORDS
from dpr.samples.pair_settings import PairSettings as PairSettings

if TYPE_CHECKING:
    from dpr.samples.keywords import WordWeights

LONGEST = 512  # passages of a document that are looked at together


@dataclass(slots=True)
class PairCounts:
    """What making pairs met: passages, those that gave no pair, and pairs by their kind."""

    passages: int = 0
    without: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def pairs(self) -> int:
        return self.kinds.total()


def make_pairs(
    passages: Iterable[Passage],
    settings: PairSettings | None = None,
    weights: WordWeights | None = None,
    counts: PairCounts | None = None,
) -> Iterator[TrainingSample]:
    """The pairs of each passage, in their order; the same passages and settings give the same.

    Memory holds one document at a time, or ``LONGEST`` passages of it.

    Args:
        passages: those of a document one after the other; passages of the same title that follow
            each other count as one document's.
        weights: of the words of all passages; keywords need them.
        counts: told of what was made.

    Raises:
        SettingsError: keywords without weights.
    """
    settings = settings or PairSettings()
    counts = counts if counts is not None else PairCounts()
    if KEYWORDS in settings.shares and weights is None:
        raise SettingsError(
            "pairs of keywords need the weights of words; give WordWeights of all passages, or "
            f"leave {KEYWORDS} out of the kinds {settings.kinds!r}"
        )
    for group in _documents(passages):
        for at, passage in enumerate(group):
            samples = list(_of_passage(Place(group, at, weights), settings))
            counts.passages += 1
            counts.without += not samples
            counts.kinds.update(sample.dataset for sample in samples)
            yield from _with_each_other(passage, samples)


def _documents(passages: Iterable[Passage]) -> Iterator[list[Passage]]:
    """Passages that belong together: of one document, or of one title."""

    def name(passage: Passage) -> str:
        return passage.title or passage.document or passage.id

    for _, together in groupby(passages, name):
        held: list[Passage] = []
        for passage in together:
            held.append(passage)
            if len(held) == LONGEST:
                yield held
                held = []
        if held:
            yield held


def _of_passage(place: Place, settings: PairSettings) -> Iterator[TrainingSample]:
    """Up to ``per_passage`` different samples of one passage, kinds drawn by their shares."""
    chance = random.Random(f"{settings.seed} {place.passage.id}")
    left = dict(settings.shares)
    sources = {kind: iter(KINDS[kind](place, chance, settings)) for kind in left}
    asked: set[str] = set()
    while left and len(asked) < settings.per_passage:
        kind = chance.choices(list(left), list(left.values()))[0]
        sample = next(sources[kind], None)
        if sample is None:
            del left[kind]
        elif sample.question.casefold() not in asked:
            asked.add(sample.question.casefold())
            yield replace(sample, dataset=kind)


def _with_each_other(passage: Passage, samples: list[TrainingSample]) -> Iterator[TrainingSample]:
    """The samples, in which each part of the passage that one is to find is a positive of all:
    in a batch with both it would otherwise be a negative that is nearly the positive."""
    whole = Context(passage.text, passage.title, passage.id)
    parts = {context.key: context for one in samples for context in one.positives[:1]}
    parts = {key: replace(one, answers=()) for key, one in parts.items() if one.id == passage.id}
    for sample in samples:
        first, *others = sample.positives
        found = {context.key: context for context in (whole, *others, *parts.values())}
        found.pop(first.key, None)
        yield replace(sample, positives=(first, *found.values()))
