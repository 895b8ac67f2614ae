"""The doctor finds what is planted, tells nothing of what is sound, and drops nothing else."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.samples.rivers import HARD, RIVERS, SOURCES, Record, record, text_of, told, write

from dpr.errors import InputError, SettingsError
from dpr.questions import write_question_set
from dpr.records import Question, QuestionSet
from dpr.samples.beir import read_beir_samples
from dpr.samples.doctor import DoctorSettings, diagnose
from dpr.samples.files import read_samples
from dpr.samples.findings import KINDS
from dpr.tokens import DPRQuestionEncoderTokenizer


def test_nothing_is_told_of_sound_samples(tmp_path: Path, records: list[Record]) -> None:
    path = write(tmp_path / "a.jsonl", records)
    held_out = write(tmp_path / "t.jsonl", [record(3) | {"question": "Quite another thing?"}])
    assert told(path) == []
    assert [kind for kind, *_ in told(path, tests=[held_out])] == ["passage-in-test"]


Plant = Callable[[Record], Any]


def negative(**fields: Any) -> Plant:
    return lambda one: one[HARD][1].update(fields)


def positive(**fields: Any) -> Plant:
    return lambda one: one["positive_ctxs"][0].update(fields)


def whole(**fields: Any) -> Plant:
    return lambda one: one.update(fields)


HERE = text_of(4)
PLANTS: list[tuple[str, str, Plant]] = [
    ("malformed", "", whole(question=None)),
    ("malformed", "", whole(answers="x")),
    ("malformed", "", whole(hard_negative_ctxs=[{"title": "no text"}])),
    ("malformed", "", negative(score="high")),
    ("misplaced-answer", "", positive(answer_spans=[[5, 9000]])),
    ("misplaced-answer", "positive_ctxs[0]", positive(answer_spans=[[0, 10]])),
    ("empty-question", "", whole(question=" ?")),
    ("no-positive", "", whole(positive_ctxs=[])),
    ("empty-text", f"{HARD}[1]", negative(text=" \u200b\n")),
    ("negative-is-positive", f"{HARD}[1]", negative(text=HERE)),
    ("negative-is-positive", f"{HARD}[1]", negative(text=f" {HERE.upper()}\n", title="other")),
    ("negative-near-positive", f"{HARD}[1]", negative(text=f"So it is told: {HERE} And so on.")),
    ("negative-near-positive", f"{HARD}[1]", negative(text=f"{text_of(9)} {HERE} {text_of(8)}")),
    (
        "negative-resembles-positive",
        f"{HARD}[1]",
        negative(text=HERE.replace(SOURCES[4], "Olymp")),
    ),
    (
        "answer-in-negative",
        f"{HARD}[1]",
        negative(text="The river Elorn has its spring below Mount Eiger, as all maps say."),
    ),
    (
        "answer-suspected",
        f"{HARD}[1]",
        negative(text="Many a painter has come to see how Mount Eiger glows at dusk in June."),
    ),
    (
        "repeated-negative",
        f"{HARD}[1]",
        lambda one: one[HARD][1].update(text=one[HARD][0]["text"].upper(), title="other"),
    ),
    (
        "repeated-negative",
        f"{HARD}[1]",
        lambda one: one[HARD][1].update(text=f"So it is told: {one[HARD][0]['text']}"),
    ),
    (
        "repeated-positive",
        "positive_ctxs[1]",
        lambda one: one["positive_ctxs"].append({"title": "other", "text": f" {HERE.upper()}"}),
    ),
    (
        "repeated-positive",
        "positive_ctxs[1]",
        lambda one: one["positive_ctxs"].append({"text": f"So it is told: {HERE}"}),
    ),
    ("positive-without-answer", "positive_ctxs[0]", whole(answers=["the moon"])),
    ("positive-without-answer", "positive_ctxs[0]", whole(answers=["mount Eigers"])),
    ("blank-answer", "", whole(answers=["mount Eiger", " . "])),
    ("short-passage", f"{HARD}[1]", negative(text="See also: rivers")),
    ("long-passage", f"{HARD}[1]", negative(text=" ".join(f"word{n}" for n in range(300)))),
    (
        "not-letters",
        f"{HARD}[1]",
        negative(text="1904 | 1,302 | 77.5 % | 12 | 1905 | 88,113 | x y z"),
    ),
    ("broken-characters", f"{HARD}[1]", negative(text="A long way to the old cafÃ© of the town")),
    (
        "broken-characters",
        f"{HARD}[1]",
        negative(text="A long way to the old caf\ufffd of the town"),
    ),
    (
        "broken-characters",
        f"{HARD}[1]",
        negative(text="It isnâ€™t far to the old part of the town"),
    ),
]


@pytest.mark.parametrize(("kind", "part", "plant"), PLANTS)
def test_what_is_planted_is_found_and_nothing_else(
    tmp_path: Path, records: list[Record], kind: str, part: str, plant: Plant
) -> None:
    records = copy.deepcopy(records)
    plant(records[4])
    path = write(tmp_path / "a.jsonl", records)
    assert told(path) == [(kind, "line 5", part)]
    # The copy without it: only what is faulty is gone, and nothing faulty is left.
    cleaned = tmp_path / "clean.jsonl"
    found = diagnose([path], clean=cleaned)
    assert bool(found.faults) == KINDS[kind].fault
    left = [json.loads(line) for line in cleaned.read_text(encoding="utf-8").splitlines()]
    if not KINDS[kind].fault:
        assert left == records
    elif part.startswith(HARD):
        del records[4][HARD][1]
        assert left == records
    else:
        assert left == records[:4] + records[5:]
    assert diagnose([cleaned]).faults == 0
    assert found.cleaned is not None
    assert found.cleaned.samples == len(left) == len(list(read_samples(cleaned)))
    assert found.cleaned.samples_dropped == len(records) - len(left)
    assert found.cleaned.negatives_dropped == (KINDS[kind].fault and part.startswith(HARD))


def test_each_kind_but_few_is_planted_here() -> None:
    between = {
        "unreadable", "negative-is-positive-elsewhere", "leaked-question", "question-in-test",
        "passage-in-test", "repeated-question", "other-answers", "unanswerable", "long-question",
    }  # fmt: skip
    assert {kind for kind, *_ in PLANTS} | between == set(KINDS)


def test_an_empty_positive_is_dropped_and_the_sample_with_the_last(
    tmp_path: Path, records: list[Record]
) -> None:
    records[2]["positive_ctxs"].append({"text": ""})
    records[3]["positive_ctxs"] = [{"text": ""}]
    cleaned = tmp_path / "clean.jsonl"
    found = diagnose([write(tmp_path / "a.jsonl", records)], clean=cleaned)
    assert found.count("empty-text") == 2
    left = [json.loads(line) for line in cleaned.read_text(encoding="utf-8").splitlines()]
    assert len(left) == len(records) - 1
    assert [len(one["positive_ctxs"]) for one in left] == [1] * len(left)


def test_the_same_question_in_several_samples(tmp_path: Path, records: list[Record]) -> None:
    again = record(0) | {"question": records[0]["question"].upper()}
    other = record(7) | {"question": records[1]["question"], HARD: [], "answers": [SOURCES[7]]}
    path = write(tmp_path / "a.jsonl", [*records, again, other])
    last = len(records)
    assert told(path) == [
        ("repeated-question", f"line {last + 1}", ""),
        ("other-answers", f"line {last + 2}", ""),
    ]
    # The other's positive is a negative of the same question in line 2 now.
    records[1][HARD][2] = {"title": "", "text": text_of(7).lower()}
    path = write(tmp_path / "a.jsonl", [*records, again, other])
    assert ("negative-is-positive-elsewhere", "line 2", f"{HARD}[2]") in told(path)


def test_beir_folders_and_their_copy(tmp_path: Path, records: list[Record]) -> None:
    folder = tmp_path / "beir"
    asked = [Question(f"q{n}", records[n]["question"], (f"mount {SOURCES[n]}",)) for n in range(3)]
    again = Question("q9", records[0]["question"], (f"mount {SOURCES[0]}",))
    judged = {"q0": {"d0": 1}, "q1": {"d1": 2}, "q2": {"d2": 0}, "q9": {"d0": 1}}
    questions = QuestionSet("b", (*asked, again), judged)
    write_question_set(folder, questions, "beir", split="train")
    corpus = [{"_id": f"d{n}", "title": RIVERS[n], "text": text_of(n)} for n in range(3)]
    write(folder / "corpus.jsonl", corpus)
    assert told(folder) == [
        ("no-positive", "question q2", ""),
        ("repeated-question", "question q9", ""),
    ]
    for place in (folder / "corpus.jsonl", folder / "copy.jsonl"):
        with pytest.raises(InputError, match="or lies in a folder of them"):
            diagnose([folder], clean=place)
    assert diagnose([folder], clean=tmp_path / "c.jsonl").samples == 4
    assert list(read_samples(tmp_path / "c.jsonl")) == list(read_beir_samples(folder))
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(InputError, match=r"beir"):
        diagnose([folder])


def test_doubled_ids_of_a_beir_folder_are_faults(tmp_path: Path, records: list[Record]) -> None:
    folder, copy = tmp_path / "beir", tmp_path / "c.jsonl"
    asked = [Question(f"q{n}", records[n]["question"], (f"mount {SOURCES[n]}",)) for n in range(3)]
    judged = {f"q{n}": {f"d{n}": 1} for n in range(3)}
    write_question_set(folder, QuestionSet("b", tuple(asked), judged), "beir")
    with (folder / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": "q1", "text": "who?"}\n')
    corpus = [{"_id": f"d{n}", "title": RIVERS[n], "text": text_of(n)} for n in (0, 1, 2, 0)]
    write(folder / "corpus.jsonl", corpus)
    found = diagnose([folder], clean=copy, examples=None)
    expected = [("malformed", f"{one}", "") for one in (
        "queries.jsonl:2", "queries.jsonl:4", "corpus.jsonl:4",
    )]  # fmt: skip
    assert told(folder) == expected
    assert found.found[0].examples[0].what.startswith("the question id 'q1' is also that of line 4")
    assert found.cleaned is not None
    assert (found.cleaned.samples, found.cleaned.samples_dropped) == (2, 2)  # no passage among them
    assert len(list(read_samples(copy))) == 2
    path = write(tmp_path / "a.jsonl", records[3:])
    assert told(path, tests=[folder]) == expected


@pytest.mark.parametrize("text", ["[]", '{"data": []}', '{"data": [{"paragraphs": []}]}'])
def test_files_without_a_sample_are_refused(
    tmp_path: Path, records: list[Record], text: str
) -> None:
    empty, path = tmp_path / "empty.json", write(tmp_path / "a.jsonl", records)
    empty.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"empty\.json: no sample in it; give a file"):
        diagnose([path, empty])


@pytest.mark.parametrize("answer", ['"Mount Eiger."', "mount, Eiger", "Eiger"])
def test_punctuation_hides_no_answer(tmp_path: Path, records: list[Record], answer: str) -> None:
    records[4]["answers"] = [answer]
    assert told(write(tmp_path / "a.jsonl", records)) == []


def test_an_answer_that_is_a_full_stop_is_passed_over(
    tmp_path: Path, records: list[Record]
) -> None:
    records[4]["answers"].append(".")
    records[4]["positive_ctxs"][0]["answer_spans"] = [
        [text_of(4).index("."), text_of(4).index(".") + 1]
    ]
    assert told(write(tmp_path / "a.jsonl", records)) == [("blank-answer", "line 5", "")]


def test_the_strict_rule(tmp_path: Path, records: list[Record]) -> None:
    records[4]["answers"] = ["two"]
    records[4]["positive_ctxs"][0]["text"] += " Two of them."
    records[4][HARD][0]["text"] += " Two of them."
    path = write(tmp_path / "a.jsonl", records)
    assert told(path) == [("answer-suspected", "line 5", f"{HARD}[0]")]
    assert told(path, strict=True) == [("answer-in-negative", "line 5", f"{HARD}[0]")]


def test_token_lengths(tmp_path: Path, records: list[Record], tiny_model: Path) -> None:
    tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(tiny_model / "encoder")
    path = write(tmp_path / "a.jsonl", records)
    texts = [text_of(0), RIVERS[0]]
    count = 3 + sum(len(tokenizer.tokenize(text)) for text in texts)
    question = 2 + len(tokenizer.tokenize(records[0]["question"]))
    for more, cut in ((0, 0), (-1, 1)):
        settings = DoctorSettings(passage_length=count + more, question_length=question + more)
        one = write(tmp_path / "one.jsonl", [records[0] | {HARD: []}])
        found = diagnose([one], settings, tokenizer=tokenizer)
        assert found.count("long-passage") == found.count("long-question") == cut
        assert found.lengths is not None
        assert (found.lengths.passages_cut, found.lengths.passages) == (cut, 1)
        assert (found.lengths.questions_cut, found.lengths.questions) == (cut, 1)
    whole = diagnose([path], DoctorSettings(passage_length=512), tokenizer=tokenizer)
    assert whole.lengths is not None and whole.lengths.passages == 4 * len(records)


def test_squad_files_and_their_copy(tmp_path: Path) -> None:
    text = text_of(1)
    start = text.index("mount")
    answer = {"text": "mount Bodele", "answer_start": start}
    qas = [
        {"id": "1", "question": "Below which mount?", "answers": [answer]},
        {"id": "2", "question": "What else?", "answers": [answer | {"answer_start": 3}]},
        {"id": "3", "question": "And what?", "answers": [], "is_impossible": True},
    ]
    path = tmp_path / "squad.json"
    data = {"data": [{"title": "B", "paragraphs": [{"context": text, "qas": qas}]}]}
    path.write_text(json.dumps(data), encoding="utf-8")
    assert told(path) == [
        ("misplaced-answer", "data[0].paragraphs[0].qas[1]", ""),
        ("unanswerable", "data[0].paragraphs[0].qas[2]", ""),
    ]
    found = diagnose([path], clean=tmp_path / "c.jsonl")
    assert found.cleaned is not None and found.cleaned.samples_dropped == 2
    assert list(read_samples(tmp_path / "c.jsonl")) == list(read_samples(path, None, "skip"))


def test_squad_of_another_layout_is_told_in_words(tmp_path: Path) -> None:
    qas = [{"answers": []}, {"question": "Which?", "answers": ["mount Bodele"]}]
    path = tmp_path / "squad.json"
    data = {"data": [{"title": "B", "paragraphs": [{"context": text_of(1), "qas": qas}]}]}
    path.write_text(json.dumps(data), encoding="utf-8")
    (found,) = diagnose([path]).found
    assert [(one.place, one.what) for one in found.examples] == [
        (
            "data[0].paragraphs[0].qas[0]",
            "not SQuAD's layout: 'question' is missing; expected a string",
        ),
        (
            "data[0].paragraphs[0].qas[1]",
            'not SQuAD\'s layout: answers[0] is a string "mount Bodele"; expected an object with '
            "'text'",
        ),
    ]


def test_files_that_cannot_be_read_to_their_end(tmp_path: Path, records: list[Record]) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(records)[:-100], encoding="utf-8")
    found = diagnose([path])
    assert (found.samples, found.count("unreadable")) == (len(records) - 1, 1)
    with pytest.raises(InputError, match=r"no copy is written: .*a\.json"):
        diagnose([path], clean=tmp_path / "c.jsonl")
    assert not (tmp_path / "c.jsonl").exists()


def test_a_place_is_told_once(tmp_path: Path, records: list[Record]) -> None:
    lines = [json.dumps(records[0]), "{", json.dumps(records[1]), '{"question": 1}']
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (found,) = [one for one in diagnose([path]).found if one.kind.name == "malformed"]
    first, second = found.examples
    assert (first.place, second.place) == ("line 2", "line 4")
    assert first.what.startswith("not valid JSON")
    assert second.what.startswith("expected an object")
    path.write_text("[" + json.dumps(records[0]) + ",\n{]", encoding="utf-8")
    (found,) = [one for one in diagnose([path]).found if one.kind.name == "unreadable"]
    assert found.examples[0].place == "after record 1"
    assert found.examples[0].what.startswith("line 2: not JSON")


def test_a_copy_never_takes_the_place_of_its_file(tmp_path: Path, records: list[Record]) -> None:
    path = write(tmp_path / "a.jsonl", records)
    with pytest.raises(InputError, match="one of the files to look at"):
        diagnose([path], clean=tmp_path / "." / "a.jsonl")
    with pytest.raises(InputError, match="or lies in a folder of them"):
        diagnose([path], test_files=[tmp_path], clean=tmp_path / "qrels" / "test.tsv")
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(records)


def test_zipped_lists_and_halves_of_surrogate_pairs(tmp_path: Path, records: list[Record]) -> None:
    records[0]["positive_ctxs"][0]["title"] = "half a pair: \ud83d"
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    assert diagnose([path], clean=tmp_path / "c.jsonl").faults == 0
    lines = (tmp_path / "c.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == records


def test_examples_are_the_first_and_counts_go_on(tmp_path: Path, records: list[Record]) -> None:
    for one in records:
        one[HARD][0]["text"] = ""
    found = diagnose([write(tmp_path / "a.jsonl", records)], examples=2)
    (kind,) = found.found
    assert (kind.count, len(kind.examples), found.faults) == (len(records), 2, len(records))


@pytest.mark.parametrize(
    "wrong",
    [{"near": 0.4}, {"near": 1.1}, {"common": -0.1}, {"short_words": -1}, {"passage_length": 7}],
)
def test_settings_outside_what_is_allowed(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        DoctorSettings(**wrong)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        diagnose([])
    with pytest.raises(InputError, match="no such file"):
        diagnose([tmp_path / "absent"])
