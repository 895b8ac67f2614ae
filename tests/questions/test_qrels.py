"""Judgements: against ir_measures, round trips, and what is malformed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import InputError, SettingsError
from dpr.questions import read_judgements, write_judgements

from .strategies import texts, words

grades = st.integers(-3, 10)


def judged(ids: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, dict[str, int]]]:
    return st.dictionaries(
        ids, st.dictionaries(ids, grades, min_size=1, max_size=4), min_size=1, max_size=4
    )


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@given(judged(words))
def test_trec_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, judgements: dict[str, dict[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("qrels") / "a.qrels"
    write_judgements(path, judgements)
    assert read_judgements(path) == judgements
    if all(line.isprintable() for line in path.read_text(encoding="utf-8").split("\n")):
        theirs: dict[str, dict[str, int]] = {}
        for one in ir_measures.read_trec_qrels(str(path)):
            theirs.setdefault(one.query_id, {})[one.doc_id] = one.relevance
        assert theirs == judgements


@given(judged(texts))
def test_beir_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, judgements: dict[str, dict[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("qrels") / "a.tsv"
    write_judgements(path, judgements, "beir")
    assert read_judgements(path) == judgements
    with path.open(encoding="utf-8", newline="") as file:  # as BEIR's own loader reads it
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[0] == ["query-id", "corpus-id", "score"]
    assert len(rows) == 1 + sum(map(len, judgements.values()))
    assert all(judgements[q][p] == int(grade) for q, p, grade in rows[1:])


def test_the_same_twice_is_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "q 0 a 1\r\n\nq\t0\ta\t+1\nq Q0 b -2\n")
    assert read_judgements(path) == {"q": {"a": 1, "b": -2}}


HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("q 0 a 1\nq 0 a 2\n", ":2: 'a' is graded 2 for question 'q', and 1 on an earlier line"),
        ("q 0 a 1\nq 0 b high\n", ":2: the grade is 'high'; expected a whole number"),
        ("q 0 a 1\nq 0 b 1.0\n", ":2: the grade is '1.0'"),
        ("q 0 a 1\nq 0 b 1_0\n", ":2: the grade is '1_0'"),
        ("q 0 a 1\nq 0 b ٣\n", ":2: the grade is"),
        ("q 0 a 1\nq 0 b 99999999999\n", ":2: the grade is"),
        ("q 0 a 1\nq b 1\n", ":2: 3 columns, 'q b 1'; expected TREC's four columns"),
        ("q Q0 a 1 2.5 t\n", ":1: 6 columns"),
        ("q\ta\t1\n", ":1: 3 columns, .* or BEIR's three, .* under the header query-id"),
        (HEADER, ": there is no judgement in it"),
        ("", ": there is no judgement in it"),
        (HEADER.replace("\t", " "), r":1: the header is \['query-id corpus-id score'\]"),
        (HEADER + "q\ta\t1\nq\tb\n", ":3: 2 columns, beginning 'q'"),
        (HEADER + "q\ta\t1\n\tb\t1\n", ":3: the question id is empty"),
        (HEADER + "q\ta\t1\nq\t \t1\n", ":3: the passage id is empty"),
        (HEADER + "q\ta\t1\nq\ta\t0\n", ":3: 'a' is graded 0"),
        (HEADER + "q\ta\t1\nq\tb\tx\n", ":3: the grade is 'x'"),
        (b"q 0 a 1\nq 0 \xff 1\n", ":2: not UTF-8"),
    ],
)
def test_what_is_malformed(tmp_path: Path, data: str | bytes, told: str) -> None:
    with pytest.raises(InputError, match=rf"a\.qrels{told}"):
        read_judgements(write(tmp_path / "a.qrels", data))


@pytest.mark.parametrize(
    ("judgements", "format", "told"),
    [
        ({"q": {"A b/0": 1}}, "trec", "'A b/0' holds white space.*format='beir'"),
        ({"q q": {"a": 1}}, "trec", "'q q' holds white space"),
        ({"q": {"": 1}}, "trec", "passage id is empty"),
        ({"q": {" ": 1}}, "beir", "passage id is empty"),
        ({"q": {"a": 0.5}}, "beir", "grade of 'a' for question 'q' is 0.5"),
        ({"q": {"a": True}}, "trec", "is True"),
        ({"q": {"a": 10**9}}, "trec", "at most nine digits"),
    ],
)
def test_what_no_file_can_hold(
    tmp_path: Path, judgements: dict[str, dict[str, Any]], format: Any, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        write_judgements(tmp_path / "a", judgements, format)
    assert not list(tmp_path.iterdir())


def test_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'csv'; choose one of trec, beir"):
        write_judgements(tmp_path / "a", {"q": {"a": 1}}, "csv")  # type: ignore[arg-type]


def test_the_real_judgements(shared_data: Path) -> None:
    found = read_judgements(shared_data / "fairytaleqa" / "validation" / "qrels" / "test.tsv")
    assert (len(found), sum(map(len, found.values()))) == (1025, 1133)
    path = shared_data / "fairytaleqa" / "validation" / "qrels" / "test.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    assert [(q, p, str(g)) for q, row in found.items() for p, g in row.items()] == [
        tuple(line.split("\t")) for line in lines
    ]
