"""Questions to hits and answers, from a collection.

Takes a collection's folder, models, questions. Wires encoder, index, passages and reader together
and holds no logic of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from threading import Lock
from typing import Any, TypedDict, Unpack

from dpr.collection import Collection
from dpr.encoding import ContextEncoder, QuestionEncoder, Vectors, question_text
from dpr.errors import CheckpointError, CollectionError, SettingsError
from dpr.filters import Filters
from dpr.pipeline.models import FORMER, Model, made_with, model_names
from dpr.reading import Reader, ReadingSettings
from dpr.records import Asked, Hit, Question
from dpr.search.searcher import Searcher
from dpr.search.settings import Mode, SearchSettings
from dpr.shipped import ModelNames, find_reader

Asking = str | Question | Mapping[str, Any]
"""A question: a text, a record, or a row of a dataset."""


class Narrowed(TypedDict, total=False):
    """How one search differs from the usual; see ``Pipeline.search``."""

    mode: Mode | None
    where: Filters | Mapping[str, Any] | None
    per_document: int | None


@dataclass(frozen=True, slots=True)
class Opened:
    """One version of a collection, with what searches it and what reads its hits.

    Attributes:
        reader: with the settings that belong to this version; None where there is none.
    """

    searcher: Searcher
    reader: Reader | None


def fitting_encoder(collection: Collection, names: ModelNames) -> tuple[QuestionEncoder, str]:
    """A model's question encoder, and where it isn't the collection's own the fingerprint of the
    context encoder that shows that it belongs to the collection nevertheless: with that the vectors
    were made, and the question encoder was trained beside it (``question_tower_only``), or was the
    collection's own before.

    Raises:
        MismatchError: scores between them would mean nothing.
        CheckpointError: the model cannot be loaded.
    """
    encoder, context = QuestionEncoder.from_pretrained(names.question), ""
    manifest = collection.manifest
    if encoder.fingerprint in manifest.made_from.get(FORMER, ()):
        context = manifest.encoder_fingerprint
    elif encoder.fingerprint != manifest.question_fingerprint and _apart(names):
        with suppress(CheckpointError):  # then nothing shows that it belongs
            context = ContextEncoder.from_pretrained(names.context).fingerprint
    collection.check_encoder(encoder.fingerprint, context)
    return encoder, context


def _apart(names: ModelNames) -> bool:
    """Whether there are two towers: one that is named for both shows nothing."""
    return names.context not in ("", names.question)


class Pipeline:
    """A collection that is open for questions; safe to share between threads.

    Every call works with the version of the collection that is newest when it begins, and with
    that alone.

    Args:
        settings: how to search, in place of what the collection keeps.
        context_fingerprint: see ``Collection.check_encoder``.

    Attributes:
        reader: what answers; None in a pipeline that only searches.
    """

    def __init__(
        self,
        collection: Collection,
        encoder: QuestionEncoder,
        reader: Reader | None = None,
        settings: SearchSettings | None = None,
        context_fingerprint: str = "",
    ) -> None:
        collection.check_encoder(encoder.fingerprint, context_fingerprint)
        self._encoder = encoder
        self.reader = reader
        self._reading: _Reading | None = None
        self._settings = settings
        self._lock = Lock()
        self._searcher = Searcher(collection, settings)

    @property
    def collection(self) -> Collection:
        """Passages and vectors, in the version that was last searched."""
        return self._searcher.collection

    @property
    def encoder(self) -> QuestionEncoder:
        """What makes vectors of questions."""
        return self._encoder

    @property
    def searcher(self) -> Searcher:
        """The newest version, ready to be searched; raises as ``newest``."""
        return self.newest.searcher

    @property
    def newest(self) -> Opened:
        """The newest version; it stays whole, and may be asked, when newer ones come.

        Raises:
            MismatchError: the collection was made anew, with another model.
            CollectionError, CorruptionError: the newest version cannot be opened.
        """
        with self._lock:
            newest = self.collection.current()
            if newest is not self.collection:
                # The version before was by the same context encoder as the question encoder's.
                by = self.collection.manifest.encoder_fingerprint
                newest.check_encoder(self._encoder.fingerprint, by)
                searcher, reader = Searcher(newest, self._settings), self.reader
                if self._reading:
                    reader = self._reading.reader(newest.manifest.search)
                # Both or neither: no version is read with the settings of another.
                self._searcher, self.reader = searcher, reader
            return Opened(self._searcher, self.reader)

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        model: Model | None = None,
        reader: str | os.PathLike[str] | None = None,
        settings: ReadingSettings | Mapping[str, Any] | None = None,
        search: SearchSettings | None = None,
        read: bool = True,
    ) -> Pipeline:
        """Opens a collection with the models that belong to it.

        Args:
            folder: of the collection.
            model: in place of the one that the collection was made with; refused where its
                question encoder is another, unless the context encoder is the same (see
                ``fitting_encoder``).
            reader: in place of the model's own reader: a folder (of the reader, or of a model that
                holds one) or hub id.
            settings: in place of those that the collection keeps for this reader (see
                ``dpr.pipeline.calibrating``), or else of the reader's own; a mapping replaces only
                the fields it names.
            search: how to search, in place of what the collection keeps.
            read: False leaves the reader out; such a pipeline searches and does not answer.

        Raises:
            CollectionError, CorruptionError, MismatchError: the collection, or the model for it.
            CheckpointError: a model.
        """
        names = made_with(os.fspath(folder)) if model is None else model_names(model)
        place = find_reader(os.fspath(reader)) if reader else names.reader
        collection = Collection.open(os.fspath(folder))
        reading = _Reading(place, settings) if read and place else None
        encoder, context = fitting_encoder(collection, names)
        pipeline = cls(
            collection,
            encoder,
            reading.reader(collection.manifest.search) if reading else None,
            search,
            context,
        )
        pipeline._reading = reading
        return pipeline

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the collection's files."""
        self.collection.close()

    def search(self, question: str, k: int = 10, **narrowed: Unpack[Narrowed]) -> list[Hit]:
        """The k best passages for a question.

        Args:
            narrowed: ``mode`` (``dense``, ``bm25``, ``hybrid``; by default as the collection is
                searched), ``where`` (filters, see ``dpr.filters``: ``{"year": {">=": 1990}}``),
                ``per_document`` (at most so many passages of a document).

        Raises:
            SettingsError: k below 1, another mode, a filter that makes no sense.
            CollectionError, CorruptionError: what is searched is not there, or was altered.
        """
        return self.search_many([question], k, **narrowed)[0]

    def search_many(
        self, questions: Iterable[Asking], k: int = 10, **narrowed: Unpack[Narrowed]
    ) -> list[list[Hit]]:
        """``search`` for many questions at once, in their order."""
        searcher, texts = self.searcher, [question_text(one) for one in questions]
        chosen = searcher.mode if narrowed.get("mode") in (None, "auto") else narrowed.get("mode")
        vectors = None if chosen == "bm25" or not texts else self._encoder.encode(texts)
        return self._search(searcher, texts, vectors, k, narrowed)

    @staticmethod
    def _search(
        searcher: Searcher,
        texts: list[str],
        vectors: Vectors | None,
        k: int,
        narrowed: Narrowed,
    ) -> list[list[Hit]]:
        if not texts:
            return []
        where = narrowed.get("where")
        return searcher.search(
            texts,
            vectors,
            k,
            mode=narrowed.get("mode"),
            where=where if isinstance(where, Filters | None) else Filters.from_mapping(where),
            per_document=narrowed.get("per_document"),
        )

    def ask(self, question: str, k: int = 10, **narrowed: Unpack[Narrowed]) -> Asked:
        """The hits of a question, and the answers that the reader finds in the best of them."""
        return self.ask_many([Question("", question)], k, **narrowed)[0]

    def ask_many(
        self, questions: Iterable[Asking], k: int = 10, **narrowed: Unpack[Narrowed]
    ) -> list[Asked]:
        """``ask`` for many questions at once, in their order.

        Raises:
            CollectionError: the pipeline was opened without a reader.
        """
        opened = self.newest
        if opened.reader is None:
            raise CollectionError(
                f"{self.collection.path}: no reader to answer with; its model has none: give one "
                'with reader="dpr-mini" or a folder (--reader on the command line), or search'
            )
        asked = [
            q if isinstance(q, Question) else Question("", question_text(q)) for q in questions
        ]
        texts = [question.text for question in asked]
        vectors = self._encoder.encode(texts) if texts else None
        hits = self._search(opened.searcher, texts, vectors, k, narrowed)
        answers = opened.reader.answer_many(texts, hits)
        return [
            Asked(question, tuple(found), given, opened.searcher.collection.version)
            for question, found, given in zip(asked, hits, answers, strict=True)
        ]


