"""BEIR's folders."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.corpus import Problems
from dpr.errors import IdError, InputError, SettingsError
from dpr.questions import read_question_set, write_question_set
from dpr.questions.beir import read_beir
from dpr.records import Question, QuestionSet

from .strategies import questions, texts

QUERIES = (
    '{"_id": "a", "text": "one", "metadata": {"answers": ["1"]}}\n'
    '{"_id": "b", "text": "two", "metadata": {}}\n'
    '{"_id": "c", "text": "three"}\n'
)
HEADER = "query-id\tcorpus-id\tscore\n"


def folder(path: Path, queries: str = QUERIES, **qrels: str) -> Path:
    (path / "qrels").mkdir(parents=True)
    (path / "queries.jsonl").write_text(queries, encoding="utf-8")
    for split, rows in qrels.items():
        (path / "qrels" / f"{split}.tsv").write_text(HEADER + rows, encoding="utf-8")
    return path


def test_questions_with_judgements_in_the_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dpr")
    path = folder(tmp_path / "set", test="c\td1\t2\na\td2\t0\n", dev="b\td1\t1\n")
    assert read_question_set(path) == QuestionSet(
        "set",
        (Question("a", "one", ("1",)), Question("c", "three")),
        {"c": {"d1": 2}, "a": {"d2": 0}},
    )
    assert "test.tsv: 2 of 3 questions have judgements" in caplog.text
    dev = read_question_set(path, format="beir", split="dev")
    assert dev == QuestionSet("set", (Question("b", "two"),), {"b": {"d1": 1}})
    with pytest.raises(
        InputError, match=r"set: no qrels/train\.tsv; there are: dev\.tsv, test\.ts"
    ):
        read_question_set(path, split="train")


def test_the_only_split_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = folder(tmp_path / "set", dev="b\td1\t1\n")
    assert [one.id for one in read_question_set(path).questions] == ["b"]
    assert "no qrels/test.tsv; taking dev.tsv, the only one" in caplog.text


def test_dev_is_also_called_validation(tmp_path: Path) -> None:
    path = folder(tmp_path / "set", train="a\td1\t1\n", validation="b\td1\t1\n")
    assert [one.id for one in read_question_set(path, split="dev").questions] == ["b"]
    (path / "qrels" / "dev.tsv").write_text(HEADER + "c\td1\t1\n", encoding="utf-8")
    assert [one.id for one in read_question_set(path, split="dev").questions] == ["c"]
    other = folder(tmp_path / "other", train="a\td1\t1\n", test="b\td1\t1\n")
    told = r"no qrels/dev\.tsv or qrels/validation\.tsv; there are: test\.tsv, train\.tsv\. Name"
    with pytest.raises(InputError, match=told):
        read_question_set(other, split="dev")


def test_judged_questions_of_a_doubled_id_are_left_out_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    more = '{"_id": "a", "text": "four"}\n{"_id": "c", "text": "five"}\n{"_id": "a", "text": "6"}\n'
    path = folder(tmp_path / "set", QUERIES + more, test="b\td1\t1\na\td1\t1\na\td2\t1\n")
    problems = Problems()
    found = read_beir(path, "test", problems)
    assert ([one.id for one in found.questions], found.judgements) == (["b"], {"b": {"d1": 1}})
    assert problems.count == 3  # c is not judged
    queries = path / "queries.jsonl"
    assert [str(one).partition(";")[0] for one in problems.items] == [
        f"{queries}:1: the question id 'a' is also that of line 4",
        f"{queries}:4: the question id 'a' is also that of line 1",
        f"{queries}:6: the question id 'a' is also that of line 1",
    ]
    with pytest.raises(IdError):
        read_beir(path, "test")


@pytest.mark.parametrize(
    ("queries", "rows", "told"),
    [
        (QUERIES, "a\td\t1\nx\td\t1\n", "1 judged questions are not in queries.jsonl, the first"),
        (QUERIES + '{"_id": "a", "text": "x"}', "a\td\t1\n", "'a' is also that of line 1"),
        (QUERIES + '{"text": "x"}', "a\td\t1\n", "queries.jsonl:4: the question's id is missing"),
        (QUERIES + "four", "a\td\t1\n", "queries.jsonl:4: expected a JSON object a line"),
        (QUERIES, "", "there is no judgement in it"),
        (QUERIES, "a\td\n", r"test\.tsv:2: 2 columns"),
    ],
)
def test_malformed_folders(tmp_path: Path, queries: str, rows: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_question_set(folder(tmp_path / "set", queries, test=rows))


def test_what_is_no_folder_of_beir(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no folder with a queries\.jsonl"):
        read_question_set(tmp_path, format="beir")
    with pytest.raises(InputError, match=r"no qrels/test\.tsv; there are: none\. Name"):
        read_question_set(folder(tmp_path / "set"))
    path = folder(tmp_path / "other", test="a\td\t1\n")
    with pytest.raises(SettingsError, match=r"split is '\.\./test'; give a plain name"):
        read_question_set(path, split="../test")
    with pytest.raises(InputError, match="is no folder"):
        read_question_set(path / "queries.jsonl", format="beir")
    # The file by itself is questions without judgements.
    assert len(read_question_set(path / "queries.jsonl").questions) == 3


@given(st.data(), questions())
def test_a_folder_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, some: tuple[Question, ...]
) -> None:
    grades = st.dictionaries(texts, st.integers(0, 3), min_size=1, max_size=3)
    path = tmp_path_factory.mktemp("beir") / "set"
    written = QuestionSet("set", some, {one.id: data.draw(grades) for one in some})
    write_question_set(path, written, "beir", split="dev")
    assert read_question_set(path, split="dev") == written
    for line in (path / "queries.jsonl").read_bytes().splitlines():
        assert set(json.loads(line)) == {"_id", "text", "metadata"}


def test_what_no_folder_can_hold(tmp_path: Path) -> None:
    one, two = Question("a", "x"), Question("b", "x")
    wrong: list[tuple[tuple[Question, ...], Any, str]] = [
        ((one, two), {"a": {"d": 1}, "b": {}}, "1 questions have no judgement, the first 'b'"),
        ((one,), {"a": {"d": 1}, "b": {"d": 1}}, "1 judged questions are not in the set"),
        ((Question("a", " "),), {"a": {"d": 1}}, "question 'a': the question's text is empty"),
        ((one, one), {"a": {"d": 1}}, "two questions have the id 'a'"),
    ]
    for some, judgements, told in wrong:
        with pytest.raises(InputError, match=told):
            write_question_set(tmp_path / "set", QuestionSet("set", some, judgements), "beir")
    with pytest.raises(SettingsError, match="give a plain name"):
        good = QuestionSet("set", (one,), {"a": {"d": 1}})
        write_question_set(tmp_path / "set", good, "beir", split="a/b")
    assert not list(tmp_path.iterdir())


def test_the_real_folder(shared_data: Path) -> None:
    path = shared_data / "fairytaleqa" / "validation"
    found = read_question_set(path)
    assert found.name == "fairytaleqa/validation"
    assert len(found.questions) == len(found.judgements) == 1025
    lines = (path / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    assert [(q.id, q.text, list(q.answers)) for q in found.questions] == [
        (value["_id"], value["text"], value["metadata"]["answers"])
        for value in map(json.loads, lines)
    ]


def test_real_ids_that_stand_for_two_questions_are_told(shared_data: Path) -> None:
    path = shared_data / "fairytaleqa" / "train"
    with pytest.raises(InputError, match=r":4794: .*'tale-of-tom-kitten\?3' .* line 4793"):
        read_question_set(path)


def test_a_split_is_named_with_what_it_is_a_split_of(tmp_path: Path) -> None:
    for folder, name in (("tales/validation", "tales/validation"), ("tales/part", "part")):
        (tmp_path / folder / "qrels").mkdir(parents=True)
        (tmp_path / folder / "queries.jsonl").write_text('{"_id": "q", "text": "who?"}\n')
        (tmp_path / folder / "qrels" / "test.tsv").write_text(
            "query-id\tcorpus-id\tscore\nq\td\t1\n"
        )
        assert read_question_set(tmp_path / folder).name == name
