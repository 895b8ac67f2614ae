"""The demonstration: ten questions about Python, asked of Python's own documentation.

Takes a folder and a model, gives each question's hits and answers, and whether they are right: a
measure of the whole chain on real text, without a download. Knows nothing of how it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from dpr.errors import CollectionError
from dpr.records import Asked, Question

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


def make(to: Path, model: str, progress: Callable[[int], None] | None = None) -> bool:
    """Indexes Python's documentation; False where the folder already holds just that.

    Raises:
        CollectionError: the folder holds something else.
    """
    from dpr.collection import read_manifest
    from dpr.pipeline import index

    if (to / "manifest.json").is_file():
        made_from = read_manifest(to).made_from
        if made_from.get("source") == SOURCE:
            return False
        raise CollectionError(
            f"{to}: is a collection of {made_from.get('source')}; give a folder that is new or "
            "that the demo made"
        )
    index(SOURCE, to, model=model, progress=progress)
    return True


def ask(folder: Path, model: str, reader: str | None = None) -> list[Judged]:
    """Asks the questions of the collection that ``make`` made."""
    from dpr.pipeline import Pipeline

    questions = read_questions()
    with Pipeline.open(folder, model=model, reader=reader) as pipeline:
        asked = pipeline.ask_many([Question(one.id, one.question) for one in questions])
    return [judge(question, given) for question, given in zip(questions, asked, strict=True)]


def judge(question: DemoQuestion, asked: Asked) -> Judged:
    """Whether a right section is among the first hits, and the first answer an accepted one."""
    from dpr.evaluation.answers import exact_match

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
