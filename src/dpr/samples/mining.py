"""Mining: samples with hard negatives out of what searchers rank high in a pool of passages.

Takes samples, a pool and searchers over it; gives the samples in order, block by block, with the
negatives found, the scores of positives and negatives, and a teacher's where there is one. Knows
nothing of models or of files.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from dpr.corpus.duplicates import TextSimilarity
from dpr.errors import InputError, SettingsError
from dpr.samples.files import TrainingSample
from dpr.samples.negatives import Filters, Golds, MiningCounts, MiningSettings, Pool, Ranked

AT_ONCE = 256  # questions ranked and scored together

Teacher = Callable[[Sequence[str], Sequence[str], Sequence[str]], Sequence[float]]
"""Takes questions, titles and texts, as many of each, and gives a score for each triple."""


class Searcher(Protocol):
    """Ranks the passages of a pool.

    Attributes:
        name: of its lists, as counts and files call them.
    """

    name: str

    def search(self, questions: Sequence[str], k: int) -> Sequence[Sequence[tuple[float, int]]]:
        """For each question at most k pairs (score, row of the pool), best first."""

    def scores(
        self, questions: Sequence[str], rows: Sequence[Sequence[int]]
    ) -> Sequence[Sequence[float]]:
        """For each question the scores of some rows, the same numbers as ``search`` gives."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A sample with its hard negatives.

    Attributes:
        found: of each of its hard negatives, where it was found.
        positives: by searcher, the scores of its positives.
    """

    sample: TrainingSample
    found: tuple[Ranked, ...]
    positives: Mapping[str, Sequence[float]]


def mine(
    samples: Iterable[TrainingSample],
    pool: Pool,
    searchers: Sequence[Searcher],
    settings: MiningSettings | None = None,
    *,
    teacher: Teacher | None = None,
    counts: MiningCounts | None = None,
) -> Iterator[TrainingSample]:
    """The samples, in order, with the hard negatives that the pool has for them in place of those
    that they had. All are read before the first is given, since a passage that answers a question
    in one of them is no negative of it in another. A sample without positives, whose question has
    no answer, stays as it is. A negative's ``score`` is that of the list it was found in; a
    positive's is that of the one searcher, and None where there are two, whose scores cannot be
    compared.

    Args:
        pool: holds at least all positives, for their scores are needed; see ``Pool.of``.
        searchers: over that pool; from several, negatives are taken turn by turn, the same one
            once, and where a list ends the others fill up.
        teacher: gives the ``teacher_score`` of positives and of the negatives to train on.
        counts: told what was met, when a block of questions is done.

    Raises:
        InputError: a positive that is not in the pool; a teacher's scores that are no such.
        SettingsError: no searcher, or two of one name.
    """
    for one in mined(samples, pool, searchers, settings, teacher=teacher, counts=counts):
        yield one.sample


def mined(
    samples: Iterable[TrainingSample],
    pool: Pool,
    searchers: Sequence[Searcher],
    settings: MiningSettings | None = None,
    *,
    teacher: Teacher | None = None,
    counts: MiningCounts | None = None,
    first: int = 0,
) -> Iterator[Mined]:
    """``mine``, with where each negative was found.

    Args:
        first: how many samples are passed over, a multiple of ``AT_ONCE``: to go on gives the same
            as not to have stopped.
    """
    settings = settings or MiningSettings()
    counts = counts if counts is not None else MiningCounts()
    names = [one.name for one in searchers]
    if not names or len(set(names)) < len(names):
        raise SettingsError(f"searchers are {names}; give one or more, of different names")
    for name in names:
        counts.of(name)
    samples = list(samples)
    finding = _Finding(pool, searchers, settings, TextSimilarity(), Golds(samples), counts)
    waiting = islice(samples, first, None)
    while block := list(islice(waiting, AT_ONCE)):
        found = finding.of({n: one for n, one in enumerate(block, first) if one.positives})
        counts.unanswerable += len(block) - len(found)
        done = [found.get(n) or Mined(one, (), {}) for n, one in enumerate(block, first)]
        yield from _taught(done, teacher) if teacher else done
        first += len(block)


@dataclass(frozen=True, slots=True)
class _Finding:
    """Finds the negatives of a block of samples."""

    pool: Pool
    searchers: Sequence[Searcher]
    settings: MiningSettings
    similarity: TextSimilarity
    golds: Golds
    counts: MiningCounts

    def of(self, samples: Mapping[int, TrainingSample]) -> dict[int, Mined]:
        """Of each sample, by its number."""
        if not samples:
            return {}
        questions = [sample.question for sample in samples.values()]
        golds = [_rows(sample, self.pool) for sample in samples.values()]
        last = self.settings.last_rank
        lists = {one.name: one.search(questions, last) for one in self.searchers}
        scores = {
            one.name: _scores(one, questions, golds, lists[one.name]) for one in self.searchers
        }
        done = {}
        for place, (number, sample) in enumerate(samples.items()):
            positives = {name: own[place] for name, own in scores.items()}
            filters = Filters(sample, self.pool, self.settings, self.similarity, self.golds)
            ranked = {
                name: _order(own[place], name, self.settings, number) for name, own in lists.items()
            }
            found = _taken(ranked, positives, filters, self.settings, self.counts)
            _count(self.counts, filters, len(found), self.settings)
            done[number] = _with_negatives(sample, self.pool, found, positives)
        return done


def _rows(sample: TrainingSample, pool: Pool) -> list[int]:
    """Where the positives are in the pool."""
    missing = [one for one in sample.positives if one.key not in pool.rows]
    if missing:
        raise InputError(
            f"the positive {missing[0].text[:60]!r} of the question {sample.question[:60]!r} is "
            "not in the pool, so that it has no score; add the samples' passages to it"
        )
    return [pool.rows[one.key] for one in sample.positives]


def _scores(
    searcher: Searcher,
    questions: Sequence[str],
    rows: Sequence[Sequence[int]],
    lists: Sequence[Sequence[tuple[float, int]]],
) -> list[list[float]]:
    """The scores of each question's positives; most are in its list already."""
    known = [{row: score for score, row in one} for one in lists]
    missing = [
        [row for row in some if row not in own] for some, own in zip(rows, known, strict=True)
    ]
    if any(missing):
        found = searcher.scores(questions, missing)
        for own, some, scores in zip(known, missing, found, strict=True):
            own.update(zip(some, scores, strict=True))
    return [[own[row] for row in some] for some, own in zip(rows, known, strict=True)]


