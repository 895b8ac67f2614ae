"""Build a collection: passages in, a folder out, through any number of kills.

Takes passages, an encoder and a folder; writes through ``storage`` alone. Knows nothing of where
passages come from, of models, or of searching.

    building/progress.json      what is durable so far (``journal``)
    building/segment/           files that grow, shard by shard
      -> segments/0001/         one rename when they are whole
    manifest.json               one rename makes the new version visible

A shard is the unit of work that a kill can lose. What a kill leaves behind is ignored by readers
and cleaned by the next build, and the finished folder does not depend on how often it was killed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dpr.collection import storage, vectors
from dpr.collection.ids import IdIndex
from dpr.collection.journal import Shard
from dpr.collection.manifest import (
    BLOCKS_FILE,
    MANIFEST,
    PASSAGES_FILE,
    SEGMENTS,
    VECTORS_FILE,
    FileEntry,
    Manifest,
    Segment,
    canonical,
)
from dpr.collection.passages import (
    END_MARK,
    SCHEMA_MESSAGE,
    blocks_to_bytes,
    chained_digest,
    id_of_row,
    scan_blocks,
    to_messages,
)
from dpr.collection.workplace import Workplace, claim
from dpr.errors import CollectionError, CorruptionError, InputError, SettingsError
from dpr.records import Passage

Progress = Callable[[int], None]


class PassageEncoder(Protocol):
    """What makes a vector of a passage.

    Attributes:
        dim: numbers in a vector.
        fingerprint: SHA-256 of the weights, the tokenizer and the settings: of all that decides
            what vector a passage gets.
        settings: the same for people, plain JSON values.
        truncated: passages encoded so far of which only the first part was read.
    """

    @property
    def dim(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def truncated(self) -> int: ...

    def encode(self, passages: Sequence[Passage]) -> npt.NDArray[np.float32]:
        """(len(passages), dim) float32; the same for the same list, always."""
        ...


@dataclass(frozen=True)
class BuildSettings:
    """How to build.

    Attributes:
        dtype: how vectors are stored, ``float16`` or ``float32``.
        shard_size: passages encoded between two durable states; a kill loses at most so many.
        overwrite: replace a collection that is there, and keep of an unfinished build only what
            still holds. The old version is readable until the new one is whole.
    """

    dtype: vectors.VectorType = "float16"
    shard_size: int = 2048
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32"):
            raise SettingsError(f"dtype is {self.dtype!r}; allowed are 'float16' and 'float32'")
        if not 1 <= self.shard_size <= 1_000_000:
            raise SettingsError(
                f"shard_size is {self.shard_size}; allowed are 1 to 1000000 passages"
            )


def build_collection(
    passages: Iterable[Passage],
    encoder: PassageEncoder,
    to: str | Path,
    settings: BuildSettings | None = None,
    question_fingerprint: str = "",
    made_from: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Build a collection of these passages in the folder ``to``, or go on where a kill stopped it.

    Args:
        passages: read once, in order; to go on, they must be the same ones again from the start.
        encoder: gives each shard's vectors.
        to: a folder that is absent, empty, an unfinished build, or (to overwrite) a collection.
        question_fingerprint: of the question encoder that belongs to ``encoder``.
        made_from: plain JSON values that say where the passages came from; kept in the manifest.
        progress: called with the number of passages done, after each shard.

    Returns:
        The manifest of the new version, which is durable and visible.

    Raises:
        InputError: no passages, a passage that cannot be stored, or two with the same id.
        MismatchError: the unfinished build was begun with another encoder or other settings.
        CorruptionError: the unfinished build is damaged.
        CollectionError: the folder holds something else or a complete collection; another builder
            is at work; the passages changed since the build began; a wrong vector; a failure of
            the disk.
    """
    settings = settings or BuildSettings()
    encoder_settings = json.loads(canonical(dict(encoder.settings), "the encoder's settings"))
    if not isinstance(encoder.dim, int) or encoder.dim < 1:
        raise SettingsError(f"the encoder's dim is {encoder.dim!r}; allowed is an int of 1 or more")
    identity = {
        "encoder fingerprint": encoder.fingerprint,
        "encoder settings": encoder_settings,
        "question encoder fingerprint": question_fingerprint,
        "made_from": json.loads(canonical(dict(made_from or {}), "made_from")),
        "dim": encoder.dim,
        "dtype": settings.dtype,
        "shard_size": settings.shard_size,
    }
    folder = Path(to)
    claim(folder)
    with storage.builder_lock(folder):
        workplace = Workplace(folder, identity, settings.overwrite)
        builder = _Builder(workplace, encoder, settings, progress)
        if workplace.committed is not None:
            builder.confirm(passages)
            workplace.clean(workplace.committed)
            return workplace.committed
        return builder.run(passages)


