"""The folder of a collection while something is written to it: whose it is, what a kill left in it,
what is committed, and cleaning up.

Takes a folder and what is to be made there; gives the state to go on from. Knows nothing of
passages or vectors beyond file sizes.

    building/progress.json      what is durable of an unfinished segment (``journal``)
    building/segment/           its files, which grow shard by shard
      -> segments/0002/         one rename when they are whole
    building/words-….json, /    the same for a part, file by file (``parts``)
      -> parts/0003/
    manifest.json               one rename makes the new version visible
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
    MANIFEST_COPY,
    PARTS,
    PASSAGES_FILE,
    SCALES_FILE,
    SEGMENTS,
    VECTORS_FILE,
    Manifest,
    read_manifest,
    unsealed,
)
from dpr.collection.vectors import HEADER_BYTES, row_bytes
from dpr.errors import CollectionError, CorruptionError

_LOCK = ".lock"
_TEMPORARY = {name + storage.TEMPORARY for name in (MANIFEST, MANIFEST_COPY)}
_OURS = {_LOCK, MANIFEST, MANIFEST_COPY, BUILDING, SEGMENTS, PARTS, *_TEMPORARY}


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
        current: the version that is there; None where there is none, or it is damaged.
        damaged: whether there is a manifest that cannot be read.
        segment: where the growing files lie.
        journal: what is done of a segment, once ``begin`` was called.
    """

    journal: Journal

    def __init__(self, folder: Path, overwrite: bool = False) -> None:
        self.folder = folder
        self.segment = folder / BUILDING / "segment"
        self.current, self.damaged = self._current(overwrite)
        if self.current:
            self._keep_copy(self.current)

    def begin(self, identity: dict[str, Any], *, anew: bool) -> Manifest | None:
        """Take up the unfinished segment of an earlier run, or begin one.

        Args:
            identity: all that decides the bytes, besides the passages.
            anew: an unfinished segment that is another is discarded; else it is an error.

        Returns:
            The manifest, if a kill came after this very segment became visible; then only cleaning
            is left to do.
        """
        journal = self._left_journal(anew)
        current = self.current
        if journal and current and journal.segment in {one.name for one in current.segments}:
            if not anew:
                journal.check(identity, self.folder)
                self.journal = journal
                return current
            journal = None
        if current and not anew:
            self.tidy()
            raise CollectionError(
                f"{self.folder}: is a complete collection of {current.rows} passages already; give "
                "another folder, add to it (dpr add), choose its index (dpr tune), or overwrite it "
                "(--overwrite, or build=BuildSettings(overwrite=True))"
            )
        if not (current or self.damaged or journal or anew) and self._names(SEGMENTS):
            raise CollectionError(
                f"{self.folder}: has {SEGMENTS} but no {MANIFEST}, so it is not known what they "
                f"hold; restore {MANIFEST} from a copy, or overwrite"
            )
        if journal:
            journal = self._continued(journal, identity, anew)
        if not self.damaged:
            self._clean(keep_unfinished=journal is not None)
        self.journal = journal or self._begun(identity)
        return None

    def record(self, journal: Journal) -> None:
        """Make the journal durable."""
        storage.atomic_write(self.folder / BUILDING / PROGRESS, journal.to_bytes())

    def discard(self) -> None:
        """Remove all that is unfinished."""
        if (self.folder / BUILDING).exists():
            storage.remove(self.folder / BUILDING)

    def discard_parts(self) -> None:
        """Remove what is unfinished of parts; an unfinished segment stays, to be gone on with."""
        building = self.folder / BUILDING
        if not (building / PROGRESS).exists():
            self.discard()
        else:
            for name in sorted(set(storage.names_in(building)) - {PROGRESS, self.segment.name}):
                storage.remove(building / name)
        self._clean(keep_unfinished=True)

    def commit(self, manifest: Manifest, *, keep_unfinished: bool = False) -> Manifest:
        """Make a new version visible, then remove what it does not need.

        Args:
            keep_unfinished: what another command left half done stays, to be gone on with.
        """
        data = manifest.to_bytes()
        storage.atomic_write(self.folder / MANIFEST_COPY, data)
        storage.atomic_write(self.folder / MANIFEST, data)
        self.clean(manifest, keep_unfinished=keep_unfinished)
        return manifest

    def clean(self, manifest: Manifest, *, keep_unfinished: bool = False) -> None:
        """Remove all that this version does not need."""
        self.current, self.damaged = manifest, False
        self._clean(keep_unfinished)
        if not keep_unfinished:
            # The journal goes last: as long as it is there, a repeated command knows that this
            # very build is complete.
            self.discard()

    def tidy(self) -> None:
        """Remove what a stop during the last cleaning left; what is unfinished stays."""
        if self.current is None:
            return
        segments = self.current.segments
        visible = {one.name for one in segments}, {p.name for one in segments for p in one.parts}
        building = self.folder / BUILDING
        for path in sorted(building.glob("*.json")):
            key, names = ("segment", visible[0]) if path.name == PROGRESS else ("name", visible[1])
            if self._taken(path, key) in names:
                storage.remove(path)
        if building.is_dir() and not storage.names_in(building):
            storage.remove(building)
        self._clean(keep_unfinished=True)

    def new_name(self, kind: str) -> str:
        """A name for a folder below ``segments`` or ``parts`` that none has, nor had of late."""
        taken = [int(name) for name in self._names(kind) if name.isdecimal()]
        if self.current:
            owners = self.current.segments
            if kind == SEGMENTS:
                taken += [int(one.name) for one in owners if one.name.isdecimal()]
            else:
                taken += [int(p.name) for one in owners for p in one.parts if p.name.isdecimal()]
        return f"{max(taken, default=0) + 1:04d}"

    def _current(self, overwrite: bool) -> tuple[Manifest | None, bool]:
        if not (self.folder / MANIFEST).exists():
            return None, False
        try:
            return read_manifest(self.folder), False
        except CorruptionError:
            if not overwrite:
                raise
            return None, True

    def _keep_copy(self, manifest: Manifest) -> None:
        """See that the copy is of the version that is there, before files that another needs go.

        A stop between the two leaves a copy of a version that never came to be.
        """
        path, data = self.folder / MANIFEST_COPY, manifest.to_bytes()
        if storage.content_of(path, len(data)) != data:
            storage.atomic_write(path, data)

    def _left_journal(self, anew: bool) -> Journal | None:
        path = self.folder / BUILDING / PROGRESS
        if not path.exists():
            return None
        try:
            return read_journal(path)
        except CorruptionError:
            if not anew:
                raise
            return None

    def _continued(self, journal: Journal, identity: dict[str, Any], anew: bool) -> Journal | None:
        """The journal if the build can go on from it; None to begin again."""
        try:
            journal.check(identity, self.folder)
            renamed = self.folder / SEGMENTS / journal.segment
            if not self.segment.exists() and renamed.exists():
                storage.rename(renamed, self.segment)
            self._check_sizes(journal)
        except CollectionError:
            if not anew:
                raise
            return None
        for name in set(storage.names_in(self.segment)) - set(self.files(journal.identity)):
            storage.remove(self.segment / name)
        return journal

    @staticmethod
    def files(identity: dict[str, Any]) -> tuple[str, ...]:
        """The files that grow."""
        more = (SCALES_FILE,) if identity["dtype"] == "int8" else ()
        return (PASSAGES_FILE, VECTORS_FILE, *more)

    def _check_sizes(self, journal: Journal) -> None:
        if not journal.shards:
            if not self.segment.is_dir():
                storage.make_folder(self.segment)
            return
        last = journal.shards[-1]
        width = row_bytes(journal.identity["dim"], journal.identity["dtype"])
        sizes = (
            last.passages_bytes,
            HEADER_BYTES + last.rows * width,
            HEADER_BYTES + last.rows * 4,
        )
        for name, needed in zip(self.files(journal.identity), sizes, strict=False):
            size = storage.size_of(self.segment / name)
            if size is None or size < needed:
                raise CorruptionError(
                    f"{self.segment / name}: has {size or 0} bytes, the unfinished build needs "
                    f"{needed}; overwrite to begin again"
                )

    def _begun(self, identity: dict[str, Any]) -> Journal:
        self.discard()
        journal = Journal(identity, self.new_name(SEGMENTS))
        storage.make_folder(self.segment)
        self.record(journal)
        return journal

    def _names(self, kind: str) -> set[str]:
        folder = self.folder / kind
        return set(storage.names_in(folder)) if folder.is_dir() else set()

    def _clean(self, keep_unfinished: bool) -> None:
        """Remove what no version and no unfinished build needs."""
        segments = self.current.segments if self.current else ()
        keep = {
            SEGMENTS: {segment.name for segment in segments},
            PARTS: {part.name for segment in segments for part in segment.parts},
        }
        if keep_unfinished:
            keep[PARTS] |= self._unfinished("name")
            keep[SEGMENTS] |= self._unfinished("segment")
        for kind, names in keep.items():
            for name in sorted(self._names(kind) - names):
                storage.remove(self.folder / kind / name)
        for leftover in (
            *(self.folder / name for name in sorted(_TEMPORARY)),
            self.folder / BUILDING / (PROGRESS + storage.TEMPORARY),
        ):
            if leftover.exists():
                storage.remove(leftover)

    def _unfinished(self, key: str) -> set[str]:
        """Names that something unfinished has taken, and may have given to a folder already."""
        return {self._taken(path, key) for path in (self.folder / BUILDING).glob("*.json")}

    @staticmethod
    def _taken(path: Path, key: str) -> str:
        try:
            return str(unsealed(path, "").get(key, ""))
        except CorruptionError:
            return ""
