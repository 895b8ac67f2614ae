"""How a collection's reader is to be believed, chosen on questions whose answers are known.

Takes the folder of a collection and questions; searches and reads as asking does, and keeps what
is chosen: in the collection, for the reader that it was chosen for, or beside the reader's weights.
Wires collection, reader and ``dpr.confidence`` together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dpr.collection import write_parts
from dpr.confidence import Calibrated, Case, Readings, check_count
from dpr.confidence import calibrate as choose
from dpr.errors import CollectionError, MismatchError, SettingsError
from dpr.evaluation.answers import normalize_answer
from dpr.evaluation.levels import document_of
from dpr.pipeline.asking import Pipeline
from dpr.pipeline.evaluating import Questions, read_asked
from dpr.pipeline.models import Model, made_with, model_names
from dpr.reading import SETTINGS_NAME, Reader, Reading, ReadingSettings
from dpr.records import Hit, Question, QuestionSet
from dpr.search.settings import Mode
from dpr.settings import save_settings
from dpr.shipped import find_reader, is_shipped

AT_ONCE = 32
DEEPER = 3  # times as many hits as are read, among which those without an answer are looked for

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What ``calibrate`` gives.

    Attributes:
        chosen: settings and held-out figures.
        kept: where the settings are now, for people; empty where they were not kept.
        notes: what a reader of the figures must know.
    """

    chosen: Calibrated
    kept: str
    notes: tuple[str, ...] = ()


def calibrate(
    folder: str | os.PathLike[str],
    questions: Questions,
    *,
    model: Model | None = None,
    reader: str | os.PathLike[str] | None = None,
    into_model: bool = False,
    dry_run: bool = False,
    mode: Mode = "auto",
    source: str = "",
    tell: Tell = lambda text: None,
) -> Calibration:
    """Chooses weights, confidence and threshold of a collection's answers, and keeps them.

    Args:
        questions: with the answers that are right, as ``dpr.pipeline.evaluate`` takes them; those
            that are marked as unanswerable count too.
        model, reader: as for ``Pipeline.open``.
        into_model: keep it beside the reader's weights, where every collection finds it that is
            read with this reader, and not in the collection.
        dry_run: keep nothing.
        mode: how passages are searched for; by default as the collection keeps it.
        source: what the collection says the questions were; by default their file, or their name.
        tell: called with what is being done.

    Raises:
        InputError: too few questions with answers, or nothing can be told from them.
        SettingsError: ``into_model``, and the reader is one that the package ships, or on a hub;
            another mode than there are.
        CollectionError, CorruptionError, MismatchError, CheckpointError: see ``dpr.errors``.
    """
    folder = os.fspath(folder)
    asked = read_asked(questions)
    check_count(sum(bool(question.answers) for question in asked.questions))
    place = _place(folder, model, reader)
    if into_model:
        check_writable(place)
    with Pipeline.open(folder, model=model, reader=reader) as pipeline:
        if not (dry_run or into_model):
            _check_own(pipeline)
        cases = list(read_cases(pipeline, asked, tell, mode))
        assert pipeline.reader is not None
        tell("choosing")
        chosen = choose(cases, pipeline.reader.settings)
        fingerprint, version = pipeline.reader.fingerprint, pipeline.collection.version
    left = len(asked.questions) - len(cases)
    notes = [f"{left:,} questions have no answers, and were left out"] if left else []
    kept = ""
    if not dry_run and into_model:
        kept = keep_beside(place, chosen.settings)
    elif not dry_run:
        if not source and isinstance(questions, str | os.PathLike):
            source = str(Path(questions).resolve())
        source = source or asked.name
        keep_in(folder, chosen.settings, fingerprint, source, version)
        kept = folder
    return Calibration(chosen, kept, (*notes, *chosen.notes))


def _check_own(pipeline: Pipeline) -> None:
    """Refuses to keep in a collection what holds for another question encoder than its own.

    Raises:
        MismatchError: says how to make it its own.
    """
    folder = pipeline.collection.path
    if pipeline.encoder.fingerprint != pipeline.collection.manifest.question_fingerprint:
        raise MismatchError(
            f"{folder}: its own question encoder is another, and what is chosen for one does not "
            f"hold for the other; make this one its own first (dpr tune {folder} --model), or keep "
            "the choice beside the reader (--into-model) or nowhere (--dry-run)"
        )


def _place(folder: str, model: Model | None, reader: str | os.PathLike[str] | None) -> str:
    """The place of the reader."""
    if reader:
        return find_reader(os.fspath(reader))
    names = made_with(folder) if model is None else model_names(model)
    if not names.reader:
        raise CollectionError(f"{folder}: its model has no reader; name one (--reader, reader=)")
    return names.reader


