"""From documents, and questions where there are any, to a report: one call.

Takes a source and questions; gives a folder with the collection and the report. Where there are no
questions it makes some, and says so. Wires building, training, evaluating and the report together.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dpr.collection import Collection
from dpr.corpus import SplitSettings
from dpr.errors import InputError
from dpr.evaluation.records import Evaluation
from dpr.evaluation.report import write_report
from dpr.pipeline.building import Source, index_if_changed
from dpr.pipeline.evaluating import Tell, evaluate
from dpr.pipeline.figures import EvaluationSettings
from dpr.pipeline.models import Model
from dpr.pipeline.systems import BM25, Shelf
from dpr.pipeline.teaching import Parts, divide, samples, teach
from dpr.questions import read_question_set
from dpr.questions.pseudo import pseudo_questions
from dpr.records import QuestionSet
from dpr.shipped import DEFAULT, ModelNames

PSEUDO = (
    "The questions were made from the documents by a program and not asked by people: they repeat "
    "the passages' words, which favours BM25. They tell whether the index works, not how well "
    "people's questions are answered."
)


def report(
    documents: Source,
    questions: str | os.PathLike[str] | QuestionSet | None = None,
    *,
    to: str | os.PathLike[str],
    model: Model = DEFAULT,
    split: str | SplitSettings = "words:100",
    train: bool = False,
    pseudo: int = 500,
    settings: EvaluationSettings | None = None,
    tell: Tell | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Evaluation, list[Path]]:
    """Indexes documents, asks questions, and writes what came of it.

    Args:
        questions: in any format of ``dpr.questions``; None takes those that the documents come
            with (a BEIR folder, a SQuAD file), or else makes some.
        to: a folder; the collection is kept in it, and the report.
        train: train the model on a part of the questions and test on the others, before and after.
        pseudo: questions to make where there are none.

    Returns:
        The evaluation, and the files that show it.
    """
    folder = Path(to)
    settings = settings or EvaluationSettings()
    tell = tell or (lambda text: None)
    seed = settings.statistics.seed
    place = folder / "collection.dpr"
    tell("indexing")
    index_if_changed(documents, place, model=model, split=split, progress=progress)
    name = Path(os.fspath(model)).name if isinstance(model, str | os.PathLike) else "model"
    systems = {name: place}
    with Collection.open(place) as collection:
        shelf = Shelf(collection)
        asked, made = _questions(documents, questions, shelf, pseudo, seed)
        if train:
            parts = divide(asked, seed)
            asked = parts.test
            taught = _taught(model, parts, shelf, folder / "training", tell)
    if train:
        systems[f"{name}, trained"] = folder / "trained.dpr"
        tell("indexing with the trained model")
        index_if_changed(
            documents, folder / "trained.dpr", model=taught, split=split, progress=progress
        )
    found = evaluate(
        [f"{name}={path}" for name, path in systems.items()],
        asked,
        baseline=BM25,
        settings=settings,
        tell=tell,
    )
    if made:
        about = found.questions | {"made": True}
        found = replace(found, questions=about, notes=(PSEUDO, *found.notes))
    return found, write_report(found, folder)


def _taught(model: Model, parts: Parts, shelf: Shelf, folder: Path, tell: Tell) -> ModelNames:
    tell("looking for hard negatives")
    train, dev = samples(parts.train, shelf), samples(parts.dev, shelf)
    return teach(model, train, dev, folder, lambda event: tell(_told(event)))


def _questions(
    documents: Source,
    questions: str | os.PathLike[str] | QuestionSet | None,
    shelf: Shelf,
    count: int,
    seed: int,
) -> tuple[QuestionSet, bool]:
    """The questions, and whether they had to be made."""
    if isinstance(questions, QuestionSet):
        return questions, False
    if questions is not None:
        return read_question_set(questions), False
    if isinstance(documents, str | os.PathLike) and has_questions(Path(documents)):
        return read_question_set(documents), False
    made = pseudo_questions(shelf, count, seed)
    if not made.questions:
        raise InputError(
            "nothing in these documents can be asked for (no names, dates or numbers inside "
            "sentences); give questions"
        )
    return made, True


def has_questions(source: Path) -> bool:
    """Whether documents come with questions of their own."""
    if source.is_dir():
        return any((source / name).is_file() for name in ("queries.jsonl", "queries.jsonl.gz"))
    return source.is_file() and source.name.removesuffix(".gz").endswith(".json")


def _told(event: dict[str, object]) -> str:
    figures = [f"{name} {v:.4g}" for name, v in event.items() if isinstance(v, int | float)]
    return f"training: {', '.join(figures)}"
