"""Hard negatives: which of the passages that are ranked high for a question may be learned from.

Takes samples, passages and their scores; says what is left out, and why. Knows nothing of models,
of how passages are ranked, or of files.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dpr.errors import SettingsError
from dpr.evaluation.levels import document_of
from dpr.evaluation.matching import Matcher
from dpr.samples.files import Context, TrainingSample
from dpr.samples.likeness import form, passage_key

if TYPE_CHECKING:
    from dpr.corpus.duplicates import TextSimilarity

CHOICES = ("top", "random")
FILTERS = {
    "gold": "answers the question (a positive)",
    "elsewhere": "answers the question in another sample",
    "twice": "taken from the other list already",
    "answer": "holds an accepted answer",
    "margin": "scores too near the positive (margin)",
    "share": "scores too near the positive (share)",
    "max_score": "scores too high (max-score)",
    "document": "is of a positive's document",
    "near": "nearly the same as a positive or another negative",
}
"""Why a passage is left out, in the order in which that is asked; it counts for the first that
holds."""
_COUNTED = ("looked_at", *FILTERS, "kept")


@dataclass(frozen=True, slots=True)
class MiningSettings:
    """Which of the passages that are ranked for a question become its hard negatives.

    Attributes:
        negatives: of each question; from two lists half from each, turn by turn.
        first_rank, last_rank: the ranks of a list that are looked at, from 1.
        choose: "top", the highest ranked; or "random", drawn from all that no filter leaves out.
        seed: of drawing.
        margin: a negative scores at least so much less than the best positive.
        share: a negative scores at most this share of the best positive's score, such as 0.95.
        max_score: a negative scores at most this.
        keep_answers: take passages that hold an accepted answer, too.
        near: leave out what has this share of its word sequences in common with a positive or with
            a negative taken before; 0: nothing.
        other_documents: leave out passages of a positive's document, which has the same title, or
            the same id up to "#".
    """

    negatives: int = 8
    first_rank: int = 1
    last_rank: int = 50
    choose: str = "top"
    seed: int = 0
    margin: float | None = None
    share: float | None = None
    max_score: float | None = None
    keep_answers: bool = False
    near: float = 0.8
    other_documents: bool = False

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise SettingsError(f"negatives={self.negatives}; give at least 1")
        if not 1 <= self.first_rank <= self.last_rank:
            raise SettingsError(
                f"first_rank={self.first_rank}, last_rank={self.last_rank}; ranks count from 1, "
                "and the last is not before the first"
            )
        if self.choose not in CHOICES:
            raise SettingsError(f"choose={self.choose!r}; allowed are 'top' and 'random'")
        if self.margin is not None and not 0 <= self.margin < math.inf:
            raise SettingsError(f"margin={self.margin}; give 0 or more")
        if self.share is not None and not 0 < self.share <= 1:
            raise SettingsError(f"share={self.share}; give a number above 0, and 1 at most")
        if self.max_score is not None and not math.isfinite(self.max_score):
            raise SettingsError(f"max_score={self.max_score}; give a number")
        if not 0 <= self.near <= 1:
            raise SettingsError(f"near={self.near}; give a share between 0 and 1; 0 is off")


@dataclass(slots=True)
class MiningCounts:
    """What mining met.

    Attributes:
        questions: done.
        fewer: of them, with fewer negatives than asked for, but some.
        none: with none.
        without_answers: whose answers are not known, so that none could be looked for.
        unanswerable: further questions, which have no answer and stay as they are.
        lists: by searcher, how many passages of its lists were ``looked_at``, ``kept``, and left
            out for each reason of ``FILTERS``.
    """

    questions: int = 0
    fewer: int = 0
    none: int = 0
    without_answers: int = 0
    unanswerable: int = 0
    lists: dict[str, dict[str, int]] = field(default_factory=dict)

    def summary(self) -> str:
        """All lists together on one line: what was looked at, kept, and left out for which reason;
        and the questions that have less than was asked for."""
        sums = {key: sum(one[key] for one in self.lists.values()) for key in _COUNTED}
        left_out = [f"{text} {sums[key]:,}" for key, text in FILTERS.items() if sums[key]]
        why = f"; left out: {', '.join(left_out)}" if left_out else ""
        return (
            f"{sums['looked_at']:,} passages looked at, {sums['kept']:,} kept{why}; "
            f"{self.fewer:,} questions have fewer than asked for, {self.none:,} none"
        )

    def of(self, name: str) -> dict[str, int]:
        """The counts of a searcher's lists."""
        return self.lists.setdefault(name, dict.fromkeys(_COUNTED, 0))


