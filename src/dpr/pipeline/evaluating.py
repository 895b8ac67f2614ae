"""Systems and questions to an ``Evaluation``: opens what is named, asks it all the same questions.

Takes collections, runs, models or baselines, and questions with answers or judgements. Wires
systems and figures together and holds no measure of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import Any

from dpr.corpus import Problems, SourceSettings, SplitSettings
from dpr.errors import InputError, SettingsError
from dpr.evaluation.judged import measure_name
from dpr.evaluation.levels import Judged, all_ids, document_of, judged_level
from dpr.evaluation.records import Evaluation
from dpr.pipeline.asking import Pipeline
from dpr.pipeline.building import index_if_changed, is_collection, source_passages
from dpr.pipeline.figures import EvaluationSettings, assemble
from dpr.pipeline.passages import Source
from dpr.pipeline.systems import (
    BASELINES,
    BM25,
    DENSE,
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
from dpr.questions import check_set, question_set, read_question_set
from dpr.records import Question, QuestionSet
from dpr.search.settings import MODES, Mode

Tell = Callable[[str], None]
Questions = str | os.PathLike[str] | QuestionSet | Iterable[Question | Mapping[str, Any]]


def evaluate(
    systems: Sequence[str | os.PathLike[str]],
    questions: Questions,
    *,
    baseline: str = "",
    documents: Source | None = None,
    split: str | SplitSettings = "words:100",
    mode: Mode = "auto",
    work: str | os.PathLike[str] = "dpr-evaluation",
    settings: EvaluationSettings | None = None,
    title: str = "",
    encode_seconds: Mapping[str, float] | None = None,
    tell: Tell | None = None,
) -> Evaluation:
    """Measures systems on the same questions and says which differences are real.

    Args:
        systems: collections, TREC runs, results JSON, models (indexed from ``documents`` into
            ``work``), ``bm25``, ``dense`` (the vectors alone of the first collection),
            ``untrained``; each as PLACE or NAME=PLACE.
        questions: a file or folder in any format of ``dpr.questions``, a set, or records or rows
            with ``text`` (or ``question``), ``answers`` and perhaps ``id``.
        baseline: the system that the others are compared with, by its name or place, or as a
            further one; none: all pairs are compared.
        documents, split: for models, for ``bm25`` and for the texts of runs, where no collection is
            among the systems.
        mode: how collections are searched; by default each as it is kept.
        work: where collections of models are made; they are used again.
        encode_seconds: what making a system's collection took, where that is known.
        tell: called with what is being done.

    Raises:
        InputError: no questions with answers or judgements; judgements about other documents; a
            run without any of the questions.
        SettingsError: a system that is none, or a measure that cannot be measured here.
    """
    settings = settings or EvaluationSettings()
    if mode not in MODES:
        raise SettingsError(f"mode is {mode!r}; allowed are {', '.join(MODES)}")
    for measure in settings.measures:
        measure_name(measure)  # one that is none is met before anything is asked
    places = named_places([os.fspath(one) for one in systems])
    if baseline:
        known = next((n for n, place in places.items() if baseline in (n, place)), "")
        if not known:
            places = named_places([*(os.fspath(one) for one in systems), baseline])
        baseline = known or list(places)[-1]
    asked = read_asked(questions)
    _check(asked, settings)
    arena = _Arena(asked, documents, split, mode, Path(work), settings, tell or (lambda text: None))
    with arena:
        arena.open(places, dict(encode_seconds or {}))
        found = [arena.found(name, place) for name, place in places.items()]
        judged = arena.judged(found)
    source = os.fspath(questions) if isinstance(questions, str | os.PathLike) else ""
    return assemble(found, asked, judged, baseline, settings, title, source)


def read_asked(questions: Questions) -> QuestionSet:
    """The questions, however they are given, with no id twice and no answer that says nothing."""
    if isinstance(questions, str | os.PathLike):
        return read_question_set(questions)
    if isinstance(questions, QuestionSet):
        check_set(questions)
        return questions
    return question_set(questions)


def _check(asked: QuestionSet, settings: EvaluationSettings) -> None:
    if not asked.questions:
        raise InputError(f"{asked.name} holds no questions")
    judged = sum(question.id in asked.judgements for question in asked.questions)
    if asked.judgements and not judged:
        raise InputError(
            f"the judgements are of other questions, such as {next(iter(asked.judgements))!r}; "
            f"those of {asked.name} have ids such as {asked.questions[0].id!r}"
        )
    if settings.measures and not judged:
        raise SettingsError(
            f"{', '.join(settings.measures)}: needs judgements, and {asked.name} has none; give "
            "them, or leave such measures out"
        )
    if not judged and not any(q.answers or q.unanswerable for q in asked.questions):
        raise InputError(
            f"the {len(asked.questions):,} questions of {asked.name} have neither answers nor "
            "judgements, so nothing can be measured; see docs/formats.md for files that have them"
        )


class _Arena(ExitStack):
    """Where systems get the same questions: opens what they need, once."""

    def __init__(
        self,
        asked: QuestionSet,
        documents: Source | None,
        split: str | SplitSettings,
        mode: Mode,
        work: Path,
        settings: EvaluationSettings,
        tell: Tell,
    ) -> None:
        super().__init__()
        self._mode = mode
        self._asked, self._questions = asked, asked.questions
        self._documents, self._work, self._settings = documents, work, settings
        self._split = SplitSettings.parse(split) if isinstance(split, str) else split
        self._tell = tell
        self._pipelines: dict[str, Pipeline] = {}
        self._shelves: list[Shelf] = []
        self._seconds: dict[str, float] = {}
        self._judged: Judged | None = None
        self._depth = settings.depth

    def open(self, places: Mapping[str, str], seconds: dict[str, float]) -> None:
        """Collections, made first where there is but a model; before anything is searched, since
        baselines and runs need their passages, and all need to know what is judged."""
        self._seconds = seconds
        for name, place in places.items():
            path = Path(place)
            if place in BASELINES or path.is_file():
                continue
            folder = path if is_collection(path) else self._indexed(name, place)
            pipeline = self.enter_context(Pipeline.open(folder))
            self._pipelines[name] = pipeline
            self._shelves.append(Shelf(pipeline.collection))
        if not self._shelves and self._documents is not None:
            passages = source_passages(self._documents, SourceSettings(), self._split, Problems())
            self._shelves.append(Shelf(list(passages)))
        if self._asked.judgements and self._shelves:
            ids = {one for shelf in self._shelves for one in shelf.ids()}
            self._judged = judged_level(self._asked.judgements, ids)
            if self._judged.level == "document" and self._judged.cut:
                # So many passages hold about as many documents as are wanted.
                pieces = max(
                    len(shelf) / len({document_of(one) for one in shelf.ids()})
                    for shelf in self._shelves
                )
                self._depth = ceil(self._settings.depth * pieces)

    def _indexed(self, name: str, model: str) -> Path:
        """The collection of a model: made, or used again."""
        if self._documents is None:
            raise SettingsError(
                f"{model} is neither a collection, nor a run file, nor one of "
                f"{', '.join(BASELINES)}; to evaluate a model give documents for it too"
            )
        folder = self._work / f"{name}.dpr"
        self._tell(f"{name}: indexing into {folder}")
        began = time.perf_counter()
        if index_if_changed(self._documents, folder, model=model, split=self._split):
            self._seconds[name] = time.perf_counter() - began
        return folder

    def found(self, name: str, place: str) -> Found:
        """What the system at a place gives."""
        path = Path(place)
        self._tell(f"{name}: searching")
        if name in self._pipelines:
            return self._searched(name, self._pipelines[name], self._mode, self._read_depth)
        if place == BM25:
            return of_bm25(name, self._shelf(name), self._questions, self._depth)
        if place == DENSE:
            return self._searched(name, self._first(name), "dense", 0)
        if place == UNTRAINED:
            shelf, folder = self._shelf(name), self._first(name).collection.path
            seed = self._settings.statistics.seed
            return of_untrained(name, folder, shelf, self._questions, self._depth, seed)
        if path.name.removesuffix(".gz").endswith(".json"):
            return of_results(name, path, self._questions)
        return of_run(name, path, self._questions, self._shelves)

    @property
    def _read_depth(self) -> int:
        """How many hits readers read."""
        settings = self._settings
        answers = any(question.answers for question in self._questions)
        return settings.read if answers and not settings.regex else 0

    def _searched(self, name: str, pipeline: Pipeline, mode: Mode, read: int) -> Found:
        seconds = self._seconds.get(name)
        return of_collection(
            name, pipeline, self._questions, self._depth, read, seconds, self._tell, mode
        )

    def _first(self, name: str) -> Pipeline:
        if not self._pipelines:
            raise SettingsError(f"{name} needs a collection, whose encoders it takes; name one too")
        return next(iter(self._pipelines.values()))

    def _shelf(self, name: str) -> Shelf:
        if not self._shelves:
            raise SettingsError(f"{name} needs passages: name a collection too, or give documents")
        return self._shelves[0]

    def judged(self, found: Sequence[Found]) -> Judged | None:
        """What judgements are about; None where there are none."""
        if self._judged is None and self._asked.judgements:
            ids = {one for each in found for one in all_ids(each.hits)}
            return judged_level(self._asked.judgements, ids, indexed=False)
        return self._judged
