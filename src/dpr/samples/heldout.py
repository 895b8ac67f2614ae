"""The test that training data must not give away: its questions and passages, by likeness.

Takes files of samples or of questions; gives for a question or passage those of the test that equal
it or nearly do. Knows nothing of what follows from that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dpr.corpus import Problems, SourceSettings, read_documents
from dpr.questions import read_question_set
from dpr.questions.beir import read_beir
from dpr.questions.sets import recognise
from dpr.samples.beir import is_beir
from dpr.samples.files import Context, TrainingSample
from dpr.samples.likeness import SimilarSets, SimilarWordings, digest, form, plain, sequences
from dpr.samples.places import Placed, left_out, read_placed
from dpr.samples.survey import Asked, asked

_SAMPLES = ("squad", "dpr-train")


@dataclass(frozen=True, slots=True)
class HeldQuestion:
    """A question of the test that equals a given one (similarity 1), or nearly does."""

    text: str
    asked: Asked
    similarity: float


@dataclass(frozen=True, slots=True)
class HeldPassage:
    """A positive passage of the test that equals a given one (similarity 1), or nearly does."""

    file: str
    place: str
    text: str
    similarity: float


class HeldOut:
    """Questions and positive passages of a test.

    Args:
        samples: with the file and place of each.
        near: the least similarity of passages.
    """

    def __init__(self, samples: Iterator[tuple[str, str, TrainingSample]], near: float) -> None:
        self._questions: list[tuple[str, Asked]] = []
        self._equal: dict[str, list[int]] = {}
        self._passages: dict[bytes, int] = {}
        self._texts: list[tuple[str, str, str]] = []
        for file, place, sample in samples:
            row = len(self._questions)
            self._questions.append((sample.question, asked(sample, row, file, place)))
            self._equal.setdefault(form(sample.question), []).append(row)
            for context in sample.positives:
                key = digest(text := plain(context.text))
                if text and key not in self._passages:
                    self._passages[key] = len(self._texts)
                    self._texts.append((file, place, context.text))
        self._forms = list(self._equal)
        self._wordings = SimilarWordings(self._forms)
        self._near = SimilarSets((sequences(plain(text)) for *_, text in self._texts), near)

    def __len__(self) -> int:
        return len(self._questions)

    def questions(self, question: str) -> list[HeldQuestion]:
        """Questions worded like this one, the most similar first."""
        given = form(question)
        if not given:
            return []
        found = {} if given not in self._equal else {given: 1.0}
        for row, similarity in self._wordings.find(given):
            # The same words in another order are not the same question yet.
            found.setdefault(self._forms[row], min(similarity, 0.99))
        return [
            HeldQuestion(self._questions[row][0], self._questions[row][1], similarity)
            for one, similarity in found.items()
            for row in self._equal[one]
        ]

    def passage(self, text: str) -> HeldPassage | None:
        """The positive passage most like this one, where one is like it."""
        given = plain(text)
        if not given or not self._texts:
            return None
        row, similarity = self._passages.get(digest(given)), 1.0
        if row is None:
            near = self._near.find(sequences(given))
            if not near:
                return None
            row, similarity = near[0]
        return HeldPassage(*self._texts[row], similarity)


def read_test(path: Path) -> Iterator[Placed]:
    """What a test file or folder holds, as samples: with positives where it has passages.

    Raises:
        InputError: it is not there, or none of the formats of samples and of questions.
    """
    if path.is_file() and recognise(path) in _SAMPLES:
        yield from read_placed(path)
        return
    problems, texts = Problems(keep=sys.maxsize), {}
    questions = read_beir(path, "test", problems) if is_beir(path) else read_question_set(path)
    if path.is_dir() and any(path.glob("corpus.jsonl*")):
        relevant = {
            name
            for grades in questions.judgements.values()
            for name, grade in grades.items()
            if grade > 0
        }
        documents = read_documents(path, SourceSettings(on_error="skip"), problems)
        texts = {one.id: one for one in documents if one.id in relevant}
    for question in questions.questions:
        grades = questions.judgements.get(question.id, {})
        positives = tuple(
            Context(texts[name].text, texts[name].title, name)
            for name, grade in grades.items()
            if grade > 0 and name in texts
        )
        yield Placed(
            f"question {question.id}", TrainingSample(question.text, question.answers, positives)
        )
    yield from left_out(path, problems)
