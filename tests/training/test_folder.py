"""What a folder of a run takes from another run, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.line import SETTINGS, Task

from dpr.errors import CheckpointError, CollectionError, DPRError, SettingsError
from dpr.training.folder import RunFolder
from dpr.training.loop import Run


def test_a_file_is_no_folder_of_a_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for place in (file, file / "run"):
        with pytest.raises(SettingsError, match=f"{file} is a file, and a run is kept in a folder"):
            RunFolder(place, {})


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Run(Task(stop_after=2), SETTINGS, tmp_path, {"a": 1})()
    other = replace(SETTINGS, epochs=4)
    with pytest.raises(SettingsError, match=r"a was 1, is 2; loop.epochs was 3, is 4.*another fo"):
        Run(Task(), other, tmp_path, {"a": 2})()


def test_what_changes_no_weight_may_be_otherwise_when_a_run_goes_on(tmp_path: Path) -> None:
    whole = Task()
    Run(whole, SETTINGS, tmp_path / "whole", {})()
    with pytest.raises(KeyboardInterrupt):
        Run(Task(stop_after=2), SETTINGS, tmp_path / "run", {})()
    resumed, other = Task(), replace(SETTINGS, log_steps=7, checkpoint_seconds=1)
    Run(resumed, other, tmp_path / "run", {})()
    for one, two in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, two)
    kept = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert kept["loop"]["log_steps"] == 7


def test_another_number_of_processes_is_told_as_one(tmp_path: Path) -> None:
    RunFolder(tmp_path, {"processes": 2, "a": 1}).begin()
    (tmp_path / "checkpoint.safetensors").touch()
    with pytest.raises(SettingsError, match="a was 1, is not given; processes was 2, is 1; cont"):
        RunFolder(tmp_path, {}).begin()


def test_other_settings_are_fine_as_long_as_nothing_is_trained(tmp_path: Path) -> None:
    empty = Task()
    empty.batches = lambda epoch: []  # type: ignore[method-assign]
    with pytest.raises(DPRError, match="nothing to train on"):
        Run(empty, SETTINGS, tmp_path, {"a": 1})()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DPRError, match="step 0"):
        Run(Task(poison=0), SETTINGS, tmp_path, {"a": 1})()
    Run(Task(), SETTINGS, tmp_path, {"a": 2})()
    assert json.loads((tmp_path / "settings.json").read_text())["a"] == 2


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Run(Task(stop_after=2), SETTINGS, tmp_path, {})()
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="cannot be read"):
        Run(Task(), SETTINGS, tmp_path, {})()


def test_one_run_at_a_time_in_a_folder(tmp_path: Path) -> None:
    second: list[Exception] = []

    class Nosy(Task):
        def epoch_ended(self, epoch: int) -> None:
            try:
                Run(Task(), SETTINGS, tmp_path, {})()
            except CollectionError as error:
                second.append(error)

    Run(Nosy(), SETTINGS, tmp_path, {})()
    assert len(second) == 3 and "another process is writing here" in str(second[0])


def test_models_without_their_checkpoint_are_not_written_over(tmp_path: Path) -> None:
    Run(Task(), SETTINGS, tmp_path, {})()
    (tmp_path / "checkpoint.safetensors").unlink()
    with pytest.raises(SettingsError, match=r"best is of a run whose checkpoint is gone"):
        Run(Task(), SETTINGS, tmp_path, {})()
    assert (tmp_path / "best" / "weights.json").exists()


def test_what_a_run_left_before_its_first_checkpoint_is_cleared(tmp_path: Path) -> None:
    with pytest.raises(DPRError, match="step 3"):
        Run(Task(poison=3), replace(SETTINGS, checkpoint_seconds=1e9), tmp_path, {})()
    (tmp_path / "negatives").mkdir()
    (tmp_path / "negatives" / "negatives-1.jsonl").write_text("of another model")
    Run(Task(), replace(SETTINGS, epochs=1), tmp_path, {})()
    assert not (tmp_path / "negatives").exists()
    assert not (tmp_path / "failed-batch.json").exists()
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == [7, 7]
