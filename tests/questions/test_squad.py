"""SQuAD's questions, and that their paragraphs are the documents that ``dpr.corpus`` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpr.corpus import read_documents
from dpr.errors import InputError
from dpr.questions import read_question_set, write_question_set
from dpr.records import Question, QuestionSet


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def qa(identifier: Any, text: str, *answers: str, **more: Any) -> dict[str, Any]:
    given = [{"text": answer, "answer_start": 0} for answer in answers]
    return {"id": identifier, "question": text, "answers": given, **more}


def paragraph(context: str, *qas: Any) -> dict[str, Any]:
    return {"context": context, "qas": list(qas)}


ARTICLES = [
    {"title": "A_b", "paragraphs": [paragraph("one"), paragraph("two", qa("1", "x", "t", "t"))]},
    {"paragraphs": [paragraph("three", qa(2, "y", "h", "r"))]},
    {
        "title": "A_b",
        "paragraphs": [
            paragraph("two", qa("3", "z", "w", "o")),
            paragraph("four", qa("1", "x", "t"), qa("4", "v", is_impossible=True)),
            {"context": "two"},
        ],
    },
]


def test_questions_and_paragraphs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"version": "v2.0", "data": ARTICLES})
    assert read_question_set(path) == QuestionSet(
        "a",
        (
            Question("1", "x", ("t",)),
            Question("2", "y", ("h", "r")),
            Question("3", "z", ("w", "o")),
            Question("4", "v", (), True),
        ),
        {"1": {"A b/1": 1, "A b/2": 1}, "2": {"1/0": 1}, "3": {"A b/1": 1}},
    )
    assert [one.id for one in read_documents(path)] == ["A b/0", "A b/1", "1/0", "A b/2"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{", r"a\.json:1: not JSON"),
        ([], "found list; expected SQuAD JSON"),
        ({"data": []}, "there is no question in it"),
        ({"data": [{"paragraphs": [paragraph("one")]}]}, "there is no question in it"),
        ({"data": [{"title": "A"}]}, r"data\[0\]: an article without"),
        ({"data": [{"paragraphs": [paragraph(" ")]}]}, "the context is empty"),
        ({"data": [{"paragraphs": [{"context": "one", "qas": {}}]}]}, r"\]: qas is not a list"),
    ],
)
def test_malformed_files(tmp_path: Path, value: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_question_set(write(tmp_path / "a.json", value), format="squad")


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (3, "found int 3; expected a question such as"),
        ({"question": "x"}, "the question's id is missing"),
        (qa("", "x"), "the question's id is empty"),
        (qa("b", " "), "the question's text is empty"),
        ({"id": "b", "question": None}, "the question's text is None"),
        (qa("b", "x\0"), "the question's text has a NUL character"),
        (qa("b", "x", " "), "an answer is empty"),
        (qa("b", "x", "\ud800"), "the answer has a lone surrogate"),
        ({**qa("b", "x"), "answers": {}}, "answers are {}; expected a list of objects"),
        ({**qa("b", "x"), "answers": ["one"]}, r"answers are \['one'\]; expected"),
        ({**qa("b", "x"), "answers": [{"text": 3}]}, "expected a list of objects with a text"),
        (qa("b", "x", is_impossible=1), "unanswerable is 1; expected true or false"),
        (qa("b", "x", "one", is_impossible=True), "is marked unanswerable and has answers"),
        (
            qa("a", "other"),
            r"id 'a' is also that of .*a\.json:data\[0\]\.paragraphs\[0\]\.qas\[0\]",
        ),
    ],
)
def test_malformed_questions(tmp_path: Path, question: Any, told: str) -> None:
    data = [{"paragraphs": [paragraph("one", qa("a", "x"), question)]}]
    path = write(tmp_path / "a.json", {"data": data})
    with pytest.raises(
        InputError, match=rf"a\.json:data\[0\]\.paragraphs\[0\]\.qas\[1\]: .*{told}"
    ):
        read_question_set(path)


FILES = [
    ("covidqa/covidqa", 1380),
    ("policyqa/dev", 3809),
    ("policyqa/test", 4152),
    ("qed/natural-questions", 658),
    ("squad/train", 5908),
    ("squad/validation", 1287),
    ("squad/test", 1085),
]


@pytest.mark.parametrize(("name", "count"), FILES)
def test_real_files_agree_with_the_documents(shared_data: Path, name: str, count: int) -> None:
    """Each question's answers stand in the document that it is judged by."""
    path = shared_data / f"{name}.json"
    found = read_question_set(path)
    texts = {document.id: document.text for document in read_documents(path)}
    assert len(found.questions) == len(found.judgements) == count
    for question in found.questions:
        (document,) = found.judgements[question.id]
        assert question.answers
        assert all(answer in texts[document] for answer in question.answers)


