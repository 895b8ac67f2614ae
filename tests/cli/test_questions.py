"""Reading questions: lines, JSON lines, and what is wrong with them."""

from __future__ import annotations

import pytest

from dpr.cli.questions import batches, read_questions
from dpr.errors import InputError
from dpr.records import Question


def read(*lines: bytes) -> list[Question]:
    return list(read_questions(lines, "file"))


def test_a_line_is_a_question_and_its_number_the_id() -> None:
    assert read(b"\xef\xbb\xbfone?\r\n", b"\n", "zwei\u2028zwei?".encode()) == [
        Question("1", "one?"),
        Question("3", "zwei\u2028zwei?"),
    ]


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
        (b'{"_id": "b", "text": " "}', "'text'"),
        (b'{"_id": [], "text": "x"}', "'_id'"),
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
