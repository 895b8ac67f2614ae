"""The one composer: documents to a collection, questions to hits and answers.

Command line, server and library users all go through here. Takes names of sources, models and
folders, and settings; wires the rooms below together and holds no logic of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from dpr.collection import BuildSettings, Collection, Manifest, build_collection, read_manifest
from dpr.corpus import (
    Problems,
    SourceSettings,
    SplitSettings,
    read_passages,
    split_document,
)
from dpr.encoding import ContextEncoder, QuestionEncoder, Vectors
from dpr.errors import CheckpointError, CollectionError, SettingsError
from dpr.indexes.flat import FlatIndex
from dpr.models.config import DPRConfig
from dpr.reading import SETTINGS_NAME, Reader, ReadingSettings
from dpr.records import Asked, Document, Hit, Passage, Question
from dpr.settings import load_settings
from dpr.shipped import DEFAULT, ModelNames, find_models, find_reader

Model = str | os.PathLike[str] | ModelNames
Source = str | os.PathLike[str] | Iterable[Document]


@dataclass(frozen=True, slots=True)
class Indexed:
    """What indexing gives: the manifest, and what was met on the way."""

    manifest: Manifest
    problems: Problems

    @property
    def truncated(self) -> int:
        """Passages of which the encoder read only the first part; see ``EncodingSettings``."""
        return self.manifest.truncated


def index(
    source: Source,
    to: str | os.PathLike[str],
    *,
    model: Model = DEFAULT,
    split: str | SplitSettings = "words:100",
    reading: SourceSettings | None = None,
    build: BuildSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> Indexed:
    """Makes a collection of documents, or goes on with one that was interrupted.

    Args:
        source: a folder, file, table, the word ``pydoc`` (see ``dpr.corpus``), or documents.
        to: the folder of the collection.
        model: the name of a shipped model, a folder that training made, or the places of both
            towers.
        split: how documents become passages: ``words:100``, ``sentences``, ``paragraphs``,
            ``none``.
        reading: how the source is read, and what to do about malformed parts of it.
        build: how vectors are stored and how much a kill may lose.
        progress: called with the number of passages done so far.

    Raises:
        InputError, SettingsError, CheckpointError, CollectionError: see ``dpr.errors``.
    """
    cut = SplitSettings.parse(split) if isinstance(split, str) else split
    reading = reading or SourceSettings()
    names = _names(model)
    if names.reader:
        DPRConfig.from_pretrained(names.reader)  # a reader that is not there is met before encoding
    problems = Problems()
    passages = _passages(source, reading, cut, problems)
    context = ContextEncoder.from_pretrained(names.context)
    question = QuestionEncoder.from_pretrained(names.question)
    telling = _Telling(context, progress) if progress else None
    manifest = build_collection(
        passages,
        telling or context,
        os.fspath(to),
        build or BuildSettings(),
        question_fingerprint=question.fingerprint,
        made_from={
            "source": os.fspath(source) if isinstance(source, str | os.PathLike) else "documents",
            "reading": _reading(reading),
            "split": str(cut),
            "model": _lasting(model if isinstance(model, ModelNames) else os.fspath(model)),
        },
        progress=telling.shard_done if telling else None,
    )
    return Indexed(manifest, problems)


class _Telling:
    """An encoder that tells of passages as they are encoded, not only shard by shard."""

    def __init__(self, encoder: ContextEncoder, tell: Callable[[int], None]) -> None:
        self._encoder = encoder
        self._tell = tell
        self._done = 0
        self.dim, self.fingerprint, self.settings = (
            encoder.dim,
            encoder.fingerprint,
            encoder.settings,
        )

    def shard_done(self, done: int) -> None:
        """What the builder tells: passages that are durable."""
        self._done = done
        self._tell(done)

    @property
    def truncated(self) -> int:
        return self._encoder.truncated

    def encode(self, passages: Sequence[Passage]) -> Vectors:
        done = self._done

        def tell(count: int) -> None:
            nonlocal done
            done += count
            self._tell(done)

        return self._encoder.encode(passages, tell)


def _reading(settings: SourceSettings) -> dict[str, Any]:
    """What the manifest keeps of how a source was read. Not what malformed parts of it led to: a
    build that stopped at one must be able to go on by skipping it."""
    return {name: value for name, value in asdict(settings).items() if name != "on_error"}


def _lasting(model: str | ModelNames) -> str | dict[str, str]:
    """What the manifest keeps of the model: folders as absolute paths, for any later place."""

    def place(name: str) -> str:
        return str(Path(name).resolve()) if name and Path(name).is_dir() else name

    if isinstance(model, str):
        return place(model)
    return {key: place(name) for key, name in model.to_dict().items()}


def _passages(
    source: Source, reading: SourceSettings, cut: SplitSettings, problems: Problems
) -> Iterator[Passage]:
    if isinstance(source, str | os.PathLike):
        return read_passages(source, reading, cut, problems)
    return (passage for document in source for passage in split_document(document, cut))


class Pipeline:
    """A collection that is open for questions.

    Attributes:
        collection: passages and vectors.
    """

    def __init__(
        self, collection: Collection, encoder: QuestionEncoder, reader: Reader | None = None
    ) -> None:
        collection.check_encoder(encoder.fingerprint)
        self.collection = collection
        self._encoder = encoder
        self._reader = reader
        self._index = FlatIndex(collection.vectors, collection.ids)

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        model: Model | None = None,
        reader: str | os.PathLike[str] | None = None,
        settings: ReadingSettings | Mapping[str, Any] | None = None,
        read: bool = True,
    ) -> Pipeline:
        """Opens a collection with the models that belong to it.

        Args:
            folder: of the collection.
            model: in place of the one that the collection was made with; refused where its
                question encoder is another.
            reader: in place of the model's own reader: a folder (of the reader, or of a model that
                holds one) or hub id.
            settings: in place of the reader's own; a mapping replaces only the fields it names.
            read: False leaves the reader out; such a pipeline searches and does not answer.

        Raises:
            CollectionError, CorruptionError, MismatchError: the collection, or the model for it.
            CheckpointError: a model.
        """
        names = _made_with(os.fspath(folder)) if model is None else _names(model)
        place = find_reader(os.fspath(reader)) if reader else names.reader
        return cls(
            Collection.open(os.fspath(folder)),
            QuestionEncoder.from_pretrained(names.question),
            _reader(place, settings) if read and place else None,
        )

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the collection's files."""
        self.collection.close()

    def search(self, question: str, k: int = 10) -> list[Hit]:
        """The k passages whose vectors have the largest inner product with the question's."""
        return self.search_many([question], k)[0]

    def search_many(self, questions: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """``search`` for many questions at once, in their order."""
        if not questions:
            return []
        scores, rows = self._index.search(self._encoder.encode(questions), k)
        return [
            [
                Hit(passage, float(score))
                for passage, score in zip(self.collection.passages(found.tolist()), s, strict=True)
            ]
            for s, found in zip(scores, rows, strict=True)
        ]

    def ask(self, question: str, k: int = 10) -> Asked:
        """The hits of a question, and the answers that the reader finds in the best of them."""
        return self.ask_many([Question("", question)], k)[0]

    def ask_many(self, questions: Sequence[str | Question], k: int = 10) -> list[Asked]:
        """``ask`` for many questions at once, in their order.

        Raises:
            CollectionError: the pipeline was opened without a reader.
        """
        if self._reader is None:
            raise CollectionError(
                f"{self.collection.path}: no reader to answer with; its model has none: open it "
                "with reader=FOLDER, or use search"
            )
        asked = [Question("", q) if isinstance(q, str) else q for q in questions]
        texts = [question.text for question in asked]
        hits = self.search_many(texts, k)
        answers = self._reader.answer_many(texts, hits)
        return [
            Asked(question, tuple(found), given)
            for question, found, given in zip(asked, hits, answers, strict=True)
        ]


def open(folder: str | os.PathLike[str], **options: Any) -> Pipeline:
    """``Pipeline.open``: a collection, open for questions."""
    return Pipeline.open(folder, **options)


def _names(model: Model) -> ModelNames:
    if isinstance(model, ModelNames):
        return replace(model, reader=find_reader(model.reader)) if model.reader else model
    return find_models(os.fspath(model))


def _made_with(folder: str) -> ModelNames:
    """The models that a collection was made with."""
    made_with = read_manifest(folder).made_from.get("model", DEFAULT)
    if isinstance(made_with, dict):
        return ModelNames(**made_with)
    try:
        return find_models(made_with)
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder}: the model that it was made with, {made_with!r}, is no longer there; say "
            "where it is now (--model, or model=)"
        ) from error


def _reader(place: str, settings: ReadingSettings | Mapping[str, Any] | None) -> Reader:
    """A reader with its own settings, others, or its own with some replaced."""
    if isinstance(settings, Mapping):
        names = [field.name for field in fields(ReadingSettings)]
        if unknown := sorted(set(settings) - set(names)):
            raise SettingsError(f"unknown reading settings {unknown}; allowed: {', '.join(names)}")
        own = load_settings(ReadingSettings, Path(place) / SETTINGS_NAME) or ReadingSettings()
        settings = replace(own, **settings)
    return Reader.from_pretrained(place, settings)
