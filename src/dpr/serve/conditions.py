"""What ``where`` and ``filters`` may hold, as JSON Schema: as exact as ``dpr.filters`` reads them.

Holds schemas, and the page's way to write several conditions; the test compares them with what is
let in.
"""

from __future__ import annotations

import re
from typing import Any

from dpr.serve.bounds import LONGEST_NAME, LONGEST_VALUE, SAYS, SPACE

_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean"], "maxLength": LONGEST_VALUE}
_LIST: dict[str, Any] = {"type": "array", "items": _SCALAR, "minItems": 1, "maxItems": 100}
_ONE_OR_MORE: dict[str, Any] = {"anyOf": [_SCALAR, _LIST]}
_OPERATORS: dict[str, Any] = {
    "type": "object",
    "properties": dict.fromkeys(("=", "!=", "~", "!~"), _ONE_OR_MORE)
    | dict.fromkeys(("<", "<=", ">", ">="), _SCALAR),
    "additionalProperties": False,
    "minProperties": 1,
}
WHERE: dict[str, Any] = {
    "type": "object",
    "propertyNames": {
        "minLength": 1,
        "maxLength": LONGEST_NAME,
        "pattern": SAYS,
        "not": {"enum": ["id", "text"]},
    },
    "additionalProperties": {"anyOf": [_SCALAR, _LIST, _OPERATORS]},
}


def _condition(none: str = "") -> str:
    """A name, an operator and values, as a regular expression.

    What follows a backslash is plain; a name is more than white space and none of the fields that
    are not filtered by; < and its like take one value.

    Args:
        none: a character that may only stand behind a backslash.
    """
    plain = rf"(?:\\[\s\S]|[^\\=!<>~{none}])*"
    some = rf"(?:\\[^{SPACE}]|[^\\=!<>~{SPACE}{none}])"
    no_field = rf"(?![{SPACE}]*(?:\\?i\\?d|\\?t\\?e\\?x\\?t)[{SPACE}]*[=!<>~])"
    several = rf"(?:=(?!=)|!=|!?~)(?:\\[\s\S]|[^\\{none}])*"
    one = rf"[<>]=?(?:\\[\s\S]|[^\\|{none}])*"
    return rf"{no_field}{plain}{some}{plain}(?:{several}|{one})"


CONDITION = f"^{_condition()}$"
_PART = rf"[{SPACE}]*(?:{_condition(';')})?"
SPELLED = f"^{_PART}(?:;{_PART})*$"
"""Conditions with ; between, as the page takes them."""
_APART = re.compile(r"(?:\\.?|[^;\\])+")


def apart(spelled: str) -> list[str]:
    """Conditions that are written with ; between, which belongs to one where a backslash, that is
    none of a pair, stands before it. The page's script does the same."""
    # White space around a condition is its own affair: a backslash may keep the last of it.
    return [one for one in _APART.findall(spelled) if one.strip()]


CONDITIONS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "string",
        "minLength": 1,
        "maxLength": LONGEST_VALUE,
        "pattern": CONDITION,
    },
}