class Pool:
    """Passages to find negatives in, each (title, text) once, without what a sample says of them.

    Attributes:
        rows: the row of each passage by its title and text.
    """

    def __init__(self, contexts: Iterable[Context] = ()) -> None:
        self._contexts: list[Context] = []
        self.rows: dict[tuple[str, str], int] = {}
        for one in contexts:
            self.add(one)

    @classmethod
    def of(cls, samples: Iterable[TrainingSample]) -> Pool:
        """All positives and negatives of some samples."""
        pool = cls()
        pool.extend(samples)
        return pool

    def add(self, context: Context) -> int:
        """Adds a passage where it is new; gives its row."""
        row = self.rows.setdefault(context.key, len(self._contexts))
        if row == len(self._contexts):
            self._contexts.append(Context(context.text, context.title, context.id))
        return row

    def extend(self, samples: Iterable[TrainingSample]) -> None:
        """Adds all positives and negatives of some samples."""
        for sample in samples:
            for one in (*sample.positives, *sample.hard_negatives, *sample.negatives):
                self.add(one)

    def __len__(self) -> int:
        return len(self._contexts)

    def __getitem__(self, row: int) -> Context:
        return self._contexts[row]

    def __iter__(self) -> Iterator[Context]:
        return iter(self._contexts)


class Golds:
    """The positives of each question, of all samples that ask it: by the forms in which the doctor
    compares questions and passages, so that no sample teaches against what another says."""

    def __init__(self, samples: Iterable[TrainingSample]) -> None:
        self._keys: defaultdict[str, set[bytes]] = defaultdict(set)
        for sample in samples:
            keys = self._keys[_asked(sample.question)]
            keys.update(passage_key(*one.key) for one in sample.positives)

    def of(self, question: str) -> AbstractSet[bytes]:
        """Their keys (``likeness.passage_key``)."""
        return self._keys.get(_asked(question), frozenset())


def _asked(question: str) -> str:
    """What a question asks; without a word or sign it is like no other."""
    return form(question) or question


class Ranked(NamedTuple):
    """A passage in a searcher's list: its row in the pool, score, rank from 1, and the list."""

    row: int
    score: float
    rank: int
    list: str


class Filters:
    """What keeps passages from being negatives of one question.

    Attributes:
        matcher: of its accepted answers, where these are looked for and there are any.
    """

    def __init__(
        self,
        sample: TrainingSample,
        pool: Pool,
        settings: MiningSettings,
        similarity: TextSimilarity,
        golds: Golds,
    ) -> None:
        self._pool, self._settings, self._similarity = pool, settings, similarity
        self._positives = sample.positives
        self._golds = {one.key for one in sample.positives}
        own = {passage_key(*one.key) for one in sample.positives}
        self._elsewhere = golds.of(sample.question) - own
        self.matcher = None if settings.keep_answers else answer_matcher(sample.answers)
        self._documents = set().union(*map(_documents, sample.positives))

    def fault(self, one: Ranked, best: float, taken: Sequence[Ranked]) -> str:
        """Why a passage is left out, a key of ``FILTERS``; "" where it is not.

        Args:
            best: the best score of a positive in the same list.
            taken: the negatives that the question has.
        """
        context, settings = self._pool[one.row], self._settings
        if context.key in self._golds:
            return "gold"
        if self._elsewhere and passage_key(*context.key) in self._elsewhere:
            return "elsewhere"
        if any(one.row == other.row for other in taken):
            return "twice"
        if self.matcher is not None and self.matcher.matches(context.text):
            return "answer"
        if settings.margin is not None and one.score > best - settings.margin:
            return "margin"
        if settings.share is not None and one.score > _shared(best, settings.share):
            return "share"
        if settings.max_score is not None and one.score > settings.max_score:
            return "max_score"
        if settings.other_documents and self._documents & _documents(context):
            return "document"
        return "near" if settings.near and self._is_near(context, taken) else ""

    def _is_near(self, context: Context, taken: Sequence[Ranked]) -> bool:
        others = (*self._positives, *(self._pool[one.row] for one in taken))
        return any(
            self._similarity.reaches(context.text, other.text, self._settings.near)
            for other in others
        )


def answer_matcher(answers: Sequence[str]) -> Matcher | None:
    """Looks for accepted answers; None where there are none. Those without a letter, digit or sign,
    such as a full stop, stand in nearly every text, and are not looked for."""
    answers = [one for one in answers if form(one)]
    return Matcher(answers) if answers else None


def _documents(context: Context) -> set[tuple[str, str]]:
    """What a passage's document is known by."""
    title = {("title", context.title)} if context.title else set()
    return title | ({("id", document_of(context.id))} if context.id else set())


def _shared(score: float, share: float) -> float:
    """A share of a score; below it also where the score is below 0."""
    return score * (share if score >= 0 else 2 - share)
