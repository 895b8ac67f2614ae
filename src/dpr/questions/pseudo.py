"""Questions made from passages, for documents that nobody has asked anything of yet.

Takes passages, gives a ``QuestionSet`` whose answers and judgements are known: a sentence with a
name, date or number taken out, in the manner of the cloze questions of Lewis et al. 2019,
"Unsupervised Question Answering by Cloze Translation". They repeat the passage's own words as
people's questions do not, which favours searching by words: good for telling whether an index
works, of little worth for telling systems apart. Knows nothing of models or collections.
"""

from __future__ import annotations

import random
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from dpr.corpus.sentences import sentence_spans
from dpr.records import Passage, Question, QuestionSet

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NAME = "pseudo-questions"
CAUTION = (
    "The questions were made from the documents by a program and not asked by people: they repeat "
    "the passages' words, which favours BM25. They tell whether the index works, not how well "
    "people's questions are answered."
)
AROUND = 8  # words kept on each side of what is asked for
FEWEST = 6  # words that a sentence must have beside the answer

# What can be asked for: a date, a year, a number, a name that begins no sentence, what is quoted.
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_ASKED = (
    ("when", re.compile(rf"\b(?:\d{{1,2}} )?(?:{_MONTHS})(?: \d{{1,2}},?)?(?: \d{{4}})?\b")),
    ("when", re.compile(r"\b(?:1[0-9]|20)\d{2}\b")),
    ("how many", re.compile(r"\b\d+(?:[.,]\d+)*\b")),
    ("what", re.compile(r"(?<=[a-z,;] )(?:[A-Z][\w'’-]+)(?: (?:of |the )?[A-Z][\w'’-]+){0,3}")),
    ("what", re.compile(r"(?<=[\"“‘`])\w[\w .-]{2,40}\w(?=[\"”’`])")),
)


@dataclass(frozen=True, slots=True)
class Cloze:
    """A question about a passage, its answer, and the character at which that stands there."""

    question: str
    answer: str
    start: int


@runtime_checkable
class Stored(Protocol):
    """Passages that are read by their rows, such as a collection."""

    def live_rows(self) -> npt.NDArray[np.int64]:
        """The rows that hold a passage, in order."""

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """The passages in these rows."""


def pseudo_questions(
    passages: Iterable[Passage] | Stored, count: int = 500, seed: int = 0
) -> QuestionSet:
    """Up to ``count`` questions, one a passage, from passages drawn evenly by ``seed``; fewer where
    fewer passages hold anything to ask for.

    The order is that of the passages; the same passages and seed give the same questions. Of those
    that are stored only the ones drawn are read; memory holds 16 bytes for each other.
    """
    questions, judgements = [], {}
    for place, passage in _drawn(passages, seed):
        cloze = cloze_question(passage, random.Random(f"{seed} {passage.id}"))
        if cloze is None:
            continue
        questions.append((place, Question(f"pseudo-{place}", cloze.question, (cloze.answer,))))
        judgements[f"pseudo-{place}"] = {passage.id: 1}
        if len(questions) == count:
            break
    questions.sort(key=lambda pair: pair[0])
    return QuestionSet(
        NAME,
        tuple(question for _, question in questions),
        {question.id: judgements[question.id] for _, question in questions},
    )


def _drawn(passages: Iterable[Passage] | Stored, seed: int) -> Iterator[tuple[int, Passage]]:
    """Passages with their place, in an order that the seed decides."""
    if isinstance(passages, Stored):
        rows = passages.live_rows()
        for place in _shuffled(len(rows), seed):
            yield place, passages.passages([int(rows[place])])[0]
    else:
        held = list(passages)
        for place in _shuffled(len(held), seed):
            yield place, held[place]


def _shuffled(count: int, seed: int) -> array[int]:
    places = array("Q", range(count))
    random.Random(seed).shuffle(places)
    return places


def cloze_question(passage: Passage, chance: random.Random) -> Cloze | None:
    """A question about one sentence of a passage; None where nothing in it can be asked for."""
    text = passage.text
    spans = list(sentence_spans(text, 0, len(text)))
    chance.shuffle(spans)
    for start, end in spans:
        sentence = text[start:end]
        if len(sentence.split()) <= FEWEST or "\n\n" in sentence:
            continue
        for word, pattern in _ASKED:
            found = [m for m in pattern.finditer(sentence) if m.group().strip()]
            if found:
                return _asked(sentence, chance.choice(found), word, start)
    return None


def _asked(sentence: str, answer: re.Match[str], word: str, start: int) -> Cloze:
    before, after = sentence[: answer.start()].split(), sentence[answer.end() :].split()
    parts = [*before[-AROUND:], word, *after[:AROUND]]
    question = " ".join(parts).strip(' .,;:!?…"“”()[]')
    lead = len(answer.group()) - len(answer.group().lstrip(" ,"))
    return Cloze(f"{question}?", answer.group().strip(" ,"), start + answer.start() + lead)
