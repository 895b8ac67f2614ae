from __future__ import annotations

import datetime
import gzip
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.corpus import Problems, SourceSettings, read_documents, read_passages
from dpr.corpus.metadata import RESERVED, clean_metadata
from dpr.errors import InputError, SettingsError
from dpr.records import Document

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NAMES = TEXTS.filter(lambda name: name.strip() and name not in RESERVED and name != "metadata")
VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(NAMES, inside, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_what_json_holds_is_kept_as_it_is(given: dict[str, Any]) -> None:
    assert clean_metadata(given, "here") == given
    assert clean_metadata(json.loads(json.dumps(given)), "here") == given


def test_values_take_the_form_that_json_has() -> None:
    cleaned = clean_metadata(
        {
            "day": datetime.date(2020, 2, 1),
            "at": datetime.datetime(2020, 2, 1, 12, 30, tzinfo=datetime.UTC),
            "whole": Decimal("3.00"),
            "part": Decimal("2.5"),
            "tags": ("a", "b"),
            "none": None,
            "nan": math.nan,
            "infinite": [math.inf, 1.0],
            "numpy": np.int64(7),
            "numbers": np.arange(3),
            "deep": {"er": {"pages": [1, {"to": 2}]}},
        },
        "here",
    )
    assert json.loads(json.dumps(cleaned)) == cleaned
    assert cleaned == {
        "day": "2020-02-01",
        "at": "2020-02-01T12:30:00+00:00",
        "whole": 3,
        "part": 2.5,
        "tags": ["a", "b"],
        "infinite": [None, 1.0],
        "numpy": 7,
        "numbers": [0, 1, 2],
        "deep": {"er": {"pages": [1, {"to": 2}]}},
    }


def test_an_object_named_metadata_gives_its_members_and_reserved_names_are_told_apart() -> None:
    members = {"title": "T", "year": 1, "metadata": "inside"}
    assert clean_metadata({"year": 2, "metadata": members, "url": "u", "source": "s"}, "") == {
        "metadata.title": "T",
        "year": 1,
        "metadata": "inside",
        "url": "u",
        "metadata.source": "s",
    }
    assert clean_metadata({"metadata": "no object"}, "") == {"metadata": "no object"}


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"": 1}, "a name in the metadata is ''"),
        ({3: 1}, "a name in the metadata is 3"),
        ({"a": {"": 1}}, "a name in the metadata is ''"),
        ({"a": b"x"}, r"the metadata 'a' is b'x' \(bytes\), which JSON has no form for"),
        ({"a": {1, 2}}, "no form for"),
        ({"a": ["\ud800"]}, "the metadata 'a' has a lone surrogate"),
        ({"a": "\0"}, "the metadata 'a' has a NUL"),
        ({"a": deep(33)}, "more than 32 levels deep"),
        ({"a": deep(100_000)}, "more than 32 levels deep"),
        ([("a", 1)], "expected a mapping"),
    ],
)
def test_what_cannot_be_kept_is_told(wrong: Any, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        clean_metadata(wrong, "a.jsonl", 3)
    assert (caught.value.source, caught.value.line) == ("a.jsonl", 3)


def test_of_json_lines_and_beir(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(
        '{"_id": "a", "text": "x", "metadata": {"year": 1990, "tags": ["t"]}, "url": "u"}\n'
        '{"_id": "b", "text": "y", "metadata": {}, "more": 1}\n'
        '{"_id": "c", "text": "z", "metadata": null, "url": null}\n'
    )
    plain: list[dict[str, Any]] = [{"year": 1990, "tags": ["t"]}, {}, {}]
    for source in (path, tmp_path):
        assert [document.metadata for document in read_documents(source)] == plain
        named = read_documents(source, SourceSettings(metadata_columns=("url", "more")))
        assert [document.metadata for document in named] == [
            {"year": 1990, "tags": ["t"], "url": "u"},
            {"more": 1},
            {},
        ]


def test_of_json_lines_that_cannot_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": "a", "text": "x", "metadata": {"a": "\\ud800"}}\n{"id": "b", "text": "y"}'
    )
    with pytest.raises(InputError, match=r"a\.jsonl:1: the metadata 'a' has a lone surrogate"):
        list(read_documents(path))
    problems = Problems()
    skipped = read_documents(path, SourceSettings(on_error="skip"), problems)
    assert [document.id for document in skipped] == ["b"]
    assert problems.count == 1


@pytest.mark.parametrize("zipped", [False, True])
def test_of_tables(tmp_path: Path, zipped: bool) -> None:
    data = b'id,text,year,title,note\n1,one,1990,A,"b\nc"\n2,two,,B,\n'
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(data) if zipped else data)
    settings = SourceSettings(metadata_columns=("year", "note", "title"))
    assert [document.metadata for document in read_documents(path, settings)] == [
        {"year": "1990", "note": "b\nc", "metadata.title": "A"},
        {"metadata.title": "B"},
    ]
    assert next(read_documents(path)).metadata == {}
    with pytest.raises(InputError, match=r"a column of metadata_columns is 'yaer'.*id, text, year"):
        list(read_documents(path, SourceSettings(metadata_columns=("yaer",))))


