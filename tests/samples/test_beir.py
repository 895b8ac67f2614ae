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


def test_a_real_set(shared_data: Path) -> None:
    folder = shared_data / "fairytaleqa" / "validation"
    samples = list(read_beir_samples(folder))
    assert len(samples) == 1_025
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        judged = sum(1 for _ in csv.DictReader(file, delimiter="\t"))
    assert sum(len(one.positives) for one in samples) == judged
    assert all(one.answers and one.positives[0].text for one in samples)
