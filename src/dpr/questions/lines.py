"""Questions from a file or a pipe: one a line, or one JSON object a line.

Takes a binary stream, gives ``Question`` records one by one as the stream has them: an id that
comes twice is for those to notice who keep the questions. Knows nothing of what is done with them.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from dpr.corpus.lines import LineDecoder
from dpr.errors import InputError
from dpr.questions.fields import read_question
from dpr.records import Question

Item = TypeVar("Item")


def read_questions(lines: Iterable[bytes], name: str) -> Iterator[Question]:
    """The questions of a stream, in its order; blank lines are passed over.

    Where the first line is a JSON object every line must be one: see ``number_questions``.
    Otherwise a line is a question, and its id is the number of the line.

    Raises:
        InputError: a line is not UTF-8 or not such an object; names the line.
    """
    for _, question in number_questions(lines, name):
        yield question


def number_questions(
    lines: Iterable[bytes], name: str, *, as_json: bool | None = None, need_id: bool = False
) -> Iterator[tuple[int, Question]]:
    """The questions of a stream with the numbers of their lines, from 1.

    An object has "_id" or "id" (else the number of the line is the id), "text" or "question", and
    may have "answers" or "answer" (a text or a list of texts), and "unanswerable"; these two also
    within "metadata". Other keys are passed over.

    Args:
        as_json: whether lines are objects; None goes by the first one.
        need_id: refuse an object without an id.

    Raises:
        InputError: as ``read_questions``.
    """
    decode = LineDecoder(Path(name))
    for raw in lines:
        line = raw.removeprefix(codecs.BOM_UTF8) if decode.number == 0 else raw
        text, number = decode(line).strip(), decode.number
        if not text:
            continue
        if as_json is None:
            as_json = isinstance(_parsed(text), dict)
        if as_json:
            yield number, _from_json(text, name, number, need_id)
        else:
            yield number, read_question(number, text, None, name, number)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _from_json(text: str, name: str, number: int, need_id: bool) -> Question:
    value = _parsed(text)
    if not isinstance(value, dict):
        raise InputError(
            "expected a JSON object a line, such as "
            f'{{"_id": "1", "text": "a question"}}; found {text[:60]!r}',
            source=name,
            line=number,
        )
    return question_from_row(value, name, number, need_id)


def question_from_row(
    value: Mapping[str, Any], name: str, number: int, need_id: bool = False
) -> Question:
    """The question of a JSON object, or of a row that a program holds.

    Raises:
        InputError: no text, or one of the values is malformed.
    """
    metadata = value.get("metadata")
    beside: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    identifier = value.get("_id", value.get("id", None if need_id else number))
    question = value.get("text", value.get("question"))
    if question is None:
        raise InputError(
            f"no 'text' or 'question' among the keys {', '.join(value) or '(none)'}; every object "
            "needs one",
            source=name,
            line=number,
        )
    answers = [where.get(key) for where in (value, beside) for key in ("answers", "answer")]
    return read_question(
        identifier,
        question,
        next((given for given in answers if given is not None), None),
        name,
        number,
        value.get("unanswerable", beside.get("unanswerable", False)),
    )


def question_object(question: Question) -> dict[str, Any]:
    """What a line of JSON holds of a question."""
    shape: dict[str, Any] = {"_id": question.id, "text": question.text}
    if question.answers:
        shape["answers"] = list(question.answers)
    if question.unanswerable:
        shape["unanswerable"] = True
    return shape


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Runs of ``size`` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