def test_dpr_s_own_header_with_named_columns_is_a_table_like_others(tmp_path: Path) -> None:
    path = tmp_path / "psgs.tsv"
    path.write_text("id\ttext\ttitle\n1\tone\tA\n")
    [document] = read_documents(path, SourceSettings(metadata_columns=("title",)))
    assert (document.title, document.metadata) == ("A", {"metadata.title": "A"})
    with pytest.raises(SettingsError, match="metadata_columns go with"):
        read_documents(path, SourceSettings(metadata_columns=("title",), format="psgs"))


def test_of_parquet_with_the_types_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = {
        "id": ["1", "2"],
        "text": ["one", "two"],
        "year": pa.array([1990, None], pa.int16()),
        "score": pa.array([0.5, math.nan], pa.float64()),
        "day": pa.array([datetime.date(2020, 1, 2), None]),
        "price": pa.array([Decimal("1.50"), Decimal("2.00")], pa.decimal128(10, 2)),
        "tags": [["a", "b"], []],
        "open": [True, False],
        "metadata": [{"lang": "en", "from": None}, {"lang": "de", "from": "x"}],
    }
    pq.write_table(pa.table(table), path)
    names = ("year", "score", "day", "price", "tags", "open", "metadata", "text")
    found = read_documents(path, SourceSettings(metadata_columns=names))
    assert [dict(document.metadata) for document in found] == [
        {
            "lang": "en",
            "year": 1990,
            "score": 0.5,
            "day": "2020-01-02",
            "price": 1.5,
            "tags": ["a", "b"],
            "open": True,
            "metadata.text": "one",
        },
        {
            "lang": "de",
            "from": "x",
            "price": 2,
            "tags": [],
            "open": False,
            "metadata.text": "two",
        },
    ]
    with pytest.raises(InputError, match="which is not there"):
        list(read_documents(path, SourceSettings(metadata_columns=("other",))))


def test_a_column_of_bytes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["1"], "text": ["one"], "raw": [b"x"]}), path)
    with pytest.raises(InputError, match=r"a\.parquet:1: the metadata 'raw' is b'x'"):
        list(read_documents(path, SourceSettings(metadata_columns=("raw",))))


def test_of_rows_and_documents_of_a_program() -> None:
    rows = [{"id": "1", "text": "x", "metadata": {"a": 1}, "b": 2}, {"id": "2", "text": "y"}]
    settings = SourceSettings(metadata_columns=("b",))
    found = [document.metadata for document in read_documents(rows, settings)]
    assert found == [{"a": 1, "b": 2}, {}]

    held = Document("1", "x", metadata={"tags": ["a"]})
    other = Document("2", "y", metadata={"tags": ("a",), "day": datetime.date(2020, 1, 2)})
    same, changed = read_documents([held, other])
    assert same is held
    assert changed.metadata == {"tags": ["a"], "day": "2020-01-02"}
    with pytest.raises(InputError, match="expected a mapping"):
        list(read_documents([Document("1", "x", metadata=["a"])]))  # type: ignore[arg-type]


def test_passages_share_their_document_s() -> None:
    document = Document("d", "one two three", metadata={"a": 1})
    passages = list(read_passages([document]))
    assert [passage.document for passage in passages] == ["d"]
    assert all(passage.metadata is document.metadata for passage in passages)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"metadata_columns": "year"}, "metadata_columns is 'year'; give the names"),
        ({"metadata_columns": ("a", "")}, "give the names"),
        ({"metadata_columns": ("a", "a")}, "twice"),
        ({"metadata_columns": ("a",), "format": "squad"}, "metadata_columns go with .*beir"),
    ],
)
def test_settings_that_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        SourceSettings(**wrong)


def test_settings_from_json_are_the_same() -> None:
    assert SourceSettings(metadata_columns=["a"]) == SourceSettings(  # type: ignore[arg-type]
        metadata_columns=("a",)
    )


def test_columns_for_folders_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    for source in (tmp_path, "pydoc"):
        with pytest.raises(SettingsError, match="metadata_columns go with"):
            read_documents(source, SourceSettings(metadata_columns=("a",)))
