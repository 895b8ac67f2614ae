from __future__ import annotations

import importlib.resources
import json
import sys
import types

import pytest

from dpr.corpus import read_documents, read_passages
from dpr.errors import InputError


def test_topics_are_documents() -> None:
    topics = pytest.importorskip("pydoc_data.topics").topics
    documents = {document.id: document for document in read_documents("pydoc")}
    assert list(documents) == sorted(topics)
    document = documents["assert"]
    assert document.title == 'The "assert" statement'
    assert document.source == "pydoc:assert"
    assert document.text == topics["assert"]
    assert document.sections[0].title == document.title
    inner = {section.title for section in documents["compound"].sections}
    assert {"Compound statements", 'The "if" statement', "OR Patterns"} <= inner
    for document in documents.values():
        for section in document.sections:
            assert section.title in document.text[section.start :].split("\n", 2)[:2]


def test_markup_of_other_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    topics = {
        "b": '\nThe "b" statement\n*****************\n\nText.\n\nInner\n=====\n\nMore.\n',
        "a": "No heading at all.\n",
        "c": "\n",
    }
    module = types.ModuleType("pydoc_data.topics")
    module.topics = topics  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", module)
    first, second = read_documents("pydoc")
    assert (first.id, first.title, first.sections) == ("a", "a", ())
    assert second.title == 'The "b" statement'
    assert [(s.start, s.title) for s in second.sections] == [
        (1, 'The "b" statement'),
        (topics["b"].index("Inner"), "Inner"),
    ]


def test_a_python_without_its_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(InputError, match="without pydoc_data"):
        list(read_documents("pydoc"))


def test_the_demo_s_sections_are_there_and_hold_the_answers() -> None:
    pytest.importorskip("pydoc_data.topics")
    demo = importlib.resources.files("dpr") / "demo" / "questions.json"
    passages = list(read_passages("pydoc"))
    for question in json.loads(demo.read_text(encoding="utf-8")):
        texts = [" ".join(p.text.split()) for p in passages if p.section in question["sections"]]
        assert any(answer in text for text in texts for answer in question["answers"]), question
