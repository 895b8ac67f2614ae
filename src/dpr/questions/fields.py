"""What a question of any format must hold: an id, a text, answers; checked one value at a time.

Takes values as a file holds them and the place where they stand; gives values of the records, or
the error that names the place. Knows nothing of file formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unicodedata import category

from dpr.corpus.characters import check_characters
from dpr.errors import InputError
from dpr.records import Question


def read_id(value: object, what: str, source: str, line: int | None = None) -> str:
    """An id: a text that is not empty, or a whole number.

    Raises:
        InputError: it is anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        shown = "missing" if value is None else repr(value)[:60]
        raise InputError(
            f"{what} is {shown}; expected a text or a whole number",
            source=source,
            line=line,
        )
    return read_text(value, what, source, line)


def read_text(value: object, what: str, source: str, line: int | None = None) -> str:
    """A text that is more than white space, without NUL characters and halves of surrogates.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, str):
        raise InputError(f"{what} is {repr(value)[:60]}; expected a text", source=source, line=line)
    if not value or value.isspace():
        raise InputError(f"{what} is empty", source=source, line=line)
    check_characters(what.removeprefix("the ").removeprefix("an "), value, source, line)
    return value


def read_answers(value: object, source: str, line: int | None = None) -> tuple[str, ...]:
    """Accepted answers: a list of texts, a single text, or None for none known.

    Hugging Face's rows of SQuAD hold an object with that list under "text", which is taken too.

    Raises:
        InputError: it is anything else, or an answer is empty: it would match every passage.
    """
    if isinstance(value, Mapping) and "text" in value:
        value = value["text"]
    if value is None:
        return ()
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        raise InputError(
            f"the answers are {repr(value)[:60]}; expected a list of texts",
            source=source,
            line=line,
        )
    for answer in value:
        if isinstance(answer, str) and is_blank(answer):
            raise InputError(
                "an answer is empty, which would match every passage; leave it out",
                source=source,
                line=line,
            )
        read_text(answer, "an answer", source, line)
    return tuple(value)


def is_blank(answer: str) -> bool:
    """Whether an answer has nothing but separators and control characters, and so no token."""
    kinds = {category(character) for character in answer}
    return all(kind[0] in "ZC" and kind != "Cs" for kind in kinds)  # surrogates: told by name


def read_question(
    identifier: object,
    text: object,
    answers: object,
    source: str,
    line: int | None = None,
    unanswerable: object = False,
) -> Question:
    """The question of these values.

    Raises:
        InputError: one of them is malformed, or the question has answers and is unanswerable.
    """
    name = read_id(identifier, "the question's id", source, line)
    accepted = read_answers(answers, source, line)
    if not isinstance(unanswerable, bool):
        raise InputError(
            f"question {name!r}: unanswerable is {repr(unanswerable)[:60]}; expected true or false",
            source=source,
            line=line,
        )
    if unanswerable and accepted:
        raise InputError(
            f"question {name!r} is marked unanswerable and has answers; take one of the two out",
            source=source,
            line=line,
        )
    return Question(
        name, read_text(text, "the question's text", source, line), accepted, unanswerable
    )


def check_question(question: Question, source: str) -> None:
    """Refuse to write what could not be read back.

    Raises:
        InputError: the question has no id or text, or holds what no text may.
    """
    place = f"{source}, question {question.id!r}"
    read_question(
        question.id, question.text, question.answers, place, unanswerable=question.unanswerable
    )


def read_object(value: Any, expected: str, source: str, line: int | None = None) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: it is another value.
    """
    if not isinstance(value, dict):
        raise InputError(
            f"found {type(value).__name__} {repr(value)[:40]}; expected {expected}",
            source=source,
            line=line,
        )
    return value
