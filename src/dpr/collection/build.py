"""Build a collection: passages in, a folder out, through any number of kills.

Takes passages, an encoder and a folder; writes through ``storage`` alone. Knows nothing of where
passages come from, of models, or of searching.

A shard is the unit of work that a kill can lose. What a kill leaves behind is ignored by readers
and cleaned by the next build, and the finished folder does not depend on how often it was killed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dpr.collection import storage, vectors
from dpr.collection.encoder import PassageEncoder
from dpr.collection.finishing import finish_segment
from dpr.collection.ids import IdIndex
from dpr.collection.journal import Shard
from dpr.collection.manifest import (
    DTYPES,
    PASSAGES_FILE,
    SEGMENTS,
    Manifest,
    Segment,
    canonical,
)
from dpr.collection.parts import PartMaker, make_part
from dpr.collection.passages import (
    END_MARK,
    SCHEMA_MESSAGE,
    Entry,
    chained_digest,
    document_of,
    id_of_row,
    to_messages,
)
from dpr.collection.segment import SegmentReader
from dpr.collection.workplace import Workplace, claim
from dpr.errors import CollectionError, IdError, InputError, SettingsError
from dpr.records import Passage

Progress = Callable[[int], None]
Entries = Iterable[Passage | Entry]


@dataclass(frozen=True)
class BuildSettings:
    """How to build.

    Attributes:
        dtype: how vectors are stored: ``float16``, ``float32``, or ``int8`` with a scale a vector.
        shard_size: passages encoded between two durable states; a kill loses at most so many.
        overwrite: replace a collection that is there, and keep of an unfinished build only what
            still holds. The old version is readable until the new one is whole.
    """

    dtype: vectors.VectorType = "float16"
    shard_size: int = 2048
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            allowed = ", ".join(map(repr, DTYPES))
            raise SettingsError(f"dtype is {self.dtype!r}; allowed are {allowed}")
        if not 1 <= self.shard_size <= 1_000_000:
            raise SettingsError(
                f"shard_size is {self.shard_size}; allowed are 1 to 1000000 passages"
            )


def build_collection(
    passages: Entries,
    encoder: PassageEncoder,
    to: str | Path,
    settings: BuildSettings | None = None,
    question_fingerprint: str = "",
    made_from: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    makers: Sequence[PartMaker] = (),
) -> Manifest:
    """Build a collection of these passages in the folder ``to``, or go on where a kill stopped it.

    Args:
        passages: read once, in order; to go on, they must be the same ones again from the start.
        encoder: gives each shard's vectors.
        to: a folder that is absent, empty, an unfinished build, or (to overwrite) a collection.
        question_fingerprint: of the question encoder that belongs to ``encoder``.
        made_from: plain JSON values that say where the passages came from; kept in the manifest.
        progress: called with the number of passages done, after each shard.
        makers: of parts that the segment gets before it becomes visible.

    Returns:
        The manifest of the new version, which is durable and visible.

    Raises:
        InputError: no passages, a passage that cannot be stored, or two with the same id.
        MismatchError: the unfinished build was begun with another encoder or other settings.
        CorruptionError: the unfinished build is damaged.
        CollectionError: the folder holds something else or a complete collection; another writer
            is at work; the passages changed since the build began; a wrong vector; a failure of
            the disk.
    """
    settings = settings or BuildSettings()
    made = json.loads(canonical(dict(made_from or {}), "made_from"))
    identity = build_identity(
        encoder, settings, question_fingerprint=question_fingerprint, made_from=made
    )
    folder = Path(to)
    claim(folder)
    with storage.writer_lock(folder):
        workplace = Workplace(folder, settings.overwrite)
        done = workplace.begin(identity, anew=settings.overwrite)
        builder = SegmentBuilder(workplace, encoder, settings, progress, makers)
        if done is not None:
            builder.confirm(passages)
            workplace.clean(done)
            return done
        segment = builder.run(passages)
        if segment is None:
            workplace.discard()
            raise InputError("there are no passages; a collection needs at least one")
        before = workplace.current
        version = before.version + 1 if before else 1
        return workplace.commit(_first(segment, identity, builder.truncated, version))


def _first(segment: Segment, identity: dict[str, Any], truncated: int, version: int) -> Manifest:
    """The manifest of a collection that is this segment."""
    return Manifest(
        rows=segment.rows,
        dim=identity["dim"],
        dtype=identity["dtype"],
        segments=(segment,),
        encoder_fingerprint=identity["encoder fingerprint"],
        encoder_settings=identity["encoder settings"],
        question_fingerprint=identity["question fingerprint"],
        made_from=identity["made from"],
        truncated=truncated,
        version=version,
    )


def build_identity(encoder: PassageEncoder, settings: BuildSettings, **more: Any) -> dict[str, Any]:
    """All that decides the bytes of a segment besides its passages; plain JSON values."""
    if not isinstance(encoder.dim, int) or encoder.dim < 1:
        raise SettingsError(f"the encoder's dim is {encoder.dim!r}; allowed is an int of 1 or more")
    return {
        "encoder fingerprint": encoder.fingerprint,
        "encoder settings": json.loads(canonical(dict(encoder.settings), "the encoder's settings")),
        "dim": encoder.dim,
        "dtype": settings.dtype,
        "shard_size": settings.shard_size,
        **{name.replace("_", " "): value for name, value in more.items()},
    }


class SegmentBuilder:
    """Writes one segment, under the lock, going on from the workplace's journal."""

    def __init__(
        self,
        workplace: Workplace,
        encoder: PassageEncoder,
        settings: BuildSettings,
        progress: Progress | None = None,
        makers: Sequence[PartMaker] = (),
    ) -> None:
        self.workplace = workplace
        self.journal = workplace.journal
        self.encoder = encoder
        self.settings = settings
        self.progress = progress or (lambda done: None)
        self.makers = makers
        self.ids = IdIndex()
        self.row_bytes = vectors.row_bytes(encoder.dim, settings.dtype)
        self._document: str | None = None  # of the passage before

    @property
    def truncated(self) -> int:
        """Passages of the segment of which the encoder read only the first part."""
        return self._last().truncated

    def run(self, passages: Entries) -> Segment | None:
        """Encode what is not done yet and finish the files; the segment, which no manifest knows
        yet, or None where there are no passages."""
        with _Files(self.workplace, self._last(), self.encoder.dim, self.settings.dtype) as files:
            for shard, digest in self._new_shards(passages, files):
                self._write(shard, digest, files)
            rows = self._last().rows
            if rows == 0:
                return None
            files.finish(rows)
        return self._finished(rows)

    def confirm(self, passages: Entries) -> None:
        """Check that the passages are those of the segment that is already complete."""
        known = self.journal.shards
        position = 0
        for _, digest in self._shards(iter(passages)):
            if position >= len(known) or known[position].digest != digest:
                self._changed(position, known[position - 1].rows if position else 0)
            position += 1
        if position < len(known):
            self._changed(position, known[position - 1].rows if position else 0)

    def _last(self) -> Shard:
        shards = self.journal.shards
        return shards[-1] if shards else Shard(0, len(SCHEMA_MESSAGE), "")

    def _shards(self, passages: Iterator[Passage | Entry]) -> Iterator[tuple[list[Entry], str]]:
        """Each shard with its chained digest, its passages checked."""
        digest, rows = "", 0
        while some := list(islice(passages, self.settings.shard_size)):
            shard = [one if isinstance(one, Entry) else Entry(one) for one in some]
            digest = chained_digest(shard, digest, rows)
            yield shard, digest
            rows += len(shard)

    def _new_shards(self, passages: Entries, files: _Files) -> Iterator[tuple[list[Entry], str]]:
        """The shards still to encode; of those that are done, only what still holds is kept."""
        known = list(self.journal.shards)
        position = 0
        for shard, digest in self._shards(iter(passages)):
            if position < len(known) and known[position].digest != digest:
                self._fall_back(position, files)
                known = known[:position]
            self._register(shard)
            if position < len(known):
                self._document = document_of(shard[-1].passage)
                self.progress(known[position].rows)
            else:
                yield shard, digest
            position += 1
        if position < len(known):
            self._fall_back(position, files)

    def _changed(self, position: int, row: int) -> None:
        raise CollectionError(
            f"{self.workplace.folder}: the passages have changed since this build began: from row "
            f"{row} on (shard {position + 1}) they are not those that were encoded. Give the same "
            f"source to continue, or overwrite to keep the {row} passages before it and encode "
            f"the rest again"
        )

    def _fall_back(self, position: int, files: _Files) -> None:
        """Forget the shards from this one on, where overwriting was asked for."""
        rows = self.journal.shards[position - 1].rows if position else 0
        if not self.settings.overwrite:
            self._changed(position, rows)
        del self.journal.shards[position:]
        self.workplace.record(self.journal)  # first the promise, then the bytes
        files.cut(self._last())

    def _register(self, shard: list[Entry]) -> None:
        first = self.ids.rows
        for earlier, later in self.ids.add(entry.passage.id for entry in shard):
            new = shard[later - first].passage
            old = (
                shard[earlier - first].passage.id
                if earlier >= first
                else id_of_row(self.workplace.segment / PASSAGES_FILE, earlier)
            )
            if old == new.id:
                where = f" (the later one is from {new.source})" if new.source else ""
                raise IdError(
                    f"two passages have the id {new.id!a}: rows {earlier} and {later}{where}; "
                    f"give every passage an id of its own",
                    [new.id],
                )

    def _write(self, shard: list[Entry], digest: str, files: _Files) -> None:
        before = self.encoder.truncated
        passages = [entry.passage for entry in shard]
        stored = vectors.stored(
            self.encoder.encode(passages), passages, self.encoder.dim, self.settings.dtype
        )
        files.append(shard, self._document, stored)
        self._document = document_of(passages[-1])
        last = self._last()
        rows, cut = last.rows + len(shard), last.truncated + self.encoder.truncated - before
        self.journal.shards.append(Shard(rows, files.texts.size, digest, cut))
        self.workplace.record(self.journal)
        self.progress(rows)

    def _finished(self, rows: int) -> Segment:
        workplace, name = self.workplace, self.journal.segment
        segment = finish_segment(
            workplace.segment,
            name,
            rows,
            self.encoder.dim,
            self.settings.dtype,
            self._last().passages_bytes,
        )
        segments = workplace.folder / SEGMENTS
        storage.make_folder(segments)
        storage.rename(workplace.segment, segments / name)
        reader = SegmentReader(workplace.folder, segment, self.encoder.dim, self.settings.dtype)
        parts = tuple(make_part(workplace, reader, maker) for maker in self.makers)
        return replace(segment, parts=parts)


