"""A disk that loses power: what a command did, operation by operation, and what may be left of it.

A file's bytes are safe once the file was synced, a name once its folder was. Of what came after,
any may be lost: ``crashes`` gives the trees that may be found when the power comes back. It takes
names to come and go in the order in which that was asked for, as journaling file systems have it,
and in the full runs in any order.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpr.collection import storage

FOLDER = -1
Tree = dict[str, bytes | None]
"""Bytes by path; None: a folder."""

DATA = ("drop", "zero", "half", "keep")


@dataclass
class Recorder:
    """Records all that ``storage`` does below a folder while it is entered."""

    root: Path
    operations: list[tuple[str, str, Any]] = field(default_factory=list)

    def __enter__(self) -> Recorder:
        storage.after = self._record
        return self

    def __exit__(self, *exception: object) -> None:
        storage.after = None

    def _record(self, step: str, path: Path, detail: Any) -> None:
        if step == "write":
            detail = (detail[0], bytes(detail[1]))
        if step == "rename":
            detail = str(detail.relative_to(self.root))
        self.operations.append((step, str(path.relative_to(self.root)), detail))


def read_tree(root: Path) -> Tree:
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
    }


def write_tree(tree: Tree, root: Path) -> None:
    root.mkdir(parents=True)
    for name, data in sorted(tree.items()):
        if data is None:
            (root / name).mkdir(parents=True, exist_ok=True)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)


def digest(tree: Tree) -> str:
    found = hashlib.sha256()
    for name, data in sorted(tree.items()):
        found.update(f"{name} {-1 if data is None else len(data)} ".encode())
        found.update(data or b"")
    return found.hexdigest()


@dataclass
class _File:
    durable: bytes
    pending: list[tuple[int | None, Any]] = field(default_factory=list)

    def content(self, how: str) -> bytes:
        """What is left: nothing of what is not synced; its length; about half; all of it."""
        data = bytearray(self.durable)
        writes = sum(offset is not None for offset, _ in self.pending)
        seen = 0
        for offset, value in self.pending if how != "drop" else ():
            if offset is None:
                data = data[:value].ljust(value, b"\0")
                continue
            seen += 1
            if how == "half" and writes > 1 and seen % 2 == 0:
                value = b""
            elif how == "half" and seen == writes:
                value = value[: len(value) // 2]
            elif how == "zero":
                value = bytes(len(value))
            data = data.ljust(offset, b"\0")
            data[offset : offset + len(value)] = value
        return bytes(data)


@dataclass
class _Naming:
    """A name that came, went or changed; safe when all of these folders were synced."""

    step: str
    path: str
    detail: Any
    waiting: set[str]


def _parent(path: str) -> str:
    return str(Path(path).parent)


class Disk:
    """Follows the operations one by one."""

    def __init__(self, base: Tree) -> None:
        self.files: list[_File] = []
        self.base: dict[str, int] = {}
        for name, data in base.items():
            if data is None:
                self.base[name] = FOLDER
            else:
                self.base[name] = len(self.files)
                self.files.append(_File(data))
        self.now = dict(self.base)
        self.namings: list[_Naming] = []

    def do(self, step: str, path: str, detail: Any) -> None:
        if step in ("open", "lock") and path not in self.now:
            self.files.append(_File(b""))
            self._name("open", path, len(self.files) - 1)
        elif step == "make folder":
            self._name(step, path, None)
        elif step == "rename":
            self._name(step, path, detail)
        elif step == "remove" and path in self.now:
            self._name(step, path, None)
        elif step == "truncate":
            self.files[self.now[path]].pending.append((None, detail))
        elif step == "write":
            self.files[self.now[path]].pending.append(detail)
        elif step == "sync":
            file = self.files[self.now[path]]
            file.durable, file.pending = file.content("keep"), []
        elif step == "sync folder":
            for naming in self.namings:
                naming.waiting.discard(path)

    def _name(self, step: str, path: str, detail: Any) -> None:
        waiting = {_parent(path), *([_parent(detail)] if step == "rename" else [])}
        self.namings.append(_Naming(step, path, detail, waiting))
        _apply(self.now, self.namings[-1])

    def crashes(self, everything: bool, rng: random.Random) -> Iterator[tuple[str, Tree]]:
        """What may be found after a power cut now, each with what was lost."""
        pending = [one for one in self.namings if one.waiting]
        counts = range(len(pending) + 1) if everything else sorted({0, len(pending)})
        lost = [(f"{n} of {len(pending)} names", set(map(id, pending[n:]))) for n in counts]
        if everything and len(pending) > 1:
            for _ in range(2):
                undone = rng.sample(pending, rng.randrange(1, len(pending)))
                lost.append(("names in any order", set(map(id, undone))))
        unsynced = any(file.pending for file in self.files)
        for what, undone_ones in lost:
            names = dict(self.base)
            for naming in self.namings:
                if id(naming) not in undone_ones:
                    _apply(names, naming)
            for how in DATA if unsynced else ("keep",):
                yield (
                    f"{what}, {how}",
                    {
                        name: None if number == FOLDER else self.files[number].content(how)
                        for name, number in names.items()
                    },
                )


def _apply(names: dict[str, int], naming: _Naming) -> None:
    """Where an earlier operation was lost, a later one may have nothing to act upon."""
    path = naming.path
    if _parent(path) != "." and names.get(_parent(path)) != FOLDER:
        return
    if naming.step == "open":
        names[path] = naming.detail
    elif naming.step == "make folder":
        names.setdefault(path, FOLDER)
    elif naming.step == "remove":
        if not any(_parent(name) == path for name in names):
            names.pop(path, None)
    elif naming.detail in names and not any(_parent(name) == path for name in names):
        old = naming.detail
        for name in [one for one in names if one == old or one.startswith(old + "/")]:
            names[path + name[len(old) :]] = names.pop(name)
