"""What was found, written and read back by our own readers and by ir_measures."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ir_measures
import pytest

from dpr.errors import InputError, SettingsError
from dpr.interchange.hits import HitFormat, write_hits
from dpr.questions import read_results, read_run
from dpr.records import Asked, Hit, Passage, Question


def asked(count: int = 3, hits: int = 4) -> list[Asked]:
    return [
        Asked(
            Question(f"q{q}", f"question {q}?", ("an answer",)),
            tuple(
                Hit(
                    Passage(f"p{h}", f"text {h} é\u2028", "title", "s", "a.txt:1", 3, 9, "", META),
                    0.1 * (hits - h) + q,
                    dense_score=1.5 if h else None,
                    dense_rank=h or None,
                )
                for h in range(hits)
            ),
        )
        for q in range(count)
    ]


META = {"year": 1900}


def test_trec(tmp_path: Path) -> None:
    path = tmp_path / "out.run"
    assert write_hits(path, asked(), "trec", "mine") == 3
    wanted = {a.question.id: {h.passage.id: h.score for h in a.hits} for a in asked()}
    assert read_run(path) == wanted
    assert path.read_text().splitlines()[0].split() == ["q0", "Q0", "p0", "1", "0.4", "mine"]
    theirs: dict[str, dict[str, float]] = {}
    for one in ir_measures.read_trec_run(str(path)):
        theirs.setdefault(one.query_id, {})[one.doc_id] = one.score
    assert theirs == wanted


def test_results(tmp_path: Path) -> None:
    write_hits(tmp_path / "out.json", asked(), "results")
    found = read_results(tmp_path / "out.json")
    assert [one.question for one in found] == [one.question for one in asked()]
    for mine, theirs in zip(asked(), found, strict=True):
        shown = [(h.passage.id, h.passage.title, h.passage.text, h.score) for h in mine.hits]
        assert shown == [
            (h.passage.id, h.passage.title, h.passage.text, h.score) for h in theirs.hits
        ]


def test_jsonl(tmp_path: Path) -> None:
    write_hits(tmp_path / "out.jsonl.gz", asked(2, 2), "jsonl")
    lines = gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).decode().split("\n")
    assert lines.pop() == ""
    found = [json.loads(line) for line in lines]
    assert [(one["id"], one["question"]) for one in found] == [
        ("q0", "question 0?"),
        ("q1", "question 1?"),
    ]
    assert found[0]["hits"][1] == {
        "id": "p1",
        "document": "p1",
        "title": "title",
        "section": "s",
        "text": "text 1 é\u2028",
        "source": "a.txt:1",
        "start": 3,
        "end": 9,
        "metadata": META,
        "score": 0.1,
        "dense_score": 1.5,
        "dense_rank": 1,
        "bm25_score": None,
        "bm25_rank": None,
    }
    assert found[0]["hits"][0]["dense_rank"] is None
    assert found[0]["version"] == 0


FORMATS: tuple[HitFormat, ...] = ("trec", "results", "jsonl")


@pytest.mark.parametrize("format", FORMATS)
def test_records_are_taken_one_by_one(format: HitFormat, tmp_path: Path) -> None:
    """No record is alive any more when the next but one is asked for."""
    alive: list[int] = []

    class Counted(Asked):
        def __del__(self) -> None:
            alive.pop()

    def some() -> Iterator[Asked]:
        for n in range(200):
            assert len(alive) <= 2
            alive.append(n)
            yield Counted(Question(f"q{n}", "x"), asked(1)[0].hits)

    assert write_hits(tmp_path / "out", some(), format) == 200


def bad(change: str) -> list[Asked]:
    some = asked()
    one = some[1]
    hit = one.hits[0]
    if change == "question twice":
        return [*some, some[0]]
    if change == "passage twice":
        hits: tuple[Hit, ...] = (*one.hits, hit)
    elif change == "no number":
        hits = (replace(hit, score=float("nan")),)
    else:
        hits = (replace(hit, passage=replace(hit.passage, id="a b")),)
    return [some[0], replace(one, hits=hits)]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("question twice", "'q0' comes twice"),
        ("passage twice", "passage comes twice for the question 'q1'"),
        ("no number", "is nan; expected a finite"),
        ("white space", "white space"),
    ],
)
def test_nothing_is_left_of_what_could_not_be_read_back(
    format: HitFormat, change: str, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    if change == "white space" and format != "trec":
        write_hits(path, bad(change), format)
        return
    with pytest.raises(InputError, match=what):
        write_hits(path, bad(change), format)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_there_are_three_formats(tmp_path: Path) -> None:
    other: Any = "csv"
    with pytest.raises(SettingsError, match="format='csv'; allowed are 'trec', 'results', 'jsonl'"):
        write_hits(tmp_path / "out", asked(), other)