class _Files:
    """The files of a segment that grow shard by shard."""

    def __init__(self, workplace: Workplace, last: Shard, dim: int, dtype: str) -> None:
        self._dim, self._dtype = dim, dtype
        names = workplace.files({"dtype": dtype})
        texts, *numbers = self._sizes(last) if last.rows else [0] * len(names)
        folder = workplace.segment
        self.texts = storage.Appender(folder / names[0], texts)
        self._numbers = [
            storage.Appender(folder / name, size)
            for name, size in zip(names[1:], numbers, strict=True)
        ]
        if not last.rows:
            self._begin()

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *exception: object) -> None:
        for file in (self.texts, *self._numbers):
            file.close()

    def _sizes(self, last: Shard) -> list[int]:
        """Of all the files after a shard."""
        head, width = vectors.HEADER_BYTES, vectors.row_bytes(self._dim, self._dtype)
        sizes = [last.passages_bytes, head + last.rows * width]
        return sizes + ([head + last.rows * 4] if self._dtype == "int8" else [])

    def _headers(self, rows: int) -> list[bytes]:
        headers = [vectors.header((rows, self._dim), self._dtype)]
        return headers + ([vectors.header((rows,), "float32")] if self._dtype == "int8" else [])

    def _begin(self) -> None:
        self.texts.append(SCHEMA_MESSAGE)
        for file, data in zip(self._numbers, self._headers(0), strict=True):
            file.append(data)
        storage.sync_folder(self.texts.path.parent)  # no journal may promise what has no name

    def append(self, shard: list[Entry], previous: str | None, stored: vectors.Stored) -> None:
        """Add a shard; durable on return."""
        for message in to_messages(shard, previous):
            self.texts.append(message)
        arrays = [stored.numbers] + ([] if stored.scales is None else [stored.scales])
        for file, array in zip(self._numbers, arrays, strict=True):
            file.append(np.ascontiguousarray(array).data)
        for file in (self.texts, *self._numbers):
            file.sync()

    def cut(self, last: Shard) -> None:
        """Go back to where a shard ended."""
        for file, size in zip((self.texts, *self._numbers), self._sizes(last), strict=True):
            file.cut(size)

    def finish(self, rows: int) -> None:
        """Close the stream and fill in the counts."""
        self.texts.append(END_MARK)
        for file, data in zip(self._numbers, self._headers(rows), strict=True):
            file.overwrite(data)
        for file in (self.texts, *self._numbers):
            file.sync()
