"""A collection's index and weights, chosen by measuring them on questions.

Takes the folder of a collection, what is wanted, and questions; gives what was chosen and why, and
keeps it in the collection. Wires collection, encoder, indexes and fusion together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from dpr.collection import Collection, Manifest, read_manifest, write_parts
from dpr.collection.change import TryOut
from dpr.collection.segment import SegmentReader
from dpr.errors import MissingExtraError
from dpr.fusion.tuning import Tuned
from dpr.indexes import kinds
from dpr.indexes.index import Index
from dpr.indexes.kinds import FlatSettings
from dpr.pipeline.asking import fitting_encoder
from dpr.pipeline.compacting import Tell, compact, index_maker
from dpr.pipeline.models import FORMER, Model, kept_reader, lasting, made_with, model_names
from dpr.pipeline.trial_questions import TrialQuestions, trial_questions
from dpr.pipeline.weighing import NOT_WEIGHED, mode_of, weigh
from dpr.reading import KEY as READING
from dpr.records import QuestionSet
from dpr.search.choosing import Choice, Targets, Trial, choose, meets, to_keep
from dpr.search.dense import stored_vectors
from dpr.search.parts import INDEX, IndexMaker, settings_there
from dpr.search.searcher import Searcher
from dpr.search.settings import SearchSettings
from dpr.search.trying import measure, try_efforts
from dpr.shipped import ModelNames

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
        model: in place of the one that the collection was made with. A question encoder that was
            trained beside the same context encoder (``question_tower_only``) becomes the
            collection's own, as weights and index are chosen for it.
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
    with Collection.open(folder) as collection:
        encoder, _ = fitting_encoder(collection, names)
        wanted = targets or _kept_targets(collection)
        asked, said, notes = trial_questions(collection, questions)
        test = TrialQuestions.of(collection, encoder, asked, wanted, tell)
        fusion = None
        # Questions made from passages repeat their words, and would weigh words too much.
        if weights and questions is not None:
            tell("weighing dense search and BM25")
            texts = [question.text for question in test.questions]
            fusion = weigh(collection, texts, test.queries, test.judged, weights == "even")
            if fusion is None:
                notes.append(f"hybrid search was not weighed: {NOT_WEIGHED}")
        trying = _Trying(test, wanted, candidates, tell)

        def changed(manifest: Manifest) -> Manifest:
            search = _kept(manifest.search, trying, fusion, said, len(test))
            return _searched_with(replace(manifest, search=search), names, encoder.fingerprint)

        # Where answers are looked for stays open until all is measured.
        version = collection.version
        manifest = write_parts(folder, trying.makers, drop=[INDEX], change=changed, version=version)
        if manifest.question_fingerprint != collection.manifest.question_fingerprint:
            notes += _adopted(collection.manifest, names, weighed=fusion is not None)
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
        encoder, _ = fitting_encoder(collection, names)
        place = str(kept["questions"])
        there = place and Path(place).exists()
        asked, _, _ = trial_questions(collection, place if there else None)
        test = TrialQuestions.of(collection, encoder, asked, targets, tell)
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
        change=lambda old: replace(old, search={**old.search, KEY: checked}),
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


def _searched_with(manifest: Manifest, names: ModelNames, fingerprint: str) -> Manifest:
    """Where the question encoder is another than before, it is the collection's from now on."""
    if fingerprint == manifest.question_fingerprint:
        return manifest
    if not names.reader:  # none was trained beside it: the one before reads on
        names = replace(names, reader=kept_reader(manifest))
    # Scores of answers were calibrated on what the encoder before found.
    search = {key: value for key, value in manifest.search.items() if key != READING}
    former = {*manifest.made_from.get(FORMER, ()), manifest.question_fingerprint} - {fingerprint}
    made_from = {**manifest.made_from, "model": lasting(names), FORMER: sorted(former)}
    return replace(manifest, question_fingerprint=fingerprint, made_from=made_from, search=search)


def _adopted(before: Manifest, names: ModelNames, *, weighed: bool) -> Iterator[str]:
    """What is to be told of another question encoder."""
    yield f"questions are encoded by {names.question} from now on"
    if READING in before.search:
        yield (
            "scores of answers were calibrated with the question encoder before, and are those of "
            "the reader again: run `dpr calibrate`"
        )
    if not weighed and SearchSettings.kept(before.search).fusion != SearchSettings().fusion:
        yield (
            "dense search and BM25 are weighed as was chosen for the question encoder before: give "
            "questions whose passages are judged (--questions) to weigh them again"
        )


def _kept_targets(collection: Collection) -> Targets:
    kept = collection.manifest.search.get(KEY)
    return Targets(**kept["targets"]) if kept else Targets()


class _Trying:
    """Builds and measures candidates while the collection's lock is held."""

    def __init__(
        self,
        test: TrialQuestions,
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
