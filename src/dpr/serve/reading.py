"""A document as far as a collection holds it: the passages around one of them, put together again.

Takes one version of a collection and the id of a passage; gives texts. What lies between passages
is not kept anywhere, and is shown as a gap. Knows nothing of HTML.
"""

from __future__ import annotations

from dataclasses import dataclass

from dpr.collection import Collection
from dpr.records import Passage

AROUND = 200  # passages, before and after: of a book, some dozens of pages


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a document; ``missing``: the characters before it that are not kept, which most
    often are the white space between two passages."""

    text: str
    missing: int


@dataclass(frozen=True, slots=True)
class Around:
    """A passage in its document.

    Attributes:
        before, after: what stands there. Nothing, where passages have no places in a document.
        missing: as that of a stretch, before the passage.
        more_before, more_after: there is more of the document, which is not shown.
    """

    passage: Passage
    before: tuple[Stretch, ...]
    after: tuple[Stretch, ...]
    missing: int
    more_before: bool
    more_after: bool


def around(collection: Collection, passage_id: str, most: int = AROUND) -> Around:
    """The document around a passage.

    Args:
        most: passages before it, and after it.

    Raises:
        InputError: there is no such passage.
        CorruptionError: it cannot be read.
    """
    row = collection.row_of(passage_id)
    passage = collection.passage(row)
    document = collection.document_rows(row)
    at = row - document.start
    rows = [
        one
        for one in document[max(0, at - most) : at + most + 1]
        if collection.live is None or collection.live[one]
    ]
    others = [one for one in collection.passages(rows) if _placed(one) and one.id != passage_id]
    if not _placed(passage):
        others = []
    others.sort(key=lambda one: (one.start, one.end))
    before = [one for one in others if one.start < passage.start]
    after = [one for one in others if one.start >= passage.start]
    stretches, reached = _joined(before, 0, passage.start)
    return Around(
        passage,
        stretches,
        _joined(after, passage.end, None)[0],
        passage.start - reached if _placed(passage) else 0,
        more_before=bool(others) and at > most,
        more_after=bool(others) and at + most + 1 < len(document),
    )


def _placed(passage: Passage) -> bool:
    """Whether its offsets say where it stands: those of imported passages may not."""
    return passage.end - passage.start == len(passage.text)


def _joined(passages: list[Passage], at: int, end: int | None) -> tuple[tuple[Stretch, ...], int]:
    """Passages from ``at`` up to ``end`` without what they share, and how far they reach."""
    found: list[Stretch] = []
    for one in passages:
        start = max(at, one.start)
        text = one.text[start - one.start :]
        if end is not None:
            text = text[: max(0, end - start)]
        if text:
            found.append(Stretch(text, start - at))
            at = start + len(text)
    return tuple(found), at
