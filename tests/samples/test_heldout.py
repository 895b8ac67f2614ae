"""What of a test is found again in the samples, and what only looks like it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.samples.rivers import HARD, Record, record, text_of, told, write

from dpr.questions import write_question_set
from dpr.records import Question, QuestionSet


def leak(question: str, at: int = 0, **fields: Any) -> Record:
    return record(at) | {"question": question} | fields


@pytest.mark.parametrize(
    ("held_out", "kind"),
    [
        (leak("below which mount does the river ALVA have its spring"), "leaked-question"),
        (leak("Below which mount does the river Avla have its spring?"), "leaked-question"),
        (leak("So below which mount does the river Alva have its spring?"), "leaked-question"),
        (leak("The river Alva has its spring below which mount?"), "leaked-question"),
        (leak("Below which mount does the river Brenta have its spring?", 1), "line 2"),
        (leak("Below which mount does the river Drawa have its spring, 3?", 3), None),
        (leak("Below which mount does the river Alva have its spring?", 6), "question-in-test"),
        (
            leak("Below which mount does the river Alva have its spring", answers=[]),
            "leaked-question",
        ),
        (
            leak("So below which mount does the river Alva have its spring", 6, answers=[]),
            "question-in-test",
        ),
        (leak("What is the capital of France?", 6), None),
    ],
)
def test_questions_of_the_test(
    tmp_path: Path, records: list[Record], held_out: Record, kind: str | None
) -> None:
    path = write(tmp_path / "a.jsonl", records)
    test = write(tmp_path / "t.jsonl", [held_out])
    found = [one for one in told(path, tests=[test]) if one[0] != "passage-in-test"]
    if kind == "line 2":
        assert found == [("leaked-question", "line 2", "")]
    else:
        assert found == ([] if kind is None else [(kind, "line 1", "")])


def test_a_question_that_depends_on_its_passage_is_no_leak(
    tmp_path: Path, records: list[Record]
) -> None:
    generic = [record(at) | {"question": "Where is the spring?", HARD: []} for at in (0, 1)]
    test = write(
        tmp_path / "t.jsonl", [record(2) | generic[0] | {"positive_ctxs": [{"text": "x"}]}]
    )
    found = told(write(tmp_path / "a.jsonl", [*records, *generic]), tests=[test])
    kinds = {kind for kind, *_ in found}
    assert "question-in-test" in kinds and "leaked-question" not in kinds


def test_tests_of_other_formats(tmp_path: Path, records: list[Record]) -> None:
    path = write(tmp_path / "a.jsonl", records)
    question = Question("q1", records[5]["question"], tuple(records[5]["answers"]))
    table = tmp_path / "qa.tsv"
    write_question_set(table, QuestionSet("qa", (question,)), "dpr-qa")
    lines = tmp_path / "qa.jsonl"
    write_question_set(lines, QuestionSet("qa", (question,)), "jsonl")
    folder = tmp_path / "beir"
    write_question_set(folder, QuestionSet("b", (question,), {"q1": {"d": 1}}), "beir")
    corpus = {"_id": "d", "title": "", "text": text_of(5)}
    (folder / "corpus.jsonl").write_text(json.dumps(corpus) + "\n", encoding="utf-8")
    leaked = ("leaked-question", "line 6", "")
    assert told(path, tests=[table]) == told(path, tests=[lines]) == [leaked]
    assert told(path, tests=[folder]) == [leaked, ("passage-in-test", "line 6", "positive_ctxs[0]")]


def test_near_copies_of_test_passages(tmp_path: Path, records: list[Record]) -> None:
    test = record(6) | {"question": "Another?"}
    test["positive_ctxs"][0]["text"] = f"Indeed. {text_of(6)}"
    path, other = write(tmp_path / "a.jsonl", records), write(tmp_path / "t.jsonl", [test])
    assert told(path, tests=[other]) == [("passage-in-test", "line 7", "positive_ctxs[0]")]
    assert told(path, tests=[other], near=1.0) == []
