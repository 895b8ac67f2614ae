"""Negatives found anew beside training: who waits for what, and what is left in the folder.

A process that does nothing stands for the one that mines, but for the last test.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dpr.errors import DPRError, InputError
from dpr.pipeline import refreshing
from dpr.pipeline.growing import growing, record_of
from dpr.pipeline.refreshing import MinedNegatives
from dpr.samples.files import Context, TrainingSample, read_samples, sample_to_json
from dpr.samples.negatives import MiningCounts
from dpr.training.processes import Processes
from dpr.training.settings import RefreshSettings

SAMPLES = [
    TrainingSample(
        f"who is {n}",
        (),
        (Context(f"the king of {n}", f"t{n}"),),
        (Context(f"a song of {n}"),),
    )
    for n in range(4)
]


class Miner:
    """Finds for each question a passage named for the model, when it is told to; whoever waits for
    it before that is at fault."""

    def __init__(self, target: object, args: tuple[Any, ...], name: str, daemon: bool) -> None:
        self.given, self.mined, self.to, self.model, _ = args
        self.daemon = daemon
        self.exitcode: int | None = None

    def start(self) -> None:
        assert self.model.is_dir()

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self) -> None:
        assert self.exitcode is not None, f"waits for {self.model.name}, which is at work"

    def find(self) -> None:
        counts = MiningCounts(questions=4, fewer=4)
        counts.of("dense").update(looked_at=9, gold=4, elsewhere=1, kept=4)
        record_of(self.mined).write_text(json.dumps({"counts": asdict(counts)}), encoding="utf-8")
        found = Context(f"found with {self.model.name}")
        write(self.to, [replace(one, hard_negatives=(found,)) for one in read_samples(self.given)])
        self.exitcode = 0


def write(path: Path, samples: Sequence[TrainingSample]) -> None:
    lines = [json.dumps(sample_to_json(one)) + "\n" for one in samples]
    path.write_text("".join(lines), encoding="utf-8")


@pytest.fixture
def miners(monkeypatch: pytest.MonkeyPatch) -> list[Miner]:
    begun: list[Miner] = []

    def begin(**given: Any) -> Miner:
        begun.append(Miner(**given))
        return begun[-1]

    context = SimpleNamespace(Process=begin)
    monkeypatch.setattr(
        refreshing, "multiprocessing", SimpleNamespace(get_context=lambda kind: context)
    )
    return begun


def refresher(folder: Path, epochs: int = 9, beside: bool = True, **more: Any) -> MinedNegatives:
    return MinedNegatives(SAMPLES, folder, RefreshSettings(1, beside), epochs, **more)


def save(folder: Path) -> None:
    folder.mkdir(parents=True)


def negatives(found: Sequence[TrainingSample] | None) -> set[str]:
    return {one.text for sample in found or () for one in sample.hard_negatives}


def test_training_goes_on_while_the_next_negatives_are_looked_for(
    tmp_path: Path, miners: list[Miner]
) -> None:
    ours = refresher(tmp_path / "negatives", epochs=5)
    assert ours.samples(0) is None
    assert not (tmp_path / "negatives").exists()  # a run that is begun anew may clear it away
    ours.epoch_ended(0, save)
    assert ours.samples(1) is None
    miners[0].find()
    for epoch in (1, 2):
        ours.epoch_ended(epoch, save)
        assert [one.model.name for one in miners][epoch:] == [f"model-{epoch + 1}"]
        # What is waited for is what was looked for before; the other process may take its time.
        assert negatives(ours.samples(epoch + 1)) == {f"found with model-{epoch}"}
        miners[epoch].find()
    ours.epoch_ended(3, save)  # what would be found with it is for no epoch
    assert negatives(ours.samples(4)) == {"found with model-3"}
    assert len(miners) == 3
    assert all(one.daemon for one in miners)
    assert not list((tmp_path / "negatives").glob("model-*"))


def test_what_was_left_out_is_told_once_for_each_time(tmp_path: Path, miners: list[Miner]) -> None:
    told: list[str] = []
    ours = refresher(tmp_path, beside=False, tell=told.append)
    for epoch in (0, 1):
        ours.epoch_ended(epoch, save)
        miners[epoch].find()
        ours.samples(epoch + 1)
        assert told[2 * epoch :] == [
            f"looking for negatives with the model of epoch {epoch + 1}",
            f"negatives with the model of epoch {epoch + 1}: 9 passages looked at, 4 kept; left "
            "out: answers the question (a positive) 4, answers the question in another sample 1; "
            "4 questions have fewer than asked for, 0 none",
        ]
    refresher(tmp_path, beside=False, tell=told.append).samples(2)  # as a run that goes on does
    assert len(told) == 4
    assert not list(tmp_path.glob("mined*"))


def test_a_model_waits_for_its_turn(tmp_path: Path, miners: list[Miner]) -> None:
    ours = refresher(tmp_path)
    ours.epoch_ended(0, save)
    ours.samples(1)
    ours.epoch_ended(1, save)
    assert [one.model.name for one in miners] == ["model-1"]
    miners[0].find()
    assert negatives(ours.samples(2)) == {"found with model-1"}
    assert [one.model.name for one in miners] == ["model-1", "model-2"]


def test_where_training_waits_the_next_epoch_has_the_negatives(
    tmp_path: Path, miners: list[Miner]
) -> None:
    ours = refresher(tmp_path, beside=False)
    ours.epoch_ended(0, save)
    with pytest.raises(AssertionError, match="waits for model-1"):
        ours.samples(1)
    miners[0].find()
    assert negatives(ours.samples(1)) == {"found with model-1"}


def test_a_run_that_goes_on_looks_at_once(tmp_path: Path, miners: list[Miner]) -> None:
    for epoch in (0, 1):
        save(tmp_path / f"model-{epoch + 1}")
    assert refresher(tmp_path).samples(1) is None
    # The second epoch is gone through again, and its end makes another model-2.
    assert [one.model.name for one in miners] == ["model-1"]


def test_a_miner_that_fails_is_told_when_its_negatives_are_needed(
    tmp_path: Path, miners: list[Miner]
) -> None:
    ours = refresher(tmp_path)
    ours.epoch_ended(0, save)
    miners[0].exitcode = 1
    ours.samples(1)
    ours.epoch_ended(1, save)
    with pytest.raises(DPRError, match="model-1 failed"):
        ours.samples(2)
    shutil.rmtree(tmp_path)
    with pytest.raises(DPRError, match="model-1 is gone"):
        refresher(tmp_path).samples(2)


def test_other_processes_look_for_the_file(
    tmp_path: Path, miners: list[Miner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait in nothing that would give up: here no group of processes is there to wait in."""
    monkeypatch.setattr(refreshing, "LOOK_SECONDS", 0.01)
    first, second = (refresher(tmp_path, processes=Processes(rank, 2)) for rank in (0, 1))
    for ours in (first, second):
        ours.epoch_ended(0, save)
        ours.samples(1)
    assert len(miners) == 1
    found: list[set[str]] = []
    waiting = threading.Thread(target=lambda: found.append(negatives(second.samples(2))))
    waiting.start()
    time.sleep(0.1)
    assert waiting.is_alive()
    miners[0].find()
    waiting.join(10)
    assert found == [negatives(first.samples(2))] == [{"found with model-1"}]


