"""Parts: what is made from a segment, file by file, so that a kill costs one file at most.

Takes a segment that is open and something that makes files of it; gives the part's entry in the
manifest. Knows nothing of what is in the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from dpr.collection import storage
from dpr.collection.finishing import file_entry
from dpr.collection.manifest import (
    BUILDING,
    PARTS,
    FileEntry,
    Part,
    canonical,
    sealed,
    unsealed,
)
from dpr.collection.segment import SegmentReader
from dpr.collection.workplace import Workplace
from dpr.errors import CollectionError, CorruptionError

Progress = Callable[[str, int, int], None]


class PartMaker(Protocol):
    """Makes a part of a segment.

    Attributes:
        kind: what it is, such as ``words``; a plain name.
        settings: what decides its bytes, and what it takes to read it; plain JSON values.
    """

    @property
    def kind(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def make(self, segment: SegmentReader, bench: Bench) -> Sequence[str]:
        """Keeps files on the bench and gives the names of those that belong to the part."""
        ...


class Bench:
    """Where files are kept while a part is made; see ``dpr.indexes.index.Bench``."""

    def __init__(self, workplace: Workplace, maker: PartMaker, segment: SegmentReader) -> None:
        settings = canonical(dict(maker.settings), f"the settings of {maker.kind}")
        self._identity = {
            "kind": maker.kind,
            "settings": settings,
            "segment": [[entry.name, entry.sha256] for entry in segment.segment.files],
        }
        self._workplace = workplace
        # Several parts of a kind may be tried out side by side.
        name = f"{maker.kind}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
        self.folder = workplace.folder / BUILDING / name
        self._journal = self.folder.with_name(name + ".json")
        self._files: dict[str, tuple[int, str]] = {}
        self.name = self._begin()

    def kept(self, name: str) -> Path | None:
        """A file that was kept whole, verified; None where there is none."""
        path = self.folder / name
        if name not in self._files:
            return None
        try:
            entry = file_entry(path)
        except CorruptionError:
            return None
        return path if (entry.bytes, entry.sha256) == self._files[name] else None

    def keep(self, name: str, chunks: Iterable[bytes | memoryview]) -> Path:
        """Writes a file; on return it is durable, and is found again after a kill."""
        path = self.folder / name
        digest, size = hashlib.sha256(), 0

        def counted() -> Iterator[memoryview]:
            nonlocal size
            for chunk in chunks:
                view = memoryview(chunk).cast("B") if len(memoryview(chunk)) else memoryview(b"")
                digest.update(view)
                size += len(view)
                yield view

        storage.write(path, counted())
        self._files[name] = size, digest.hexdigest()
        self._record()
        return path

    def finish(self, maker: PartMaker, names: Sequence[str]) -> Part:
        """Gives the files their final place."""
        for name in set(storage.names_in(self.folder)) - set(names):
            storage.remove(self.folder / name)
        entries = tuple(FileEntry(name, *self._files[name]) for name in names)
        parts = self._workplace.folder / PARTS
        storage.make_folder(parts)
        if (parts / self.name).exists():  # another part, begun at the same time, has taken it
            self.name = self._workplace.new_name(PARTS)
            self._record()
        storage.rename(self.folder, parts / self.name)
        return Part(maker.kind, self.name, dict(maker.settings), entries)

    def _begin(self) -> str:
        """Take up what an earlier run kept, or begin; gives the part's name."""
        if self._journal.exists():
            try:
                value = unsealed(self._journal, "")
                if value["identity"] == self._identity:
                    name = str(value["name"])
                    self._files = {k: (int(b), str(s)) for k, (b, s) in value["files"].items()}
                    renamed = self._workplace.folder / PARTS / name
                    if not self.folder.exists() and name.isdecimal() and renamed.exists():
                        storage.rename(renamed, self.folder)
                    if self.folder.is_dir():
                        return name
            except (CorruptionError, KeyError, ValueError, TypeError, AttributeError):
                self._files = {}
        if self.folder.exists():
            storage.remove(self.folder)
        name = self._workplace.new_name(PARTS)
        storage.make_folder(self.folder)
        self._files = {}
        self.name = name
        self._record()
        return name

    def _record(self) -> None:
        files = {name: [size, digest] for name, (size, digest) in self._files.items()}
        value = {"identity": self._identity, "name": self.name, "files": files}
        storage.atomic_write(self._journal, sealed(value, indent=None))


def make_part(workplace: Workplace, segment: SegmentReader, maker: PartMaker) -> Part:
    """Makes a part, or goes on with one that a kill interrupted.

    Raises:
        CollectionError: the disk fails, or the maker names a file that it did not keep.
    """
    bench = Bench(workplace, maker, segment)
    return bench.finish(maker, _made(bench, segment, maker))


def keep_part(workplace: Workplace, segment: SegmentReader, maker: PartMaker) -> dict[str, Path]:
    """The files of a part by name, made and kept, but not given their place; ``make_part`` then has
    nothing left to make. Raises as ``make_part``."""
    bench = Bench(workplace, maker, segment)
    return {name: bench.folder / name for name in _made(bench, segment, maker)}


def _made(bench: Bench, segment: SegmentReader, maker: PartMaker) -> tuple[str, ...]:
    names = tuple(maker.make(segment, bench))
    for name in names:
        if bench.kept(name) is None:
            raise CollectionError(f"{bench.folder / name}: was not kept; the maker is at fault")
    return names
