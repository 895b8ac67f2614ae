"""The original's QA table and training JSON."""

from __future__ import annotations

import ast
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from dpr.errors import InputError
from dpr.questions import read_question_set, write_question_set
from dpr.records import Question, QuestionSet

from .strategies import questions


def write(path: Path, data: str) -> Path:
    path.write_text(data, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("literal", "answers"),
    [
        ("['a']", ("a",)),
        ("[]", ()),
        ("()", ()),
        (" ( 'a' , 'b' , ) ", ("a", "b")),
        ("['it\\'s', 'tab\\there', '\\u00e9']", ("it's", "tab\there", "é")),
        (r"['\d+ (?:km|miles)', '\\d']", (r"\d+ (?:km|miles)", r"\d")),
        ('"[""d\'Or"", \'a ""b""\']"', ("d'Or", 'a "b"')),
        ("[u'a', U'b']", ("a", "b")),
    ],
)
def test_lists_of_answers(tmp_path: Path, literal: str, answers: tuple[str, ...]) -> None:
    path = write(tmp_path / "a.tsv", f"who?\t{literal}\n")
    assert read_question_set(path).questions == (Question("0", "who?", answers),)


@pytest.mark.parametrize(
    "literal",
    [
        "__import__('os').system('false')",
        "[__import__('os')]",
        "['a' 'b']",
        "['a'] + ['b']",
        "['a'] * 1000000000",
        "[f'{1}']",
        "[r'a']",
        "[b'a']",
        "[1]",
        "[None]",
        "['a', ['b']]",
        "{'a'}",
        "('a')",
        "['a')",
        "[,]",
        "['a',,]",
        "['a",
        "['\\x']",
        "a",
        "'a'",
        "[" * 50_000,
        "-" * 50_000 + "1",
        "['a', " * 15_000,
        "['" + "\\" * 50_000,
        "['a'" + " " * 50_000 + "x]",
    ],
)
def test_nothing_but_a_list_of_texts_is_taken(tmp_path: Path, literal: str) -> None:
    path = write(tmp_path / "a.tsv", f"who?\t['a']\nwho?\t{literal}\n")
    with pytest.raises(InputError, match=r"a\.tsv:2: the answers are "):
        read_question_set(path)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("who?", ":2: 1 fields, beginning 'who\\?'; expected a question, a tab and a list"),
        ("who?\t['a']\tb", ":2: 3 fields"),
        ("who?\t['a', ' ']", ":2: an answer is empty"),
        ("who?\t['a\\x00']", ":2: the answer has a NUL character"),
        ("who?\t['\\ud800']", ":2: the answer has a lone surrogate"),
        (" \t['a']", ":2: the question's text is empty"),
        ('who?\t["a"]\t"', ":2: not a well-formed row"),
        ("who?\t['" + "a" * 100_000 + "']", ":2: the list of answers has 100004 characters"),
    ],
)
def test_malformed_rows(tmp_path: Path, row: str, told: str) -> None:
    path = write(tmp_path / "a.tsv", f"who?\t['a']\n{row}\n")
    with pytest.raises(InputError, match=rf"a\.tsv{told}"):
        read_question_set(path)


@given(questions())
def test_a_table_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, some: tuple[Question, ...]
) -> None:
    path = tmp_path_factory.mktemp("dpr") / "a.tsv"
    known = [Question(str(at), one.text, one.answers) for at, one in enumerate(some)]
    write_question_set(path, QuestionSet("a", tuple(known)), "dpr-qa")
    assert read_question_set(path) == QuestionSet("a", tuple(known))


def test_what_the_table_cannot_hold(tmp_path: Path) -> None:
    for question, told in (
        (Question("a", "x", (), True), "'a' is unanswerable, which DPR's table cannot say"),
        (Question("a", "x", ("y" * 100_000,)), "at most 100000 are read back"),
    ):
        with pytest.raises(InputError, match=told):
            write_question_set(tmp_path / "a.tsv", QuestionSet("a", (question,)), "dpr-qa")


def test_all_of_the_real_table(shared_data: Path) -> None:
    """Against Python's csv and ast by themselves, on the file that DPR's users have."""
    path = shared_data / "dpr" / "nq.dev.tsv"
    found = read_question_set(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert len(rows) == 8757
    assert [(q.id, q.text, list(q.answers)) for q in found.questions] == [
        (str(at), text, ast.literal_eval(answers)) for at, (text, answers) in enumerate(rows)
    ]


def test_the_real_table_is_written_as_it_was(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "dpr" / "nq.dev.tsv"
    write_question_set(tmp_path / "nq.tsv", read_question_set(path), "dpr-qa")
    assert (tmp_path / "nq.tsv").read_bytes().splitlines() == path.read_bytes().splitlines()


def test_training_json(tmp_path: Path) -> None:
    positives: list[dict[str, Any]] = [
        {"title": "T", "text": "x", "passage_id": "7"},
        {"title": "T", "text": "y", "psg_id": 0},
        {"title": "T", "text": "z", "passage_id": ""},
        {"title": "T", "text": "z"},
    ]
    records = [
        {"question": "one", "answers": ["a"], "positive_ctxs": positives, "negative_ctxs": []},
        {"question": "two", "answers": ["b", "b"], "positive_ctxs": []},
        {"question": "three", "answers": ["c"], "positive_ctxs": positives[3:]},
    ]
    expected = QuestionSet(
        "a",
        (
            Question("0", "one", ("a",)),
            Question("1", "two", ("b", "b")),
            Question("2", "three", ("c",)),
        ),
        {"0": {"7": 1, "0": 1}},
    )
    path = tmp_path / "a.json"
    assert read_question_set(write(path, json.dumps(records, indent=4))) == expected
    assert read_question_set(write(path, "\n".join(map(json.dumps, records)))) == expected


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"question": "one"}, "no question, or no positive_ctxs, among the keys question;"),
        ({"positive_ctxs": []}, "no question"),
        ({"question": "", "positive_ctxs": []}, "the question's text is empty"),
        ({"question": "x", "answers": [""], "positive_ctxs": []}, "an answer is empty"),
        ({"question": "x", "positive_ctxs": {}}, "positive_ctxs is {}; expected a list"),
        ({"question": "x", "positive_ctxs": [1]}, r"found int 1; expected a passage as positive"),
        (
            {"question": "x", "positive_ctxs": [{"passage_id": []}]},
            r"the passage_id of positive_ctxs\[0\] is \[\]; expected a text or a whole number",
        ),
    ],
)
def test_malformed_training_json(tmp_path: Path, record: dict[str, Any], told: str) -> None:
    good = {"question": "one", "positive_ctxs": []}
    path = write(tmp_path / "a.json", f"[{json.dumps(good)},\n{json.dumps(record)}]")
    with pytest.raises(InputError, match=rf"a\.json:2: {told}"):
        read_question_set(path, format="dpr-train")
