"""``dpr doctor``: findings with their places, exit codes, JSON, and the copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SAMPLE: dict[str, Any] = {
    "question": "who wrote the old song",
    "answers": ["the queen"],
    "positive_ctxs": [{"title": "Song", "text": "The old song was written by the queen."}],
    "hard_negative_ctxs": [
        {"title": "Bread", "text": "Bread is made of flour and water."},
        {"title": "Copy", "text": "the old song was  written by the Queen."},
    ],
}


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(SAMPLE) + '\n{"question": 1}\n', encoding="utf-8")
    return path


def test_faults_are_shown_and_told_by_the_exit_code(run: Any, faulty: Path) -> None:
    done = run("doctor", faulty)
    assert done.exit_code == 1
    assert "1 samples, 1 positives, 2 negatives" in done.stdout
    assert f"{faulty}, line 2: expected an object with a 'question'" in done.stdout
    assert "fault  negative-is-positive  1 (50.00% of the negatives)" in done.stdout
    part = "hard_negative_ctxs[1]: equals positive_ctxs[0], under another title"
    assert f"{faulty}, line 1, {part}" in done.stdout
    assert "2 faults, 0 remarks" in done.stdout


def test_a_clean_copy_has_no_faults(run: Any, faulty: Path, tmp_path: Path) -> None:
    copy = tmp_path / "clean.jsonl"
    done = run("doctor", faulty, "--clean", copy)
    assert done.exit_code == 1
    assert f"{copy}: 1 samples; left out 1 samples, 0 positives and 1 negatives" in done.stdout
    before = copy.read_bytes()
    faulty.write_text(json.dumps(SAMPLE | {"answers": ["a king"]}) + "\n", encoding="utf-8")
    refused = run("doctor", faulty, "--clean", copy)
    assert (refused.exit_code, copy.read_bytes()) == (1, before)
    assert f"{copy}: is there already; give another name, or overwrite it" in refused.stderr
    assert run("doctor", faulty, "--clean", copy, "--overwrite").exit_code == 1  # for the faults
    assert copy.read_bytes() != before
    assert run("doctor", faulty, "--overwrite").exit_code == 2
    again = run("doctor", copy)
    assert again.exit_code == 0 and "0 faults" in again.stdout


def test_remarks_alone_are_no_failure(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    negatives = [{"title": "", "text": "See also"}]
    path.write_text(json.dumps(SAMPLE | {"hard_negative_ctxs": negatives}) + "\n", encoding="utf-8")
    done = run("doctor", path, "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["faults"], told["remarks"], told["samples"]) == (0, 1, 1)
    (found,) = told["found"]
    assert found["kind"]["name"] == "short-passage"
    assert found["examples"][0]["place"] == "line 1"
    assert run("doctor", path, "--short-words", "2").exit_code == 0


def test_a_test_file_and_token_lengths(run: Any, tiny_model: Path, tmp_path: Path) -> None:
    path, test = tmp_path / "a.jsonl", tmp_path / "test.tsv"
    sample = SAMPLE | {"hard_negative_ctxs": []}
    path.write_text(json.dumps(sample) + "\n", encoding="utf-8")
    test.write_text("Who wrote the OLD song?\t['Queen']\n", encoding="utf-8")
    done = run("doctor", path, "--test", test, "--model", tiny_model, "--passage-length", 8)
    assert done.exit_code == 1
    assert "leaked-question" in done.stdout and "a test of 1 questions" in done.stdout
    assert "100.00% of the passages at 8" in done.stdout


def test_control_characters_never_reach_the_terminal(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    negatives = [{"title": "", "text": "\x1b[31mred"}]
    path.write_text(json.dumps(SAMPLE | {"hard_negative_ctxs": negatives}) + "\n", encoding="utf-8")
    done = run("doctor", path)
    assert "short-passage" in done.stdout and "\x1b[31m" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("absent.json",), 1, "no such file"),
        (("empty.json",), 1, "empty.json: no sample in it"),
        ((), 2, "Missing argument"),
        (("a.jsonl", "--near", "2"), 1, "near=2"),
    ],
)
def test_what_is_wrong_is_said(
    run: Any,
    arguments: tuple[str, ...],
    code: int,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.json").write_text("[]", encoding="utf-8")
    refused = run("doctor", *arguments)
    assert refused.exit_code == code
    assert why in refused.output
