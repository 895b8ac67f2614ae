"""Power cuts: after any operation, what was not synced may be gone. No collection may be lost.

``kill -9`` cannot show this, since the system keeps what was written; so every operation is
recorded, and what a disk may hold after each is written to a fresh folder and opened.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from builds import HashEncoder
from disks import Disk, Recorder, Tree, digest, read_tree, write_tree
from scenarios import FULL, Command, commands, content_of, leftovers, report

from dpr.collection import verify
from dpr.errors import CollectionError, CorruptionError

STRIDE = 1 if FULL else 5


@pytest.fixture(autouse=True)
def _no_real_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is one of ours."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def recorded(command: Command, root: Path) -> tuple[Tree, Recorder]:
    """The disk before a command, and what it does."""
    command.prepare(root / "c")
    before = read_tree(root)
    with Recorder(root) as recorder:
        command.run(root / "c", HashEncoder())
    return before, recorder


def states(before: Tree, recorder: Recorder) -> tuple[dict[str, tuple[str, Tree]], int]:
    """All that differ, each with where it comes from; and how many there are."""
    disk, rng, count = Disk(before), random.Random(1), 0
    found: dict[str, tuple[str, Tree]] = {}
    for number, operation in enumerate([None, *recorder.operations]):
        if operation is not None:
            disk.do(*operation)
        for what, tree in disk.crashes(FULL, rng):
            where = f"after {number} operations ({operation and operation[:2]}), {what}"
            found.setdefault(digest(tree), (where, tree))
            count += 1
    return found, count


def check_opens(command: Command, folder: Path) -> None:
    """The old version, the new one, or word that there is none yet."""
    try:
        found = content_of(folder)
    except CorruptionError:
        assert command.name in ("repair", "lose", "restore")  # it was damaged before
    except CollectionError as error:
        assert command.name == "index"
        assert any(
            text in str(error) for text in ("not finished", "no such folder", "is not a collection")
        )
    else:
        assert found in (command.before, command.after)


def check_again(command: Command, folder: Path) -> None:
    """The same command leads to the new version, and to nothing else."""
    try:
        command.run(folder, HashEncoder())
    except CollectionError as error:
        assert "complete collection" in str(error)  # all was done
    assert content_of(folder) == command.after
    assert verify(folder) == []
    assert leftovers(folder) == []


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_whatever_a_power_cut_leaves_opens_and_can_be_gone_on_with(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "recorded").mkdir()
    before, recorder = recorded(command, tmp_path / "recorded")
    different, count = states(before, recorder)
    found = list(different.values())
    assert len(found) > len(recorder.operations) / 2
    chosen = found if FULL else found[random.Random(command.name).randrange(STRIDE) :: STRIDE]
    for number, (where, tree) in enumerate(chosen):
        root = tmp_path / str(number)
        write_tree(tree, root)
        try:
            check_opens(command, root / "c")
            check_again(command, root / "c")
        except Exception as error:
            raise AssertionError(f"{command.name}: {where}") from error
        shutil.rmtree(root)
    report(
        f"power loss, {command.name}: {len(recorder.operations)} operations, {count} states, of "
        f"which {len(chosen)} differ, 0 bad opens"
    )


def test_what_is_replayed_is_what_was_done(tmp_path: Path) -> None:
    """With nothing lost, the last state is the folder itself."""
    for command in commands():
        root = tmp_path / command.name
        root.mkdir()
        before, recorder = recorded(command, root)
        disk = Disk(before)
        for operation in recorder.operations:
            disk.do(*operation)
        *_, (_, tree) = disk.crashes(False, random.Random(0))
        assert tree == read_tree(root)


def test_a_sync_that_is_left_out_is_noticed(tmp_path: Path) -> None:
    """Without any of the syncs of files, some power cut loses the collection."""
    command = next(one for one in commands() if one.name == "add")
    (tmp_path / "recorded").mkdir()
    before, recorder = recorded(command, tmp_path / "recorded")
    recorder.operations = [one for one in recorder.operations if one[0] != "sync"]
    bad = 0
    for number, (_, tree) in enumerate(reversed(states(before, recorder)[0].values())):
        write_tree(tree, tmp_path / str(number))
        try:
            check_opens(command, tmp_path / str(number) / "c")
        except (AssertionError, CollectionError):
            bad += 1
            break
    assert bad
