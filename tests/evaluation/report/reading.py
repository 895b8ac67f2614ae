"""A reader of the report's HTML that knows nothing of how it was made."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from typing import Any

import numpy as np

VOID = {"meta", "link", "img", "br", "input", "rect", "path", "circle", "line", "use"}


class Page(HTMLParser):
    """The elements of a page, its figures, and its other text outside pictures.

    Attributes:
        elements: (tag, attributes) in order.
        figures: (attributes, text) of each ``<data>``.
        texts: pieces of text that are neither figures, nor style, nor in a drawing.
        unclosed: tags that were closed in another order than they were opened.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.figures: list[tuple[dict[str, str | None], str]] = []
        self.texts: list[str] = []
        self.unclosed: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.unclosed += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "data":
            self.figures.append((dict(attrs), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        if "data" in self._open:
            attributes, text = self.figures[-1]
            self.figures[-1] = (attributes, text + data)
        elif not {"svg", "style"} & set(self._open):
            self.texts.append(data)


def resolve(values: Any, pointer: str) -> Any:
    """What stands at a JSON pointer (RFC 6901)."""
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        values = values[int(step)] if isinstance(values, list) else values[step]
    return values


def expected(values: Any, of: str) -> Any:
    """What a figure must be, computed anew from the JSON by what it says it is of."""
    pointer, _, rule = of.partition("|")
    name, _, rest = rule.partition(":")
    if name == "constant":
        return float(rest)
    if name == "depth":
        depths = {k for system in values["systems"] for k, _ in system["curve"]}
        return int(rest) if int(rest) in depths else None
    value = resolve(values, pointer)
    if not rule:
        return value
    if name in ("neg", "abs"):
        return -value if name == "neg" else value
    if name == "share":
        return value[rest] / sum(value.values()) if rest in value else None
    if name == "quantile":
        return float(np.quantile(value, float(rest)))
    if name == "within":
        low, high = map(float, rest.split(":"))
        return sum(low <= one < high for one in value)
    assert name in ("p50", "p95"), of
    return float(np.percentile(value, int(name[1:]))) if value else None


def shown(text: str, kind: str) -> tuple[float, float]:
    """What a figure's text says as a number, and half a unit of its last place."""
    number, _, unit = text.replace("\N{NO-BREAK SPACE}", " ").partition(" ")
    if number.endswith("%"):
        number, unit = number[:-1], "%"
    number = number.replace("−", "-").replace(",", "")
    factor = {"%": 0.01, "kB": 1e3, "MB": 1e6, "GB": 1e9, "min": 60.0, "h": 3600.0}.get(unit, 1.0)
    factor = 0.01 if kind == "points" else factor
    places = len(number.partition(".")[2])
    return float(number) * factor, 0.5 * 10.0**-places * factor * (1 + 1e-9) + 1e-12


def check(attributes: dict[str, str | None], text: str, values: Any) -> None:
    """A figure is what the JSON says: in full in its value, rounded in its text."""
    kind, of, full = attributes["data-kind"], attributes["data-of"], attributes["value"]
    assert kind is not None and of is not None and full is not None
    wanted = expected(values, of)
    wanted = None if wanted == "NaN" else wanted
    if isinstance(wanted, str) or (isinstance(wanted, float) and not math.isfinite(wanted)):
        assert (full, text) == (str(wanted).replace("Infinity", "inf"), "∞")
        return
    given = json.loads(full)
    if wanted is None:
        assert given is None and text == "–", of
        return
    assert (
        given == wanted
        or (of.endswith("|abs") and given == -wanted)
        or (isinstance(given, float) and math.isclose(given, wanted, rel_tol=1e-9))
    ), (of, given, wanted)
    if kind == "raw":
        assert text == json.dumps(wanted, ensure_ascii=False)
    elif text == "<\N{NO-BREAK SPACE}0.001":
        assert kind == "p" and given < 0.001
    else:
        value, half = shown(text, kind)
        target = abs(given) if of.endswith("|abs") else given
        assert abs(value - target) <= half, (of, text, given)
