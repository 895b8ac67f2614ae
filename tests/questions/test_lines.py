"""Reading questions: lines, JSON lines, and what is wrong with them."""

from __future__ import annotations

import pytest

from dpr.errors import InputError
from dpr.questions import batches, read_questions
from dpr.records import Question


def read(*lines: bytes) -> list[Question]:
    return list(read_questions(lines, "file"))


def test_a_line_is_a_question_and_its_number_the_id() -> None:
    assert read(b"\xef\xbb\xbfone?\r\n", b"\n", "zwei\u2028zwei?".encode()) == [
        Question("1", "one?"),
        Question("3", "zwei\u2028zwei?"),
    ]
    assert read(b"one?", "\ufefftwo?".encode())[1] == Question("2", "\ufefftwo?")


def test_json_lines_are_known_by_the_first() -> None:
    assert read(b'{"_id": "a", "text": "x"}', b'{"id": 7, "question": "y"}') == [
        Question("a", "x"),
        Question("7", "y"),
    ]
    assert read(b"what is {x}?", b'{"_id": "a"}')[1] == Question("2", '{"_id": "a"}')


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"plain", "JSON object"),
        (b'{"_id": "b"}', "'text'"),
        (b'{"_id": "b", "text": " "}', "text is empty"),
        (b'{"_id": [], "text": "x"}', "id is .*expected a text"),
        (b'{"_id": "b", "text": "\\ud800"}', "surrogate"),
        (b'{"_id": "b", "text": "\xff"}', "0xff"),
    ],
)
def test_a_bad_line_is_named(bad: bytes, why: str) -> None:
    with pytest.raises(InputError, match=f"^file:2: .*{why}"):
        read(b'{"_id": "a", "text": "x"}', bad)


def test_reading_streams() -> None:
    def endless() -> object:
        while True:
            yield b"again?\n"

    stream = read_questions(endless(), "file")  # type: ignore[arg-type]
    assert next(batches(stream, 3)) == [Question(str(n), "again?") for n in (1, 2, 3)]


def test_answers_of_every_shape() -> None:
    assert read(
        b'{"_id": "a", "text": "x", "answers": ["1", "2"]}',
        b'{"question": "y", "answer": ["3"]}',
        b'{"id": 3, "question": "z", "answer": "4"}',
        b'{"_id": "d", "text": "x", "metadata": {"answers": ["5"], "kind": "explicit"}}',
        b'{"_id": "e", "text": "x", "unanswerable": true}',
        b'{"_id": "f", "text": "x", "answers": {"text": ["6"], "answer_start": [0]}}',
        b'{"_id": "g", "text": "x", "metadata": "free", "answers": null}',
    ) == [
        Question("a", "x", ("1", "2")),
        Question("2", "y", ("3",)),
        Question("3", "z", ("4",)),
        Question("d", "x", ("5",)),
        Question("e", "x", (), True),
        Question("f", "x", ("6",)),
        Question("g", "x"),
    ]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b'{"text": "x", "answers": ["a", " "]}', "an answer is empty, which would match every"),
        (b'{"text": "x", "answers": [3]}', "an answer is 3; expected a text"),
        (b'{"text": "x", "answer": 3}', "the answers are 3; expected a list"),
        (b'{"text": "x", "answers": ["\\ud800"]}', "the answer has a lone surrogate"),
        (b'{"text": "x", "answers": ["a\\u0000"]}', "NUL character at character 1"),
        (b'{"text": "x\\u0000"}', "NUL character at character 1"),
        (b'{"text": "x", "unanswerable": 1}', "unanswerable is 1; expected true or false"),
        (b'{"text": "x", "unanswerable": true, "answer": "y"}', "unanswerable and has answers"),
        (b'{"_id": true, "text": "x"}', "id is True; expected a text"),
        (b'{"_id": " ", "text": "x"}', "id is empty"),
        (b'{"_id": null, "text": "x"}', "id is missing"),
        (b"a\0b", "NUL byte"),
        (b"[" * 100_000, "expected a JSON object"),
    ],
)
def test_what_no_question_may_hold(bad: bytes, why: str) -> None:
    with pytest.raises(InputError, match=f"^file:2: .*{why}"):
        read(b'{"_id": "a", "text": "x"}', bad)
