"""Whether judgements are about passages or about whole documents, and ranks of documents.

Takes ids and hits; gives scores by id, as measures want them. A passage's document is its id
without ``#n`` at the end, as splitting names them. Knows nothing of texts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dpr.errors import InputError
from dpr.records import Hit

Level = Literal["passage", "document"]
_PIECE = re.compile(r"#\d+$")


def document_of(passage_id: str) -> str:
    """The id of the document that a passage was cut from; its own where it is whole."""
    return _PIECE.sub("", passage_id)


@dataclass(frozen=True, slots=True)
class Judged:
    """What judgements are about.

    Attributes:
        absent: of the ``total`` relevant ids, those that belong to nothing that was indexed.
        cut: whether some documents were cut into several passages.
    """

    level: Level
    absent: int = 0
    total: int = 0
    cut: bool = False


def judged_level(
    judgements: Mapping[str, Mapping[str, int]], ids: Collection[str], indexed: bool = True
) -> Judged:
    """What judgements are about: passages where a relevant id is that of a piece, ``name#n``, and
    else whole documents (which is the same where none was cut).

    Args:
        ids: of all passages; with ``indexed`` False only of those that were found, so that what is
            absent is not known.

    Raises:
        InputError: none of the relevant ids is there.
    """
    wanted = {one for grades in judgements.values() for one, grade in grades.items() if grade > 0}
    passages = set(ids)
    pieces = any(_PIECE.search(one) and one in passages for one in wanted)
    level: Level = "passage" if pieces else "document"
    cut = any(document_of(one) != one for one in passages)
    if not indexed:
        return Judged(level, cut=cut)
    there = passages if pieces else passages | {document_of(one) for one in passages}
    if wanted and not wanted & there:
        raise InputError(
            f"none of the {len(wanted):,} relevant ids, such as {min(wanted)!r}, is the id of a "
            f"passage or document that was indexed, such as {min(passages, default='')!r}; give "
            "the judgements that belong to these documents"
        )
    return Judged(level, len(wanted - there), len(wanted), cut)


def scores(
    hits: Sequence[Hit], level: Level, judged: Collection[str], ordered: bool = True
) -> dict[str, float]:
    """Score by id; a document has that of its best passage. Ids that are judged stay as they are.

    Args:
        ordered: hits keep their order: where two of them have one score, the later one's is lowered
            by the least there is, since measures would order them by id. False for a run, whose
            scores are all that is known of its order.
    """
    found: dict[str, float] = {}
    last = float("inf")
    for hit in hits:
        name = hit.passage.id
        if level == "document" and name not in judged:
            name = document_of(name)
        if name not in found:
            last = found[name] = _below(hit.score, last) if ordered else hit.score
    return found


def _below(score: float, last: float) -> float:
    """``score``, or the next lower number of single precision (which measures compare in)."""
    import numpy as np

    value = np.float32(score)
    return float(value if value < last else np.nextafter(np.float32(last), np.float32(-np.inf)))


def all_ids(hits: Iterable[Sequence[Hit]]) -> set[str]:
    """The ids of all hits, where no list of all passages is at hand."""
    return {hit.passage.id for one in hits for hit in one}
