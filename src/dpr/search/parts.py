"""What is made of a segment for searching: its words, and an index of its vectors.

Takes segments and settings; makes parts (see ``dpr.collection.parts``) and loads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dpr.collection import Collection
from dpr.collection.parts import Bench
from dpr.collection.segment import SegmentReader
from dpr.errors import CollectionError, CorruptionError, SettingsError
from dpr.indexes import kinds
from dpr.indexes.bm25 import BM25, BM25Settings
from dpr.indexes.index import Ids, Index
from dpr.indexes.kinds import IndexSettings
from dpr.indexes.stored import StoredVectors
from dpr.indexes.words import WordCounts, WordsSettings, build_words

WORDS, INDEX = "words", "index"
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class WordsMaker:
    """Counts a segment's words, for BM25."""

    words: WordsSettings
    progress: Tell | None = None
    kind = WORDS

    @property
    def settings(self) -> dict[str, Any]:
        """Of the analysis of texts."""
        return asdict(self.words)

    def make(self, segment: SegmentReader, bench: Bench) -> Sequence[str]:
        """One file; see ``dpr.indexes.words``."""
        return build_words(_texts(segment), self.words, bench, self.progress, segment.rows)


def _texts(segment: SegmentReader) -> Iterator[tuple[str, str]]:
    for number in range(len(segment.blocks)):
        batch = segment.batch(number)
        titles, texts = (batch.column(name).to_pylist() for name in ("title", "text"))
        yield from zip(titles, texts, strict=True)


def words_settings(collection: Collection) -> WordsSettings | None:
    """How the words of a collection were counted; None where a segment's were not, or otherwise
    than another's."""
    found = [segment.segment.part(WORDS) for segment in collection.segments]
    settings = [counted_as(part.settings) for part in found if part is not None]
    if len(settings) < len(found) or any(one != settings[0] for one in settings):
        return None
    return settings[0]


def counted_as(settings: Mapping[str, Any]) -> WordsSettings:
    """What a part of words keeps; those made before there were pairs have none."""
    return WordsSettings(**{"pairs": False, **settings})


def settings_there(collection: Collection, kind: str) -> dict[str, Any] | None:
    """The settings of a collection's parts of a kind; where segments differ, those of the largest
    that has one. None where none has."""
    found = [one for one in collection.segments if one.segment.part(kind) is not None]
    if not found:
        return None
    part = max(found, key=lambda one: one.rows).segment.part(kind)
    assert part is not None
    return dict(part.settings)


def open_words(collection: Collection, settings: BM25Settings | None = None) -> BM25:
    """BM25 over all the segments of a collection.

    Raises:
        CollectionError: words were not counted, or not everywhere alike.
        CorruptionError: a file was altered.
    """
    words = words_settings(collection)
    if words is None:
        some = settings_there(collection, WORDS) is not None
        raise CollectionError(
            f"{collection.path}: the words of its passages are not counted"
            f"{' everywhere alike' if some else ''}, so that it cannot be searched by them; "
            + ("run `dpr compact` on it" if some else "make it again with its words (--words)")
            + ", or search by vectors (--mode dense)"
        )
    counts, live = [], []
    for segment, first in zip(collection.segments, collection.starts, strict=False):
        part = segment.part(WORDS)
        assert part is not None
        counts.append(WordCounts.load(part[1]))
        mask = collection.live
        own = None if mask is None else mask[first : first + segment.rows]
        live.append(None if own is None or own.all() else own)
    return BM25(counts, live, settings, words, collection.ids)


@dataclass(frozen=True)
class IndexMaker:
    """Builds an index of a segment's vectors."""

    index: IndexSettings
    stored: Callable[[SegmentReader], StoredVectors]
    progress: Tell | None = None
    kind = INDEX

    @property
    def settings(self) -> dict[str, Any]:
        """Of the index, its kind among them."""
        return kinds.to_json(self.index)

    def make(self, segment: SegmentReader, bench: Bench) -> Sequence[str]:
        """Its files; see ``dpr.indexes.kinds``."""
        return kinds.build(self.index, self.stored(segment), bench, self.progress)


def load_index(
    settings: Mapping[str, Any],
    files: Mapping[str, Path],
    stored: StoredVectors,
    ids: Ids,
    effort: Mapping[str, Any] | None,
) -> Index:
    """The index of a segment.

    Args:
        effort: how hard it is to try, where it is of the kind that this is for; else as is usual.

    Raises:
        CorruptionError: settings that no index has.
        MissingExtraError: the index needs a package that is not installed.
    """
    try:
        index = kinds.settings_from(dict(settings))
        given = effort if effort and effort.get("kind") == settings.get("kind") else None
        trying = kinds.effort_from(dict(given)) if given else None
    except SettingsError as error:
        raise CorruptionError(f"an index of the collection cannot be read: {error}") from error
    return kinds.load(index, files, stored, trying, ids)
