"""Sets of questions: what a path is, the formats of lines, and what all formats share."""

from __future__ import annotations

import doctest
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import dpr.questions
from dpr.errors import InputError, SettingsError
from dpr.questions import read_question_set, write_question_set
from dpr.questions.sets import recognise
from dpr.records import Question, QuestionSet

from .strategies import questions


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_the_example_runs() -> None:
    results = doctest.testmod(dpr.questions)
    assert results.attempted
    assert not results.failed


def test_public_names() -> None:
    for name in dpr.questions.__all__:
        assert callable(getattr(dpr.questions, name))


SQUAD = {"data": [{"paragraphs": []}]}
RESULTS = [{"question": 'the "ctxs" key', "answers": [], "ctxs": []}]
TRAIN = [{"question": 'a "ctxs": b', "answers": [], "positive_ctxs": [], "negative_ctxs": []}]
NQ_OPEN = '{"question": "x", "answer": ["y"]}\n'


@pytest.mark.parametrize(
    ("name", "data", "format"),
    [
        ("a.tsv", "x\t['y']", "dpr-qa"),
        ("a.qa.csv", "x\t['y']", "dpr-qa"),
        ("a.json", json.dumps(SQUAD), "squad"),
        ("a.json", json.dumps(SQUAD, indent=1), "squad"),
        ("a.json", json.dumps({"version": "1.1", **SQUAD})[:40] + " " * 100_000, "squad"),
        ("a", json.dumps(SQUAD, indent=1), "squad"),
        ("a.json", json.dumps(RESULTS), "dpr-results"),
        ("a.json", json.dumps(RESULTS, indent=4), "dpr-results"),
        ("a.jsonl", json.dumps(RESULTS[0]), "dpr-results"),
        ("a.json", json.dumps(TRAIN), "dpr-train"),
        ("a.json", json.dumps(TRAIN, indent=4), "dpr-train"),
        ("a.jsonl", json.dumps(TRAIN[0]), "dpr-train"),
        ("a.json", NQ_OPEN * 2, "jsonl"),
        ("a.jsonl", NQ_OPEN, "jsonl"),
        ("a.jsonl", '{"_id": "1", "text": "x", "metadata": {"data": 1, "ctxs": 1}}', "jsonl"),
        ("a.jsonl", "anything else, which the reader then tells", "jsonl"),
        ("a.ndjson", NQ_OPEN, "jsonl"),
        ("a.txt", NQ_OPEN, "jsonl"),
        ("a", NQ_OPEN, "jsonl"),
        ("a", "\n" + NQ_OPEN, "jsonl"),
        ("a", "\ufeff" + NQ_OPEN, "jsonl"),
        ("a.txt", "who?\n", "text"),
        ("a", "who?\n", "text"),
        ("a.txt", '[a] "ctxs" is what?\n', "text"),
        ("a.txt", "{a} is what?\n", "text"),
    ],
)
def test_what_a_file_is(tmp_path: Path, name: str, data: str, format: str) -> None:
    assert recognise(write(tmp_path / name, data)) == format
    assert recognise(write(tmp_path / f"{name}.gz", gzip.compress(data.encode()))) == format


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", '[{"question": "x"}]'),
        ("a.json", "who?"),
        ("a.json", '{\n "rows": []}'),
        ("a.parquet", "PAR1"),
        ("a.run", "q Q0 d 1 1.0 t"),
        ("a", b"a\0b"),
        ("a", b""),
    ],
)
def test_what_is_not_recognised(tmp_path: Path, name: str, data: str | bytes) -> None:
    path = write(tmp_path / name, data)
    ending = path.suffix or r"\(none\)"
    told = rf"its extension is {ending} and it begins b.*allowed is a BEIR folder"
    if data:
        with pytest.raises(InputError, match=told):
            read_question_set(path)
    else:
        with pytest.raises(InputError, match="there is no question in it"):
            read_question_set(path)


def test_what_is_no_file_of_questions(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such file or folder; allowed is a BEIR"):
        read_question_set(tmp_path / "none")
    with pytest.raises(InputError, match=r"is a folder without a queries\.jsonl; allowed is"):
        read_question_set(tmp_path)
    with pytest.raises(InputError, match="is a folder; the format squad needs a file"):
        read_question_set(tmp_path, format="squad")
    with pytest.raises(SettingsError, match="'trec'; choose one of auto, beir, squad"):
        read_question_set(tmp_path, format="trec")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="'text'; choose one of beir, squad, dpr-qa, jsonl"):
        write_question_set(
            tmp_path / "a",
            QuestionSet("a", (Question("q", "x"),)),
            "text",  # type: ignore[arg-type]
        )


def test_a_question_a_line(tmp_path: Path) -> None:
    expected = QuestionSet("a.b", (Question("1", "who?"), Question("3", '{"text": "x"}')))
    path = write(tmp_path / "a.b.txt", '\ufeffwho?\r\n\n {"text": "x"} ')
    assert read_question_set(path) == expected
    path = write(tmp_path / "a.b.txt.gz", gzip.compress(path.read_bytes()))
    assert read_question_set(path) == expected


def test_open_questions_without_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "nq-open.jsonl", NQ_OPEN + '{"question": "z", "answer": []}')
    assert read_question_set(path) == QuestionSet(
        "nq-open", (Question("1", "x", ("y",)), Question("2", "z"))
    )


def test_results_are_questions_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps(RESULTS * 2))
    found = read_question_set(path)
    assert [one.id for one in found.questions] == ["0", "1"]
    assert not found.judgements


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (NQ_OPEN + '{"_id": "1", "text": "x"}', ":2: .*'1' is also that of line 1; ids must be"),
        (NQ_OPEN + '{"id": "q"}', ":2: no 'text' or 'question' among the keys id;"),
        (NQ_OPEN + '{"text": "q"', ":2: expected a JSON object a line"),
        (NQ_OPEN + '{"text": "q", "answers": [""]}', ":2: an answer is empty"),
        ("\n \n", ": there is no question in it"),
        (NQ_OPEN.encode() + b"\xff", ":2: not UTF-8: byte 0xff"),
    ],
)
def test_malformed_lines(tmp_path: Path, data: str | bytes, told: str) -> None:
    with pytest.raises(InputError, match=rf"a\.jsonl{told}"):
        read_question_set(write(tmp_path / "a.jsonl", data))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@given(some=questions())
def test_json_lines_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, name: str, some: tuple[Question, ...]
) -> None:
    path = tmp_path_factory.mktemp("sets") / name
    write_question_set(path, QuestionSet("a", some), "jsonl")
    assert read_question_set(path) == QuestionSet("a", some)


@pytest.mark.parametrize("format", ["jsonl", "dpr-qa"])
@pytest.mark.parametrize(
    ("some", "told"),
    [
        ([Question("", "x")], "question '': the question's id is empty"),
        ([Question("a", "\ud800")], "question 'a': the question's text has a lone surrogate"),
        ([Question("a", "x", ("y",), True)], "unanswerable and has answers"),
        ([Question("a", "x"), Question("a", "y")], "two questions have the id 'a'"),
    ],
)
def test_what_no_format_can_hold(
    tmp_path: Path, format: Any, some: list[Question], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        write_question_set(tmp_path / "a", QuestionSet("a", tuple(some)), format)
    assert not list(tmp_path.iterdir())
