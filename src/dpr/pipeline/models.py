"""What users call a model, and the places that go with it.

Takes names, folders and collections; gives ``ModelNames``. Loads no weights.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from dpr.collection import Manifest, read_manifest
from dpr.errors import CheckpointError
from dpr.shipped import DEFAULT, ModelNames, find_models, find_reader

Model = str | os.PathLike[str] | ModelNames
FORMER = "former_question_encoders"  # in ``made_from``: fingerprints of those a collection had


def model_names(model: Model) -> ModelNames:
    """The places under a name; a reader's is looked up as ``find_reader`` does."""
    if isinstance(model, ModelNames):
        return replace(model, reader=find_reader(model.reader)) if model.reader else model
    return find_models(os.fspath(model))


def towers(start: Model) -> ModelNames:
    """Where both towers of a training begin: a model's own, or one plain checkpoint for both, a
    folder or a hub id."""
    return _begin(start)[0]


def has_one_tower(start: Model) -> bool:
    """Whether a start is a model whose towers are tied: one folder ``encoder`` in a model's, or one
    place that was named for both. A plain checkpoint becomes two, as in the paper, wherever it
    lies."""
    names, plain = _begin(start)
    return names.question == names.context and not plain


def _begin(start: Model) -> tuple[ModelNames, bool]:
    """The towers of a start, and whether it is a plain checkpoint, which says nothing of tying."""
    if isinstance(start, ModelNames):
        return model_names(start), False
    place = os.fspath(start)
    if (Path(place) / "config.json").is_file():
        return ModelNames(place, place), True
    try:
        return find_models(place), False
    except CheckpointError:
        if Path(place).is_dir():
            raise
        return ModelNames(place, place), True  # a hub id; loading says where it is none


def reader_place(given: str) -> str:
    """A reader's place: of a model its own, else a folder or hub id of a reader's weights, or of a
    BERT's where one is to be trained.

    Raises:
        CheckpointError: a model or folder without a reader.
    """
    folder = Path(given)
    if (folder / "config.json").is_file():
        return given
    if (folder / "reader").is_dir():
        return str(folder / "reader")
    try:
        names = find_models(given)
    except CheckpointError:
        if folder.is_dir():
            raise CheckpointError(
                f"{folder} holds no reader: expected a folder 'reader' in it, or a config.json"
            ) from None
        return given
    if not names.reader:
        raise CheckpointError(
            f"{given} has no reader, only the towers of a retriever; give a model that has one, "
            "such as dpr-mini, a reader's folder, or a hub id"
        )
    return names.reader


def made_with(folder: str) -> ModelNames:
    """The models that a collection was made with."""
    model = read_manifest(folder).made_from.get("model", DEFAULT)
    if isinstance(model, dict):
        return ModelNames(**model)
    try:
        return find_models(model)
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder}: the model that it was made with, {model!r}, is no longer there; say "
            "where it is now (--model, or model=)"
        ) from error


def kept_reader(manifest: Manifest) -> str:
    """The reader of the model that a collection was made with; empty where it has none."""
    model = manifest.made_from.get("model", DEFAULT)
    if isinstance(model, dict):
        return ModelNames(**model).reader
    try:
        return find_models(model).reader
    except CheckpointError:
        return ""


def shown_name(names: ModelNames) -> str:
    """What a model is called before strangers: a hub id, or the name of its folder, never the path
    to it."""
    folder = Path(names.question)
    if not folder.is_dir():
        return names.question
    folder = folder.resolve()
    return folder.parent.name if folder.name in ("encoder", "question_encoder") else folder.name


def lasting(model: str | ModelNames) -> str | dict[str, str]:
    """What the manifest keeps of the model: folders as absolute paths, for any later place."""

    def place(name: str) -> str:
        return str(Path(name).resolve()) if name and Path(name).is_dir() else name

    if isinstance(model, str):
        return place(model)
    return {key: place(name) for key, name in model.to_dict().items()}
