"""``dpr pairs``: documents or a collection to a file that ``dpr train retriever`` takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpr.samples.files import read_samples

from .conftest import DOCUMENTS, Run


def test_pairs_of_documents_are_told_by_kind(run: Run, documents: Path, tmp_path: Path) -> None:
    to = tmp_path / "pairs.jsonl"
    done = run("pairs", documents, "--to", to, "--kinds", "cloze,title", "--seed", "3", "--json")
    assert done.exit_code == 0, done.output
    shape = json.loads(done.stdout)
    samples = list(read_samples(to))
    assert shape["pairs"] == len(samples) == sum(shape["kinds"].values())
    assert shape["passages"] == len(DOCUMENTS)
    assert shape["settings"]["seed"] == 3
    assert json.loads(Path(shape["settings_path"]).read_text("utf-8")) == shape["settings"]
    more = ("--kinds", "section,sentence", "--fewest-words", "9")
    refused = run("pairs", documents, "--to", to, *more)
    assert (refused.exit_code, list(read_samples(to))) == (1, samples)
    assert f"{to}: is there already; give another name, or overwrite it" in refused.stderr
    told = run("pairs", documents, "--to", to, *more, "--overwrite")
    assert told.exit_code == 0, told.output
    assert "pairs of 3 passages (sentence" in told.stdout


def test_a_collection_gives_its_passages(run: Run, collection: Path, tmp_path: Path) -> None:
    to = tmp_path / "pairs.jsonl"
    done = run("pairs", collection, "--to", to, "--kinds", "sentence", "--json")
    assert done.exit_code == 0, done.output
    shape = json.loads(done.stdout)
    assert shape["passages"] > len(DOCUMENTS)  # of 8 words each
    assert all(len(one.positives[0].text.split()) <= 8 for one in read_samples(to))
    inside = run("pairs", collection, "--to", collection / "pairs.jsonl")
    assert inside.exit_code == 1
    assert "give another file" in inside.stderr
    assert not (collection / "pairs.jsonl").exists()


@pytest.mark.slow
def test_a_retriever_trains_on_them(run: Run, documents: Path, model: Path, tmp_path: Path) -> None:
    to = tmp_path / "pairs.jsonl"
    done = run("pairs", documents, "--to", to, "--per-passage", "3")
    assert done.exit_code == 0, done.output
    arguments = ["--train", to, "--start", model, "--to", tmp_path / "run", "--epochs", "1"]
    done = run("train", "retriever", *arguments, "--batch-size", "4", "--json")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "best").is_dir()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--kinds", "clozes"], "'clozes' is none of"),
        (["--kinds", "keywords", "--language", "klingon"], "klingon"),
        (["--kinds", "section"], "gave a pair"),
    ],
)
def test_what_cannot_be_done_is_told(
    run: Run, documents: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = run("pairs", documents, "--to", tmp_path / "pairs.jsonl", *arguments)
    assert done.exit_code == 1
    assert told in done.stderr
    assert not (tmp_path / "pairs.jsonl").exists()


def test_what_would_not_be_used_is_refused(
    run: Run, documents: Path, collection: Path, tmp_path: Path
) -> None:
    to = tmp_path / "pairs.jsonl"
    for given, said in (
        ((documents, "--keywords", 3), "--keywords 3 would not be used, since --kinds crops makes"),
        ((documents, "--language", "german"), "name keywords among the kinds"),
        ((documents, "--keep-sentence", 1), "makes no cloze"),
        ((documents, "--shortest-crop", 0.9, "--kinds", "title,cloze"), "makes no crops"),
        ((collection, "--split", "words:100"), "a collection's passages are cut already"),
    ):
        refused = run("pairs", *given, "--to", to)
        assert refused.exit_code == 2
        assert said in " ".join(refused.stderr.replace("│", " ").split())
    assert not to.exists()
    to_both = ("--to", to, "--split", "words:9", "--kinds", "keywords,crops", "--keywords", 3)
    other = tmp_path / "other.txt"
    other.write_text("The queen wrote of bread and stone in the old city.", encoding="utf-8")
    done = run("pairs", collection, other, *to_both, "--shortest-crop", 1)
    assert done.exit_code == 0, done.output