class _Builder:
    """One run of a build, under the lock."""

    def __init__(
        self,
        workplace: Workplace,
        encoder: PassageEncoder,
        settings: BuildSettings,
        progress: Progress | None,
    ) -> None:
        self.workplace = workplace
        self.journal = workplace.journal
        self.encoder = encoder
        self.settings = settings
        self.progress = progress or (lambda done: None)
        self.ids = IdIndex()
        self.row_bytes = vectors.row_bytes(encoder.dim, settings.dtype)

    def run(self, passages: Iterable[Passage]) -> Manifest:
        """Encode what is not done yet, finish the files and make the new version visible."""
        folder, last = self.workplace.segment, self._last()
        keep = (last.passages_bytes, self._vector_bytes(last.rows)) if last.rows else (0, 0)
        with (
            storage.Appender(folder / PASSAGES_FILE, keep[0]) as texts,
            storage.Appender(folder / VECTORS_FILE, keep[1]) as numbers,
        ):
            if not last.rows:
                texts.append(SCHEMA_MESSAGE)
                numbers.append(vectors.header(0, self.encoder.dim, self.settings.dtype))
            for shard, digest in self._new_shards(passages, texts, numbers):
                self._write(shard, digest, texts, numbers)
            rows = self._last().rows
            if rows == 0:
                self.workplace.discard()
                raise InputError("there are no passages; a collection needs at least one")
            texts.append(END_MARK)
            numbers.overwrite(vectors.header(rows, self.encoder.dim, self.settings.dtype))
            texts.sync()
            numbers.sync()
        return self._commit(rows)

    def confirm(self, passages: Iterable[Passage]) -> None:
        """Check that the passages are those of the collection that is already complete."""
        for _ in self._verified(iter(passages)):
            self._changed(len(self.journal.shards), self._last().rows)

    def _last(self) -> Shard:
        shards = self.journal.shards
        return shards[-1] if shards else Shard(0, len(SCHEMA_MESSAGE), "")

    def _vector_bytes(self, rows: int) -> int:
        return vectors.HEADER_BYTES + rows * self.row_bytes

    def _shards(self, passages: Iterator[Passage]) -> Iterator[tuple[list[Passage], str]]:
        """Each shard with its chained digest, its passages checked and its ids registered."""
        digest, rows = "", 0
        while shard := list(islice(passages, self.settings.shard_size)):
            digest = chained_digest(shard, digest, rows)
            yield shard, digest
            rows += len(shard)

    def _new_shards(
        self, passages: Iterable[Passage], texts: storage.Appender, numbers: storage.Appender
    ) -> Iterator[tuple[list[Passage], str]]:
        """The shards still to encode; of those that are done, only what still holds is kept."""
        known = list(self.journal.shards)
        position = 0
        for shard, digest in self._shards(iter(passages)):
            if position < len(known) and known[position].digest != digest:
                self._fall_back(position, texts, numbers)
                known = known[:position]
            self._register(shard)
            if position < len(known):
                self.progress(known[position].rows)
            else:
                yield shard, digest
            position += 1
        if position < len(known):
            self._fall_back(position, texts, numbers)

    def _verified(self, passages: Iterator[Passage]) -> Iterator[list[Passage]]:
        """Raise where the passages differ from those done; give the shards beyond them."""
        known = self.journal.shards
        position = 0
        for shard, digest in self._shards(passages):
            if position >= len(known):
                yield shard
            elif known[position].digest != digest:
                self._changed(position, known[position - 1].rows if position else 0)
            position += 1
        if position < len(known):
            self._changed(position, known[position - 1].rows if position else 0)

    def _changed(self, position: int, row: int) -> None:
        raise CollectionError(
            f"{self.workplace.folder}: the passages have changed since this build began: from row "
            f"{row} on (shard {position + 1}) they are not those that were encoded. Give the same "
            f"source to continue, or overwrite to keep the {row} passages before it and encode "
            f"the rest again"
        )

    def _fall_back(self, position: int, texts: storage.Appender, numbers: storage.Appender) -> None:
        """Forget the shards from this one on, where overwriting was asked for."""
        rows = self.journal.shards[position - 1].rows if position else 0
        if not self.settings.overwrite:
            self._changed(position, rows)
        del self.journal.shards[position:]
        self.workplace.record(self.journal)  # first the promise, then the bytes
        texts.cut(self._last().passages_bytes)
        numbers.cut(self._vector_bytes(rows))

    def _register(self, shard: list[Passage]) -> None:
        first = self.ids.rows
        for earlier, later in self.ids.add(passage.id for passage in shard):
            new = shard[later - first]
            old = (
                shard[earlier - first].id
                if earlier >= first
                else id_of_row(self.workplace.segment / PASSAGES_FILE, earlier)
            )
            if old == new.id:
                where = f" (the later one is from {new.source})" if new.source else ""
                raise InputError(
                    f"two passages have the id {new.id!a}: rows {earlier} and {later}{where}; "
                    f"give every passage an id of its own"
                )

    def _write(
        self,
        shard: list[Passage],
        digest: str,
        texts: storage.Appender,
        numbers: storage.Appender,
    ) -> None:
        before = self.encoder.truncated
        array = vectors.stored(
            self.encoder.encode(shard), shard, self.encoder.dim, self.settings.dtype
        )
        for message in to_messages(shard):
            texts.append(message)
        numbers.append(array.data)
        texts.sync()
        numbers.sync()
        last = self._last()
        rows, cut = last.rows + len(shard), last.truncated + self.encoder.truncated - before
        self.journal.shards.append(Shard(rows, texts.size, digest, cut))
        self.workplace.record(self.journal)
        self.progress(rows)

    def _commit(self, rows: int) -> Manifest:
        workplace = self.workplace
        path = workplace.segment / PASSAGES_FILE
        blocks = scan_blocks(path, self._last().passages_bytes)
        if sum(block.rows for block in blocks) != rows:
            raise CorruptionError(
                f"{path}: holds {sum(block.rows for block in blocks)} passages, {rows} were "
                f"written; check the disk, then overwrite to begin again"
            )
        storage.atomic_write(workplace.segment / BLOCKS_FILE, blocks_to_bytes(blocks))
        entries = tuple(
            file_entry(workplace.segment / name)
            for name in (PASSAGES_FILE, VECTORS_FILE, BLOCKS_FILE)
        )
        identity = self.journal.identity
        manifest = Manifest(
            rows=rows,
            dim=self.encoder.dim,
            dtype=self.settings.dtype,
            segments=(Segment(self.journal.segment, rows, entries),),
            encoder_fingerprint=identity["encoder fingerprint"],
            encoder_settings=identity["encoder settings"],
            question_fingerprint=identity["question encoder fingerprint"],
            made_from=identity["made_from"],
            truncated=self._last().truncated,
        )
        segments = workplace.folder / SEGMENTS
        storage.make_folder(segments)
        storage.rename(workplace.segment, segments / self.journal.segment)
        storage.atomic_write(workplace.folder / MANIFEST, manifest.to_bytes())
        workplace.clean(manifest)
        return manifest


def file_entry(path: Path) -> FileEntry:
    """A file's name, size and SHA-256, read in full."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return FileEntry(path.name, file.tell(), digest)
    except OSError as error:
        raise CorruptionError(
            f"{path}: cannot be read: {error.strerror}; check the disk"
        ) from error
