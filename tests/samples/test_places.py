"""Samples with their places: as ``read_samples`` reads them, and on after what is malformed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from dpr.corpus.lines import UnreadableError
from dpr.errors import InputError
from dpr.samples.files import MisplacedError, read_samples
from dpr.samples.places import read_placed

GOOD: dict[str, Any] = {
    "question": "who lives in the castle",
    "answers": ["the king"],
    "positive_ctxs": [{"title": "Castle", "text": "The king lives here."}],
}


def squad(*qas: Any) -> dict[str, Any]:
    paragraph = {"context": "The king lives here.", "qas": list(qas)}
    return {"data": [{"title": "Old_castle", "paragraphs": [paragraph]}]}


def qa(answer: str = "The king", start: int = 0, **more: Any) -> dict[str, Any]:
    return {"question": "who?", "answers": [{"text": answer, "answer_start": start}]} | more


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([GOOD, GOOD | {"extra": 1}]),
        json.dumps([GOOD, GOOD], indent=2),
        f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD)}\n",
        json.dumps(squad(qa(), qa("here", 15))),
    ],
)
def test_good_files_read_as_read_samples_reads_them(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.json", text)
    placed = list(read_placed(path))
    assert [one.sample for one in placed] == list(read_samples(path)) != []
    assert len({one.place for one in placed}) == len(placed)
    zipped = tmp_path / "b.json.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert [one.sample for one in read_placed(zipped)] == list(read_samples(path))


def test_real_files_read_as_read_samples_reads_them(shared_data: Path) -> None:
    for name in ("squad/validation.json", "qed/natural-questions.json"):
        placed = list(read_placed(shared_data / name))
        assert [one.sample for one in placed] == list(read_samples(shared_data / name))


def test_lines_go_on_after_each_malformed_one(tmp_path: Path) -> None:
    good = json.dumps(GOOD).encode()
    bad = [b'{"question": "q"', b'{"question": 3}', b'{"question": "caf\xe9"}', b'"text"', b"[[[["]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([good, *bad, b"", good]))
    placed = list(read_placed(path))
    assert [one.place for one in placed] == [f"line {n}" for n in (1, 2, 3, 4, 5, 6, 8)]
    assert [one.sample is None for one in placed] == [False, *[True] * 5, False]
    assert all(isinstance(one.error, InputError) for one in placed[1:6])


def test_lines_of_which_the_first_is_malformed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"question": \n{json.dumps(GOOD)}\n')
    first, second = read_placed(path)
    assert (first.place, first.sample, second.place) == ("line 1", None, "line 2")


def test_a_list_goes_on_after_what_is_no_sample(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps([GOOD, {"question": 1}, 5, None, GOOD]))
    placed = list(read_placed(path))
    assert [one.sample is None for one in placed] == [False, True, True, True, False]
    assert placed[1].place == "record 2, line 1"
    assert placed[4].place == "record 5"


def test_a_list_that_is_cut_gives_what_came_before(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps([GOOD, GOOD, GOOD])[:-40])
    *read, last = read_placed(path)
    assert len(read) == 2 and all(one.sample for one in read)
    assert isinstance(last.error, UnreadableError)
    assert f"{path}" in str(last.error) and "nothing after record 2" in str(last.error)


def test_a_gzip_file_that_is_cut_gives_what_came_before(tmp_path: Path) -> None:
    lines = "".join(json.dumps(GOOD | {"question": f"{n} {n * n}?"}) + "\n" for n in range(5000))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(lines.encode())[:-2000])
    *read, last = read_placed(path)
    assert len(read) > 100 and all(one.sample for one in read)
    assert isinstance(last.error, UnreadableError)


def test_squad_goes_on_after_each_malformed_part(tmp_path: Path) -> None:
    whole = squad(qa(), qa("king", 0), {"answers": []}, "text", qa())
    whole["data"] += [5, {"title": "x"}, {"paragraphs": [{"context": "c"}]}, *squad(qa())["data"]]
    placed = list(read_placed(write(tmp_path / "a.json", json.dumps(whole))))
    assert [one.place for one in placed if one.sample] == [
        "data[0].paragraphs[0].qas[0]",
        "data[0].paragraphs[0].qas[4]",
        "data[4].paragraphs[0].qas[0]",
    ]
    errors = {one.place: one.error for one in placed if one.error}
    assert isinstance(errors["data[0].paragraphs[0].qas[1]"], MisplacedError)
    assert list(errors)[1:] == [
        "data[0].paragraphs[0].qas[2]",
        "data[0].paragraphs[0].qas[3]",
        "data[1]",
        "data[2]",
        "data[3].paragraphs[0]",
    ]


def test_unanswerable_questions_are_marked(tmp_path: Path) -> None:
    text = json.dumps(squad(qa(is_impossible=True, answers=[]), qa()))
    first, second = read_placed(write(tmp_path / "a.json", text))
    assert (first.unanswerable, second.unanswerable) == (True, False)
    assert first.sample is not None and not first.sample.positives


def test_records_keep_what_samples_do_not_know(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps(GOOD | {"kept": {"as": "it is"}}))
    (one,) = read_placed(path)
    assert one.record is not None and one.record["kept"] == {"as": "it is"}


@pytest.mark.parametrize(
    "text", ["", "some text", '{"rows": []}', '{"data": 5}', "[]", '{"data": []}']
)
def test_files_of_no_known_format(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.json", text)
    with pytest.raises(InputError, match=r"a\.json"):
        list(read_placed(path))
    with pytest.raises(InputError, match="no such file"):
        list(read_placed(tmp_path / "absent.json"))
