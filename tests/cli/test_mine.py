"""``mine``: the command, what it says, and a kill at any moment."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dpr.cli import app
from dpr.samples.files import read_samples
from dpr.samples.negatives import MiningSettings

from .conftest import Run

WORDS = "king queen river city castle forest snow man dog cat old young tale story".split()
KILLS = 8


def write(path: Path, count: int) -> Path:
    rng = random.Random(2)
    rows = []
    for number in range(count):
        text = f"{' '.join(rng.choices(WORDS, k=8))} number{number}"
        rows.append(
            {
                "question": f"who is the {' '.join(rng.choices(WORDS, k=2))}?",
                "answers": [f"number{number}"] if number else [],
                "positive_ctxs": [{"title": rng.choice(WORDS), "text": text}],
            }
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_table_and_json(run: Run, tmp_path: Path, tiny_model: Path, documents: Path) -> None:
    train, out = write(tmp_path / "train.jsonl", 30), tmp_path / "out.jsonl"
    given = ("mine", "--train", train, "--to", out, "--passages", documents, "--split", "none",
             "--by", "both", "--model", tiny_model, "--negatives", 4)  # fmt: skip
    made = run(*given)
    assert made.exit_code == 0, made.stderr
    lines = [line.split() for line in made.stdout.splitlines()]
    assert lines[0] == ["bm25", "dense"]
    assert lines[1][:2] == ["looked", "at"]
    assert any(line[:1] == ["kept"] for line in lines)
    assert f"{out}: 30 questions, 33 passages ranked" in made.stdout
    assert "1 questions have no answers" in made.stdout

    told = json.loads(run(*given, "--json").stdout)
    assert (told["resumed"], told["questions"], told["passages"]) == (30, 30, 33)
    kept = sum(one["kept"] for one in told["lists"].values())
    assert kept == sum(len(one.hard_negatives) for one in read_samples(out))
    assert run("train", "retriever", "--train", out, "--start", tiny_model, "--to",
               tmp_path / "run", "--epochs", 1, "--batch-size", 8).exit_code == 0  # fmt: skip


def test_a_question_that_has_no_answer_is_kept_for_a_reader(run: Run, tmp_path: Path) -> None:
    train, out = write(tmp_path / "train.jsonl", 5), tmp_path / "out.jsonl"
    silent = {"question": "who?", "positive_ctxs": [], "negative_ctxs": [{"text": "a king"}]}
    with train.open("a", encoding="utf-8") as file:
        file.write(json.dumps(silent) + "\n")
    made = run("mine", "--train", train, "--to", out)
    assert made.exit_code == 0, made.stderr
    assert "1 questions without a positive stay as they are" in made.stdout
    *_, last = read_samples(out, unanswerable=True)
    assert [one.text for one in last.best_negatives] == ["a king"]
    assert sum(1 for _ in read_samples(out)) == 5


def test_several_files_and_what_is_wrong(run: Run, tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.jsonl", 12), write(tmp_path / "two.jsonl", 12)
    out = tmp_path / "out.jsonl"
    done = run("mine", "--train", one, "--train", two, "--to", out)
    assert done.exit_code == 0, done.stderr
    assert [s.dataset for s in read_samples(out)] == ["one"] * 12 + ["two"] * 12
    for more, said in (
        (("--share", 2), "share=2.0"),
        (("--negatives", 1), "is there already"),
        (("--teacher", "x"), "teacher='x'"),
    ):
        result = run("mine", "--train", one, "--train", two, "--to", out, *more)
        assert (result.exit_code, said in result.stderr) == (1, True), result.stderr
    assert run("mine", "--train", one, "--to", out, "--by", "words").exit_code == 2
    before = one.read_bytes()
    result = run("mine", "--train", one, "--to", one, "--overwrite")
    assert (result.exit_code, "is or lies in what is read" in result.stderr) == (1, True)
    assert one.read_bytes() == before


def test_what_would_not_be_used_is_refused_before_anything_is_read(
    run: Run, tmp_path: Path, collection: Path, documents: Path
) -> None:
    files = ("--train", tmp_path / "absent.jsonl", "--to", tmp_path / "out.jsonl")
    for given, said in (
        (("--model", "nobody"), "--model nobody would not be used"),
        (("--model", "nobody", "--by", "bm25"), "give --by dense or --by both"),
        (("--split", "words:5"), "name them by --passages"),
        (("--seed", 3), "--seed 3 would not be used, since --choose top draws nothing"),
        (("--split", "words:100", "--passages", collection), "--split words:100 would not be used"),
    ):
        refused = run("mine", *files, *given)
        assert refused.exit_code == 2
        assert said in " ".join(refused.stderr.replace("│", " ").split())
    for given in (
        ("--model", "x", "--by", "dense"),
        ("--split", "none", "--passages", documents),
        ("--seed", 3, "--choose", "random"),
    ):
        assert "absent.jsonl: no such file" in run("mine", *files, *given).stderr


def test_defaults_that_depend_are_told() -> None:
    shown = CliRunner().invoke(app, ["mine", "--help"], env={"COLUMNS": "300"}).stdout
    for name, default in (
        ("model", "that of the first collection of --passages, else dpr-mini"),
        ("split", "words:100"),
    ):
        (line,) = [one for one in shown.splitlines() if one.startswith(f"│    --{name} ")]
        assert f"[default: ({default})]" in line


def test_every_setting_is_an_option_with_its_default_and_a_text() -> None:
    shown = CliRunner().invoke(app, ["mine", "--help"], env={"COLUMNS": "300"}).stdout
    for field in fields(MiningSettings):
        name = field.name.replace("_", "-")
        (line,) = [one for one in shown.splitlines() if one.startswith(f"│ --{name} ")]
        if field.default is not None and not isinstance(field.default, bool):
            assert f"[default: {field.default}]" in line
        assert len(line.split("default")[0].split()) > 4


def command(train: Path, to: Path, model: Path) -> list[str]:
    # Small blocks, so that there is much to interrupt.
    code = (
        "import dpr.pipeline.mining as file, dpr.samples.mining as mining, dpr.cli\n"
        "file.AT_ONCE = mining.AT_ONCE = 4; file.SHARD = 32\n"
        "dpr.cli.main()"
    )
    given = ["mine", "--train", str(train), "--to", str(to), "--by", "both", "--model", str(model)]
    return [sys.executable, "-c", code, *given, "--choose", "random", "--teacher", "bm25"]


@pytest.mark.slow
def test_kills_leave_no_trace(tmp_path: Path, tiny_model: Path) -> None:
    train = write(tmp_path / "train.jsonl", 400)
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    options: dict[str, Any] = {"env": os.environ | {"OMP_NUM_THREADS": "1"}}
    subprocess.run(command(train, whole, tiny_model), check=True, capture_output=True, **options)
    rng = random.Random(3)
    folder = tmp_path / "killed.jsonl.unfinished"
    lines, vectors = folder / "journal.json", folder / "vectors" / "building" / "progress.json"

    def state(journal: Path) -> int:
        return journal.stat().st_mtime_ns if journal.exists() else 0

    landed, reached = 0, set()
    for number in range(KILLS):
        journal = vectors if number < 3 else lines
        before = state(journal)
        with subprocess.Popen(
            command(train, killed, tiny_model),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **options,
        ) as process:
            # Strike some time after this run has written something.
            while process.poll() is None and state(journal) == before:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.1))
            landed += process.poll() is None
            process.kill()
        if lines.exists():
            reached.add(json.loads(lines.read_text())["done"])
    assert landed >= KILLS / 2, "most runs ended before they could be killed"
    assert len(reached) > 1, "no kill came between two blocks"
    done = subprocess.run(command(train, killed, tiny_model), capture_output=True, **options)
    assert done.returncode == 0, done.stderr
    for one, other in ((whole, killed), *((Path(f"{p}.made.json") for p in (whole, killed)),)):
        assert one.read_bytes() == other.read_bytes()
    assert not folder.exists()