@pytest.mark.parametrize("name", ["covidqa/covidqa", "squad/validation", "qed/natural-questions"])
def test_real_files_are_read_as_written(shared_data: Path, tmp_path: Path, name: str) -> None:
    path = shared_data / f"{name}.json"
    found = read_question_set(path)
    documents = list(read_documents(path))
    passages = {one.id: (one.title, one.text) for one in documents}
    again = tmp_path / path.name
    write_question_set(again, found, "squad", passages=passages)
    read = read_question_set(again)
    assert read.judgements == found.judgements
    # Articles of one title that stand apart in the file are one when it is written.
    assert set(read.questions) == set(found.questions)
    assert {(one.id, one.title, one.text) for one in read_documents(again)} == {
        (one.id, one.title, one.text) for one in documents
    }
    for article in json.loads(again.read_text(encoding="utf-8"))["data"]:
        for one in article["paragraphs"]:
            for asked in one["qas"]:
                for answer in asked["answers"]:
                    assert one["context"].startswith(answer["text"], answer["answer_start"])


def test_unanswerable_questions_are_read_as_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"data": ARTICLES})
    found = read_question_set(path)
    passages = {one.id: (one.title, one.text) for one in read_documents(path)}
    passages["A b/2"] = ("A b", "four and t")
    write_question_set(tmp_path / "a.json.gz", found, "squad", passages=passages)
    again = read_question_set(tmp_path / "a.json.gz")
    assert sorted(again.questions, key=lambda q: q.id) == list(found.questions)
    # Passages of a title are one article, so that the one without comes second.
    assert again.judgements == {**found.judgements, "2": {"1/0": 1}}


def test_what_cannot_be_written(tmp_path: Path) -> None:
    one = Question("q", "x", ("one",))
    passages = {"p": ("T", "a one"), "r": ("T", "another")}
    cases: list[tuple[Question, dict[str, int], Any, str]] = [
        (one, {}, passages, "'q' is judged to be answered by no passage at all; SQuAD sets"),
        (one, {"p": 0}, passages, "by no passage at all"),
        (one, {"x": 1}, passages, "by passage 'x', which is not given"),
        (one, {"p": 1}, None, "by passage 'p', which is not given"),
        (one, {"p": 1, "r": 1}, passages, "the answer 'one' does not stand in passage 'r'"),
        (one, {"p": 1}, {"p": ("T", " ")}, "the text of passage 'p' is empty"),
        (one, {"p": 1}, {"p": ("T\0", "one")}, "title of passage 'p' has a NUL character"),
        (Question("q", "x", (), True), {}, {}, "there is no passage to put questions in"),
        (Question("q", "x", ("",)), {"p": 1}, passages, "an answer is empty"),
    ]
    for question, judged, given, told in cases:
        with pytest.raises(InputError, match=rf"a\.json.*: .*{told}"):
            questions = QuestionSet("a", (question,), {"q": judged})
            write_question_set(tmp_path / "a.json", questions, "squad", passages=given)
    assert not list(tmp_path.iterdir())
