"""Documents to a collection.

Takes the name of a source, or documents; a model; settings. Gives a folder. Wires corpus, encoder
and collection together and holds no logic of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

from dpr.collection import BuildSettings, Collection, Manifest, build_collection, read_manifest
from dpr.collection.encoder import PassageEncoder
from dpr.corpus import (
    DuplicateSettings,
    Problems,
    SourceSettings,
    SplitSettings,
    read_passages,
)
from dpr.corpus.duplicates import Duplicates
from dpr.encoding import ContextEncoder, QuestionEncoder, Vectors
from dpr.errors import CollectionError, CorruptionError, InputError
from dpr.indexes.analysis import Analyzer, WordsSettings
from dpr.models.config import DPRConfig
from dpr.pipeline.models import Model, lasting, model_names
from dpr.pipeline.passages import Reading, Source, described, read_entries
from dpr.records import Passage
from dpr.search.parts import WordsMaker
from dpr.shipped import DEFAULT, ModelNames

_WORDS = WordsSettings()


@dataclass(frozen=True, slots=True)
class Indexed:
    """What indexing gives: the manifest, and what was met on the way.

    Attributes:
        added, removed: passages.
        encoded: of those added, for how many vectors had to be made; those that an interrupted
            call had encoded already do not count.
        documents: how many were new or changed.
        replaced: how many of these took the place of earlier ones.
        gone: how many documents are no longer there.
        unchanged: how many of the source's documents were as they are.
        note: what people should know of the index, or of what could not be done after the change;
            empty where there is nothing.
    """

    manifest: Manifest
    problems: Problems
    duplicates: Duplicates = field(default_factory=Duplicates)
    added: int = 0
    removed: int = 0
    encoded: int = 0
    documents: int = 0
    replaced: int = 0
    gone: int = 0
    unchanged: int = 0
    note: str = ""

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
    words: WordsSettings | None = _WORDS,
    duplicates: DuplicateSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> Indexed:
    """Makes a collection of documents, or goes on with one that was interrupted.

    Args:
        source: a folder, file, table, the word ``pydoc`` (see ``dpr.corpus``); documents; or rows
            with ``id``, ``text`` and perhaps ``title``, such as a dataset.
        to: the folder of the collection.
        model: the name of a shipped model, a folder that training made, or the places of both
            towers.
        split: how documents become passages: ``words:100``, ``sentences``, ``paragraphs``,
            ``none``.
        reading: how the source is read, and what to do about malformed parts of it.
        build: how vectors are stored and how much a kill may lose.
        words: which words passages are found by; None: the collection is searched by vectors only.
        duplicates: which passages to leave out; None: all are kept.
        progress: called with the number of passages done so far.

    Raises:
        InputError, SettingsError, CheckpointError, CollectionError: see ``dpr.errors``.
    """
    cut = SplitSettings.parse(split) if isinstance(split, str) else split
    reading = reading or SourceSettings()
    # A package or reader that is not there is met before encoding.
    if words:
        Analyzer(words)
    names = model_names(model)
    if names.reader:
        DPRConfig.from_pretrained(names.reader)
    met = Reading()
    entries = read_entries(source, {}, reading, cut, "0", met, duplicates)
    context = ContextEncoder.from_pretrained(names.context)
    question = QuestionEncoder.from_pretrained(names.question)
    telling = Telling(context, progress)
    manifest = build_collection(
        entries,
        telling,
        os.fspath(to),
        build or BuildSettings(),
        question_fingerprint=question.fingerprint,
        made_from={
            "model": lasting(model if isinstance(model, ModelNames) else os.fspath(model)),
            "sources": [described(source, reading, cut, duplicates)],
        },
        progress=telling.shard_done,
        makers=[WordsMaker(words)] if words else [],
    )
    rows = manifest.rows
    return Indexed(manifest, met.problems, met.duplicates, rows, 0, rows, met.changed)


def index_if_changed(
    source: Source,
    to: str | os.PathLike[str],
    *,
    model: Model = DEFAULT,
    split: str | SplitSettings = "words:100",
    progress: Callable[[int], None] | None = None,
) -> bool:
    """``index``, anew where the collection in ``to`` holds other passages or vectors of another
    encoder. Gives whether anything was done; the source is read either way, and not encoded.

    Raises:
        InputError: the source is an iterator, which can be read only once.
    """
    check_lasting(source)
    cut = SplitSettings.parse(split) if isinstance(split, str) else split
    there = is_collection(to)
    if there:
        encoder = ContextEncoder.from_pretrained(model_names(model).context)
        with Collection.open(os.fspath(to)) as collection:
            passages = source_passages(source, SourceSettings(), cut, Problems())
            same_encoder = collection.manifest.encoder_fingerprint == encoder.fingerprint
            if same_encoder and _same(collection, passages):
                return False
    build = BuildSettings(overwrite=there)
    index(source, to, model=model, split=cut, build=build, progress=progress)
    return True


def check_lasting(source: Source) -> None:
    """Refuse documents that are gone once they were read.

    Raises:
        InputError: an iterator.
    """
    if isinstance(source, Iterator):
        raise InputError("the documents are an iterator, and are read more than once: give a list")


def is_collection(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a complete collection, a damaged one included."""
    try:
        read_manifest(os.fspath(folder))
    except CorruptionError:
        return True  # opening it says what is wrong
    except CollectionError:
        return False
    return True


def _same(collection: Collection, passages: Iterator[Passage]) -> bool:
    """Whether a collection holds exactly these passages, in this order."""
    return all(one == other for one, other in zip_longest(collection, passages))


class Encoding(PassageEncoder, Protocol):
    """A ``ContextEncoder``, or who has one."""

    def encode(
        self, passages: Sequence[Passage], progress: Callable[[int], None] | None = None, /
    ) -> Vectors:
        """As ``ContextEncoder.encode``."""
        ...


class Telling:
    """An encoder that tells of passages as they are encoded, not only shard by shard."""

    def __init__(self, encoder: Encoding, tell: Callable[[int], None] | None) -> None:
        self._encoder = encoder
        self._tell = tell or (lambda done: None)
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


def source_passages(
    source: Source, reading: SourceSettings, cut: SplitSettings, problems: Problems
) -> Iterator[Passage]:
    """The passages of whatever ``index`` takes."""
    return read_passages(source, reading, cut, problems)


def check_apart(target: str | os.PathLike[str], sources: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse to write over what is read.

    Raises:
        InputError: the file is one of the sources, or lies in one that is a folder.
    """
    file = Path(target)
    for source in map(Path, sources):
        same = file.exists() and source.exists() and file.samefile(source)
        inside = source.resolve() in file.resolve().parents
        if same or inside:
            raise InputError(
                "is or lies in what is read, and would change it; give another file",
                source=str(file),
            )
