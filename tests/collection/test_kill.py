"""kill -9 at random times and at every step: the finished folder does not tell."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
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
from dpr.errors import CollectionError, CorruptionError

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
KILLED = [one for one in commands() if FULL or one.name in ("index", "add", "remove", "compact")]
RANDOM_KILLS = 75 if FULL else 3  # of each command


class Killer:
    """Has commands run, each in a process of its own, and kills them."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, COMMANDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, trial: Trial, step: int = 0, pause: float = 0.0, after: float | None = None
    ) -> tuple[int, int]:
        """Its exit code and, if it ended, how many steps it took.

        Args:
            step: that it dies before.
            pause: that it makes before each step.
            after: seconds after which it is killed.
        """
        given = [trial.command.name, str(trial.folder), str(trial.log), step, pause]
        child = int(self._ask(json.dumps(given)))
        if after is not None:
            time.sleep(after)
            os.kill(child, signal.SIGKILL)
        status, steps = self._ask("").split()
        return int(status), int(steps)

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    one = Killer()
    yield one
    one.process.communicate()


class Trial:
    """A command on a folder of its own."""

    def __init__(self, command: Command, prepared: Path, root: Path) -> None:
        self.command = command
        root.mkdir()
        self.folder, self.log = copied(prepared, root / "c"), root / "log"
        self.log.touch()

    def check(self) -> None:
        """Nothing is lost, nothing is there twice, and what was encoded is not encoded again."""
        command, visible = self.command, False
        try:
            found = content_of(self.folder)
            assert found in (command.before, command.after)
            visible = found == command.after != command.before
        except CorruptionError as error:
            assert command.name in ("repair", "lose", "restore"), error  # it was damaged before
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
def test_a_kill_at_any_step_or_time_loses_nothing(
    command: Command, killer: Killer, tmp_path: Path
) -> None:
    prepared = tmp_path / "prepared"
    command.prepare(prepared)
    whole = Trial(command, prepared, tmp_path / "whole")
    status, steps = killer.run(whole)
    assert status == 0 and content_of(whole.folder) == command.after
    rng, every = random.Random(command.name), range(1, steps + 1)
    for step in every if FULL else rng.sample(every, 4):
        trial = Trial(command, prepared, tmp_path / f"step{step}")
        assert killer.run(trial, step)[0] == -9
        check(trial, f"killed at step {step} of {steps}")
    pause, began = 0.002, time.monotonic()
    assert killer.run(Trial(command, prepared, tmp_path / "timed"), 0, pause)[0] == 0
    length, landed, tries = time.monotonic() - began, 0, 0
    while landed < RANDOM_KILLS:
        tries += 1
        assert tries < 20 * RANDOM_KILLS, "most runs ended before they could be killed"
        trial = Trial(command, prepared, tmp_path / f"time{tries}")
        landed += killer.run(trial, 0, pause, rng.uniform(0, length))[0] == -9
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
