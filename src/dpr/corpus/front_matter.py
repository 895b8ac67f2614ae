"""The front matter of a Markdown file: its lines ``key: value`` -> names and values.

Takes a text; gives what the block between two lines ``---`` at its beginning says as far as it is
simple: texts (with or without quotes), whole and decimal numbers, true, false, and lists of these,
``[a, b]`` or one ``- item`` a line. This is a part of YAML, read the way YAML reads it but for
dates, which stay texts; what goes beyond it (objects, texts of several lines, escapes, anchors,
tags) is passed over, key and all. Knows nothing of documents.
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool

_LINE_END = re.compile(r"\r\n?|\n")
_PAIR = re.compile(r"([^\W\d][\w .-]*?) *:(?:[ \t]+(.*))?")
_ITEM = re.compile(r"[ \t]*-[ \t]+(.*)")
_COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}")
_NOT_PLAIN = tuple("\"'[]{},&*!|>%@`?-#")
_WORDS: dict[str, Scalar] = {"true": True, "false": False}
_NULL = ("", "~", "null", "Null", "NULL")


def front_matter_lines(text: str) -> int:
    """How many lines the front matter takes, both its marks included; 0 without any."""
    if not text.startswith("---"):
        return 0
    lines = _LINE_END.split(text)
    if lines[0].rstrip() == "---":
        for at, line in enumerate(lines[1:], 2):
            if line.rstrip() in ("---", "..."):
                return at
    return 0


def read_front_matter(text: str) -> dict[str, Scalar | list[Scalar]]:
    """The simple values of the front matter, by name, in its order; later ones win."""
    count = front_matter_lines(text)
    lines = _LINE_END.split(text, count)[1 : count - 1] if count else []
    found: dict[str, Scalar | list[Scalar]] = {}
    at = 0
    while at < len(lines):
        pair = _PAIR.fullmatch(lines[at].rstrip())
        at += 1
        below = at
        while at < len(lines) and _belongs_above(lines[at]):
            at += 1
        if pair:
            value = _value(_COMMENT.sub("", pair[2] or "").strip(), lines[below:at])
            if value is not None:
                found[pair[1]] = value
    return found


def _belongs_above(line: str) -> bool:
    return not line.strip() or line[0] in " \t#" or _ITEM.match(line) is not None


def _value(first: str, below: list[str]) -> Scalar | list[Scalar] | None:
    """What a key's own line and those that belong to it say; None for nothing simple."""
    below = [line for line in below if line.strip() and not line.lstrip().startswith("#")]
    if below:
        items = [_ITEM.fullmatch(line.rstrip()) for line in below]
        texts = [_COMMENT.sub("", item[1]).strip() for item in items if item]
        if first or len(texts) < len(items) or any(_PAIR.fullmatch(one) for one in texts):
            return None
        return _list(texts)
    if first.startswith("[") and first.endswith("]"):
        inside = first[1:-1].strip().removesuffix(",")
        return _list([one.strip() for one in inside.split(",")]) if inside else []
    return _scalar(first)


def _list(texts: list[str]) -> list[Scalar] | None:
    values = [_scalar(one) for one in texts]
    simple = [one for one in values if one is not None]
    return simple if len(simple) == len(values) else None


def _scalar(text: str) -> Scalar | None:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        inside = text[1:-1]
        return None if text[0] in inside or (text[0] == '"' and "\\" in inside) else inside
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if text in _NULL or text.startswith(_NOT_PLAIN):
        return None
    return _WORDS.get(text.lower() if text.istitle() or text.isupper() else text, text)
