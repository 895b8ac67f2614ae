"""Passages and vectors that were encoded elsewhere to a collection.

Takes the name of a source, files of vectors, a model. Gives a folder. Wires corpus, interchange and
collection together and holds no logic of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from dpr.collection import BuildSettings, Manifest, build_collection
from dpr.corpus import Problems, SourceSettings, SplitSettings
from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.indexes.words import WordsSettings
from dpr.interchange.matched import Declared, Extra, MatchedVectors
from dpr.interchange.vectors_in import Files, VectorFiles, VectorSettings
from dpr.pipeline.models import Model, lasting, model_names
from dpr.pipeline.passages import Reading, Source, described, read_entries
from dpr.search.parts import WordsMaker
from dpr.shipped import ModelNames

_WORDS = WordsSettings()


@dataclass(frozen=True, slots=True)
class Imported:
    """What importing gives.

    Attributes:
        manifest: of the collection.
        problems: what was met while the source was read.
        left_over: vectors that no passage has.
        compared: passages whose vectors were compared with the context encoder's; 0 where none was
            given.
    """

    manifest: Manifest
    problems: Problems
    left_over: int
    compared: int


def import_vectors(
    source: Source,
    vectors: Files,
    to: str | os.PathLike[str],
    *,
    model: Model,
    ids: Files = (),
    files: VectorSettings | None = None,
    extra: Extra = "raise",
    split: str | SplitSettings = "none",
    reading: SourceSettings | None = None,
    build: BuildSettings | None = None,
    words: WordsSettings | None = _WORDS,
    progress: Callable[[int], None] | None = None,
) -> Imported:
    """Makes a collection of passages whose vectors there are already; an interrupted one goes on.

    Args:
        source: of the passages, as for ``index``.
        vectors: NumPy files, (n, dim), or Parquet files with columns of ids and of vectors: paths,
            or patterns such as ``vectors/*.npy``.
        to: the folder of the collection.
        model: whose vectors they are: a model's name or folder, or ``ModelNames``. Its context
            encoder is compared with some of them, and encodes documents that are added later.
            ``ModelNames(question, context="")`` names the question encoder alone: nothing can be
            compared, and no documents be added.
        ids: of NumPy files, the ids of their rows; see ``VectorFiles``. Without them the vectors
            are those of the passages in order.
        files: how the files are read: the names of columns, a prefix of ids.
        extra: ``skip`` leaves out vectors that no passage has.
        split: how documents become passages; as a rule they are passages already.
        reading, build, words, progress: as for ``index``.

    Raises:
        InputError: a passage without a vector, a vector without a passage, an id that comes twice,
            a vector that is none.
        MismatchError: the vectors are not the model's.
        SettingsError, CheckpointError, CollectionError: as for ``index``.
    """
    cut = SplitSettings.parse(split) if isinstance(split, str) else split
    reading, build = reading or SourceSettings(), build or BuildSettings()
    met = Reading()
    table = VectorFiles(vectors, ids, files, scratch=Path(to).absolute().parent)
    try:
        matched = MatchedVectors(table, _declared(model), build.shard_size, extra)
        entries = matched.entries(read_entries(source, {}, reading, cut, "0", met))
        first = list(islice(entries, 1))  # what does not fit from the start leaves no folder
        manifest = build_collection(
            chain(first, entries),
            matched,
            os.fspath(to),
            build,
            question_fingerprint=matched.question_fingerprint,
            made_from={"model": _lasting(model), "sources": [described(source, reading, cut)]},
            progress=progress,
            makers=[WordsMaker(words)] if words else [],
        )
    finally:
        table.close()
    return Imported(manifest, met.problems, matched.left_over, matched.compared)


def _lasting(model: Model) -> str | dict[str, str]:
    return lasting(model if isinstance(model, ModelNames) else os.fspath(model))


def _declared(model: Model) -> Declared:
    names = model_names(model)
    question = QuestionEncoder.from_pretrained(names.question)
    context = ContextEncoder.from_pretrained(names.context) if names.context else None
    return Declared(question.fingerprint, question.dim, context)
