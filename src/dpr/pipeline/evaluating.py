"""Systems and questions to an ``Evaluation``: opens what is named, asks it all the same questions.

Takes collections, runs, models or baselines, and questions with answers or judgements. Wires
systems and figures together and holds no measure of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from dpr.corpus import Problems, SourceSettings, SplitSettings
from dpr.errors import InputError, SettingsError
from dpr.evaluation.judged import measure_name
from dpr.evaluation.levels import Judged, all_ids, judged_level
from dpr.evaluation.records import Evaluation
from dpr.pipeline.asking import Pipeline
from dpr.pipeline.building import Source, index_if_changed, is_collection, source_passages
from dpr.pipeline.figures import EvaluationSettings, assemble
from dpr.pipeline.systems import (
    BASELINES,
    BM25,
    UNTRAINED,
    Found,
    Shelf,
    named_places,
    of_bm25,
    of_collection,
    of_results,
    of_run,
    of_untrained,
)
from dpr.questions import read_question_set
from dpr.records import QuestionSet

Tell = Callable[[str], None]


def evaluate(
    systems: Sequence[str | os.PathLike[str]],
    questions: str | os.PathLike[str] | QuestionSet,
    *,
    baseline: str = "",
    documents: Source | None = None,
    split: str | SplitSettings = "words:100",
    work: str | os.PathLike[str] = "dpr-evaluation",
    settings: EvaluationSettings | None = None,
    title: str = "",
    tell: Tell | None = None,
) -> Evaluation:
    """Measures systems on the same questions and says which differences are real.

    Args:
        systems: collections, TREC runs, results JSON, models (indexed from ``documents`` into
            ``work``), ``bm25``, ``untrained``; each as PLACE or NAME=PLACE.
        questions: a file or folder in any format of ``dpr.questions``, or a set.
        baseline: the system that the others are compared with, by its name or as a further PLACE;
            none: all pairs are compared.
        documents, split: for models, for ``bm25`` and for the texts of runs, where no collection is
            among the systems.
        work: where collections of models are made; they are used again.
        tell: called with what is being done.

    Raises:
        InputError: no questions with answers or judgements; judgements about other documents.
        SettingsError: a system that is none.
    """
    settings = settings or EvaluationSettings()
    tell = tell or (lambda text: None)
    for measure in settings.measures:
        measure_name(measure)  # one that is none is met before anything is asked
    places = named_places([os.fspath(one) for one in systems])
    if baseline and baseline not in places:
        places = named_places([*(os.fspath(one) for one in systems), baseline])
        baseline = list(places)[-1]
    asked = questions if isinstance(questions, QuestionSet) else read_question_set(questions)
    _check(asked)
    with ExitStack() as stack:
        arena = _Arena(asked, documents, split, Path(work), settings, tell, stack)
        found = [arena.found(name, place) for name, place in places.items()]
        judged = arena.judged(found)
    return assemble(found, asked, judged, baseline, settings, title)


def _check(asked: QuestionSet) -> None:
    if not asked.questions:
        raise InputError(f"{asked.name} holds no questions")
    if not asked.judgements and not any(q.answers or q.unanswerable for q in asked.questions):
        raise InputError(
            f"the {len(asked.questions):,} questions of {asked.name} have neither answers nor "
            "judgements, so nothing can be measured; see docs/formats.md for files that have them"
        )


class _Arena:
    """Where systems get the same questions: opens what they need, once."""

    def __init__(
        self,
        asked: QuestionSet,
        documents: Source | None,
        split: str | SplitSettings,
        work: Path,
        settings: EvaluationSettings,
        tell: Tell,
        stack: ExitStack,
    ) -> None:
        self._asked, self._questions = asked, asked.questions
        self._documents, self._work, self._settings = documents, work, settings
        self._split = SplitSettings.parse(split) if isinstance(split, str) else split
        self._tell, self._stack = tell, stack
        self._shelf: Shelf | None = None
        self._collection: Path | None = None

    def found(self, name: str, place: str) -> Found:
        """What the system at a place gives."""
        depth, path = self._settings.depth, Path(place)
        self._tell(f"{name}: searching")
        if place == BM25:
            return of_bm25(name, self._needed(name), self._questions, depth)
        if place == UNTRAINED:
            shelf = self._needed(name)
            if self._collection is None:
                raise SettingsError("untrained needs a collection before it, whose shape it takes")
            seed = self._settings.statistics.seed
            return of_untrained(name, self._collection, shelf, self._questions, depth, seed)
        if path.is_file():
            if path.name.removesuffix(".gz").endswith(".json"):
                return of_results(name, path, self._questions, depth)
            return of_run(name, path, self._questions, depth, self._have())
        if path.is_dir() and is_collection(path):
            return self._searched(name, path, None)
        return self._indexed(name, place)

    def _searched(self, name: str, folder: Path, seconds: float | None) -> Found:
        pipeline = self._stack.enter_context(Pipeline.open(folder))
        if self._shelf is None:
            self._shelf, self._collection = Shelf(pipeline.collection), folder
        read = self._settings.read if any(q.answers for q in self._questions) else 0
        depth = self._settings.depth
        return of_collection(name, pipeline, self._questions, depth, read, seconds, self._tell)

    def _indexed(self, name: str, model: str) -> Found:
        """A model: its collection is made first, or gone on with."""
        if self._documents is None:
            raise SettingsError(
                f"{model} is neither a collection, nor a run file, nor one of "
                f"{', '.join(BASELINES)}; to evaluate a model give documents for it too"
            )
        folder = self._work / f"{name}.dpr"
        self._tell(f"{name}: indexing into {folder}")
        began = time.perf_counter()
        done = index_if_changed(self._documents, folder, model=model, split=self._split)
        return self._searched(name, folder, time.perf_counter() - began if done else None)

    def _have(self) -> Shelf | None:
        """Texts, where there are any."""
        if self._shelf is None and self._documents is not None:
            passages = source_passages(self._documents, SourceSettings(), self._split, Problems())
            self._shelf = Shelf(list(passages))
        return self._shelf

    def _needed(self, name: str) -> Shelf:
        shelf = self._have()
        if shelf is None:
            raise SettingsError(
                f"{name} needs passages: name a collection before it, or give documents"
            )
        return shelf

    def judged(self, found: Sequence[Found]) -> Judged | None:
        """What judgements are about; None where there are none."""
        if not self._asked.judgements:
            return None
        ids = (
            set(self._shelf.ids())
            if self._shelf
            else set().union(*(all_ids(f.hits) for f in found))
        )
        return judged_level(self._asked.judgements, ids)
