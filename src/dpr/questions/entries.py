"""Questions with the places they stand in, gathered into a set in which every id is one question.

Takes what the readers of formats give; gives a ``QuestionSet``. Knows nothing of formats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dpr.corpus import Problems
from dpr.errors import IdError, InputError
from dpr.records import Question, QuestionSet


@dataclass(frozen=True, slots=True)
class Entry:
    """A question, where it stands, and the ids of the passages said to answer it."""

    question: Question
    source: str
    line: int | None = None
    relevant: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return self.source if self.line is None else f"line {self.line}"


def gather(
    name: str, entries: Iterable[Entry], source: str, *, repeats: bool = False
) -> QuestionSet:
    """The set of all entries, in their order; what is relevant is judged 1.

    Args:
        repeats: take a question that comes again, the same in all, as one that is asked of
            several passages.

    Raises:
        IdError: an id comes twice.
        InputError: there is no question at all.
    """
    first: dict[str, Entry] = {}
    judgements: dict[str, dict[str, int]] = {}
    for entry in entries:
        question = entry.question
        earlier = first.setdefault(question.id, entry)
        if earlier is not entry and not (repeats and earlier.question == question):
            raise IdError(
                f"{_also(entry, earlier)}; ids must be unique: change one",
                [question.id],
                source=entry.source,
                line=entry.line,
            )
        if entry.relevant:
            judgements.setdefault(question.id, {}).update(dict.fromkeys(entry.relevant, 1))
    if not first:
        raise InputError("there is no question in it", source=source)
    return QuestionSet(name, tuple(entry.question for entry in first.values()), judgements)


def alone(entries: Iterable[Entry], problems: Problems) -> list[Entry]:
    """The entries of ids that come once; the others are told to ``problems``, each with its line:
    a judgement does not say which of them it means."""
    entries = list(entries)
    of: dict[str, list[Entry]] = {}
    for entry in entries:
        of.setdefault(entry.question.id, []).append(entry)
    for some in of.values():
        for entry in some if len(some) > 1 else ():
            other = next(one for one in some if one is not entry)
            where = entry.source if entry.line is None else f"{entry.source}:{entry.line}"
            told = f"{_also(entry, other)}; all questions of the id are left out"
            problems.add(where, told, hides=False)
    return [entry for entry in entries if len(of[entry.question.id]) == 1]


def _also(entry: Entry, other: Entry) -> str:
    return f"the question id {entry.question.id!r} is also that of {other.place}"


def check_ids(questions: QuestionSet, source: str) -> None:
    """Refuse to write two questions of one id.

    Raises:
        InputError: there are such.
    """
    seen: set[str] = set()
    for question in questions.questions:
        if question.id in seen:
            raise InputError(
                f"two questions have the id {question.id!r}; ids must be unique", source=source
            )
        seen.add(question.id)
