"""Where answers stand in a text: the text in pieces, cut at character offsets, those that answer
marked.

Takes texts and offsets in Unicode code points; gives pieces that together are the text. Never looks
for an answer's words. The page's script does the same; ``tests/serve/test_script.py`` holds both to
it. Knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["", "best", "other"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text: ``text[start:end]``; ``best``: it is the answer that is shown large."""

    start: int
    end: int
    best: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a text, and whether it answers."""

    text: str
    kind: Kind = ""


def pieces(text: str, spans: Iterable[Span]) -> list[Piece]:
    """The text, cut. Of spans that overlap the earlier given stays; spans outside are left out."""
    taken: list[Span] = []
    for one in spans:
        fits = 0 <= one.start < one.end <= len(text)
        if fits and all(one.end <= other.start or other.end <= one.start for other in taken):
            taken.append(one)
    found, at = [], 0
    for one in sorted(taken, key=lambda one: one.start):
        found.append(Piece(text[at : one.start]))
        found.append(Piece(text[one.start : one.end], "best" if one.best else "other"))
        at = one.end
    return [one for one in (*found, Piece(text[at:])) if one.text]
