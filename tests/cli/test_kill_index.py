"""``dpr index``, killed with SIGKILL twenty times, ends in the very bytes of one that was not."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = 20


def command(to: Path, model: Path) -> list[str]:
    options = ["--model", str(model), "--split", "words:20", "--shard-size", "16"]
    return [sys.executable, "-m", "dpr", "index", "pydoc", "--to", str(to), *options]


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_twenty_kills_leave_no_trace(tmp_path: Path, tiny_model: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole, tiny_model), check=True, capture_output=True)
    rng = random.Random(6)
    journal = killed / "building" / "progress.json"
    landed = 0
    for _ in range(KILLS):
        before = journal.stat().st_mtime_ns if journal.exists() else 0
        with subprocess.Popen(
            command(killed, tiny_model), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            # Strike some time after the first shard of this run, not while Python is starting.
            while process.poll() is None and (
                not journal.exists() or journal.stat().st_mtime_ns == before
            ):
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            landed += process.poll() is None
            process.kill()
    assert landed >= KILLS / 2, "most runs ended before they could be killed"
    done = subprocess.run(command(killed, tiny_model), capture_output=True, text=True)
    assert done.returncode == 0 or "complete collection" in done.stderr
    assert contents(killed) == contents(whole)
