"""An evaluation to JSON and back, without loss. Knows the records, nothing of what they mean.

JSON has no infinity and no NaN; they are written as the strings "Infinity", "-Infinity", "NaN".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from dpr.errors import InputError
from dpr.evaluation.records import FORMAT, Evaluation
from dpr.evaluation.report.files import write_text

_NAMES = {math.inf: "Infinity", -math.inf: "-Infinity"}
_SURROGATES = re.compile("[\ud800-\udfff]")


def write_json(evaluation: Evaluation, path: str | Path) -> Path:
    """Writes an evaluation as JSON, whole or not at all; gives the path.

    Raises:
        InputError: the file cannot be written.
    """
    text = "".join(_lines(plain_values(evaluation), "")) + "\n"
    # A lone surrogate can stand only in a string, where JSON has an escape for it.
    text = _SURROGATES.sub(lambda one: f"\\u{ord(one[0]):04x}", text)
    return write_text(Path(path), text)


def read_json(path: str | Path) -> Evaluation:
    """Reads what ``write_json`` wrote.

    Raises:
        InputError: the file cannot be read, is no JSON, has another format version, or a field is
            missing, unknown or of another type; the message names it.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"is not valid JSON ({error.msg}); write it again", source=str(path), line=error.lineno
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON ({error})", source=str(path)) from error
    version = values.get("format") if isinstance(values, dict) else None
    if version != FORMAT:
        raise InputError(
            f"has the format {version!r}; this version reads {FORMAT!r}: "
            "evaluate again, or read it with the version of dpr that wrote it",
            source=str(path),
        )
    try:
        evaluation: Evaluation = _record(values, Evaluation, "")
    except ValueError as error:
        raise InputError(str(error), source=str(path)) from error
    return evaluation


def plain_values(value: Any) -> Any:
    """Records as objects, sequences as lists; what JSON has no word for as a string."""
    if is_dataclass(value):
        return {one.name: plain_values(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _NAMES.get(value, "NaN")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    item = getattr(value, "item", None)  # a NumPy scalar
    return plain_values(item()) if item is not None else str(value)


def _lines(value: Any, indent: str) -> Iterator[str]:
    """JSON that people can read: a list of plain values on one line, all else indented."""
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        for number, (key, one) in enumerate(value.items()):
            yield f"{',' if number else '{'}\n{deeper}{json.dumps(key, ensure_ascii=False)}: "
            yield from _lines(one, deeper)
        yield f"\n{indent}}}"
    elif isinstance(value, list) and any(isinstance(one, list | dict) for one in value):
        for number, one in enumerate(value):
            yield f"{',' if number else '['}\n{deeper}"
            yield from _lines(one, deeper)
        yield f"\n{indent}]"
    else:
        yield json.dumps(value, ensure_ascii=False, allow_nan=False)


def _record(value: Any, kind: type, where: str) -> Any:
    """A record from a JSON object that has its fields and no others."""
    if not isinstance(value, dict):
        raise _wrong(value, "an object", where)
    hints = get_type_hints(kind)
    known = {one.name: one for one in fields(kind)}
    for name in value:
        if name not in known:
            raise ValueError(f"{where}/{name}: unknown; known are {', '.join(known)}")
    given = {}
    for name, one in known.items():
        if name in value:
            given[name] = _value(value[name], hints[name], f"{where}/{name}")
        elif one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{where}/{name}: missing")
    return kind(**given)


def _value(value: Any, hint: Any, where: str) -> Any:
    """A JSON value as a field's type has it."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if is_dataclass(hint):
        assert isinstance(hint, type)
        return _record(value, hint, where)
    if origin is UnionType:
        if value is None and NoneType in inner:
            return None
        return _value(value, next(one for one in inner if one is not NoneType), where)
    if origin is tuple:
        return _tuple(value, inner, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(value, "an object", where)
        return {key: _value(one, inner[1], f"{where}/{key}") for key, one in value.items()}
    if hint is float:
        return _float(value, where)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _wrong(value, {str: "a string", int: "a whole number"}[hint], where)
    return value


def _tuple(value: Any, inner: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(value, "a list", where)
    if len(inner) == 2 and inner[1] is ...:
        inner = (inner[0],) * len(value)
    if len(value) != len(inner):
        raise _wrong(value, f"a list of {len(inner)}", where)
    return tuple(
        _value(one, hint, f"{where}/{number}")
        for number, (one, hint) in enumerate(zip(value, inner, strict=True))
    )


def _float(value: Any, where: str) -> float:
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(value, "a number", where)
    return float(value)


def _wrong(value: Any, wanted: str, where: str) -> ValueError:
    shown = json.dumps(value, ensure_ascii=True)
    return ValueError(f"{where or '/'}: {shown[:40]} is not {wanted}")
