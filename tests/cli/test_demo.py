"""``demo``: its mechanics, with a model that knows nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpr import corpus
from dpr.corpus import sources
from dpr.records import Document, Section

from .conftest import Run


@pytest.fixture(autouse=True)
def small_pydoc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few topics in place of all, for speed."""
    assert corpus.read_documents is sources.read_documents
    topics = [
        Document("while", 'The "while" statement\n\nrepeated execution', "while", "pydoc:while"),
        Document("pass", "Intro\nthe pass statement", "pass", "pydoc:pass", (Section(0, "Intro"),)),
    ]
    monkeypatch.setattr(sources, "read_pydoc", lambda: iter(topics))


def test_the_tally_decides_the_exit_code_and_the_folder_is_kept_where_asked(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    shown = run("demo", "--model", model)
    assert shown.exit_code == 1  # a model that knows nothing stays below the bar
    assert "sections 0/10, answers 0/10" in shown.stdout
    assert shown.stdout.count("✗ section") == 10
    assert not list(temporary.iterdir())

    kept = json.loads(run("demo", "--model", model, "--keep", "--json").stdout)
    assert len(kept["questions"]) == 10
    assert kept["questions"][0]["id"] == "raise"
    assert {"section_found", "answer_accepted", "answers", "hits"} < set(kept["questions"][0])
    assert (kept["sections"], kept["answers"], kept["passed"]) == (0, 0, False)
    assert Path(kept["path"]).is_relative_to(temporary)
    assert run("verify", kept["path"]).exit_code == 0


def test_a_folder_of_an_earlier_demo_is_asked_again_and_others_are_refused(
    run: Run, model: Path, collection: Path, tmp_path: Path
) -> None:
    to = tmp_path / "pydoc.dpr"
    first = json.loads(run("demo", "--model", model, "--to", to, "--json").stdout)
    again = json.loads(run("demo", "--model", model, "--to", to, "--json").stdout)
    assert first["index_seconds"] is not None
    assert again["index_seconds"] is None
    assert again["questions"] == first["questions"]

    other = run("demo", "--model", model, "--to", collection)
    assert other.exit_code == 1
    assert "docs.jsonl" in other.stderr


def test_enough_right_answers_pass(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpr.demo.SECTIONS_WANTED", 0)
    monkeypatch.setattr("dpr.demo.ANSWERS_WANTED", 0)
    assert run("demo", "--model", model).exit_code == 0
