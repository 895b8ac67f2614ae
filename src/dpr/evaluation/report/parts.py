"""What the page of a report is made of: sections of tables, pictures, examples and lists.

Plain records between ``view`` (what to show) and ``page`` (the template). A cell is a text, or
anything that knows its own HTML.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from dpr.evaluation.report.numbers import Own, Shows, html

Cell = str | Shows
# The series of a picture by number: class of its colour in the style sheet, dashes, mark.
SERIES = 6
DASHES = ((), (6, 2.5), (2, 2), (8, 2.5, 2, 2.5), (4, 1.5), (10, 3))
MARKS = ("o", "s", "^", "D", "v", "P")
SHAPES = (
    '<circle cx="15" cy="6" r="3.6"/>',
    '<path d="M11.8 2.8h6.4v6.4h-6.4z"/>',
    '<path d="M15 1.8l4.2 7.6h-8.4z"/>',
    '<path d="M15 1.4l4.6 4.6-4.6 4.6-4.6-4.6z"/>',
    '<path d="M15 10.2l4.2-7.6h-8.4z"/>',
    '<path d="M13.4 2h3.2v2.4h2.4v3.2h-2.4v2.4h-3.2v-2.4h-2.4v-3.2h2.4z"/>',
)


def looks(series: int) -> tuple[int, int]:
    """A series' colour, and its dashes and mark: of one colour, no two have the same mark."""
    return series % SERIES, (series + series // SERIES) % SERIES


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend: the line and mark of a series, and its name."""

    series: int
    name: Cell

    def __html__(self) -> str:
        series, other = looks(self.series)
        dashes = " ".join(f"{length:g}" for length in DASHES[other])
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        return (
            '<svg class="swatch" viewBox="0 0 30 12" aria-hidden="true">'
            f'<path class="line-{series}" d="M0 6h30" stroke-width="2"{dashed}/>'
            f'<g class="fill-{series}">{SHAPES[other]}</g></svg>{html(self.name)}'
        )


@dataclass(frozen=True, slots=True)
class Stack:
    """A figure with something small below it: its interval."""

    main: Cell
    below: Cell
    strong: bool = False

    def __html__(self) -> str:
        main = html(self.main)
        main = f"<strong>{main}</strong>" if self.strong else main
        return f"{main}<small>{html(self.below)}</small>"


@dataclass(frozen=True, slots=True)
class Bar:
    """Shares of a whole as a bar, for the eye; its figures stand beside it."""

    shares: tuple[tuple[str, float], ...]

    def __html__(self) -> str:
        drawn, start = [], 0.0
        for look, share in self.shares:
            width = max(0.0, 100 * share)
            if width:
                drawn.append(
                    f'<rect class="{look}" x="{start:.2f}%" width="{width:.2f}%" height="14"/>'
                )
            start += width
        return f'<svg class="bar" height="14" aria-hidden="true">{"".join(drawn)}</svg>'


@dataclass(frozen=True, slots=True)
class Swatch:
    """A word with the colour that stands for it in a bar."""

    look: str
    text: str

    def __html__(self) -> str:
        return (
            '<svg class="dot" viewBox="0 0 10 10" aria-hidden="true">'
            f'<rect class="{self.look}" width="10" height="10" rx="2"/></svg>{html(self.text)}'
        )


@dataclass(frozen=True, slots=True)
class Range:
    """A value and its interval on a scale from 0 to 1, for the eye."""

    value: float
    low: float
    high: float
    series: int

    def __html__(self) -> str:
        value, low, high = (100 * one for one in (self.value, self.low, self.high))
        return (
            '<svg class="range" height="20" aria-hidden="true">'
            '<line class="track" x1="0" x2="100%" y1="10" y2="10"/>'
            f'<line class="line-{self.series} whisker" x1="{low:.2f}%" x2="{high:.2f}%"'
            ' y1="10" y2="10"/>'
            f'<circle class="fill-{self.series}" cx="{value:.2f}%" cy="10" r="5"/></svg>'
        )


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading; figures stand right-aligned, pictures want room."""

    title: Cell
    look: str = "n"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of each row is its heading.

    Attributes:
        folded: the heading under which it is folded away; "" for a table that is seen at once.
    """

    shape: ClassVar[str] = "table"
    label: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: Cell = ""
    folded: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in two sizes, its caption in words, its legend, and its figures as a table."""

    shape: ClassVar[str] = "picture"
    id: str
    title: Cell
    caption: Cell
    wide: Own
    narrow: Own
    table: Table
    legend: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A passage of an example: who found it, and its text in pieces, answers marked."""

    head: Cell
    title: str
    pieces: tuple[tuple[str, bool], ...]
    right: bool


@dataclass(frozen=True, slots=True)
class Card:
    """An example: the question, its accepted answers, and what two systems found."""

    win: bool
    verdict: Cell
    question: str
    answers: tuple[str, ...]
    found: tuple[Found, ...]
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Cards:
    """Examples of one kind of one pair of systems."""

    shape: ClassVar[str] = "cards"
    title: Cell
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Sentences:
    """A list of sentences: what the figures below them say."""

    shape: ClassVar[str] = "sentences"
    sentences: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures side by side where there is room."""

    shape: ClassVar[str] = "pictures"
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Ladder:
    """The systems by the main measure: name, mark on a scale, figure, and what it means."""

    shape: ClassVar[str] = "ladder"
    label: Cell
    ends: tuple[str, str]
    rungs: tuple[tuple[Cell, Range, Cell, Cell], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values as they are, to repeat what was done."""

    shape: ClassVar[str] = "facts"
    title: Cell
    facts: tuple[tuple[str, Cell], ...]


Block = Table | Picture | Cards | Sentences | Pictures | Ladder | Facts


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page under its own heading."""

    id: str
    title: str
    lead: Cell
    blocks: tuple[Block, ...] = field(default=())
