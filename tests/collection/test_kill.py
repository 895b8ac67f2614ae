"""kill -9 at random times and at every step: the finished folder does not tell."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
from builds import FILES, HashEncoder, snapshot
from scenarios import (
    FULL,
    Command,
    commands,
    content_of,
    copied,
    leftovers,
    report,
)

from dpr.collection import Collection, verify
from dpr.errors import CollectionError

PROGRAM = str(Path(__file__).with_name("builds.py"))


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """A build of 24 shards; a shard takes at least 20 ms."""
    command = [sys.executable, PROGRAM, str(folder), "2400", "16", "0.02", *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def wait(process: subprocess.Popen[bytes]) -> bytes:
    return process.communicate(timeout=120)[1]


@pytest.mark.slow
def test_twenty_kills_leave_no_trace(tmp_path: Path) -> None:
    began = time.monotonic()
    assert wait(start(tmp_path / "whole")) == b""
    length = time.monotonic() - began
    wanted = snapshot(tmp_path / "whole")
    rng = random.Random(20)
    folder, kills, names = tmp_path / "c", 0, count()
    while kills < 20:
        process = start(folder)
        time.sleep(rng.uniform(0.3, 1.0) * length)
        process.kill()
        errors = wait(process)
        if process.returncode == -9:
            kills += 1
            continue
        if b"complete collection" not in errors:
            assert process.returncode == 0, errors
        assert snapshot(folder) == wanted
        folder = tmp_path / f"c{next(names)}"  # it ended before the kill: that was none
    errors = wait(start(folder))
    assert errors == b"" or b"complete collection" in errors
    assert verify(folder) == []
    assert snapshot(folder) == wanted


@pytest.mark.slow
def test_kills_while_overwriting_keep_a_whole_version(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    began = time.monotonic()
    assert wait(start(folder)) == b""
    length = time.monotonic() - began
    rng = random.Random(7)
    for _ in range(6):
        process = start(folder, "overwrite")
        time.sleep(rng.uniform(0.3, 1.1) * length)
        process.kill()
        wait(process)
        assert verify(folder) == []
        assert len(Collection.open(folder)) == 2400
    assert wait(start(folder, "overwrite")) == b""
    left = set(snapshot(folder))
    assert len(left) == FILES and not any("building" in name for name in left)


COMMANDS = str(Path(__file__).with_name("scenarios.py"))
KILLED = [one for one in commands() if one.name in ("index", "add", "remove", "compact")]
RANDOM_KILLS = 75 if FULL else 2  # of each command


class Trial:
    """A command in a process of its own, on a folder of its own."""

    def __init__(self, command: Command, prepared: Path, root: Path) -> None:
        self.command = command
        root.mkdir()
        self.folder, self.log = copied(prepared, root / "c"), root / "log"
        self.log.touch()

    def start(self, step: int = 0, pause: float = 0.0) -> subprocess.Popen[bytes]:
        """Returns when the command begins."""
        given = [self.command.name, str(self.folder), str(self.log), str(step), str(pause)]
        process = subprocess.Popen([sys.executable, COMMANDS, *given], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        return process

    def check(self) -> None:
        """Nothing is lost, nothing is there twice, and what was encoded is not encoded again."""
        command, visible = self.command, False
        try:
            found = content_of(self.folder)
            assert found in (command.before, command.after)
            visible = found == command.after != command.before
        except CollectionError as error:
            assert command.name == "index", error
            assert any(
                text in str(error)
                for text in ("not finished", "no such folder", "is not a collection")
            ), error
        before, encoder = self.log.stat().st_size, HashEncoder()
        try:
            command.run(self.folder, encoder)
        except CollectionError as error:
            assert "complete collection" in str(error)
        # Where the new version was visible already, documents replace themselves.
        assert visible or before + encoder.calls <= command.calls + 1
        assert content_of(self.folder) == command.after
        assert verify(self.folder) == [] and leftovers(self.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("command", KILLED, ids=lambda command: command.name)
def test_a_kill_at_any_step_or_time_loses_nothing(command: Command, tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    command.prepare(prepared)
    whole = Trial(command, prepared, tmp_path / "whole")
    steps = int(wait_for_output(whole.start()))
    assert content_of(whole.folder) == command.after
    chosen = range(1, steps + 1) if FULL else random.Random(command.name).sample(range(1, steps + 1), 3)
    for step in chosen:
        trial = Trial(command, prepared, tmp_path / f"step{step}")
        process = trial.start(step)
        wait_for_output(process)
        assert process.returncode == (-9 if step else 0)
        check(trial, f"killed at step {step} of {steps}")
    rng, pause = random.Random(command.name), 0.002
    began = time.monotonic()
    wait_for_output(Trial(command, prepared, tmp_path / "timed").start(0, pause))
    length, landed, tries = time.monotonic() - began, 0, 0
    while landed < RANDOM_KILLS:
        tries += 1
        assert tries < 10 * RANDOM_KILLS, "most runs ended before they could be killed"
        trial = Trial(command, prepared, tmp_path / f"time{tries}")
        process = trial.start(0, pause)
        time.sleep(rng.uniform(0, 0.7 * length))
        process.kill()
        wait_for_output(process)
        landed += process.returncode == -9
        check(trial, f"killed at a random time, try {tries}")
    report(
        f"kills, {command.name}: at each of {steps} steps and at {landed} random times, 0 passages "
        f"lost or there twice, 0 collections that do not open"
    )


def check(trial: Trial, how: str) -> None:
    try:
        trial.check()
    except Exception as error:
        raise AssertionError(f"{trial.command.name} {how}") from error


def wait_for_output(process: subprocess.Popen[bytes]) -> bytes:
    return process.communicate(timeout=120)[0]
