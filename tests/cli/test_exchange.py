"""``import``, ``export`` and ``convert --vectors``: from collection to collection, and refusals."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from .conftest import Run


def hits(run: Run, folder: Path, model: Path) -> list[str]:
    done = run("search", folder, "who wrote a song of bread?", "--model", model, "--json")
    assert done.exit_code == 0, done.output
    return [hit["id"] for hit in json.loads(done.stdout)["hits"]]


def test_out_and_in(
    run: Run, collection: Path, documents: Path, model: Path, tmp_path: Path
) -> None:
    done = run("export", collection, "--to", tmp_path / "v.npy", "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["files"] == [str(tmp_path / "v.npy"), str(tmp_path / "v.ids.txt")]
    assert (summary["rows"], summary["dim"]) == np.load(tmp_path / "v.npy").shape
    arguments = ["import", documents, "--vectors", tmp_path / "*.npy"]
    arguments += ["--ids", tmp_path / "*.txt", "--model", model, "--split", "words:8"]
    done = run(*arguments, "--to", tmp_path / "c", "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert (made["passages"], made["left_over"]) == (summary["rows"], 0)
    assert made["compared"] > 0
    assert hits(run, tmp_path / "c", model) == hits(run, collection, model)
    told = run(*arguments, "--to", tmp_path / "d")
    assert f"{made['compared']} passages were compared" in told.stdout


def test_parquet_with_texts_is_a_source_too(
    run: Run, collection: Path, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "v.parquet"
    done = run("export", collection, "--to", path, "--texts")
    assert done.exit_code == 0, done.output
    assert f"{path}:" in done.stdout
    towers = ["--question-encoder", model / "question_encoder"]
    done = run("import", path, "--vectors", path, "--to", tmp_path / "c", *towers)
    assert done.exit_code == 0, done.output
    assert "no context encoder was named" in done.stdout
    assert hits(run, tmp_path / "c", model) == hits(run, collection, model)


def test_pickles_are_converted_and_nothing_else_reads_them(
    run: Run, documents: Path, model: Path, tmp_path: Path
) -> None:
    for shard in range(2):
        rows = [(f"wiki:{shard}{n}", np.full(32, n + 1, np.float32)) for n in range(3)]
        (tmp_path / f"p_{shard}.pkl").write_bytes(pickle.dumps(rows))
    arguments = ["import", documents, "--to", tmp_path / "c", "--model", model]
    done = run(*arguments, "--vectors", tmp_path / "*.pkl")
    assert done.exit_code == 1
    assert "dpr convert --vectors" in done.output
    out = tmp_path / "out"
    done = run("convert", "--vectors", tmp_path / "p_*.pkl", "--to", out, "--json")
    assert done.exit_code == 0, done.output
    assert [one["rows"] for one in json.loads(done.stdout)["files"]] == [3, 3]
    shown = run("convert", "--vectors", tmp_path / "p_0.pkl", tmp_path / "p_1.pkl", "--to", out)
    assert "3 vectors, ids in p_1.ids.txt" in shown.stdout
    ids = (out / "p_1.ids.txt").read_text().split()
    assert ids == ["wiki:10", "wiki:11", "wiki:12"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ([], "say whose vectors they are"),
        (["--model", "m", "--question-encoder", "q"], "say whose vectors they are"),
        (["--context-encoder", "c"], "say whose vectors they are"),
    ],
)
def test_the_encoder_must_be_named(
    options: list[str], what: str, run: Run, documents: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "v.npy", np.ones((3, 32), np.float32))
    done = run(
        "import", documents, "--vectors", tmp_path / "v.npy", "--to", tmp_path / "c", *options
    )
    assert done.exit_code == 2
    assert what in " ".join(done.output.replace("│", " ").split())


def test_models_are_converted_one_by_one(run: Run, model: Path, tmp_path: Path) -> None:
    done = run("convert", model, model, "--to", tmp_path / "x")
    assert done.exit_code == 2
    assert "one by one" in done.output
