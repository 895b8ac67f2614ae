from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from dpr.errors import InputError, SettingsError
from dpr.samples.files import (
    Context,
    MisplacedError,
    SampleCounts,
    read_samples,
    sample_to_json,
)

QA = "data[1].paragraphs[0].qas[0]"
RECORD = {
    "question": "who lives in the castle",
    "answers": ["the king"],
    "positive_ctxs": [{"title": "Castle", "text": "The king lives here.", "passage_id": "7"}],
    "negative_ctxs": [{"title": "", "text": "A forest."}],
    "hard_negative_ctxs": [],
}


def write(path: Path, value: Any, lines: bool = False) -> Path:
    text = "\n".join(map(json.dumps, value)) if lines else json.dumps(value)
    path.write_text(text, encoding="utf-8")
    return path


def squad(answer: str, start: int, **more: Any) -> dict[str, Any]:
    qa = {"id": "q1", "question": "who?", "answers": [{"text": answer, "answer_start": start}]}
    paragraph = {"context": "The king lives here.", "qas": [qa | more]}
    return {"data": [{"title": "Old_castle", "paragraphs": [paragraph]}]}


@pytest.mark.parametrize("lines", [False, True])
def test_dpr_json_and_lines(tmp_path: Path, lines: bool) -> None:
    path = write(tmp_path / "train.json", [RECORD, RECORD], lines)
    first, second = read_samples(path)
    assert first == second
    assert first.question == RECORD["question"]
    assert first.positives[0].title == "Castle"
    assert first.positives[0].id == "7"
    assert [c.text for c in first.best_negatives] == ["A forest."]


def test_a_list_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([RECORD, RECORD])[:-40], encoding="utf-8")
    samples = read_samples(path)
    assert next(samples).question == RECORD["question"]  # whatever comes after
    with pytest.raises(InputError, match=r"train\.json:1: not JSON"):
        next(samples)


@pytest.mark.parametrize("name", ["train.json.gz", "train.json"])
@pytest.mark.parametrize("content", [[RECORD], squad("The king", 0), RECORD])
def test_gzipped_files_are_read_whatever_their_name(
    tmp_path: Path, name: str, content: object
) -> None:
    plain = write(tmp_path / "plain.json", content)
    (tmp_path / name).write_bytes(gzip.compress(plain.read_bytes()))
    assert list(read_samples(tmp_path / name)) == list(read_samples(plain)) != []


