"""BEIR folders as training samples, against what was written and against the real set."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dpr.errors import InputError
from dpr.samples.beir import beir_files, beir_questions, is_beir, read_beir_samples
from dpr.samples.files import Context, SampleCounts


def write(folder: Path, splits: dict[str, list[tuple[str, str, int]]]) -> Path:
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "title": f"T{n}", "text": f"text {n}"} for n in range(3)]
    queries = [
        {"_id": "q1", "text": "who?", "metadata": {"answers": ["Ann", "Bo"]}},
        {"_id": "q2", "text": "where?", "metadata": {}},
    ]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    for split, judged in splits.items():
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, one)) for one in judged)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_the_judgements_for_training_by_grade(tmp_path: Path) -> None:
    train = [("q1", "d0", 1), ("q1", "d2", 2), ("q1", "d1", 0), ("q2", "d1", 0)]
    folder = write(tmp_path / "set", {"train": train, "test": [("q2", "d1", 1)]})
    counts = SampleCounts()
    (sample,) = read_beir_samples(folder, counts)
    assert (sample.question, sample.answers) == ("who?", ("Ann", "Bo"))
    assert sample.positives == (Context("text 2", "T2", "d2"), Context("text 0", "T0", "d0"))
    assert not sample.best_negatives
    assert (counts.read, counts.without_positive) == (1, 1)
    (first, given), (second, other) = beir_questions(folder)
    assert (first, given, second, other.positives) == ("q1", sample, "q2", ())
    assert [path.name for path in beir_files(folder)] == [
        "corpus.jsonl", "test.tsv", "train.tsv", "queries.jsonl",
    ]  # fmt: skip
    assert is_beir(folder) and not is_beir(folder / "qrels") and not is_beir(folder / "none")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"train": [("q1", "d9", 1)]})
    with pytest.raises(InputError, match=r"1 relevant documents .* the first 'd9'"):
        list(read_beir_samples(folder))
    folder = write(tmp_path / "two", {"test": [("q1", "d1", 1)], "dev": [("q1", "d1", 1)]})
    with pytest.raises(InputError, match=r"no qrels/train\.tsv; there are: dev\.tsv, test\.tsv"):
        list(read_beir_samples(folder))


def test_a_split_is_chosen_by_its_name(tmp_path: Path) -> None:
    train, dev, test = ([("q1", f"d{n}", 1)] for n in range(3))
    folder = write(tmp_path / "set", {"train": train, "validation": dev, "test": test})
    for split, text in (("train", "text 0"), ("dev", "text 1"), ("test", "text 2")):
        (sample,) = read_beir_samples(folder, split=split)
        assert sample.positives[0].text == text


def doubled(folder: Path) -> Path:
    """A folder in which two questions have one id, and two passages."""
    for name in ("queries", "corpus"):
        row = {"_id": "q1" if name == "queries" else "d1", "title": "T", "text": "other"}
        with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    return folder


def test_what_has_a_doubled_id_is_refused_or_left_out_and_told(tmp_path: Path) -> None:
    judged = [("q1", "d0", 1), ("q2", "d1", 1)]
    folder = doubled(write(tmp_path / "set", {"train": judged}))
    told = r"queries\.jsonl:3: the question id 'q1' .* line 1; ids must .*--on-error skip"
    with pytest.raises(InputError, match=told):
        list(read_beir_samples(folder))
    counts = SampleCounts()
    (sample,) = read_beir_samples(folder, counts, "skip")
    assert (sample.question, sample.positives) == ("where?", (Context("text 1", "T1", "d1"),))
    assert counts.read == 1
    assert [one.source.removeprefix(str(folder)) for one in counts.problems.items] == [
        "/queries.jsonl:1", "/queries.jsonl:3", "/corpus.jsonl:4",
    ]  # fmt: skip


def test_a_file_that_was_appended_to_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"train": [("q1", "d0", 1), ("q2", "d1", 1)]})
    queries = folder / "queries.jsonl"
    queries.write_bytes(2 * queries.read_bytes())
    with pytest.raises(InputError, match="all 2 judged questions have ids that come more than"):
        list(read_beir_samples(folder, on_error="skip"))


def test_a_malformed_document_costs_what_it_answers(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"train": [("q1", "d0", 1), ("q1", "d9", 1), ("q2", "d9", 1)]})
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": "d9", "title": "T", "text": ""}\n')
    with pytest.raises(InputError, match=r"corpus\.jsonl:4: the text of id 'd9' is empty"):
        list(read_beir_samples(folder))
    counts = SampleCounts()
    (sample,) = read_beir_samples(folder, counts, "skip")
    assert [one.id for one in sample.positives] == ["d0"]
    assert (counts.problems.count, counts.without_positive) == (1, 1)


def test_skipping_hides_no_document_that_is_not_there(tmp_path: Path) -> None:
    folder = doubled(write(tmp_path / "set", {"train": [("q2", "d9", 1), ("q1", "d1", 1)]}))
    with pytest.raises(InputError, match="1 relevant documents are not in the corpus"):
        list(read_beir_samples(folder, on_error="skip"))


def test_a_real_set_with_doubled_ids(shared_data: Path) -> None:
    counts = SampleCounts()
    samples = list(read_beir_samples(shared_data / "fairytaleqa" / "train", counts, "skip"))
    assert (len(samples), counts.problems.count) == (8_548 - 20, 20 + 1)


def test_a_real_set(shared_data: Path) -> None:
    folder = shared_data / "fairytaleqa" / "validation"
    samples = list(read_beir_samples(folder))
    assert len(samples) == 1_025
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        judged = sum(1 for _ in csv.DictReader(file, delimiter="\t"))
    assert sum(len(one.positives) for one in samples) == judged
    assert all(one.answers and one.positives[0].text for one in samples)
