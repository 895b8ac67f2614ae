"""``dpr tune`` and ``dpr index --recall``: what is chosen is shown and kept; exit codes tell."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dpr.cli.tune import targets
from dpr.search.choosing import Targets

pytest.importorskip("faiss")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "tales.jsonl"
    lines = (
        json.dumps(
            {"id": f"d{n}", "title": f"Tale {n}", "text": f"A king of Paris owned {n} cats."}
        )
        for n in range(120)
    )
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.txt"
    path.write_text("\n".join(f"who owned {n} cats?" for n in range(60)), encoding="utf-8")
    return path


def test_indexing_with_a_target_chooses_an_index(
    run: Any, tiny_model: Path, tmp_path: Path, documents: Path, questions: Path
) -> None:
    to = tmp_path / "c"
    done = run(
        "index", documents, "--to", to, "--model", tiny_model, "--split", "none", "--recall", "0.5",
        "--latency", "60s", "--questions", questions, "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    chosen = told["tuning"]["chosen"]
    assert chosen in told["tuning"]["trials"]
    assert told["tuning"]["why"].startswith(chosen["name"])
    checked = run("tune", to, "--check", "--json")
    assert checked.exit_code == 0 and json.loads(checked.stdout)["missed"] == []
    assert "tuned" in json.loads(run("info", to, "--json").stdout)["search"]
    shown = run("tune", to, "--memory", "1", "--questions", questions)
    assert shown.exit_code == 1 and "No index keeps" in shown.stdout


def test_both_kinds_of_question_are_told_to_count_the_same(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, questions: Path
) -> None:
    asked: list[Any] = []

    def tune(folder: Any, **how: Any) -> Any:
        asked.append(how["weights"])
        raise KeyboardInterrupt

    monkeypatch.setattr("dpr.pipeline.tuning.tune", tune)
    for even in ([], ["--even"]):
        run("tune", tmp_path, "--questions", questions, *even)
    assert asked == [True, "even"]
    refused = run("tune", tmp_path, "--even")
    assert refused.exit_code == 2 and "give them as --questions" in refused.output


def test_a_check_measures_what_was_wanted_last_and_nothing_else(
    run: Any, tmp_path: Path, questions: Path
) -> None:
    others = (["--recall", "0.9"], ["--memory", "any"], ["--latency", "any"], ["--recall-at", "5"])
    for given in (*others, ["--questions", questions], ["--even"]):
        refused = run("tune", tmp_path, "--check", *given)
        assert refused.exit_code == 2, refused.output
        assert f"{given[0]} with --check" in " ".join(refused.output.split())


def test_what_is_wanted_is_read_with_units() -> None:
    assert targets(None, None, None) is None
    assert targets(0.9, "2GB", "20ms", 5) == Targets(0.9, 2_000_000_000, 0.02, 5)
    assert targets(None, "1.5 MiB", "1s") == Targets(0.95, 3 * 2**19, 1.0)
    assert targets(None, "any", " Any ") == Targets()
    assert targets(None, None, None, 7) == Targets(k=7)


def test_what_is_not_said_is_as_it_was_wanted_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(asdict(Targets())) == {"recall", "memory", "latency", "k"}
    kept = SimpleNamespace(search={"tuned": {"targets": asdict(Targets(0.98, 500, 0.02, 20))}})
    monkeypatch.setattr("dpr.collection.read_manifest", lambda folder: kept)
    assert targets(None, "2GB", None, None, tmp_path) == Targets(0.98, 2 * 10**9, 0.02, 20)
    assert targets(None, None, None, 10, tmp_path) == Targets(0.98, 500, 0.02, 10)
    assert targets(0.9, "any", "any", None, tmp_path) == Targets(0.9, None, None, 20)
    assert targets(None, None, None, None, tmp_path) is None
    kept.search = {}
    assert targets(None, None, None, 10, tmp_path) == Targets(k=10)


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (("--memory", "2 potatoes"), 2, "write for example"),
        (("--latency", "0ms"), 1, "latency is 0.0 s"),
        (("--recall", "0.5", "--questions", "absent.txt"), 1, "absent.txt"),
    ],
)
def test_what_is_wrong_is_met_before_anything_is_encoded(
    run: Any, tmp_path: Path, documents: Path, options: tuple[str, ...], code: int, why: str
) -> None:
    refused = run("index", documents, "--to", tmp_path / "c", "--model", "none", *options)
    assert refused.exit_code == code
    assert why in " ".join(refused.output.split())
    assert not (tmp_path / "c").exists()


def test_interrupted_tuning_goes_on_by_itself(
    run: Any, tiny_model: Path, tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dpr.pipeline.tuning.tune", stop)
    to = tmp_path / "c"
    arguments = ("index", documents, "--to", to, "--model", tiny_model, "--recall", "0.5")
    stopped = run(*arguments)
    assert stopped.exit_code == 130
    assert f"`dpr tune {to}` with the same options goes on" in stopped.stderr
    again = run(*arguments)
    assert again.exit_code == 1 and "dpr tune" in again.stderr


@pytest.mark.parametrize(("option", "value"), [("--memory", "2 potatoes"), ("--latency", "20")])
def test_units_that_are_none_are_refused(run: Any, tmp_path: Path, option: str, value: str) -> None:
    refused = run("tune", tmp_path, option, value)
    assert refused.exit_code == 2 and "write for example" in " ".join(refused.output.split())
