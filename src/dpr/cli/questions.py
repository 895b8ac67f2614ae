"""Questions from a file or a pipe: one a line, or BEIR's ``queries.jsonl``.

Takes a binary stream, gives ``Question`` records one by one as the stream has them. Knows nothing
of what is done with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from dpr.errors import InputError
from dpr.records import Question

Item = TypeVar("Item")


def read_questions(lines: Iterable[bytes], name: str) -> Iterator[Question]:
    """The questions of a stream, in its order; blank lines are passed over.

    Where the first line is a JSON object every line must be one, with "_id" (or "id") and "text"
    (or "question"). Otherwise a line is a question, and its id is the number of the line.

    Raises:
        InputError: a line is not UTF-8 or not such an object; names the line.
    """
    as_json: bool | None = None
    for number, raw in enumerate(lines, 1):
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise InputError(
                f"not UTF-8 text: byte {raw[error.start]:#04x} after {error.start} bytes",
                source=name,
                line=number,
            ) from error
        if not text:
            continue
        if as_json is None:
            as_json = isinstance(_parsed(text), dict)
        yield _from_json(text, name, number) if as_json else Question(str(number), text)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _from_json(text: str, name: str, number: int) -> Question:
    value = _parsed(text)
    if not isinstance(value, dict):
        raise InputError(
            f"expected a JSON object as in the first line, found {text[:60]!r}",
            source=name,
            line=number,
        )
    identity = value.get("_id", value.get("id", number))
    question = value.get("text", value.get("question"))
    if not isinstance(question, str) or not question.strip():
        raise InputError(
            f"the question must be a string under 'text', found {question!r}",
            source=name,
            line=number,
        )
    if not isinstance(identity, str | int):
        raise InputError(
            f"the id under '_id' must be a string, found {identity!r}", source=name, line=number
        )
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            "the question holds half of a surrogate pair, which is no character",
            source=name,
            line=number,
        ) from error
    return Question(str(identity), question)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Runs of ``size`` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