def test_gzipped_files_that_are_cut_or_none(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps([RECORD]).encode())[:-12])
    with pytest.raises(InputError, match=r"a\.json\.gz.*truncated"):
        list(read_samples(path))
    path.write_text(json.dumps([RECORD]), encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.json\.gz.*does not hold gzip data"):
        list(read_samples(path))


@pytest.mark.parametrize("lines", [False, True])
def test_a_byte_order_mark_and_empty_lines_are_passed_over(tmp_path: Path, lines: bool) -> None:
    path = write(tmp_path / "a.json", [RECORD, RECORD], lines)
    path.write_bytes(b"\xef\xbb\xbf\n \r\n" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert len(list(read_samples(path))) == 2


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'[\n{"question": "caf\xe9"}]', ":2: not UTF-8: byte 0xe9"),
        (b'{"question": "q"}\n{"question": "caf\xe9"}', ":2: not UTF-8: byte 0xe9"),
        (b'{"question": "caf\xe9"}', ":1: not UTF-8: byte 0xe9"),
        ('[{"question": "q"}]'.encode("utf-16"), ":1: NUL byte"),
        ('{"question": "q"}'.encode("utf-16-le"), ":1: NUL byte"),
    ],
)
def test_text_that_is_not_utf8(tmp_path: Path, content: bytes, place: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(read_samples(path))
    assert f"{path}{place}" in str(caught.value)


def test_hard_negatives_come_before_others(tmp_path: Path) -> None:
    record = RECORD | {"hard_negative_ctxs": [{"text": "A castle in ruins."}]}
    (sample,) = read_samples(write(tmp_path / "a.json", [record]))
    assert [c.text for c in sample.best_negatives] == ["A castle in ruins."]


def test_samples_without_positive_are_dropped_and_counted(tmp_path: Path) -> None:
    counts = SampleCounts()
    path = write(tmp_path / "a.json", [RECORD, RECORD | {"positive_ctxs": []}])
    assert len(list(read_samples(path, counts))) == 1
    assert (counts.read, counts.without_positive) == (1, 1)


def test_squad_gives_title_and_spans(tmp_path: Path) -> None:
    (sample,) = read_samples(write(tmp_path / "s.json", squad("The king", 0)))
    assert sample.answers == ("The king",)
    assert sample.positives[0].title == "Old castle"
    assert sample.positives[0].answers == ((0, 8),)


def test_an_answer_that_does_not_stand_at_its_offset(tmp_path: Path) -> None:
    path = write(tmp_path / "s.json", squad("The king", 4))
    told = r"qas\[0\]: .*'The king' does not stand at character 4.*--on-error skip"
    with pytest.raises(MisplacedError, match=told) as met:
        list(read_samples(path))
    assert met.value.source == f"{path}, data[0].paragraphs[0].qas[0]"
    counts = SampleCounts()
    assert list(read_samples(path, counts, on_error="skip")) == []
    assert counts.misplaced == 1
    with pytest.raises(SettingsError, match="on_error"):
        list(read_samples(path, on_error="ignore"))


def test_scores_are_kept_both_ways(tmp_path: Path) -> None:
    context = {"title": "t", "text": "x", "passage_id": "1", "score": "12.5", "teacher_score": -3}
    record = RECORD | {"hard_negative_ctxs": [context]}
    (sample,) = read_samples(write(tmp_path / "a.json", [record]))
    assert (sample.hard_negatives[0].score, sample.hard_negatives[0].teacher_score) == (12.5, -3.0)
    assert sample.positives[0].score is None
    (again,) = read_samples(write(tmp_path / "b.json", [sample_to_json(sample)]))
    assert again == sample
    assert "score" not in sample_to_json(sample)["positive_ctxs"][0]


@pytest.mark.parametrize("score", ["high", "nan", "inf", [1], True])
def test_scores_that_are_no_number(tmp_path: Path, score: object) -> None:
    record = RECORD | {"hard_negative_ctxs": [{"text": "x", "teacher_score": score}]}
    with pytest.raises(InputError, match=r"'teacher_score' of a passage is .*give a finite number"):
        list(read_samples(write(tmp_path / "a.json", [record])))


def test_unanswerable_squad_questions_have_no_positive(tmp_path: Path) -> None:
    path = write(tmp_path / "s.json", squad("The king", 0, is_impossible=True))
    counts = SampleCounts()
    assert list(read_samples(path, counts)) == []
    assert counts.without_positive == 1
    (sample,) = read_samples(path, unanswerable=True)
    assert sample.positives == () and [c.text for c in sample.negatives] == ["The king lives here."]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ('{"rows": []}', "neither a DPR training JSON"),
        ("[1]", ":1: expected an object, found '1'"),
        ('[{"question": "q", "answers": "a"}]', "'answers' is not a list"),
        ('[{"question": "q", "positive_ctxs": [{}]}]', "no 'text'"),
        ('{"question": "q"}\n{"question": 3}', "line 2"),
        ('{"questoin": "q"}\n{"question": "q"}', "line 1: expected an object with a 'question'"),
        ('\n{"data": 3}\n{"question": "q"}', "line 2: expected an object with a 'question'"),
        ('{"data": [{"title": "t"}]}', "not SQuAD's layout"),
    ],
)
def test_malformed_files_say_what_and_where(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        list(read_samples(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"answer_spans": [5]}, r"'answer_spans' must be .* found 5"),
        ({"answer_spans": 7}, r"'answer_spans' must be .* found 7"),
        ({"answer_spans": "0 3"}, r"'answer_spans' must be .* found 0 3"),
        ({"answer_spans": [[0]]}, r"'answer_spans' must be .* found \[0\]"),
        ({"answer_spans": [[0, 1, 2]]}, r"'answer_spans' must be"),
        ({"answer_spans": [["0", "3"]]}, r"'answer_spans' must be"),
        ({"answer_spans": [[0, 3.5]]}, r"'answer_spans' must be"),
        ({"answer_spans": [[False, True]]}, r"'answer_spans' must be"),
        ({"answer_spans": {"0": 3}}, r"'answer_spans' must be"),
        ({"title": 7}, r"the title of a passage under 'positive_ctxs' is not a string"),
        ({"title": 0}, r"the title of a passage under 'positive_ctxs' is not a string"),
    ],
)
def test_malformed_fields_of_a_passage(tmp_path: Path, field: dict[str, Any], message: str) -> None:
    context = {"text": "short", **field}
    path = write(tmp_path / "a.json", [RECORD, RECORD | {"positive_ctxs": [context]}])
    with pytest.raises(InputError, match=message) as caught:
        list(read_samples(path))
    assert f"{path}, record 2" in str(caught.value)


