"""The demonstration: ten questions about Python, asked of Python's own documentation.

Gives the questions; takes what asking them gave, and says whether it is right: a measure of the
whole chain on real text, without a download. Knows nothing of how they are asked or shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from dpr.evaluation.answers import exact_match
from dpr.records import Asked

SOURCE = "pydoc"
FIRST_HITS = 3
SECTIONS_WANTED, ANSWERS_WANTED = 9, 6


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """A question, the sections that may be found for it, and the answers accepted."""

    id: str
    question: str
    sections: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """What asking a question gave, and whether it was right."""

    question: DemoQuestion
    asked: Asked
    section_found: bool
    answer_accepted: bool


def read_questions() -> tuple[DemoQuestion, ...]:
    """The questions that come with the package."""
    text = resources.files(__name__).joinpath("questions.json").read_text(encoding="utf-8")
    return tuple(
        DemoQuestion(one["id"], one["question"], tuple(one["sections"]), tuple(one["answers"]))
        for one in json.loads(text)
    )


def judge(question: DemoQuestion, asked: Asked) -> Judged:
    """Whether a right section is among the first hits, and the first answer an accepted one."""
    wanted = {section.strip() for section in question.sections}
    found = {
        name.strip()
        for hit in asked.hits[:FIRST_HITS]
        for name in (hit.passage.title, hit.passage.section)
    }
    accepted = bool(asked.answers) and exact_match(asked.answers[0].text, question.answers) == 1.0
    return Judged(question, asked, bool(wanted & found), accepted)


def tally(judged: Iterable[Judged]) -> tuple[int, int]:
    """Questions whose section was found, and questions whose answer was accepted."""
    many = list(judged)
    return sum(one.section_found for one in many), sum(one.answer_accepted for one in many)


def passed(judged: Iterable[Judged]) -> bool:
    """Whether the chain works as well as it should."""
    sections, answers = tally(judged)
    return sections >= SECTIONS_WANTED and answers >= ANSWERS_WANTED
