"""Rows of tab-separated fields, against Python's csv."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import InputError
from dpr.questions.rows import read_rows, write_row

from .strategies import texts


@given(st.lists(st.lists(texts, min_size=2, max_size=3), max_size=4))
def test_rows_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    text = "".join(write_row(*row) for row in rows)
    path = tmp_path_factory.mktemp("rows") / "a.tsv"
    path.write_text(text, encoding="utf-8", newline="")
    assert [fields for _, fields in read_rows(path)] == rows
    assert list(csv.reader(io.StringIO(text, newline=""), delimiter="\t")) == rows


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b'a\tb\n\n"c\nc"\td\r\ne\tf')
    assert list(read_rows(path)) == [(1, ["a", "b"]), (3, ["c\nc", "d"]), (5, ["e", "f"])]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'a\tb\n"a" b\tc\n', ":2: not a well-formed row: "),
        (b'a\tb\n"a\tc\n\n', r":2: not a well-formed row: .*\(lines 2 to 3 were taken as one\)"),
        (b"a\tb\na\rb\tc\n", ":2: not a well-formed row"),
        (b"a\tb\n\xff\tc\n", ":2: not UTF-8"),
        (b"a\tb\n\0\tc\n", ":2: NUL byte"),
    ],
)
def test_what_is_malformed(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.tsv{told}"):
        list(read_rows(path))
