"""A collection written anew as one segment, with the words and the index that it had.

Takes the folder of a collection; gives the new version. Knows nothing of what is good enough.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from dpr.collection import Changed, Collection
from dpr.collection import compact as compact_segments
from dpr.collection.parts import PartMaker
from dpr.indexes import kinds
from dpr.indexes.kinds import IndexSettings
from dpr.search.dense import stored_vectors
from dpr.search.parts import INDEX, WORDS, IndexMaker, WordsMaker, counted_as, settings_there

Tell = Callable[[str], None]


def compact(
    folder: str | os.PathLike[str],
    progress: Callable[[int], None] | None = None,
    tell: Tell = lambda text: None,
) -> Changed:
    """Writes a collection anew as one segment, without what was deleted; nothing is encoded.

    Its words are counted again, and its index is built again, as they were.

    Args:
        progress: called with the number of passages written so far.
        tell: told what is being done to the index.

    Raises:
        MissingExtraError: the index needs a package that is not installed.
        CollectionError: see ``dpr.errors``.
    """
    makers: list[PartMaker] = []
    with Collection.open(os.fspath(folder)) as collection:
        version = collection.version
        if words := settings_there(collection, WORDS):
            makers.append(WordsMaker(counted_as(words)))
        if index := settings_there(collection, INDEX):
            makers.append(index_maker(kinds.settings_from(index), tell))
    return compact_segments(os.fspath(folder), progress=progress, makers=makers, version=version)


def index_maker(settings: IndexSettings, tell: Tell) -> IndexMaker:
    """Builds an index of a segment, and tells of it."""

    def progress(stage: str, done: int, total: int) -> None:
        tell(f"{kinds.kind_of(settings)}: {stage} {done:,} of {total:,}")

    return IndexMaker(settings, lambda segment: stored_vectors([segment]), progress)
