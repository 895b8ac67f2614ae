"""Questions to hits and answers, from a collection.

Takes a collection's folder, models, questions. Wires encoder, index, passages and reader together
and holds no logic of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from dpr.collection import Collection
from dpr.encoding import QuestionEncoder, question_text
from dpr.errors import CollectionError, SettingsError
from dpr.indexes.flat import FlatIndex
from dpr.pipeline.models import Model, made_with, model_names
from dpr.reading import SETTINGS_NAME, Reader, ReadingSettings
from dpr.records import Asked, Hit, Question
from dpr.settings import load_settings
from dpr.shipped import find_reader

Asking = str | Question | Mapping[str, Any]
"""A question: a text, a record, or a row of a dataset."""


class Pipeline:
    """A collection that is open for questions.

    Attributes:
        collection: passages and vectors.
        reader: what answers; None in a pipeline that only searches.
    """

    def __init__(
        self, collection: Collection, encoder: QuestionEncoder, reader: Reader | None = None
    ) -> None:
        collection.check_encoder(encoder.fingerprint)
        self.collection = collection
        self._encoder = encoder
        self.reader = reader
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
        names = made_with(os.fspath(folder)) if model is None else model_names(model)
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

    def search_many(self, questions: Iterable[Asking], k: int = 10) -> list[list[Hit]]:
        """``search`` for many questions at once, in their order."""
        questions = list(questions)
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

    def ask_many(self, questions: Iterable[Asking], k: int = 10) -> list[Asked]:
        """``ask`` for many questions at once, in their order.

        Raises:
            CollectionError: the pipeline was opened without a reader.
        """
        if self.reader is None:
            raise CollectionError(
                f"{self.collection.path}: no reader to answer with; its model has none: open it "
                "with reader=FOLDER, or use search"
            )
        asked = [
            q if isinstance(q, Question) else Question("", question_text(q)) for q in questions
        ]
        texts = [question.text for question in asked]
        hits = self.search_many(texts, k)
        answers = self.reader.answer_many(texts, hits)
        return [
            Asked(question, tuple(found), given)
            for question, found, given in zip(asked, hits, answers, strict=True)
        ]


def open(folder: str | os.PathLike[str], **options: Any) -> Pipeline:
    """``Pipeline.open``: a collection, open for questions."""
    return Pipeline.open(folder, **options)


def _reader(place: str, settings: ReadingSettings | Mapping[str, Any] | None) -> Reader:
    """A reader with its own settings, others, or its own with some replaced."""
    if isinstance(settings, Mapping):
        names = [field.name for field in fields(ReadingSettings)]
        if unknown := sorted(set(settings) - set(names)):
            raise SettingsError(f"unknown reading settings {unknown}; allowed: {', '.join(names)}")
        own = load_settings(ReadingSettings, Path(place) / SETTINGS_NAME) or ReadingSettings()
        settings = replace(own, **settings)
    return Reader.from_pretrained(place, settings)
