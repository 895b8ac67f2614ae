"""The folder of a build: whose it is, what a kill left in it, and cleaning that up.

Takes a folder and what is to be built there; gives the state to go on from. Knows nothing of
passages or vectors beyond file sizes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpr.collection import storage
from dpr.collection.journal import PROGRESS, Journal, read_journal
from dpr.collection.manifest import (
    BUILDING,
    FORMAT,
    MANIFEST,
    PASSAGES_FILE,
    SEGMENTS,
    VECTORS_FILE,
    Manifest,
    read_manifest,
    unsealed,
)
from dpr.collection.vectors import HEADER_BYTES, row_bytes
from dpr.errors import CollectionError, CorruptionError

_LOCK = ".lock"
_OURS = {_LOCK, MANIFEST, MANIFEST + storage.TEMPORARY, BUILDING, SEGMENTS}


def claim(folder: Path) -> None:
    """Make the folder where absent; refuse one that holds something else.

    Raises:
        CollectionError: it is a file, or a folder with content that is no collection; nothing in
            it was touched.
    """
    if folder.exists() and not folder.is_dir():
        raise CollectionError(f"{folder}: is a file; give a folder that is new or empty")
    if not folder.exists():
        storage.make_folder(folder)
        return
    try:
        names = set(storage.names_in(folder))
    except OSError as error:
        raise CollectionError(
            f"{folder}: cannot be read: {error.strerror}; check the permissions"
        ) from error
    if names and not _is_ours(folder, names):
        others = sorted(names - _OURS) or sorted(names)
        raise CollectionError(
            f"{folder}: is not empty and is not a collection (it holds {', '.join(others[:3])}"
            f"{', ...' if len(others) > 3 else ''}); nothing was changed: give a folder that is "
            f"new, empty or a collection"
        )


def _is_ours(folder: Path, names: set[str]) -> bool:
    if MANIFEST in names:
        try:
            return unsealed(folder / MANIFEST, "").get("format") == FORMAT
        except CorruptionError:
            return names <= _OURS and _LOCK in names and SEGMENTS in names
    return names <= _OURS and _LOCK in names


class Workplace:
    """The state of a folder at the start of a run; made under the lock.

    Attributes:
        folder: the collection's folder.
        segment: where the growing files lie.
        journal: what is done; that of a new build is empty.
        committed: the manifest, if a kill came after this very build became visible; then only
            cleaning is left to do.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], overwrite: bool) -> None:
        self.folder = folder
        self.segment = folder / BUILDING / "segment"
        self.committed: Manifest | None = None
        self._overwrite = overwrite
        current, damaged = self._current()
        journal = self._left_journal()
        if journal and current and journal.segment == current.segments[-1].name:
            if not overwrite:
                journal.check(identity, folder)
                self.journal, self.committed = journal, current
                return
            journal = None
        if current and not overwrite:
            raise CollectionError(
                f"{folder}: is a complete collection of {current.rows} passages already; give "
                "another folder, or overwrite it (--overwrite, or "
                "build=BuildSettings(overwrite=True))"
            )
        if not (current or damaged or journal or overwrite) and self._segment_names():
            raise CollectionError(
                f"{folder}: has {SEGMENTS} but no {MANIFEST}, so it is not known what they hold; "
                f"restore {MANIFEST} from a copy, or overwrite"
            )
        if journal:
            journal = self._continued(journal, identity)
        if damaged:
            keep = self._segment_names()
        else:
            keep = {segment.name for segment in current.segments} if current else set()
        self._clean(keep, keep_building=journal is not None)
        self.journal = journal or self._begun(identity, keep)

    def record(self, journal: Journal) -> None:
        """Make the journal durable."""
        storage.atomic_write(self.folder / BUILDING / PROGRESS, journal.to_bytes())

    def discard(self) -> None:
        """Remove the unfinished build."""
        storage.remove(self.folder / BUILDING)

    def clean(self, manifest: Manifest) -> None:
        """Remove all that this version does not need."""
        self._clean({segment.name for segment in manifest.segments}, keep_building=False)

    def _current(self) -> tuple[Manifest | None, bool]:
        if not (self.folder / MANIFEST).exists():
            return None, False
        try:
            return read_manifest(self.folder), False
        except CorruptionError:
            if not self._overwrite:
                raise
            return None, True

    def _left_journal(self) -> Journal | None:
        path = self.folder / BUILDING / PROGRESS
        if not path.exists():
            return None
        try:
            return read_journal(path)
        except CorruptionError:
            if not self._overwrite:
                raise
            return None

    def _continued(self, journal: Journal, identity: dict[str, Any]) -> Journal | None:
        """The journal if the build can go on from it; None to begin again."""
        try:
            journal.check(identity, self.folder)
            renamed = self.folder / SEGMENTS / journal.segment
            if not self.segment.exists() and renamed.exists():
                storage.rename(renamed, self.segment)
            self._check_sizes(journal)
        except CollectionError:
            if not self._overwrite:
                raise
            return None
        for name in set(storage.names_in(self.segment)) - {PASSAGES_FILE, VECTORS_FILE}:
            storage.remove(self.segment / name)
        return journal

    def _check_sizes(self, journal: Journal) -> None:
        if not journal.shards:
            if not self.segment.is_dir():
                storage.make_folder(self.segment)
            return
        last = journal.shards[-1]
        width = row_bytes(journal.identity["dim"], journal.identity["dtype"])
        for name, needed in (
            (PASSAGES_FILE, last.passages_bytes),
            (VECTORS_FILE, HEADER_BYTES + last.rows * width),
        ):
            size = storage.size_of(self.segment / name)
            if size is None or size < needed:
                raise CorruptionError(
                    f"{self.segment / name}: has {size or 0} bytes, the unfinished build needs "
                    f"{needed}; overwrite to begin again"
                )

    def _begun(self, identity: dict[str, Any], keep: set[str]) -> Journal:
        numbers = [int(name) for name in keep if name.isdecimal()]
        journal = Journal(identity, f"{max(numbers, default=0) + 1:04d}")
        storage.make_folder(self.segment)
        self.record(journal)
        return journal

    def _segment_names(self) -> set[str]:
        folder = self.folder / SEGMENTS
        return set(storage.names_in(folder)) if folder.is_dir() else set()

    def _clean(self, keep: set[str], keep_building: bool) -> None:
        for name in sorted(self._segment_names() - keep):
            storage.remove(self.folder / SEGMENTS / name)
        for leftover in (
            self.folder / (MANIFEST + storage.TEMPORARY),
            self.folder / BUILDING / (PROGRESS + storage.TEMPORARY),
        ):
            if leftover.exists():
                storage.remove(leftover)
        # The journal goes last: as long as it is there, a repeated command knows that this very
        # build is complete.
        if not keep_building and (self.folder / BUILDING).exists():
            storage.remove(self.folder / BUILDING)
