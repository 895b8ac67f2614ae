from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpr.corpus import Problems, SourceSettings, read_documents
from dpr.errors import InputError


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_paragraphs_are_documents_once_each(tmp_path: Path) -> None:
    articles = [
        {"title": "A_b", "paragraphs": [{"context": "one"}, {"context": "two"}]},
        {"paragraphs": [{"context": "three"}]},
        {"title": "A_b", "paragraphs": [{"context": "two"}, {"context": "four"}]},
        {"title": "C", "paragraphs": [{"context": "one"}]},
    ]
    path = write(tmp_path / "a.json", {"version": "1.1", "data": articles})
    documents = list(read_documents(path))
    assert [(d.id, d.title, d.text) for d in documents] == [
        ("A b/0", "A b", "one"),
        ("A b/1", "A b", "two"),
        ("1/0", "", "three"),
        ("A b/2", "A b", "four"),
        ("C/0", "C", "one"),
    ]
    assert documents[3].source == f"{path}:data[2].paragraphs[1]"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{", r"a\.json:1: not JSON"),
        ("[" * 100_000, "not JSON"),
        ([], "found list; expected SQuAD JSON"),
        ({"rows": []}, "found keys rows"),
        ({"data": []}, "no document"),
        ({"data": [{"title": "A"}]}, r"data\[0\]: an article without a list of paragraphs"),
        ({"data": [{"title": 3, "paragraphs": []}]}, "the title is 3"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, r"paragraphs\[0\]: a paragraph without"),
        ({"data": [{"paragraphs": [{"context": " "}]}]}, "the context is empty"),
        ({"data": [{"paragraphs": [{"context": "\ud800"}]}]}, "lone surrogate"),
    ],
)
def test_malformed_files_are_told(tmp_path: Path, value: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        list(read_documents(write(tmp_path / "a.json", value)))


def test_skipping(tmp_path: Path) -> None:
    paragraphs = [{"context": ""}, {"context": "one"}, 5]
    path = write(tmp_path / "a.json", {"data": [7, {"title": "A", "paragraphs": paragraphs}]})
    problems = Problems()
    documents = list(read_documents(path, SourceSettings(on_error="skip"), problems))
    assert [document.id for document in documents] == ["A/1"]  # as it is once all can be read
    assert [item.source.removeprefix(f"{path}:") for item in problems.items] == [
        "data[0]",
        "data[1].paragraphs[0]",
        "data[1].paragraphs[2]",
    ]


@pytest.mark.parametrize(
    ("name", "count"),
    [("squad/train", 1203), ("squad/validation", 288), ("squad/test", 188)],
)
def test_the_real_set(shared_data: Path, name: str, count: int) -> None:
    documents = list(read_documents(shared_data / f"{name}.json"))
    assert len(documents) == count
    assert len({document.id for document in documents}) == count
    assert not any("_" in document.title for document in documents)