def test_files_that_no_epoch_can_use_are_deleted(tmp_path: Path, miners: list[Miner]) -> None:
    checkpoint, folder = tmp_path / "checkpoint", tmp_path / "negatives"
    ours = refresher(folder, checkpoint=checkpoint)

    def go_on(*epochs: int) -> list[str]:
        for epoch in epochs:
            ours.samples(epoch)
            ours.epoch_ended(epoch, save)
            miners[-1].find()
        return sorted(one.name for one in folder.glob("*.jsonl"))

    def keep() -> None:
        (tmp_path / "new").write_text("a state")
        (tmp_path / "new").replace(checkpoint)

    files = [f"negatives-{n}.jsonl" for n in range(1, 7)]
    # A run without a checkpoint would go on from the first epoch, if it was killed.
    assert go_on(0, 1, 2, 3) == [*files[:4], "samples.jsonl"]
    keep()
    assert go_on(4) == [*files[:5], "samples.jsonl"]
    keep()
    (folder / "mined-2.jsonl").write_text("what a kill left")
    # The fifth epoch has what was found after the third; to an earlier epoch the run never goes.
    assert go_on(5) == [*files[2:6], "samples.jsonl"]


def test_the_samples_that_are_mined_are_those_given(tmp_path: Path, miners: list[Miner]) -> None:
    (tmp_path / "samples.jsonl").write_text("of another run", encoding="utf-8")
    refresher(tmp_path).epoch_ended(0, save)
    assert list(read_samples(tmp_path / "samples.jsonl")) == SAMPLES
    write(tmp_path / "negatives-1.jsonl", SAMPLES[1:])
    with pytest.raises(InputError, match="other questions"):
        refresher(tmp_path).samples(2)


RUN = """
import signal, sys
from pathlib import Path
from dpr.pipeline.refreshing import MinedNegatives
from dpr.samples.files import read_samples
from dpr.training.settings import RefreshSettings

if __name__ == "__main__":
    folder, given = map(Path, sys.argv[1:])
    signal.signal(signal.SIGINT, lambda number, frame: print("noted", flush=True))
    tell = lambda text: print(text, flush=True)
    settings = RefreshSettings(1, False, refresh_last_rank=4)
    MinedNegatives(list(read_samples(given)), folder, settings, 3, tell=tell).samples(1)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_what_is_mined(tiny_model: Path, tmp_path: Path) -> None:
    """By a process that Ctrl-C does not end, for training decides when to stop, and that a model's
    work that was left undone does not keep from its own."""
    folder, given, script = tmp_path / "negatives", tmp_path / "given.jsonl", tmp_path / "run.py"
    write(given, SAMPLES)
    script.write_text(RUN, encoding="utf-8")
    shutil.copytree(tiny_model / "encoder", folder / "model-1" / "encoder")
    with growing(folder / "mined-1.jsonl", {"model": "another"}) as left:
        left.append(b"{}\n", 1, {})
    run = subprocess.Popen(
        [sys.executable, str(script), str(folder), str(given)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("waiting"):
            break
    os.killpg(run.pid, signal.SIGINT)  # while the other process gets ready
    output, _ = run.communicate(timeout=120)
    noted, told = output.splitlines()
    assert (run.returncode, noted) == (0, "noted")
    assert told.startswith("negatives with the model of epoch 1: 16 passages looked at, ")
    assert sorted(one.name for one in folder.iterdir()) == ["negatives-1.jsonl", "samples.jsonl"]
    found = list(read_samples(folder / "negatives-1.jsonl"))
    assert [one.question for one in found] == [one.question for one in SAMPLES]
    assert all(one.hard_negatives for one in found)
    assert not any(one.negatives for one in found)  # of the first file, which has them for all
