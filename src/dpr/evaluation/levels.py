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
    """What judgements are about; ``absent`` of the ``total`` relevant ids belong to nothing that
    was indexed."""

    level: Level
    absent: int
    total: int


def judged_level(judgements: Mapping[str, Mapping[str, int]], ids: Collection[str]) -> Judged:
    """What judgements are about, given the ids of all passages: whole documents where that is the
    reading under which more of the relevant ids are there.

    Raises:
        InputError: none of the relevant ids is there under either reading.
    """
    wanted = {one for grades in judgements.values() for one, grade in grades.items() if grade > 0}
    passages = set(ids)
    documents = {document_of(one) for one in passages}
    as_passages, as_documents = len(wanted & passages), len(wanted & (documents | passages))
    if wanted and not as_documents:
        raise InputError(
            f"none of the {len(wanted):,} relevant ids, such as {min(wanted)!r}, is the id of a "
            f"passage or document that was indexed, such as {min(passages, default='')!r}; give "
            "the judgements that belong to these documents"
        )
    level: Level = "document" if as_documents > as_passages else "passage"
    return Judged(level, len(wanted) - max(as_passages, as_documents), len(wanted))


def scores(hits: Sequence[Hit], level: Level, judged: Collection[str]) -> dict[str, float]:
    """Score by id; a document has that of its best passage. Ids that are judged stay as they are.

    Hits keep their order: where two of them have one score, the later one's is lowered by the least
    there is, since measures would order them by id.
    """
    found: dict[str, float] = {}
    last = float("inf")
    for hit in hits:
        name = hit.passage.id
        if level == "document" and name not in judged:
            name = document_of(name)
        if name in found:
            continue
        last = _below(hit.score, last)
        found[name] = last
    return found


def _below(score: float, last: float) -> float:
    """``score``, or the next lower number of single precision (which measures compare in)."""
    import numpy as np

    value = np.float32(score)
    return float(value if value < last else np.nextafter(np.float32(last), np.float32(-np.inf)))


def all_ids(hits: Iterable[Sequence[Hit]]) -> set[str]:
    """The ids of all hits, where no list of all passages is at hand."""
    return {hit.passage.id for one in hits for hit in one}
