"""Repair a collection, and count the words again that the repair had to drop.

Takes the folder of a collection; gives the report of ``dpr.collection.repair``.
"""

from __future__ import annotations

import os
from dataclasses import replace

from dpr.collection import Repaired, write_parts
from dpr.collection import repair as repair_files
from dpr.collection.change import TryOut
from dpr.collection.segment import SegmentReader
from dpr.indexes.words import WordsSettings
from dpr.search.parts import WORDS, WordsMaker


def repair(folder: str | os.PathLike[str], *, trial: bool = False) -> Repaired:
    """Mends a damaged collection and keeps only what is proven; see ``dpr.collection.repair``.

    Words that were dropped are counted again from the passages, so that searches by words go on. An
    index is not built again, since that can take hours: `dpr tune` does it.
    """
    report = repair_files(os.fspath(folder), trial=trial)
    dropped = [one.part.settings for one in report.parts if one.part.kind == WORDS]
    if trial or not dropped:
        return report
    words = WordsMaker(WordsSettings(**dropped[0]))

    def makers(segment: SegmentReader, trying: TryOut) -> list[WordsMaker]:
        return [] if segment.segment.part(WORDS) else [words]

    return replace(report, manifest=write_parts(os.fspath(folder), makers))
