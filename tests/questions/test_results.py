"""The original's results JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import InputError
from dpr.questions import iterate_results, read_results, write_results
from dpr.records import Answer, Asked, Hit, Passage, Question

from .strategies import questions, texts

CONTEXT = {"id": "wiki:1", "title": "T", "text": "x", "score": "81.5", "has_answer": True}


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_the_originals_layout(tmp_path: Path) -> None:
    other = {"id": 7, "title": None, "text": "", "score": -2, "has_answer": False}
    records = [
        {"question": "one", "answers": ["a"], "ctxs": [CONTEXT, other]},
        {"id": "x", "question": "two", "answers": [], "ctxs": []},
        {"question": "three", "ctxs": [CONTEXT]},
    ]
    hit = Hit(Passage("wiki:1", "x", "T"), 81.5)
    expected = [
        Asked(Question("0", "one", ("a",)), (hit, Hit(Passage("7", ""), -2.0))),
        Asked(Question("x", "two"), ()),
        Asked(Question("2", "three"), (hit,)),
    ]
    path = tmp_path / "a.json"
    assert read_results(write(path, json.dumps(records, indent=4))) == expected
    assert read_results(write(path, "\n".join(map(json.dumps, records)))) == expected


def test_results_stream(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [{"question": "one", "ctxs": []}, {"question": "two"}])
    results = iterate_results(path)
    assert next(results).question.text == "one"
    with pytest.raises(InputError, match="no list of ctxs"):
        next(results)


@given(st.data(), questions())
def test_results_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, some: tuple[Question, ...]
) -> None:
    score = st.floats(allow_nan=False, allow_infinity=False)
    hit = st.builds(Hit, st.builds(Passage, texts, texts, texts), score)
    hits = st.lists(hit, max_size=3, unique_by=lambda one: one.passage.id).map(tuple)
    asked = [Asked(question, data.draw(hits)) for question in some]
    path = tmp_path_factory.mktemp("results") / "a.json"
    matches = [[data.draw(st.booleans()) for _ in one.hits] for one in asked]
    for given_matches in (None, matches):
        write_results(path, asked, matches=given_matches)
        assert read_results(path) == asked
    records = json.loads(path.read_text(encoding="utf-8"))
    assert [[one["has_answer"] for one in record["ctxs"]] for record in records] == matches
    assert all(type(one["score"]) is str for record in records for one in record["ctxs"])


def test_what_is_written(tmp_path: Path) -> None:
    passage = Passage("p", "text", "title", "section", "source", 3, 7)
    asked = Asked(Question("q", "?", ("a",)), (Hit(passage, 2),), (Answer("a", 1.0, "p", 0, 1),))
    path = tmp_path / "a.json"
    write_results(path, [asked])
    context = {"id": "p", "title": "title", "text": "text", "score": "2.0"}
    record = {"id": "q", "question": "?", "answers": ["a"], "ctxs": [context]}
    assert json.loads(path.read_text(encoding="utf-8")) == [record]
    write_results(path, [])
    assert json.loads(path.read_text(encoding="utf-8")) == []


def ctx(**changes: Any) -> list[dict[str, Any]]:
    return [{"question": "one", "answers": ["a"], "ctxs": [{**CONTEXT, **changes}]}]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], ": there is no question in it"),
        ([{"question": "one", "answers": []}], ":1: no question, or no list of ctxs, among"),
        ([{"answers": [], "ctxs": []}], ":1: no question"),
        ([{"question": "one", "ctxs": {}}], ":1: no question, or no list of ctxs"),
        ([{"question": " ", "ctxs": []}], ":1: the question's text is empty"),
        ([{"question": "one", "answers": [""], "ctxs": []}], ":1: an answer is empty"),
        ([{"question": "one", "answers": "x\0", "ctxs": []}], ":1: .*NUL character"),
        ([{"question": "one", "ctxs": [3]}], r":1: found int 3; expected a passage as ctxs\[0\]"),
        ([{"question": "one", "ctxs": [CONTEXT, CONTEXT]}], ":1: a passage comes twice"),
        (ctx(id=None), r":1: the id of ctxs\[0\] is missing"),
        (ctx(id=""), r":1: the id of ctxs\[0\] is empty"),
        (ctx(text=None), r":1: the text of ctxs\[0\] is None"),
        (ctx(text="\ud800"), r":1: the text of ctxs\[0\] has a lone surrogate"),
        (ctx(title=3), r":1: the title of ctxs\[0\] is 3"),
        (ctx(score="high"), r":1: the score of ctxs\[0\] is 'high'; expected a finite number"),
        (ctx(score="nan"), r":1: the score of ctxs\[0\] is 'nan'"),
        (ctx(score=float("inf")), r":1: the score of ctxs\[0\] is inf"),
        (ctx(score=10**400), r":1: the score of ctxs\[0\] is 1000"),
        (ctx(score="1_0"), r":1: the score of ctxs\[0\] is '1_0'"),
        (ctx(score=True), r":1: the score of ctxs\[0\] is True"),
        (ctx(score=None), r":1: the score of ctxs\[0\] is None"),
        (
            '[{"question": "one", "ctxs": []},\n{"id": "0", "question": "two", "ctxs": []}]',
            ":2: the question id '0' is also that of line 1",
        ),
    ],
)
def test_what_is_malformed(tmp_path: Path, value: Any, told: str) -> None:
    with pytest.raises(InputError, match=rf"a\.json{told}"):
        read_results(write(tmp_path / "a.json", value))


def test_what_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    asked = Asked(Question("q", "?"), (Hit(Passage("p", "text"), 1.0),))
    wrong: list[tuple[Any, Any, str]] = [
        ([asked], [], "'q' has 1 passages, and matches for 0"),
        ([asked], [[True, False]], "'q' has 1 passages, and matches for 2"),
        ([asked], [[True], [True]], "more matches than questions"),
        ([Asked(Question("q", "?"), (Hit(Passage("p", "x"), float("nan")),))], None, "is nan"),
        ([Asked(Question("q", "?", ("",)), ())], None, "question 'q': an answer is empty"),
    ]
    for some, matches, told in wrong:
        with pytest.raises(InputError, match=rf"a\.json.*{told}"):
            write_results(path, some, matches=matches)
    assert not path.exists()
