"""Documents -> passages.

Takes a document; gives passages with ``text == document.text[start:end]``, without white space
around, in order, that together hold every character of the document that is not white space
exactly once. Knows nothing of files or models.

Words are what white space sets apart. ``sentences`` and ``paragraphs`` also count each Chinese or
Japanese character as a word (and the punctuation between), since those scripts set none apart;
``words`` does not, so that DPR's published passages stay whole.

No passage runs from one section into the next, except that a section of fewer than 15 words, its
heading counted, is joined with the one after it until there are 15; the last one stands alone. A
passage's section is the heading that covers most of it, the earlier one of equals; with ``none``
it is the last heading that begins no later than the passage. ``paragraphs`` joins a first
paragraph of fewer than 15 words, such as a heading, with those after it in the same way.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from dpr.corpus.sentences import paragraph_spans, sentence_spans
from dpr.corpus.settings import SplitSettings
from dpr.records import Document, Passage

SHORT_SECTION = 15
Span = tuple[int, int]

# Radicals, ideographic marks and numerals, kana, ideographs with their extensions.
CJK = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_NUMBERED = re.compile(r"(.*)#(0|[1-9][0-9]*)", re.DOTALL)
_COUNTED = re.compile(rf"[{CJK}]|[^\s{CJK}]+")


@lru_cache(maxsize=32)
def _word_runs(size: int) -> re.Pattern[str]:
    """Matches up to ``size`` words. Possessive, so that no text makes it backtrack at length."""
    return re.compile(rf"(?:\S++\s++){{0,{size - 1}}}\S++")


@lru_cache(maxsize=32)
def _counted_runs(size: int) -> re.Pattern[str]:
    word = rf"(?:[{CJK}]|[^\s{CJK}]++)"
    return re.compile(rf"(?:{word}\s*+){{0,{size - 1}}}{word}")


def split_document(document: Document, settings: SplitSettings) -> Iterator[Passage]:
    """The passages of a document.

    A document that gives exactly one passage gives it its own id; otherwise the ids are
    ``{document id}#0``, ``{document id}#1``, and so on. A text of white space gives none. All
    share the document's own mapping of metadata.
    """
    text = document.text
    whole = text.strip()
    if settings.unit == "none" or (
        settings.unit == "words"
        and not document.sections
        and len(whole.split(None, settings.size)) <= settings.size
    ):
        if whole:
            start = len(text) - len(text.lstrip())
            end = start + len(whole)
            section = _last_heading(document, start)
            yield Passage(
                document.id,
                whole,
                document.title,
                section,
                document.source,
                start,
                end,
                document.id,
                document.metadata,
            )
        return
    spans = list(_spans(document, settings))
    for number, (start, end) in enumerate(spans):
        yield Passage(
            id=document.id if len(spans) == 1 else f"{document.id}#{number}",
            text=text[start:end],
            title=document.title,
            section=_widest_heading(document, start, end),
            source=document.source,
            start=start,
            end=end,
            document=document.id,
            metadata=document.metadata,
        )


def _last_heading(document: Document, start: int) -> str:
    at = bisect_right(document.sections, start, key=lambda section: section.start)
    return document.sections[at - 1].title if at else ""


def _widest_heading(document: Document, start: int, end: int) -> str:
    sections = document.sections
    at = bisect_right(sections, start, key=lambda section: section.start)
    title = sections[at - 1].title if at else ""
    widest = (sections[at].start if at < len(sections) else end) - start
    while at < len(sections) and sections[at].start < end:
        until = sections[at + 1].start if at + 1 < len(sections) else end
        width = min(until, end) - sections[at].start
        if width > widest:
            title, widest = sections[at].title, width
        at += 1
    return title


def _spans(document: Document, settings: SplitSettings) -> Iterator[Span]:
    text, size = document.text, settings.size
    for start, end in _regions(document, min(SHORT_SECTION, size)):
        if settings.unit == "words":
            for match in _word_runs(size).finditer(text, start, end):
                yield match.span()
        elif settings.unit == "sentences":
            yield from _packed(text, start, end, size)
        else:
            for first, last in _joined_paragraphs(text, start, end, min(SHORT_SECTION, size)):
                yield from _packed(text, first, last, size)


def _regions(document: Document, enough: int) -> Iterator[Span]:
    """Ranges that no passage leaves: sections, the short ones joined with what follows."""
    text = document.text
    begin = 0
    for end in (*(section.start for section in document.sections), len(text)):
        if _has(text, begin, end, enough):
            yield begin, end
            begin = end
    if begin < len(text):
        yield begin, len(text)


def _has(text: str, start: int, end: int, enough: int) -> bool:
    """Whether there are at least ``enough`` words, without counting on."""
    return next(islice(_COUNTED.finditer(text, start, end), enough - 1, None), None) is not None


def _count(piece: str) -> int:
    return len(piece.split()) if piece.isascii() else len(_COUNTED.findall(piece))


def _joined_paragraphs(text: str, start: int, end: int, enough: int) -> Iterator[Span]:
    """The paragraphs of a region, a short first one (its heading) joined with those after it."""
    paragraphs = list(paragraph_spans(text, start, end))
    while len(paragraphs) > 1 and not _has(text, *paragraphs[0], enough):
        paragraphs[:2] = [(paragraphs[0][0], paragraphs[1][1])]
    return iter(paragraphs)


def _packed(text: str, start: int, end: int, size: int) -> Iterator[Span]:
    """Whole sentences, as many as have ``size`` words together; a longer one is cut by words."""
    begin: int | None = None
    stop = words = 0
    for first, last, count in _sentence_pieces(text, start, end, size):
        if begin is not None and words + count > size:
            yield begin, stop
            begin = None
        if begin is None:
            begin, words = first, 0
        stop = last
        words += count
    if begin is not None:
        yield begin, stop


def _sentence_pieces(text: str, start: int, end: int, size: int) -> Iterator[tuple[int, int, int]]:
    for first, last in sentence_spans(text, start, end):
        count = _count(text[first:last])
        if count <= size:
            yield first, last, count
        else:
            for match in _counted_runs(size).finditer(text, first, last):
                yield match.start(), match.end(), min(count, size)
                count -= size


class PassageIds:
    """Finds passage ids given twice, holding only documents that could take part in it.

    ``a`` is cut into ``a#0`` and ``a#1``, and there may be a document whose own id is ``a#0``.
    """

    def __init__(self) -> None:
        self._numbered: set[str] = set()
        self._split: dict[str, int] = {}

    def collision(self, identifier: str, count: int) -> str | None:
        """Remember a document and its number of passages; an id that was given before."""
        if count == 1:
            match = _NUMBERED.fullmatch(identifier) if "#" in identifier else None
            if match:
                if int(match[2]) < self._split.get(match[1], 0):
                    return identifier
                self._numbered.add(identifier)
            return None
        for number in range(count if self._numbered else 0):
            if f"{identifier}#{number}" in self._numbered:
                return f"{identifier}#{number}"
        if count > 1:
            self._split[identifier] = count
        return None
