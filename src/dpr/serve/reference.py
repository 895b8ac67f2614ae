"""OpenAPI as people read it: operations, fields and answers as records of short texts.

Takes the document; gives what a template shows. Knows neither HTML nor how any of it is done.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
_SCHEMAS = "#/components/schemas/"
_LONGEST_PATTERN = 40  # a longer one says less than the description does


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of a text: code, the name of a shape, or plain."""

    text: str
    code: bool = False
    shape: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """A field or parameter."""

    name: str
    place: str
    kind: Sequence[Word]
    required: bool
    about: Sequence[Word]


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes with a status: its media type, its shape and its headers."""

    status: str
    about: str
    media: str
    kind: Sequence[Word]
    headers: Sequence[str]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route.

    Attributes:
        key: how it is guarded; empty where there are no keys.
        answers: those that are its own.
        refused: statuses that it shares with others, which ``refusals`` tells of.
        refused_as: their shape here.
    """

    id: str
    method: str
    path: str
    about: Sequence[Word]
    key: str
    fields: Sequence[Field]
    body: Sequence[Word]
    curl: str
    answers: Sequence[Answer]
    refused: Sequence[str]
    refused_as: Sequence[Word]


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape that bodies have."""

    name: str
    about: Sequence[Word]
    fields: Sequence[Field]


def grouped(document: Schema, address: str) -> dict[str, list[Operation]]:
    """The operations by their tags, in the order of the document; not the files of the page.

    Args:
        address: of the server, for lines that can be run.
    """
    groups: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        if path.startswith("/static/"):
            continue
        for method, operation in methods.items():
            made = _operation(document, method, path, operation, address)
            groups.setdefault(operation["tags"][0], []).append(made)
    return groups


def refusals(document: Schema) -> list[Answer]:
    """What may go wrong, once a status, as problem details have it."""
    responses = document["components"]["responses"]
    found = {name.rpartition("-")[2]: _resolved(document, one) for name, one in responses.items()}
    return [_answer(document, status, found[status]) for status in sorted(found)]


def shapes(document: Schema) -> list[Shape]:
    """All shapes by name."""
    return [
        Shape(name, words(one.get("description", "")), list(_fields(one)))
        for name, one in sorted(document["components"]["schemas"].items())
    ]


def words(text: str) -> list[Word]:
    """A text, in which what stands between backticks is code."""
    parts = text.split("`")
    return [Word(part, code=n % 2 == 1) for n, part in enumerate(parts) if part]


def _operation(
    document: Schema, method: str, path: str, operation: Schema, address: str
) -> Operation:
    fields = [
        Field(
            one["name"],
            one["in"],
            kind(one["schema"]),
            one["required"],
            words(one.get("description", one["schema"].get("description", ""))),
        )
        for one in operation.get("parameters", ())
    ]
    query = "".join(
        f"?{one.name}={one.name.upper()}" for one in fields if one.required and one.place == "query"
    )
    [(media, body)] = operation.get("requestBody", {}).get("content", {"": {}}).items()
    security = operation.get("security", document.get("security"))
    key = {None: "", 0: "No key.", 1: "A key for changes."}.get(
        security if security is None else len(security), "A key, or having signed in."
    )
    example, answers = body.get("example"), operation["responses"]
    refused = [status for status, one in answers.items() if "$ref" in one]
    return Operation(
        operation["operationId"],
        method.upper(),
        path,
        words(operation.get("description", "")),
        key,
        fields,
        kind(body["schema"]) if body else [],
        _curl(method.upper(), address + path + query, media, example, guarded=bool(security)),
        [_answer(document, *one) for one in answers.items() if "$ref" not in one[1]],
        refused,
        _answer(document, "500", answers["500"]).kind,
    )


def _curl(method: str, address: str, media: str, example: Any, *, guarded: bool) -> str:
    parts = ["curl", *(["-X", method] if method not in ("GET", "POST") else [])]
    parts += [shlex.quote(address).replace("{document}", "ID")]
    if guarded:
        parts += ["-H", "'Authorization: Bearer KEY'"]
    if example is not None:
        given = shlex.quote(json.dumps(example, ensure_ascii=False))
        parts += ["-H", f"'content-type: {media}'", "-d", given]
    elif media:
        parts += ["-d", "key=KEY"]
    elif method == "POST":
        parts += ["-X", "POST"]
    return " ".join(parts)


def _answer(document: Schema, status: str, answer: Schema) -> Answer:
    found = _resolved(document, answer)
    [(media, content)] = found.get("content", {"": {}}).items()
    return Answer(
        status,
        found["description"],
        media,
        kind(content["schema"]) if content else [],
        [name for name in found.get("headers", {}) if name != "X-Request-Id"],
    )


def _resolved(document: Schema, part: Schema) -> Schema:
    while "$ref" in part:
        at: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            at = at[name]
        part = at
    return part


def _fields(shape: Schema) -> Iterator[Field]:
    for name, one in shape.get("properties", {}).items():
        about = words(one.get("description", ""))
        yield Field(name, "", kind(one), name in shape.get("required", ()), about)


def kind(schema: Schema) -> list[Word]:
    """What a value may be, in words."""
    if "$ref" in schema:
        return [Word(schema["$ref"].removeprefix(_SCHEMAS), shape=True)]
    if "anyOf" in schema:
        return _joined([kind(one) for one in schema["anyOf"]], " or ")
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        said = _joined([[Word(json.dumps(one), code=True)] for one in values], ", ")
    elif schema.get("type") == "array":
        said = [Word(f"list{_count(schema, 'Items')} of "), *kind(schema["items"])]
    elif schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        inner = kind(schema["additionalProperties"])
        said = [Word(f"object{_count(schema, 'Properties')} from names to "), *inner]
    else:
        said = [Word(_plain(schema))]
    if "default" in schema:
        default = json.dumps(schema["default"], ensure_ascii=False)
        said += [Word("; without it "), Word(default, code=True)]
    return said


def _plain(schema: Schema) -> str:
    types = schema.get("type", "anything")
    text = types if isinstance(types, str) else " or ".join(types)
    if types == "object" and "properties" in schema:
        text += f" of {', '.join(schema['properties'])}"
    facts = []
    if length := _range(schema.get("minLength"), schema.get("maxLength")):
        facts.append(f"{length} characters")
    if size := _range(schema.get("minimum"), schema.get("maximum")):
        facts.append(size)
    if 0 < len(pattern := schema.get("pattern", "")) <= _LONGEST_PATTERN:
        facts.append(f"as {pattern}")
    return f"{text} ({', '.join(facts)})" if facts else text


def _count(schema: Schema, what: str) -> str:
    said = _range(schema.get(f"min{what}"), schema.get(f"max{what}"))
    return f" ({said})" if said else ""


def _range(least: float | None, most: float | None) -> str:
    if most is None:
        return "" if least is None else f"at least {least:g}"
    return f"at most {most:g}" if least is None else f"{least:g} to {most:g}"


def _joined(parts: Sequence[Sequence[Word]], between: str) -> list[Word]:
    said: list[Word] = []
    for part in parts:
        said += [*([Word(between)] if said else []), *part]
    return said
