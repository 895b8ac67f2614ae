"""Questions that a program holds, as records or rows, checked as those of a file are.

Takes records, or mappings such as a dataset's rows; gives a ``QuestionSet``. Reads no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dpr.errors import InputError
from dpr.questions.entries import Entry, check_ids, gather
from dpr.questions.fields import check_question
from dpr.questions.lines import question_from_row
from dpr.records import Question, QuestionSet


def question_set(
    questions: Iterable[Question | Mapping[str, Any]], name: str = "questions"
) -> QuestionSet:
    """A set of records, or of rows with ``text`` (or ``question``) and perhaps ``id`` (or ``_id``),
    ``answers`` and ``unanswerable``; without ids they are numbered from 1.

    Raises:
        InputError: something else, a malformed question, or an id that comes twice.
    """

    def entries() -> Iterable[Entry]:
        for number, one in enumerate(questions, 1):
            if isinstance(one, Question):
                check_question(one, name)
                yield Entry(one, name, number)
            elif isinstance(one, Mapping):
                yield Entry(question_from_row(one, name, number), name, number)
            else:
                raise InputError(
                    f"question {number} is {repr(one)[:60]}; give a Question, or a row with a text "
                    "under 'text' or 'question'",
                    source=name,
                )

    return gather(name, entries(), name)


def check_set(questions: QuestionSet) -> None:
    """Refuse what no file could hold: two questions of one id, answers that say nothing.

    Raises:
        InputError: there are such.
    """
    check_ids(questions, questions.name)
    for question in questions.questions:
        check_question(question, questions.name)