def test_fields_of_a_passage_may_be_null(tmp_path: Path) -> None:
    context = {"text": "short", "title": None, "answer_spans": None, "passage_id": None}
    (sample,) = read_samples(write(tmp_path / "a.json", [RECORD | {"positive_ctxs": [context]}]))
    assert sample.positives == (Context("short"),)


def test_a_span_outside_its_passage_is_refused(tmp_path: Path) -> None:
    context = {"text": "short", "answer_spans": [[0, 9]]}
    path = write(tmp_path / "a.json", [RECORD | {"positive_ctxs": [context]}])
    with pytest.raises(InputError, match="outside its passage of 5"):
        list(read_samples(path))


def test_written_samples_read_back(tmp_path: Path) -> None:
    (sample,) = read_samples(write(tmp_path / "s.json", squad("The king", 0)))
    (again,) = read_samples(write(tmp_path / "d.json", [sample_to_json(sample)], lines=True))
    assert again == sample


def test_real_squad(shared_data: Path) -> None:
    samples = list(read_samples(shared_data / "squad" / "validation.json"))
    assert len(samples) == 1287
    for sample in samples:
        context = sample.positives[0]
        assert {context.text[a:b] for a, b in context.answers} == set(sample.answers)


@pytest.mark.parametrize(
    ("place", "wrong", "told"),
    [
        ("data[1]", 5, "found 5; expected an object with 'paragraphs'"),
        ("data[1]", {"title": "t"}, "'paragraphs' is missing; expected a list"),
        ("data[1].paragraphs[0]", {"context": "c"}, "'qas' is missing; expected a list"),
        ("data[1].paragraphs[0]", {"qas": {}}, "'qas' is an object {}; expected a list"),
        (QA, "text", "found a string \"text\"; expected an object with 'question'"),
        (QA, {"answers": []}, "'question' is missing; expected a string"),
        (QA, {"question": 7}, "'question' is 7; expected a string"),
        (QA, {"question": "q", "answers": None}, "'answers' is null; expected a list"),
        (
            QA,
            {"question": "q", "answers": ["a"]},
            "answers[0] is a string \"a\"; expected an object with 'text'",
        ),
        (
            QA,
            {"question": "q", "answers": [{"answer_start": 0}]},
            "'text' of answers[0] is missing; expected a string",
        ),
        (
            QA,
            {"question": "q", "answers": [{"text": "The", "answer_start": "0"}]},
            "'answer_start' of answers[0] is a string \"0\"; expected a whole number",
        ),
        (
            QA,
            {"question": "q", "answers": [{"text": "The", "answer_start": 0.5}]},
            "'answer_start' of answers[0] is 0.5; expected a whole number",
        ),
    ],
)
def test_squad_of_another_layout_is_told_in_words_and_by_place(
    tmp_path: Path, place: str, wrong: Any, told: str
) -> None:
    for name in reversed(re.findall(r"\w+(?=\[)", place.removeprefix("data[1]"))):
        wrong = {"context": "The king", name: [wrong]}
    path = write(tmp_path / "s.json", {"data": [*squad("The king", 0)["data"], wrong]})
    samples = read_samples(path)
    assert next(samples).answers == ("The king",)
    with pytest.raises(InputError) as caught:
        next(samples)
    assert str(caught.value) == f"{path}, {place}: not SQuAD's layout: {told}"


@pytest.mark.parametrize("context", [{}, {"context": None}])
def test_a_squad_paragraph_without_a_text(tmp_path: Path, context: dict[str, Any]) -> None:
    paragraph = {"qas": [{"question": "who?", "answers": []}], **context}
    path = write(tmp_path / "s.json", {"data": [{"title": "t", "paragraphs": [paragraph]}]})
    said = r"qas\[0\]: .*'context' of its paragraph is (missing|null); expected a string"
    with pytest.raises(InputError, match=said):
        list(read_samples(path))
