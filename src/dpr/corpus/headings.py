"""Headings of Markdown and reStructuredText.

Takes a text; gives its headings as sections that refer to it. A heading begins where its first
line begins (the overline, where there is one), and its title is the heading's text without the
marks that make it one; markup inside stays. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from dpr.corpus.front_matter import front_matter_lines
from dpr.records import Section

_LINE = re.compile(r"([^\r\n]*)(?:\r\n?|\n|$)")
_HASHES = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_INDENTED = re.compile(r" {4}|\t")
# A line that begins like this is a list, a quotation or a table, never a setext heading.
_NO_PARAGRAPH = re.compile(r" {0,3}(?:[-+*>|]|\d{1,9}[.)])(?:[ \t]|$)| {0,3}[>|]")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*[ \t]*")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading and its depth, 1 being the topmost."""

    start: int
    title: str
    level: int


def to_sections(headings: list[Heading]) -> tuple[Section, ...]:
    """The headings as a document holds them."""
    return tuple(Section(heading.start, heading.title) for heading in headings)


def first_title(headings: list[Heading]) -> str:
    """What the text is called: its first topmost heading, empty without any."""
    top = min((heading.level for heading in headings), default=0)
    return next((heading.title for heading in headings if heading.level == top), "")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for match in _LINE.finditer(text):
        yield match.start(), match[1]


def markdown_headings(text: str) -> list[Heading]:
    """Headings marked by hashes or underlined, outside code fences and front matter.

    An underlined heading is a single line that follows an empty one, a heading or the start.
    """
    headings: list[Heading] = []
    fence = ""
    paragraph: tuple[int, str] | None = None  # the only line so far of the paragraph at hand
    in_paragraph = False
    for start, line in islice(_lines(text), front_matter_lines(text), None):
        if fence:
            if line.strip() and not line.strip().strip(fence[0]) and fence in line:
                fence = ""
            continue
        opening = _FENCE.fullmatch(line)
        hashes = _HASHES.match(line)
        if opening and not (opening[1][0] == "`" and "`" in opening[2]):
            fence, paragraph, in_paragraph = opening[1], None, False
        elif hashes:
            if title := _without_closing_hashes(line[hashes.end() :].strip()):
                headings.append(Heading(start, title, len(hashes[1])))
            paragraph, in_paragraph = None, False
        elif in_paragraph and (underline := _SETEXT.fullmatch(line)):
            if paragraph:
                level = 1 if underline[1][0] == "=" else 2
                headings.append(Heading(paragraph[0], paragraph[1].strip(), level))
            paragraph, in_paragraph = None, False
        elif not line.strip() or (not in_paragraph and _INDENTED.match(line)):
            paragraph, in_paragraph = None, False
        else:
            fresh = not in_paragraph and not _NO_PARAGRAPH.match(line)
            paragraph, in_paragraph = (start, line) if fresh else None, True
    return headings


def _without_closing_hashes(title: str) -> str:
    bare = title.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else title


def rst_headings(text: str) -> list[Heading]:
    """Headings with an underline, or an overline and an underline, of at least their length.

    The line before must be empty, a heading's or a directive's, so that tables and code are not
    taken for headings. As in reStructuredText, the depth of a kind of line is the order in which
    the kinds first appear.
    """
    lines = list(_lines(text))
    headings: list[Heading] = []
    kinds: list[str] = []
    at = 0
    free = True  # whether a heading may begin here
    while at + 1 < len(lines):
        found = _rst_heading(lines, at) if free else None
        if found is None:
            line = lines[at][1]
            free = not line.strip() or line.startswith(".. ")
            at += 1
            continue
        kind, title, used = found
        free = True
        if kind not in kinds:
            kinds.append(kind)
        headings.append(Heading(lines[at][0], title, kinds.index(kind) + 1))
        at += used
    return headings


def _rst_heading(lines: list[tuple[int, str]], at: int) -> tuple[str, str, int] | None:
    """The kind of adornment, the title and the number of lines of a heading at line ``at``."""
    first, second = lines[at][1], lines[at + 1][1]
    if not first.strip():
        return None
    if _ADORNMENT.fullmatch(first):
        third = lines[at + 2][1] if at + 2 < len(lines) else ""
        if third.rstrip() == first.rstrip() and _underlines(third, second.strip()):
            return first[0] * 2, second.strip(), 3
        return None
    if first[0].isspace() or not _underlines(second, first.rstrip()):
        return None
    return second[0], first.rstrip(), 2


def _underlines(line: str, title: str) -> bool:
    if not title or not _ADORNMENT.fullmatch(line) or _ADORNMENT.fullmatch(title):
        return False
    return len(line.rstrip()) >= len(title)
