"""Where sentences and paragraphs end, by rule.

Takes a text and a range of it; gives ranges without white space around. Knows nothing of passages.

The rule: a sentence ends at ``.``, ``!``, ``?`` or ``…``, with closing quotes and brackets, before
white space, unless the next character is a lower-case letter; at ``。！？｡``, ``।॥`` and ``؟۔``
anywhere; and at an empty line. A single dot ends none after an abbreviation of a short English
list (Dr., et al.), or of another list where a digit follows (No. 5, Fig. 2); after initials
(J. R., U.S., e.g.); or after the number that begins a line (1.). A number's dot (3.14) has no
white space after it. The rule errs towards longer sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Atomic groups, or the two characters of one CRLF would count as two line ends.
BLANK_LINE = re.compile(r"(?>\r\n|[\n\r])[^\S\n\r]*(?>\r\n|[\n\r])\s*")
_END = re.compile(
    r"[.!?…]++[\"'”’»)\]*_`]*+(?=\s)"
    r"|[。！？｡।॥؟۔]++[」』”’）】》〉\"')\]]*+"
    rf"|{BLANK_LINE.pattern}"
)
_NOT_SPACE = re.compile(r"\S")
_LAST_WORD = re.compile(r"\S+\Z")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]|[^\W\d_a-z]")
_BEFORE_ANYTHING = (
    "mr mrs ms dr prof st sr jr rev gen col capt lt sgt gov sen rep hon messrs mt ft "
    "vs cf ca approx esp al ed eds inc ltd co corp dept univ bros"
)
_BEFORE_NUMBERS = (
    "no nos vol vols p pp ch sec art fig figs eq eqs ref refs est "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
_ABBREVIATIONS = frozenset(_BEFORE_ANYTHING.split())
_COUNTED = frozenset(_BEFORE_NUMBERS.split())
_LIST_DIGITS = 3
_REACH = 32  # no abbreviation is longer, so a very long word is not looked at whole


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The range without white space at either side; empty when there is nothing else."""
    piece = text[start:end]
    return end - len(piece.lstrip()), start + len(piece.rstrip())


def paragraph_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Ranges of the paragraphs: what empty lines set apart."""
    for blank in BLANK_LINE.finditer(text, start, end):
        first, last = trimmed(text, start, blank.start())
        if first < last:
            yield first, last
        start = blank.end()
    first, last = trimmed(text, start, end)
    if first < last:
        yield first, last


def sentence_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Ranges of the sentences."""
    for mark in _END.finditer(text, start, end):
        if not _ends(text, mark, start, end):
            continue
        first, last = trimmed(text, start, mark.end())
        if first < last:
            yield first, last
        start = mark.end()
    first, last = trimmed(text, start, end)
    if first < last:
        yield first, last


def _ends(text: str, mark: re.Match[str], start: int, end: int) -> bool:
    matched = mark[0]
    if matched[0] not in ".!?…":
        return True
    following = _NOT_SPACE.search(text, mark.end(), end)
    if following and following[0].islower():
        return False
    if matched[0] != "." or matched[:2] == ".." or matched[:2] in (".!", ".?"):
        return True
    word = _LAST_WORD.search(text, max(start, mark.start() - _REACH), mark.start())
    if word is None:
        return True
    bare = word[0].lstrip("\"'“‘«([*_`")
    if bare.casefold() in _ABBREVIATIONS or _INITIALS.fullmatch(bare):
        return False
    if following and following[0].isdigit() and bare.casefold() in _COUNTED:
        return False
    return not (
        bare.isdigit() and len(bare) <= _LIST_DIGITS and _begins_line(text, start, word.start())
    )


def _begins_line(text: str, start: int, at: int) -> bool:
    """Whether only white space stands between ``at`` and its line's beginning."""
    lead = text[max(start, at - _REACH) : at]
    line = lead[max(lead.rfind("\n"), lead.rfind("\r")) + 1 :]
    return not line.strip() and (len(line) < len(lead) or at - _REACH <= start)
