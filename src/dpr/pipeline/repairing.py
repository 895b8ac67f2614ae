"""Repair a collection, and count the words again that the repair had to drop.

Takes the folder of a collection; gives the report of ``dpr.collection.repair``.
"""

from __future__ import annotations

import os

from dpr.collection import Repaired
from dpr.collection import repair as repair_files
from dpr.collection.manifest import Part
from dpr.search.parts import WORDS, WordsMaker, counted_as


def repair(folder: str | os.PathLike[str], *, trial: bool = False) -> Repaired:
    """Mends a damaged collection and keeps only what is proven; see ``dpr.collection.repair``.

    Words that were lost are counted again from the passages, in the same version, so that searches
    by words go on. An index is not built again, since that can take hours: `dpr tune` does it.
    """
    return repair_files(os.fspath(folder), trial=trial, remake=_remake)


def _remake(part: Part) -> WordsMaker | None:
    return WordsMaker(counted_as(part.settings)) if part.kind == WORDS else None
