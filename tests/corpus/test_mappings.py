from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dpr.corpus import Problems, SourceSettings, SplitSettings, read_documents, read_passages
from dpr.errors import InputError
from dpr.records import Document

ROWS: list[dict[str, Any]] = [
    {"id": "a", "title": "Tea", "text": "Boil water."},
    {"_id": 7, "contents": "Wait."},
    {"id": "c", "title": None, "text": "Pour."},
]
DOCUMENTS = [
    Document("a", "Boil water.", "Tea", "rows:1"),
    Document("7", "Wait.", "", "rows:2"),
    Document("c", "Pour.", "", "rows:3"),
]


def once(items: list[Any]) -> Iterator[Any]:
    yield from items


def test_rows_become_documents_from_a_list_and_from_what_comes_once() -> None:
    assert list(read_documents(ROWS)) == DOCUMENTS
    assert list(read_documents(once(ROWS))) == DOCUMENTS


def test_documents_come_as_they_are() -> None:
    assert list(read_documents(DOCUMENTS)) == DOCUMENTS
    assert list(read_documents(once(DOCUMENTS))) == DOCUMENTS
    passages = list(read_passages(DOCUMENTS, split_settings=SplitSettings("words", 1)))
    assert [passage.text for passage in passages] == ["Boil", "water.", "Wait.", "Pour."]


def test_columns_can_be_named() -> None:
    settings = SourceSettings(id_column="key", text_column="body", title_column="head")
    rows = [{"key": "1", "head": "H", "body": "B", "text": "other"}]
    assert list(read_documents(rows, settings)) == [Document("1", "B", "H", "rows:1")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "x"}], "rows:1: no column of ids: the columns are text; expected id or _id"),
        ([*ROWS, {"id": "d"}], "rows:4: no column of texts"),
        ([*ROWS, {"id": "d", "text": 3}], r"rows:4: the text of id 'd' is 3 \(int\)"),
        ([*ROWS, "text"], r"rows:4: is 'text' \(str\); expected a mapping"),
        ([*ROWS, {"id": "a", "text": "x"}], "rows:4: the id 'a' is also that of line 1"),
        ([*DOCUMENTS, ROWS[0]], "rows:4: is .*; expected a Document"),
        ([], "rows: holds no document"),
        ({"train": ROWS}, "the source is a dict with the keys train; give .* one split"),
        (7, "the source is a int; give a path"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(rows: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_documents(rows))


def test_a_row_given_once_that_came_before() -> None:
    with pytest.raises(InputError, match="rows:4: the id 'a' is also that of an earlier line"):
        list(read_documents(once([*ROWS, ROWS[0]])))


def test_wrong_rows_are_skipped_where_asked() -> None:
    problems = Problems()
    rows = [{"id": "x"}, *ROWS, 7, {"id": "a", "text": "again"}]
    found = list(read_documents(rows, SourceSettings(on_error="skip"), problems))
    assert [document.id for document in found] == ["a", "7", "c"]
    assert [problem.source for problem in problems.items] == ["rows:1", "rows:5", "rows:6"]


def test_documents_with_an_id_that_came_before_are_refused_or_skipped() -> None:
    documents = [*DOCUMENTS, Document("a", "Again.", "", "a.md")]
    for items in (documents, once(documents)):
        with pytest.raises(InputError, match="rows:4: the id 'a' is also that of an earlier"):
            list(read_documents(items))
    problems = Problems()
    assert list(read_documents(documents, SourceSettings(on_error="skip"), problems)) == DOCUMENTS
    assert [problem.source for problem in problems.items] == ["rows:4"]
    assert not problems.hidden  # the document is there
