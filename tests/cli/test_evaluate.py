"""``evaluate`` and ``report``: what is printed, what is written, and what goes wrong."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from pathlib import Path

import pytest

from dpr.pipeline import EvaluationSettings
from dpr.pipeline import report as library_report

from .conftest import Run

QUESTIONS = [
    {"id": "a", "question": "what is the capital of france", "answers": ["Paris"]},
    {"id": "b", "question": "who wrote a song", "answers": ["the queen"]},
]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in QUESTIONS), encoding="utf-8")
    return path


def test_the_defaults_are_those_of_the_library() -> None:
    evaluate = inspect.signature(import_module("dpr.cli.evaluate").evaluate).parameters
    settings = EvaluationSettings()
    for name in ("depth", "read", "regex"):
        assert evaluate[name].default == getattr(settings, name)
    report = inspect.signature(import_module("dpr.cli.report").report).parameters
    library = inspect.signature(library_report).parameters
    for ours, theirs in (("model", "model"), ("split", "split"), ("train", "train")):
        assert report[ours].default == library[theirs].default
    assert report["pseudo_questions"].default == library["pseudo"].default


def test_a_table_words_and_a_report(
    run: Run, collection: Path, questions: Path, tmp_path: Path
) -> None:
    arguments = ("evaluate", collection, "--questions", questions, "--resamples", "200")
    done = run(*arguments, "--baseline", "bm25", "--to", tmp_path / "report")
    assert done.exit_code == 0, done.output
    assert "accuracy@20" in done.stdout
    assert "bm25" in done.stdout
    assert f"report: {tmp_path / 'report' / 'report.html'}" in done.stdout
    assert (tmp_path / "report" / "evaluation.json").is_file()


def test_json_without_the_values_of_each_question(
    run: Run, collection: Path, questions: Path, tmp_path: Path
) -> None:
    judged = tmp_path / "qrels.txt"
    judged.write_text("a 0 france 1\nb 0 bread 1\n", encoding="utf-8")
    options = ("--judgements", judged, "--measure", "P@1", "--measure", "AP", "--read", "0")
    done = run("evaluate", collection, "bm25", "--questions", questions, *options, "--json")
    assert done.exit_code == 0, done.output
    shape = json.loads(done.stdout)
    assert shape["main_measure"] == "P@1"
    assert shape["systems"][1]["measures"]["P@1"]["value"] == 1.0
    assert shape["files"] == []
    assert "per_question" not in shape


def test_parts_of_hybrid_search(run: Run, collection: Path, questions: Path) -> None:
    arguments = ("evaluate", collection, "dense", "bm25", "--questions", questions, "--read", "0")
    shape = json.loads(run(*arguments, "--json").stdout)
    modes = {one["name"]: one["settings"]["mode"] for one in shape["systems"]}
    assert modes == {"docs": "hybrid", "dense": "dense", "bm25": "bm25"}
    assert "docs: searched by its vectors and words together (hybrid)." in shape["notes"]
    forced = json.loads(run(*arguments, "--mode", "bm25", "--json").stdout)
    assert [one["settings"]["mode"] for one in forced["systems"]] == ["bm25", "dense", "bm25"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nowhere", "--questions", "Q"), "neither a collection"),
        (("C", "--questions", "nowhere"), "no such file"),
        (("C", "--questions", "Q", "--measure", "nDGC@10"), "nDGC@10"),
        (("C", "--questions", "Q", "--measure", "nDCG@10", "--depth", "5"), "look deeper"),
        (("C", "C", "--questions", "Q"), "two systems are called"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(
    run: Run, collection: Path, questions: Path, arguments: tuple[str, ...], why: str
) -> None:
    named = {"C": collection, "Q": questions}
    done = run("evaluate", *(named.get(one, one) for one in arguments))
    assert done.exit_code == 1
    assert why in done.stderr
    assert "Traceback" not in done.output


def test_report_makes_questions_and_says_so(run: Run, model: Path, tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    for n in range(4):
        text = f"The old queen of the city wrote her song of bread in 19{n}5."
        (source / f"{n}.txt").write_text(text, encoding="utf-8")
    done = run("report", source, "--to", tmp_path / "r", "--model", model, "--json")
    assert done.exit_code == 0, done.output
    assert "were made from the documents" in done.stderr
    shape = json.loads(done.stdout)
    assert shape["questions"]["made"] is True
    assert str(tmp_path / "r" / "report.html") in shape["files"]
