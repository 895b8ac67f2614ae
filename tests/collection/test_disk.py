"""Disks that are full or broken: every operation fails once, and nothing is lost by it."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builds import HashEncoder
from scenarios import (
    Command,
    commands,
    content_of,
    copied,
    leftovers,
    report,
    some,
    temporary,
)

from dpr.collection import storage, verify
from dpr.errors import CollectionError, CorruptionError

STRIDE = 23
Failing = Callable[[pytest.MonkeyPatch, int, int], Callable[[], int]]


def failing_step(patch: pytest.MonkeyPatch, at: int, number: int) -> Callable[[], int]:
    """The step ``at`` is not done; the function given says how many there are still to come."""
    left = [at]

    def fail(step: str, path: Path) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(number, os.strerror(number))

    patch.setattr(storage, "before", fail)
    return lambda: left[0]


class _System:
    """``os``, of which one call fails: a write after half of its bytes."""

    def __init__(self, at: int, number: int) -> None:
        self.left, self.number = at, number

    def __getattr__(self, name: str) -> Any:
        call = getattr(os, name)
        if name not in ("open", "write", "pwrite", "fsync", "ftruncate"):
            return call

        def counted(*given: Any) -> Any:
            if name == "open" and not given[1] & (os.O_RDWR | os.O_DIRECTORY):
                return call(*given)  # for reading
            self.left -= 1
            if self.left != 0:
                return call(*given)
            if name in ("write", "pwrite"):
                data = memoryview(given[1])
                call(given[0], data[: len(data) // 2], *given[2:])
            raise OSError(self.number, os.strerror(self.number))

        return counted


def failing_call(patch: pytest.MonkeyPatch, at: int, number: int) -> Callable[[], int]:
    """The call ``at`` of the system fails."""
    system = _System(at, number)
    patch.setattr(storage, "os", system)
    return lambda: system.left


def check_failure(command: Command, folder: Path, error: CollectionError | None) -> None:
    """The command said so, and the old version is readable: or the new one, where only cleaning up
    was left. Nothing half written lies about but the unfinished build, which goes on."""
    assert error is not None
    if not (isinstance(error, CorruptionError) or "is not a collection" in str(error)):
        assert "run the same command again" in str(error) or "could not lock" in str(error), error
    assert temporary(folder) == []
    try:
        assert content_of(folder) in (command.before, command.after)
    except CorruptionError:
        assert command.name in ("repair", "lose", "restore")  # it was damaged before
    except CollectionError as found:
        assert command.name == "index", found


def check_again(command: Command, folder: Path) -> None:
    try:
        command.run(folder, HashEncoder())
    except CollectionError as error:
        assert "complete collection" in str(error)
    assert content_of(folder) == command.after
    assert verify(folder) == []
    assert leftovers(folder) == []


@pytest.mark.parametrize("failing", [failing_step, failing_call], ids=["step", "call"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_whatever_fails_the_command_says_so_and_goes_on_later(
    command: Command, number: int, failing: Failing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    prepared = tmp_path / "prepared"
    command.prepare(prepared)
    with monkeypatch.context() as patch:
        left = failing(patch, 1 << 30, number)
        command.run(copied(prepared, tmp_path / "whole"), HashEncoder())
        total = (1 << 30) - left()
    tried = some(range(1, total + 1), STRIDE)
    for at in tried:
        folder = copied(prepared, tmp_path / str(at))
        error = None
        with monkeypatch.context() as patch:
            left = failing(patch, at, number)
            try:
                command.run(folder, HashEncoder())
            except CollectionError as caught:
                error = caught
            assert left() <= 0
        try:
            check_failure(command, folder, error)
            check_again(command, folder)
        except Exception as caught:
            raise AssertionError(f"{command.name}: {failing.__name__} {at} of {total}") from caught
    report(f"{os.strerror(number)}, {command.name}, {failing.__name__}: {len(tried)} of {total}")


def test_a_file_size_limit_stops_the_command_line_and_not_the_collection(
    tmp_path: Path, tiny_model: Path
) -> None:
    """Through the real command, with the system's own errors."""
    source, to = tmp_path / "a.txt", tmp_path / "c"
    source.write_text("the river and the king. " * 400, encoding="utf-8")

    def index(limit: int | None, *more: str) -> subprocess.CompletedProcess[str]:
        def limited() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        options = ["--to", str(to), "--model", str(tiny_model), "--split", "words:20"]
        return subprocess.run(
            [sys.executable, "-m", "dpr", "index", str(source), *options, *more],
            capture_output=True, text=True, preexec_fn=limited,
        )  # fmt: skip

    stopped = index(8 << 10)
    assert stopped.returncode == 1 and "file size limit" in stopped.stderr
    assert temporary(to) == []
    assert index(None).returncode == 0
    before = content_of(to)
    source.write_text("the queen and the cat. " * 800, encoding="utf-8")
    stopped = index(8 << 10, "--overwrite")
    assert stopped.returncode == 1 and "file size limit" in stopped.stderr
    assert content_of(to) == before and temporary(to) == []
    assert index(None, "--overwrite").returncode == 0
    assert content_of(to) != before and leftovers(to) == []
