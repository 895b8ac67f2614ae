"""kill -9 at random times: the finished folder does not tell."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
from builds import FILES, snapshot

from dpr.collection import Collection, verify

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
