"""How a report shows a figure: one rule for each kind, and where the figure comes from.

Takes plain numbers, gives their text, in HTML as ``<data value="0.8125" data-kind="share"
data-of="/systems/0/…">81.2%</data>``: the full value, and its place in ``evaluation.json`` as a
JSON pointer (RFC 6901). What is computed from the value there says how after a bar: ``|p95``.
Knows nothing of pages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, Protocol

Kind = Literal[
    "share",  # 0.8125: 81.2%
    "percent",  # 0.95: 95%, with as many digits as it has
    "points",  # a difference of shares, 0.021: +2.1
    "number",  # 3.14159: 3.142
    "signed",  # a difference of numbers: +0.142
    "p",  # 0.03217: 0.032
    "effect",  # 0.3456: +0.35
    "count",  # 12345: 12,345
    "ms",
    "seconds",
    "bytes",
    "raw",  # as JSON has it
]
MINUS, UNKNOWN = "−", "–"
BYTES = ("B", "kB", "MB", "GB", "TB")
SMALLEST_P = 0.001


class Shows(Protocol):
    """Anything that knows its HTML; Jinja asks for it by this name."""

    def __html__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Number:
    """A figure: ``text`` and ``unit`` as shown, its ``value``, its place in the JSON."""

    value: Any
    kind: Kind
    text: str
    unit: str
    of: str = ""

    def __str__(self) -> str:
        space = "" if self.unit in ("", "%") else "\N{NO-BREAK SPACE}"
        return f"{self.text}{space}{self.unit}"

    def __html__(self) -> str:
        value = json.dumps(self.value) if not isinstance(self.value, str) else self.value
        return (
            f'<data value="{escape(value)}" data-kind="{self.kind}" data-of="{escape(self.of)}">'
            f"{escape(str(self))}</data>"
        )


@dataclass(frozen=True, slots=True)
class Name:
    """A text from outside, kept from reordering the words around it (right-to-left scripts)."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __html__(self) -> str:
        return f"<bdi>{escape(printable(self.text))}</bdi>"


@dataclass(frozen=True, slots=True)
class Own:
    """What the report itself wrote as HTML: a picture, the style sheet."""

    text: str

    def __html__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence with figures and names in it, as text and as HTML."""

    parts: tuple[str | Shows, ...]

    def __str__(self) -> str:
        return "".join(str(part) for part in self.parts)

    def __html__(self) -> str:
        return "".join(html(part) for part in self.parts)


def words(pattern: str, *values: str | Shows) -> Words:
    """A sentence: each ``{}`` of the pattern becomes the next value."""
    pieces = pattern.split("{}")
    parts: list[str | Shows] = [pieces[0]]
    for value, piece in zip(values, pieces[1:], strict=True):
        parts += [value, piece]
    return Words(tuple(part for part in parts if part != ""))


def lines(sentences: Sequence[Shows]) -> Words:
    """Sentences, each on its own line where the style sheet keeps lines."""
    return words("\n".join(["{}"] * len(sentences)), *sentences)


def html(part: object) -> str:
    """The HTML of a text or of something that knows its own."""
    shows = getattr(part, "__html__", None)
    return str(shows()) if shows is not None else escape(printable(str(part)))


def printable(text: str) -> str:
    """A text without what HTML forbids: control characters and lone surrogates become U+FFFD."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if (one < " " and one not in "\t\n\r")
        or "\x7f" <= one <= "\x9f"
        or "\ud800" <= one <= "\udfff"
        else one
        for one in text
    )


def pointer(*steps: str | int) -> str:
    """A JSON pointer: ``pointer("systems", 0, "cost")`` is ``/systems/0/cost``."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


def number(value: Any, kind: Kind, of: str = "") -> Number:
    """A figure as its kind is shown; "–" where it is not known."""
    value = value.item() if hasattr(value, "item") else value  # a NumPy scalar
    if kind == "raw":
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return Number(value, kind, text, "", of)
    if value is None or math.isnan(value):
        return Number(None, kind, UNKNOWN, "", of)
    if math.isinf(value):
        return Number(str(value), kind, "∞" if value > 0 else f"{MINUS}∞", "", of)
    text, unit = _shown(value, kind)
    return Number(value, kind, text, unit, of)


def _shown(value: float, kind: Kind) -> tuple[str, str]:
    if kind == "share":
        return f"{100 * value:.1f}", "%"
    if kind == "percent":
        return f"{100 * value:.6g}", "%"
    if kind == "points":
        return _signed(100 * value, 1), ""
    if kind == "number":
        return f"{value:.3f}".replace("-", MINUS), ""
    if kind == "signed":
        return _signed(value, 3), ""
    if kind == "effect":
        return _signed(value, 2), ""
    if kind == "p":
        return (f"{value:.3f}" if value >= SMALLEST_P else f"<\N{NO-BREAK SPACE}{SMALLEST_P}"), ""
    if kind == "count":
        return f"{value:,.0f}", ""
    if kind == "bytes":
        return _bytes(value)
    return _time(value, kind)


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return text.replace("-", MINUS) if float(text) else text[1:]


def _significant(value: float) -> str:
    """Three figures, or the whole number where it has more."""
    if value == 0:
        return "0"
    places = 2 - math.floor(math.log10(float(f"{abs(value):.2e}")))
    return f"{value:,.{max(0, places)}f}"


def _time(value: float, kind: Kind) -> tuple[str, str]:
    """Milliseconds as they are; seconds, and minutes and hours where they are many."""
    if kind == "ms":
        return _significant(value), "ms"
    for limit, unit in ((3600.0, "h"), (120.0, "min")):
        if value >= limit:
            return _significant(value / (3600 if unit == "h" else 60)), unit
    return _significant(value), "s"


def _bytes(value: float) -> tuple[str, str]:
    """In powers of 1000, as disks are sold."""
    power = 0
    while value >= 999.5 and power < len(BYTES) - 1:
        value, power = value / 1000, power + 1
    return (_significant(value) if power else f"{value:.0f}"), BYTES[power]