def _order(
    found: Sequence[tuple[float, int]], name: str, settings: MiningSettings, number: int
) -> Iterator[Ranked]:
    """A list's passages in the order in which they are asked for: by rank, or by chance."""
    ranks = list(range(settings.first_rank, min(settings.last_rank, len(found)) + 1))
    if settings.choose == "random":
        # By question and list, so that it does not matter what was drawn before.
        random.Random(f"{settings.seed}/{number}/{name}").shuffle(ranks)
    for rank in ranks:
        score, row = found[rank - 1]
        yield Ranked(row, score, rank, name)


def _taken(
    ranked: Mapping[str, Iterator[Ranked]],
    positives: Mapping[str, list[float]],
    filters: Filters,
    settings: MiningSettings,
    counts: MiningCounts,
) -> list[Ranked]:
    """The negatives of one question, from the lists turn by turn."""
    taken: list[Ranked] = []

    def passing(name: str) -> Iterator[Ranked]:
        count, best = counts.of(name), max(positives[name], default=-math.inf)
        for one in ranked[name]:
            count["looked_at"] += 1
            fault = filters.fault(one, best, taken)
            count[fault or "kept"] += 1
            if not fault:
                yield one

    turns = deque(passing(name) for name in ranked)
    while turns and len(taken) < settings.negatives:
        if (one := next(turns[0], None)) is None:
            turns.popleft()
        else:
            taken.append(one)
            turns.rotate(-1)
    return taken


def _count(counts: MiningCounts, filters: Filters, found: int, settings: MiningSettings) -> None:
    counts.questions += 1
    counts.none += not found
    counts.fewer += 0 < found < settings.negatives
    counts.without_answers += filters.matcher is None and not settings.keep_answers


def _with_negatives(
    sample: TrainingSample,
    pool: Pool,
    found: Sequence[Ranked],
    positives: Mapping[str, list[float]],
) -> Mined:
    negatives = tuple(replace(pool[one.row], score=one.score) for one in found)
    own = list(positives.values())
    scores = own[0] if len(own) == 1 else [None] * len(sample.positives)
    scored = tuple(
        replace(one, score=score) for one, score in zip(sample.positives, scores, strict=True)
    )
    sample = replace(sample, positives=scored, hard_negatives=negatives)
    return Mined(sample, tuple(found), positives)


def _taught(block: Sequence[Mined], teacher: Teacher) -> Iterator[Mined]:
    """The same, with the teacher's scores of positives and of the negatives to train on."""
    pairs = [
        (one.sample.question, context)
        for one in block
        for context in (*one.sample.positives, *one.sample.best_negatives)
    ]
    scores = [
        float(score)
        for score in teacher(
            [question for question, _ in pairs],
            [context.title for _, context in pairs],
            [context.text for _, context in pairs],
        )
    ]
    if len(scores) != len(pairs) or not all(map(math.isfinite, scores)):
        raise InputError(
            f"the teacher gave {len(scores)} scores for {len(pairs)} passages, "
            f"{sum(not math.isfinite(one) for one in scores)} of them not finite; it has to give "
            "a number for each"
        )
    left = iter(scores)
    for one in block:
        sample = one.sample
        positives = tuple(replace(c, teacher_score=next(left)) for c in sample.positives)
        negatives = tuple(replace(c, teacher_score=next(left)) for c in sample.best_negatives)
        sample = replace(sample, positives=positives)
        if sample.hard_negatives:
            sample = replace(sample, hard_negatives=negatives)
        else:
            sample = replace(sample, negatives=negatives)
        yield replace(one, sample=sample)
