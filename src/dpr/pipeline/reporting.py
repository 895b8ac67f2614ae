"""From documents, and questions where there are any, to a report: one call.

Takes a source and questions; gives a folder with the collection and the report. Where there are no
questions it makes some, and says so. Wires building, training, evaluating and the report together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from dpr.collection import Collection
from dpr.corpus import SplitSettings
from dpr.errors import InputError
from dpr.evaluation.records import Evaluation
from dpr.evaluation.report import check_extras, write_report
from dpr.pipeline.building import check_lasting, index_if_changed
from dpr.pipeline.evaluating import Questions, Tell, evaluate, read_asked
from dpr.pipeline.figures import EvaluationSettings
from dpr.pipeline.models import Model
from dpr.pipeline.passages import Source
from dpr.pipeline.systems import BM25, DENSE, Shelf
from dpr.pipeline.teaching import Parts, by_answers, divide, samples, teach
from dpr.questions import read_question_set
from dpr.questions.pseudo import CAUTION, pseudo_questions
from dpr.records import QuestionSet
from dpr.search.searcher import Searcher
from dpr.shipped import DEFAULT, ModelNames


def report(
    documents: Source,
    questions: Questions | None = None,
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
    """Indexes documents, asks questions, and writes what came of it: gives that, and the files.

    Args:
        questions: in any format of ``dpr.questions``; None takes those that the documents come
            with (a BEIR folder, a SQuAD file), or else makes some.
        to: a folder; the collection is kept in it, and the report.
        train: train the model on a part of the questions and test on the others, before and after.
        pseudo: questions to make where there are none.
    """
    folder, settings = Path(to), settings or EvaluationSettings()
    tell = tell or (lambda text: None)
    check_lasting(documents)
    check_extras()
    given = _given(documents, questions)  # what is wrong with them is met before indexing
    name, seconds = Path(os.fspath(model)).name if _is_place(model) else "model", dict[str, float]()
    systems = {name: folder / "collection.dpr"}

    def indexed(name: str, model: Model) -> None:
        tell(f"{name}: indexing")
        began = time.perf_counter()
        if index_if_changed(documents, systems[name], model=model, split=split, progress=progress):
            seconds[name] = time.perf_counter() - began

    indexed(name, model)
    with Collection.open(systems[name]) as collection:
        shelf, mode = Shelf(collection), Searcher(collection).mode
        asked = given or _made(collection, pseudo, settings.statistics.seed)
        if train:
            parts = _parts(asked, shelf, settings.statistics.seed)
            asked = parts.test
            taught = _taught(model, parts, shelf, folder / "training", tell)
    if train:
        systems[trained := f"{name}, trained"] = folder / "trained.dpr"
        indexed(trained, taught)
    # Beside both, vectors alone and words alone, so that what each gives can be seen.
    alone = [DENSE] if mode == "hybrid" and not train else []
    found = evaluate(
        [*(f"{name}={path}" for name, path in systems.items()), *alone],
        asked,
        baseline=BM25,
        settings=settings,
        encode_seconds=seconds,
        tell=tell,
    )
    tell("writing the report")
    found = _told_of(found, documents if questions is None else questions, given is None)
    return found, write_report(found, folder)


def _told_of(found: Evaluation, source: object, made: bool) -> Evaluation:
    """The evaluation, with where its questions are from, or that they were made."""
    about = found.questions | {"source": os.fspath(source) if _is_place(source) else ""}
    if not made:
        return replace(found, questions=about)
    return replace(found, questions=about | {"made": True}, notes=(CAUTION, *found.notes))


def _is_place(source: object) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(source, str | os.PathLike)


def _given(documents: Source, questions: Questions | None) -> QuestionSet | None:
    """The questions that are given, or that come with the documents; None where there are none."""
    if questions is not None:
        return read_asked(questions)
    if _is_place(documents) and has_questions(Path(documents)):
        return read_question_set(documents)
    return None


def _made(collection: Collection, count: int, seed: int) -> QuestionSet:
    made = pseudo_questions(collection, count, seed)
    if not made.questions:
        raise InputError(
            "nothing in these documents can be asked for (no names, dates or numbers inside "
            "sentences); give questions"
        )
    return made


def _parts(asked: QuestionSet, shelf: Shelf, seed: int) -> Parts:
    """Parts to train and test on; without judgements the answers say which passages are right, and
    the test goes by answers alone."""
    if asked.judgements:
        return divide(asked, seed)
    parts = divide(by_answers(asked, shelf), seed)
    return replace(parts, test=replace(parts.test, judgements={}))


def _taught(model: Model, parts: Parts, shelf: Shelf, folder: Path, tell: Tell) -> ModelNames:
    tell("looking for hard negatives")
    train, dev = samples(parts.train, shelf), samples(parts.dev, shelf)
    return teach(model, train, dev, folder, lambda event: tell(_told(event)))


def has_questions(source: Path) -> bool:
    """Whether documents come with questions of their own."""
    if source.is_dir():
        return any((source / name).is_file() for name in ("queries.jsonl", "queries.jsonl.gz"))
    return source.is_file() and source.name.removesuffix(".gz").endswith(".json")


def _told(event: dict[str, object]) -> str:
    figures = [f"{name} {v:.4g}" for name, v in event.items() if isinstance(v, int | float)]
    return f"training: {', '.join(figures)}"