def read_cases(
    pipeline: Pipeline,
    asked: QuestionSet,
    tell: Tell = lambda text: None,
    mode: Mode = "auto",
) -> Iterator[Case]:
    """What is read for each question that has an answer, or is known to have none: of its best
    hits, and of the best that hold no accepted answer.

    Raises:
        CollectionError: the pipeline has no reader.
    """
    reader = pipeline.reader
    if reader is None:
        raise CollectionError(f"{pipeline.collection.path}: no reader to calibrate; name one")
    useful = [one for one in asked.questions if one.answers or one.unanswerable]
    for first in range(0, len(useful), AT_ONCE):
        tell(f"reading for question {first + 1:,} of {len(useful):,}")
        some = useful[first : first + AT_ONCE]
        depth = DEEPER * reader.settings.passages
        hits = pipeline.search_many([one.text for one in some], depth, mode=mode)
        yield from _read(reader, some, hits, asked)


def _read(
    reader: Reader, questions: Sequence[Question], hits: Sequence[list[Hit]], asked: QuestionSet
) -> list[Case]:
    count = reader.settings.passages
    chosen: list[tuple[list[Hit], list[Hit]]] = []
    for question, found in zip(questions, hits, strict=True):
        empty = [] if question.unanswerable else _without(question, found, asked)
        chosen.append((found[:count], empty[:count]))
    rows = [
        (number, hit)
        for number, (found, without) in enumerate(chosen)
        for hit in [*found, *(one for one in without if one not in found)]
    ]
    readings: list[list[tuple[Hit, Reading]]] = [[] for _ in questions]
    for reading in reader.read(
        [questions[number].text for number, _ in rows],
        [hit.passage.title for _, hit in rows],
        [hit.passage.text for _, hit in rows],
    ):
        number, hit = rows[reading.item]
        readings[number].append((hit, reading))
    return [
        Case(
            question,
            _of(found, own),
            _of(without, own),
            _about(question, found, asked),
        )
        for question, (found, without), own in zip(questions, chosen, readings, strict=True)
    ]


def _of(hits: Sequence[Hit], readings: Readings) -> Readings:
    ids = {hit.passage.id for hit in hits}
    return tuple(pair for pair in readings if pair[0].passage.id in ids)


def _relevant(question: Question, asked: QuestionSet) -> list[str]:
    """Ids of passages or documents."""
    grades = asked.judgements.get(question.id, {})
    return [one for one, grade in grades.items() if grade > 0]


def _without(question: Question, hits: Sequence[Hit], asked: QuestionSet) -> list[Hit]:
    """The hits that are not known to answer the question, and hold no accepted answer."""
    relevant = set(_relevant(question, asked))
    return [
        hit
        for hit in hits
        if not relevant & {hit.passage.id, hit.passage.document, document_of(hit.passage.id)}
        and not holds(hit.passage.text, question.answers)
    ]


def holds(text: str, answers: Sequence[str]) -> bool:
    """Whether a text holds one of the answers, compared as SQuAD compares them."""
    words = f" {normalize_answer(text)} "
    return any(f" {normalize_answer(answer)} " in words for answer in answers)


def _about(question: Question, hits: Sequence[Hit], asked: QuestionSet) -> tuple[str, ...]:
    """The document and the passage that answer the question; empty where none is known."""
    for one in _relevant(question, asked):
        return document_of(one), one
    for hit in hits:
        if question.answers and holds(hit.passage.text, question.answers):
            return hit.passage.document or document_of(hit.passage.id), hit.passage.id
    return ()


def check_writable(place: str) -> None:
    """Refuses to write into a reader that others own too.

    Raises:
        SettingsError: it comes with the package, or is no folder.
    """
    what = "comes with the package" if is_shipped(place) else "is no folder here"
    if is_shipped(place) or not Path(place).is_dir():
        raise SettingsError(
            f"the reader {place} {what}, so that nothing is written into it; keep the settings in "
            "the collection (without --into-model), or copy the model and name the copy"
        )


def keep_beside(place: str, settings: ReadingSettings) -> str:
    """Writes the settings beside a reader's weights, whole; gives the file."""
    path = Path(place) / SETTINGS_NAME
    save_settings(settings, path)
    return str(path)


def keep_in(
    folder: str, settings: ReadingSettings, fingerprint: str, source: str, version: int
) -> None:
    """Keeps the settings in a collection, in a new version of it.

    Raises:
        CollectionError: it was changed since ``version``, or another writer is at work.
    """
    write_parts(
        folder,
        lambda segment, trying: [],
        change=lambda old: replace(old, search=settings.to_keep(old.search, fingerprint, source)),
        version=version,
    )
