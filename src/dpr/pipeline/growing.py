"""A file of lines that grows block by block, through any number of kills, and gets its name when it
is whole.

Takes a path, what the lines are made from, and blocks; gives the file, with a record of what it was
made from beside it. Knows nothing of what is in the lines.

Until then all lies in the folder ``NAME.unfinished``. A block counts once the journal says so,
which is written after the block is on the disk: what a kill left behind it is cut off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dpr.collection import storage
from dpr.errors import InputError, SettingsError
from dpr.questions.files import check_new

FOLDER = ".unfinished"
RECORD = ".made.json"
_BEGUN, _JOURNAL, _LINES = "made.json", "journal.json", "lines"
_EMPTY: dict[str, Any] = {"done": 0, "bytes": 0, "sha256": "", "state": {}}


class Growing:
    """A file that is not whole yet; see ``growing``.

    Attributes:
        folder: where it is made; other things that this takes may be kept in it.
        done: how many lines there are.
        state: what was given with the last block.
    """

    def __init__(self, path: Path, folder: Path, made: Any) -> None:
        self.path, self.folder, self._made = path, folder, made
        journal = _read(folder / _JOURNAL) or _EMPTY
        self.done: int = journal["done"]
        self.state: dict[str, Any] = journal["state"]
        self._hash = hashlib.sha256()
        self._check(folder / _LINES, journal["bytes"], journal["sha256"])
        self._file = storage.Appender(folder / _LINES, journal["bytes"])

    def _check(self, lines: Path, size: int, digest: str) -> None:
        """What is there must be what was written."""
        if not size:
            return
        if (storage.size_of(lines) or 0) < size:
            raise _damaged(lines)
        with lines.open("rb") as file:
            while size:
                data = file.read(min(size, 1 << 20))
                self._hash.update(data)
                size -= len(data)
        if self._hash.hexdigest() != digest:
            raise _damaged(lines)

    def append(self, data: bytes, lines: int, state: Mapping[str, Any]) -> None:
        """Adds a block; on return it is durable."""
        self._file.append(data)
        self._file.sync()
        self._hash.update(data)
        self.done += lines
        self.state = dict(state)
        journal = {
            "done": self.done,
            "bytes": self._file.size,
            "sha256": self._hash.hexdigest(),
            "state": self.state,
        }
        storage.atomic_write(self.folder / _JOURNAL, json.dumps(journal).encode())

    def finish(self) -> None:
        """Gives the file its name; before that the record, by which a kill in between is told."""
        self._file.sync()
        self._file.close()
        record = {"sha256": self._hash.hexdigest(), "made_from": self._made, **self.state}
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        storage.atomic_write(record_of(self.path), text.encode())
        storage.rename(self.folder / _LINES, self.path)

    def close(self) -> None:
        self._file.close()


@contextmanager
def growing(
    path: Path, made_from: Mapping[str, Any], *, overwrite: bool = False
) -> Iterator[Growing]:
    """Begins a file, or goes on with it; call ``finish`` when all is there.

    Args:
        made_from: all that decides the lines; plain JSON values.
        overwrite: replace a file that is there, when the new one is whole; and begin anew where
            the unfinished one was made from something else.

    Raises:
        InputError: there is a file already; what is unfinished was altered.
        SettingsError: what is unfinished was made from something else.
        CollectionError: another process is at work; a failure of the disk.
    """
    check_new(path, overwrite, f", {_what_is_there(path, made_from)}")
    made = json.loads(json.dumps(made_from))
    folder = path.with_name(path.name + FOLDER)
    storage.make_folder(folder)
    with storage.writer_lock(folder):
        try:
            _begin(folder, made)
            file = Growing(path, folder, made)
        except (InputError, SettingsError):
            if not overwrite:
                raise
            for name in sorted(set(storage.names_in(folder)) - {".lock"}):
                storage.remove(folder / name)
            _begin(folder, made)
            file = Growing(path, folder, made)
        try:
            yield file
        finally:
            file.close()
        if not (folder / _LINES).exists():  # it has its name
            storage.remove(folder)


def _begin(folder: Path, made: dict[str, Any]) -> None:
    begun = _read(folder / _BEGUN)
    if begun is None:
        storage.atomic_write(folder / _BEGUN, json.dumps(made).encode())
    elif begun != made:
        raise SettingsError(
            f"{folder}: was begun with other values of {', '.join(_differing(begun, made))}; run "
            "the same command as before to go on, or begin anew (--overwrite)"
        )


def finished(path: Path, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of a file that is whole and made from just this; None where there is none."""
    try:
        record = _read(record_of(path)) if path.is_file() else None
    except InputError:  # it is of no file that this made
        return None
    if record is None or record.get("made_from") != json.loads(json.dumps(made_from)):
        return None
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != record.get("sha256"):
            return None
    folder = path.with_name(path.name + FOLDER)
    if folder.is_dir():  # a kill came before it was cleared away
        with storage.writer_lock(folder):
            storage.remove(folder)
    return record


def _what_is_there(path: Path, made_from: Mapping[str, Any]) -> str:
    """How a file that is there is not the one that is to be made."""
    try:
        record = _read(record_of(path)) or {}
    except InputError:
        record = {}
    begun, made = record.get("made_from"), json.loads(json.dumps(made_from))
    if not isinstance(begun, dict):
        return "made by something else"
    if differing := _differing(begun, made):
        return f"made with other values of {', '.join(differing)}"
    return "and is not as it was made"


def record_of(path: Path) -> Path:
    """Where the record of a file is."""
    return path.with_name(path.name + RECORD)


def _read(path: Path) -> dict[str, Any] | None:
    """An object of a JSON file; None where there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(value, dict):
        raise _damaged(path)
    return value


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names of values that are not the same."""
    names = []
    for name in sorted({*one, *other}):
        first, second = one.get(name), other.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            names += _differing(first, second)
        elif first != second:
            names.append(name)
    return names


def _damaged(path: Path) -> InputError:
    return InputError(
        "is not as it was written; overwrite to begin anew (--overwrite)", source=str(path)
    )
