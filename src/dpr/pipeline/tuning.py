"""A collection's index and weights, chosen by measuring them on questions.

Takes the folder of a collection, what is wanted, and questions; gives what was chosen and why, and
keeps it in the collection. Wires collection, encoder, indexes and fusion together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from dpr.collection import Collection, Manifest, read_manifest, write_parts
from dpr.collection.change import TryOut
from dpr.collection.segment import SegmentReader
from dpr.encoding import QuestionEncoder, Vectors
from dpr.errors import InputError, MissingExtraError
from dpr.evaluation.matching import Matcher
from dpr.fusion.tuning import Tuned
from dpr.indexes import kinds
from dpr.indexes.flat import FlatIndex
from dpr.indexes.index import Index, Rows
from dpr.indexes.kinds import FlatSettings
from dpr.pipeline.compacting import Tell, compact, index_maker
from dpr.pipeline.models import Model, made_with, model_names
from dpr.pipeline.weighing import NOT_WEIGHED, mode_of, weigh
from dpr.questions import read_question_set
from dpr.questions.pseudo import pseudo_questions
from dpr.records import Question, QuestionSet
from dpr.search.choosing import Choice, Targets, Trial, choose, meets, to_keep
from dpr.search.dense import stored_vectors
from dpr.search.parts import INDEX, IndexMaker, settings_there
from dpr.search.searcher import Searcher
from dpr.search.settings import SearchSettings
from dpr.search.trying import Test, latencies, measure, try_efforts

QUESTIONS = 500
TIMED = 100
ANSWERED_WITHIN = 20
KEY = "tuned"
GROWTH = 1.2


@dataclass(frozen=True)
class Tuning:
    """What tuning gives.

    Attributes:
        choice: the index that was chosen, and why; without one the collection's index stays.
        trials: all that was measured.
        fusion: how both ways of searching were weighed, where the questions' passages are known.
        manifest: of the version that is there now.
        notes: what a reader of the figures must know.
    """

    choice: Choice
    trials: tuple[Trial, ...]
    fusion: Tuned | None
    manifest: Manifest
    notes: tuple[str, ...] = ()


def tune(
    folder: str | os.PathLike[str],
    *,
    targets: Targets | None = None,
    questions: QuestionSet | str | os.PathLike[str] | None = None,
    model: Model | None = None,
    weights: bool | Literal["even"] = True,
    candidates: Sequence[kinds.Candidate] | None = None,
    tell: Tell = lambda text: None,
) -> Tuning:
    """Chooses the cheapest index that does what is wanted, and the weights of hybrid search, both
    measured on questions; a collection of several segments is made one first.

    Args:
        targets: what is wanted; None: what was wanted last, else a recall of 0.95.
        questions: a set, or a file or folder of one (see ``dpr.questions``); None: questions made
            from the passages, which tell about an index, and nothing about weights.
        weights: also choose how dense search and BM25 are weighed, where the set says which
            passages answer; "even": counting the questions that either answers better the same,
            for those made up while reading (see ``dpr.fusion.tuning``).
        candidates: the indexes to try; None: all that are worth it for so many passages.
        tell: told what is being done.

    Raises:
        InputError: no questions, or too few of either kind where both are to count the same.
        CollectionError, MismatchError, CheckpointError: see ``dpr.errors``.
    """
    folder = os.fspath(folder)
    _one_segment(folder, tell)
    names = made_with(folder) if model is None else model_names(model)
    encoder = QuestionEncoder.from_pretrained(names.question)
    with Collection.open(folder) as collection:
        collection.check_encoder(encoder.fingerprint)
        wanted = targets or _kept_targets(collection)
        asked, said, notes = _questions(collection, questions)
        test = _Test.of(collection, encoder, asked, wanted, tell)
        # Questions made from passages repeat their words, and would weigh words too much.
        real = questions is not None
        fusion = None
        if weights and real:
            tell("weighing dense search and BM25")
            texts = [question.text for question in test.questions]
            fusion = weigh(collection, texts, test.queries, test.judged, weights == "even")
            if fusion is None:
                notes.append(f"hybrid search was not weighed: {NOT_WEIGHED}")
        version = collection.version
    trying = _Trying(test, wanted, candidates, tell)
    manifest = write_parts(
        folder,
        trying.makers,
        drop=[INDEX],
        search=lambda search: _kept(search, trying, fusion, said, len(test)),
        version=version,
    )
    if trying.missing:
        notes.append(f"some indexes were not tried: {trying.missing}")
    return Tuning(trying.choice, tuple(trying.trials), fusion, manifest, tuple(notes))


def recheck(
    folder: str | os.PathLike[str], *, model: Model | None = None, tell: Tell = lambda text: None
) -> tuple[Trial, list[str]] | None:
    """Measures the index that a collection has against what was wanted when one was chosen.

    Returns:
        What was measured, and which targets are missed now (``recall``, ``memory``, ``latency``);
        None where no index was ever chosen.
    """
    folder = os.fspath(folder)
    names = made_with(folder) if model is None else model_names(model)
    with Collection.open(folder) as collection:
        kept = collection.manifest.search.get(KEY)
        if kept is None:
            return None
        targets = Targets(**kept["targets"])
        encoder = QuestionEncoder.from_pretrained(names.question)
        place = str(kept["questions"])
        asked, _, _ = _questions(collection, place if place and Path(place).exists() else None)
        test = _Test.of(collection, encoder, asked, targets, tell)
        searcher = Searcher(collection)
        settings = kinds.settings_from(settings_there(collection, INDEX) or {"kind": "flat"})
        effort = kinds.to_json(kinds.usual_effort(settings))
        if (given := searcher.settings.effort) and given["kind"] == effort["kind"]:
            effort = given
        trial = measure(
            cast(Index, searcher.dense),
            kinds.to_json(settings),
            effort,
            test.measured,
            allowed=collection.live,
        )
        return trial, meets(trial, targets)


def check_growth(folder: str | Path, manifest: Manifest, model: Model | None = None) -> str:
    """Measures an index again once the collection has grown by a fifth since it was last measured.

    Returns:
        What was found, for people; empty where there was nothing to measure.
    """
    kept = manifest.search.get(KEY)
    if not kept or manifest.rows < GROWTH * kept.get("checked", kept["rows"]):
        return ""
    found = recheck(folder, model=model)
    if found is None:
        return ""
    checked = {**kept, "checked": manifest.rows}
    write_parts(
        folder,
        lambda segment, trying: [],
        search=lambda old: {**old, KEY: checked},
        version=manifest.version,
    )
    trial, missed = found
    text = (
        f"the collection has grown from {kept['rows']:,} to {manifest.rows:,} passages since its "
        f"index was chosen: recall {trial.recall:.3f}, 95 of 100 questions within "
        f"{1e3 * trial.p95:.3g} ms"
    )
    if not missed:
        return f"{text}, as wanted"
    return f"{text}: {' and '.join(missed)} no longer as wanted; run `dpr tune {folder}`"


def _one_segment(folder: str, tell: Tell) -> None:
    segments = read_manifest(folder).segments
    if len(segments) > 1 or segments[0].deleted:
        tell("making one segment of all")
        compact(folder, tell=tell)


def _kept_targets(collection: Collection) -> Targets:
    kept = collection.manifest.search.get(KEY)
    return Targets(**kept["targets"]) if kept else Targets()


def _questions(
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
class _Test:
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
    ) -> _Test:
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
    if not question.answers:
        return None
    matcher = Matcher(question.answers)
    known: dict[int, bool] = {}

    def right(row: int) -> bool:
        if row not in known:
            known[row] = matcher.matches(collection.passage(row).text)
        return known[row]

    return right


class _Trying:
    """Builds and measures candidates while the collection's lock is held."""

    def __init__(
        self,
        test: _Test,
        targets: Targets,
        candidates: Sequence[kinds.Candidate] | None,
        tell: Tell,
    ) -> None:
        self.test, self.targets, self.tell = test, targets, tell
        self.candidates = candidates
        self.trials: list[Trial] = []
        self.choice = Choice(None, "nothing was tried")
        self.rows = 0
        self.missing = ""

    def makers(self, segment: SegmentReader, trying: TryOut) -> list[IndexMaker]:
        """Measures all candidates on a segment; gives the chosen one."""
        self.rows = segment.rows
        rows, dim = segment.vectors.shape
        for candidate in self.candidates or kinds.candidates(rows, dim):
            try:
                self._try(candidate, segment, trying)
            except MissingExtraError as error:
                self.missing = str(error)
        self.choice = choose(self.trials, self.targets)
        if self.choice.trial is None:
            there = segment.segment.part(INDEX)  # stays as it is
            settings = kinds.settings_from(dict(there.settings)) if there else FlatSettings()
        else:
            settings = kinds.settings_from(self.choice.trial.index)
        return [] if isinstance(settings, FlatSettings) else [index_maker(settings, self.tell)]

    def _try(self, candidate: kinds.Candidate, segment: SegmentReader, trying: TryOut) -> None:
        settings, memory = candidate.settings, self.targets.memory
        rows, dim = segment.vectors.shape
        name = kinds.kind_of(settings)
        if memory is not None and kinds.estimated_bytes(settings, rows, dim) > memory:
            self.tell(f"{name}: would take more memory than is allowed")
            return
        self.tell(f"{name}: building")
        began = time.perf_counter()
        flat = isinstance(settings, FlatSettings)
        files = {} if flat else trying(index_maker(settings, self.tell))
        seconds = time.perf_counter() - began
        stored, test = stored_vectors([segment]), self.test.measured
        for trial in try_efforts(
            candidate, files, stored, test, self.targets, self.trials, seconds
        ):
            self.trials.append(trial)
            self.tell(
                f"{trial.name}: recall {trial.recall:.3f}, {1e3 * trial.p50:.2f} ms, "
                f"{trial.bytes / 1e6:,.0f} MB"
            )


def _kept(
    search: dict[str, Any], trying: _Trying, fusion: Tuned | None, questions: str, count: int
) -> dict[str, Any]:
    """What the collection keeps."""
    settings = SearchSettings.kept(search)
    if fusion is not None:
        settings = replace(settings, fusion=fusion.settings, mode=mode_of(fusion))
    trial = trying.choice.trial
    if trial is not None:
        settings = replace(settings, effort=trial.effort)
        search = {**search, KEY: to_keep(trying.targets, trial, trying.rows, questions)}
        search[KEY]["count"] = count
    return settings.to_keep(search)
