"""``dpr calibrate``: figures as a table or JSON, a picture, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dpr.pipeline import Pipeline


@pytest.fixture
def copy(collection: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(collection, tmp_path / "docs.dpr"))


@pytest.fixture
def questions(copy: Path, tmp_path: Path) -> Path:
    """Questions of which the reader answers the surer half right."""
    words = ["paris", "old city", "river", "queen", "stone", "bread", "song", "france"]
    texts = [
        f"what is the {one} of {other} {n}" for n in range(2) for one in words for other in words
    ]
    with Pipeline.open(copy, settings={"no_answer_below": 0.0}) as pipeline:
        best = [one.answers[0] for one in pipeline.ask_many(texts)]
    middle = sorted(answer.score for answer in best)[len(best) // 2]
    path = tmp_path / "dev.jsonl"
    lines = [
        {"question": text, "answers": [answer.text if answer.score > middle else "nothing"]}
        for text, answer in zip(texts, best, strict=True)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_what_is_chosen_is_shown_drawn_and_kept(
    run: Any, copy: Path, questions: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "scores.png"
    done = run("calibrate", copy, "--questions", questions, "--picture", picture, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["kept"] == str(copy) and told["questions"] == 128
    assert told["held_out"]["exact"]["questions"] == 128 and told["settings"] != told["start"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    kept = json.loads(run("info", copy, "--json").stdout)["search"]["reading"]
    assert kept["settings"] == told["settings"] and kept["questions"] == str(questions)
    asked = run("ask", copy, "what is stone", "--no-answer-below", "0", "--json")
    before = run("ask", copy, "what is stone", "--no-answer-below", "0", "--json")
    assert asked.stdout == before.stdout


def test_each_mode_is_calibrated_by_what_it_finds(run: Any, copy: Path, questions: Path) -> None:
    told = {}
    for mode in ("auto", "hybrid", "bm25"):
        done = run(
            "calibrate", copy, "--questions", questions, "--mode", mode, "--dry-run", "--json"
        )
        told[mode] = json.loads(done.stdout)["before"] if done.exit_code == 0 else done.stderr
    assert told["auto"] == told["hybrid"] != told["bm25"]


def test_a_dry_run_shows_a_table_and_keeps_nothing(run: Any, copy: Path, questions: Path) -> None:
    done = run("calibrate", copy, "--questions", questions, "--dry-run")
    assert done.exit_code == 0, done.output
    for text in ("calibration error", "held out", "No answer below", "Nothing was kept."):
        assert text in done.stdout
    assert "reading" not in json.loads(run("info", copy, "--json").stdout)["search"]


def test_a_picture_of_another_kind_is_refused_before_anything_is_read(
    run: Any, copy: Path, questions: Path
) -> None:
    done = run("calibrate", copy, "--questions", questions, "--picture", "scores.txt")
    assert done.exit_code == 1 and "must end in .png, .svg, .pdf" in done.stderr


def test_too_few_questions_are_refused(run: Any, copy: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text('{"question": "what?", "answers": ["stone"]}\n', encoding="utf-8")
    done = run("calibrate", copy, "--questions", few)
    assert done.exit_code == 1 and "1 questions with answers are too few" in done.stderr