def open(folder: str | os.PathLike[str], **options: Any) -> Pipeline:
    """``Pipeline.open``: a collection, open for questions."""
    return Pipeline.open(folder, **options)


class _Reading:
    """A reader, with the settings that a version of a collection keeps for it, or with its own;
    with others in their place, or in the place of some."""

    def __init__(self, place: str, settings: ReadingSettings | Mapping[str, Any] | None) -> None:
        names = [field.name for field in fields(ReadingSettings)]
        self._fixed = settings if isinstance(settings, ReadingSettings) else None
        self._chosen = settings if isinstance(settings, Mapping) else {}
        if unknown := sorted(set(self._chosen) - set(names)):
            raise SettingsError(f"unknown reading settings {unknown}; allowed: {', '.join(names)}")
        self._reader = Reader.from_pretrained(place, self._fixed)

    def reader(self, search: Mapping[str, Any]) -> Reader:
        """The reader for a version whose manifest says to search so."""
        if self._fixed:
            return self._reader
        kept = ReadingSettings.kept(search, lambda: self._fingerprint)
        settings = replace(kept or self._reader.settings, **self._chosen)
        return Reader(self._reader.model, self._reader.tokenizer, settings)

    @cached_property
    def _fingerprint(self) -> str:
        return self._reader.fingerprint
