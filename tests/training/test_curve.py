"""The curve of a run: the log's points, and a picture that comes with its labels."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dpr.errors import MissingExtraError
from dpr.training.curve import draw_curve, read_log, smoothed

EVENTS = [
    {"step": 1, "steps": 4, "epoch": 0, "loss": 2.0, "seconds_a_step": 0.1},
    {"step": 2, "steps": 4, "epoch": 0, "loss": 1.0, "seconds_a_step": 0.1},
    {"step": 2, "mean R@5": 0.5, "R@1": 0.25},
    {"step": 4, "mean R@5": 0.75, "R@1": 0.5},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [json.dumps(event) + "\n" for event in EVENTS]
    (tmp_path / "log.jsonl").write_text("".join(lines) + '{"step": 5, "lo', encoding="utf-8")
    return tmp_path


def test_the_points_are_those_of_the_log(folder: Path) -> None:
    curves = read_log(folder / "log.jsonl")
    assert curves.loss == [(1, 2.0), (2, 1.0)]
    assert curves.measures == {"mean R@5": [(2, 0.5), (4, 0.75)], "R@1": [(2, 0.25), (4, 0.5)]}


def test_running_means() -> None:
    assert smoothed([1.0, 3.0, 5.0, 7.0], share=0.5) == [1.0, 2.0, 4.0, 6.0]
    assert smoothed([]) == []


@pytest.mark.parametrize("kept", [0, 2, 4])
def test_a_picture_is_drawn_of_any_log(folder: Path, kept: int) -> None:
    pytest.importorskip("matplotlib")
    lines = [json.dumps(event) + "\n" for event in EVENTS[:kept]]
    (folder / "log.jsonl").write_text("".join(lines), encoding="utf-8")
    path = draw_curve(folder)
    assert path == folder / "loss.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert sorted(one.name for one in folder.iterdir()) == ["log.jsonl", "loss.png"]


def test_without_matplotlib_the_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"\[train\]"):
        draw_curve(folder)
