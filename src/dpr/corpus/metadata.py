"""Metadata of documents: what a file holds -> plain JSON values by name.

Takes whatever a row, an object or a typed table gives; gives a mapping that JSON can hold, or an
error that says what cannot be kept. Values are meant to be scalars or lists of scalars, which is
what filters look at; objects and lists inside are kept as they are. Knows nothing of files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from dpr.corpus.characters import check_characters
from dpr.errors import InputError

RESERVED = frozenset({"id", "text", "title", "source", "section", "document"})
"""What passages have of their own, so that no metadata goes by these names."""

SPREAD = "metadata"
"""The key or column that, where it holds an object, gives the object's members."""

NOTHING: Mapping[str, Any] = MappingProxyType({})
_DEEPEST = 32


def clean_metadata(given: object, source: str, line: int | None = None) -> Mapping[str, Any]:
    """The metadata that ``given`` holds, in its order.

    An object under the name ``metadata`` gives its members, which go before others of the same
    name. A reserved name (``RESERVED``) becomes ``metadata.{name}``. What is null, and NaN and the
    infinities, which JSON has not, are left out. Dates and times become ISO 8601, decimals
    numbers, tuples lists.

    Raises:
        InputError: no mapping; an empty name or one that is no text; a value that JSON has no form
            for; a text that is none (a NUL character, half of a surrogate pair).
    """
    if not isinstance(given, Mapping):
        raise InputError(
            f"the metadata is {repr(given)[:60]} ({type(given).__name__}); expected a mapping from "
            "name to value",
            source=source,
            line=line,
        )
    found: dict[str, Any] = {}
    members = given.get(SPREAD)
    if isinstance(members, Mapping):
        _add(found, members, source, line)
        given = {name: value for name, value in given.items() if name != SPREAD}
    _add(found, given, source, line)
    return found or NOTHING


def _add(found: dict[str, Any], given: Mapping[Any, object], source: str, line: int | None) -> None:
    for name, value in given.items():
        _check_name(name, source, line)
        plain = _plain(value, name, source, line)
        if plain is not None:
            found.setdefault(f"{SPREAD}.{name}" if name in RESERVED else name, plain)


def _check_name(name: object, source: str, line: int | None) -> None:
    if not isinstance(name, str) or not name or name.isspace():
        raise InputError(
            f"a name in the metadata is {name!r}; names are texts that are not empty",
            source=source,
            line=line,
        )
    check_characters("name in the metadata", name, source, line)


def _plain(value: object, name: str, source: str, line: int | None, depth: int = 0) -> Any:
    """The JSON value that ``value`` is; None for what counts as null."""
    if isinstance(value, str):
        check_characters(f"metadata {name!r}", value, source, line)
        return value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            for key in value:
                _check_name(key, source, line)
            return {key: _plain(one, name, source, line, depth + 1) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [_plain(one, name, source, line, depth + 1) for one in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(value)
    if hasattr(value, "tolist") and depth < _DEEPEST:  # numpy's numbers and arrays
        return _plain(value.tolist(), name, source, line, depth + 1)
    if isinstance(value, Mapping | list | tuple):
        what = f"lists or objects more than {_DEEPEST} levels deep; make it flatter"
    else:
        what = (
            f"{repr(value)[:60]} ({type(value).__name__}), which JSON has no form for; give a "
            "text, a number, true, false, or a list"
        )
    raise InputError(f"the metadata {name!r} is {what}", source=source, line=line)


def _number(value: Decimal) -> int | float | None:
    if not value.is_finite():
        return None
    if value == value.to_integral_value() and value.adjusted() < 300:
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None
