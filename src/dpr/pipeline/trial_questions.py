"""What a collection is tuned with: questions, what exact search finds for them, and which rows are
right.

Takes an open collection, questions or where they are; gives what ``dpr.search.trying`` measures
indexes with. Which passages hold an answer is looked up while indexes are measured, so that the
collection stays open until then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from dpr.collection import Collection
from dpr.encoding import QuestionEncoder, Vectors
from dpr.errors import InputError
from dpr.indexes.flat import FlatIndex
from dpr.indexes.index import Rows
from dpr.pipeline.compacting import Tell
from dpr.questions import read_question_set
from dpr.questions.pseudo import pseudo_questions
from dpr.records import Question, QuestionSet
from dpr.samples.negatives import answer_matcher
from dpr.search.choosing import Targets
from dpr.search.dense import stored_vectors
from dpr.search.trying import Test, latencies

QUESTIONS = 500
TIMED = 100
ANSWERED_WITHIN = 20


def trial_questions(
    collection: Collection, given: QuestionSet | str | os.PathLike[str] | None
) -> tuple[QuestionSet, str, list[str]]:
    """The questions, what the collection keeps of them, and what must be said of them."""
    if given is None:
        made = pseudo_questions(collection, QUESTIONS)
        note = (
            f"no questions were given: {len(made.questions)} were made from the passages; give "
            "real ones (--questions) to tune on what people ask"
        )
        found, said, notes = made, "", [note]
    elif isinstance(given, QuestionSet):
        found, said, notes = given, "", []
    else:
        found, said, notes = read_question_set(given), str(Path(given).resolve()), []
    if not found.questions:
        raise InputError(
            "there are no questions to measure with; give some (--questions): a question a line, "
            "or any set that `dpr evaluate` takes"
        )
    if 0 < len(found.questions) < 100:
        count = len(found.questions)
        notes.append(f"{count} questions say little: intervals are wide; 200 or more are better")
    return found, said, notes


@dataclass(frozen=True)
class TrialQuestions:
    """Questions with their vectors, what exact search finds, and which rows are right.

    Attributes:
        encoding: seconds that a question takes to encode, p50 and p95.
        right: of each question, says whether a row answers it; None where that is not known.
    """

    questions: tuple[Question, ...]
    queries: Vectors
    exact: Rows
    encoding: tuple[float, float]
    judged: list[dict[int, int]]
    right: list[Callable[[int], bool] | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.questions)

    @classmethod
    def of(
        cls,
        collection: Collection,
        encoder: QuestionEncoder,
        asked: QuestionSet,
        targets: Targets,
        tell: Tell,
    ) -> TrialQuestions:
        texts = [question.text for question in asked.questions]
        tell(f"encoding {len(texts):,} questions")
        queries = encoder.encode(texts)
        spent = latencies(lambda text: encoder.encode([text]), texts[:TIMED])
        tell("searching exactly")
        index = FlatIndex(stored_vectors(collection.segments), collection.ids)
        _, exact = index.search(queries, min(targets.k, len(collection)), collection.live)
        judged = [_rows(collection, asked.judgements.get(one.id, {})) for one in asked.questions]
        right = [_right(collection, *pair) for pair in zip(asked.questions, judged, strict=True)]
        encoding = float(np.quantile(spent, 0.5)), float(np.quantile(spent, 0.95))
        return cls(tuple(asked.questions), queries, exact, encoding, judged, right)

    @cached_property
    def measured(self) -> Test:
        """What indexes are measured with."""
        return Test(self.queries, self.exact, self.encoding, self._accuracy())

    def _accuracy(self) -> Callable[[Rows], float] | None:
        """What rows answer among the first 20, less what the exact ones do; a share of the
        questions of which it is known."""
        known = [number for number, right in enumerate(self.right) if right is not None]
        if not known:
            return None

        def share(found: Rows) -> float:
            hits = 0
            for number in known:
                right = self.right[number]
                assert right is not None
                hits += any(right(row) for row in found[number, :ANSWERED_WITHIN].tolist())
            return hits / len(known)

        exact = share(self.exact)
        return lambda found: share(found) - exact


def _rows(collection: Collection, judgements: Mapping[str, int]) -> dict[int, int]:
    """Grades by row; a passage that is not there has a row that none has."""
    found: dict[int, int] = {}
    for number, (one, grade) in enumerate(judgements.items()):
        try:
            found[collection.row_of(one)] = grade
        except InputError:
            found[-1 - number] = grade
    return found


def _right(
    collection: Collection, question: Question, judged: Mapping[int, int]
) -> Callable[[int], bool] | None:
    if any(grade > 0 for row, grade in judged.items() if row >= 0):
        return lambda row: judged.get(row, 0) > 0
    matcher = answer_matcher(question.answers)
    if matcher is None:
        return None
    known: dict[int, bool] = {}

    def right(row: int) -> bool:
        if row not in known:
            known[row] = matcher.matches(collection.passage(row).text)
        return known[row]

    return right
