"""Change a collection: add, replace and delete documents, and write its segments anew.

Takes a folder, passages, an encoder, and which documents are gone; writes through ``storage``
alone. Knows nothing of where documents come from, of models, or of searching.

Each change is one new version, visible by one rename: before it readers see the old version, after
it the new one. Segments never change. Documents that are added become a new segment; those that are
replaced or removed stay in their files and are left out by the manifest, until a compaction copies
what is left, without encoding anything again. Whoever decides on a version read before gives its
number: where another is there by now, a ``CollectionError`` says so, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dpr.collection import deletions, documents, storage
from dpr.collection.build import (
    BuildSettings,
    Entries,
    Progress,
    SegmentBuilder,
    build_identity,
)
from dpr.collection.copying import Copier
from dpr.collection.encoder import PassageEncoder
from dpr.collection.ids import rows_of_hashes
from dpr.collection.manifest import Manifest, Part, Segment
from dpr.collection.parts import PartMaker, keep_part, make_part
from dpr.collection.passages import document_of
from dpr.collection.segment import SegmentReader
from dpr.collection.store import Collection
from dpr.collection.vectors import VectorType
from dpr.collection.workplace import Workplace
from dpr.errors import CollectionError, IdError, InputError, MismatchError

Chosen = Callable[[pa.Table], npt.NDArray[np.bool_]]
"""Says for each document of a table (see ``documents``) whether it is meant."""

TryOut = Callable[[PartMaker], Mapping[str, Path]]
"""Makes a part that may not stay; gives its files by name."""


MERGED = 8
"""So many small segments become one."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did, in passages.

    Attributes:
        manifest: of the version that is there now; the one from before where nothing changed.
        added, removed: passages; those of a document that was replaced count in both.
    """

    manifest: Manifest
    added: int
    removed: int


def named(ids: Iterable[str]) -> Chosen:
    """The documents with these ids."""
    wanted = pa.array(list(ids), pa.large_string())
    return lambda table: pc.is_in(table["document"], value_set=wanted).to_numpy()


@contextmanager
def _writing(folder: Path, version: int | None) -> Iterator[tuple[Workplace, Collection]]:
    """Under the lock, a workplace and the version that is there: this one, where one is given."""
    Collection.open(folder).close()  # before a lock file is put where no collection is
    with storage.writer_lock(folder):
        workplace = Workplace(folder)
        workplace.tidy()
        with Collection.open(folder) as collection:
            if version is not None and version != collection.version:
                raise CollectionError(
                    f"{folder}: was changed meanwhile: version {version} was read, version "
                    f"{collection.version} is there now; nothing was done, run it again"
                )
            yield workplace, collection


def add_documents(
    folder: str | Path,
    passages: Entries,
    encoder: PassageEncoder,
    *,
    gone: Iterable[str] = (),
    shard_size: int = 2048,
    made_from: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    makers: Sequence[PartMaker] = (),
    version: int | None = None,
) -> Changed:
    """Add documents to a collection; those whose ids are there already are replaced.

    If it is interrupted, the same call goes on from the last shard. Without passages, what another
    call left unfinished stays.

    Args:
        passages: of the documents, in order; all passages of each.
        gone: ids of documents to remove in the same version; read after ``passages``.
        made_from: in place of what the manifest says of where the passages came from.
        progress: called with the number of passages done, after each shard.
        makers: of parts of the new segment.
        version: that all this was decided on.

    Raises:
        MismatchError: the collection was made by another encoder.
        InputError: a passage that cannot be stored; an id that another document's passage has.
        CollectionError: there is no collection, another writer is at work, or the disk fails.
    """
    folder = Path(folder)
    with _writing(folder, version) as (workplace, collection):
        manifest = collection.manifest
        check_context(collection, encoder)
        build = BuildSettings(_dtype(manifest), shard_size, overwrite=True)
        segment, cut = _new_segment(workplace, encoder, build, passages, progress, makers)
        leaving = set(gone)
        kept: list[Segment] = list(manifest.segments)
        if segment is not None:
            reader = SegmentReader(folder, segment, manifest.dim, manifest.dtype)
            leaving |= set(reader.documents["document"].to_pylist())
        kept = _without(collection, named(leaving))
        if segment is not None:
            _refuse_same_ids(collection, kept, reader)
            kept.append(segment)
        changed = replace(
            manifest,
            made_from=dict(made_from) if made_from is not None else manifest.made_from,
            truncated=manifest.truncated + cut,
        )
        if segment is not None:
            return _commit(workplace, changed, kept, added=segment.rows)
        if kept == list(manifest.segments) and changed == manifest:
            return Changed(manifest, 0, 0)
        return _commit(workplace, changed, kept, added=0, keep_unfinished=True)


def _new_segment(
    workplace: Workplace,
    encoder: PassageEncoder,
    build: BuildSettings,
    passages: Entries,
    progress: Progress | None,
    makers: Sequence[PartMaker],
) -> tuple[Segment | None, int]:
    """A segment of these passages, and of how many the encoder read only the first part."""
    entries = iter(passages)
    first = next(entries, None)
    if first is None:  # nothing is begun, so that what is unfinished can still be gone on with
        return None, 0
    workplace.begin(build_identity(encoder, build, change="add"), anew=True)
    builder = SegmentBuilder(workplace, encoder, build, progress, makers)
    segment = builder.run(chain([first], entries))
    return segment, builder.truncated


def remove_documents(folder: str | Path, chosen: Chosen, *, version: int | None = None) -> Changed:
    """Remove documents; nothing is encoded, and no file is written but the manifest.

    Raises:
        InputError: no document would be left.
        CollectionError: there is no collection, another writer is at work, or the disk fails.
    """
    with _writing(Path(folder), version) as (workplace, collection):
        kept = _without(collection, chosen)
        if kept == list(collection.manifest.segments):
            return Changed(collection.manifest, 0, 0)
        return _commit(workplace, collection.manifest, kept, added=0, keep_unfinished=True)


def compact(
    folder: str | Path,
    *,
    which: Sequence[str] | None = None,
    rows: Callable[[Collection], npt.NDArray[np.int64]] | None = None,
    shard_size: int = 16384,
    progress: Progress | None = None,
    makers: Sequence[PartMaker] = (),
    version: int | None = None,
) -> Changed:
    """Write segments anew as one, without what is deleted; passages and vectors stay as they are.

    If it is interrupted, the same call goes on from the last shard.

    Args:
        which: names of segments that follow each other; None: all.
        rows: which rows of the collection to keep, in place of all that are not deleted.
        version: that this was decided on.

    Raises:
        CollectionError: there is no collection, no such segment, another writer is at work, or the
            disk fails.
    """
    folder = Path(folder)
    with _writing(folder, version) as (workplace, collection):
        manifest = collection.manifest
        names = [segment.name for segment in manifest.segments]
        chosen = list(which) if which is not None else names
        first = names.index(chosen[0]) if chosen and chosen[0] in names else len(names)
        if names[first : first + len(chosen)] != chosen:
            raise CollectionError(
                f"{folder}: its segments are {', '.join(names)}; {', '.join(chosen) or 'none'} do "
                "not follow each other there"
            )
        last = first + len(chosen)
        only = manifest.segments[first:last]
        if rows is None and len(only) == 1 and not only[0].deleted:
            return Changed(manifest, 0, 0)
        wanted = collection.live_rows() if rows is None else rows(collection)
        starts = collection.starts
        inside = wanted[(wanted >= starts[first]) & (wanted < starts[last])]
        copier = Copier(collection, inside, shard_size)
        build = BuildSettings(_dtype(manifest), shard_size, overwrite=True)
        identity = build_identity(copier, build, change="compact", segments=chosen)
        workplace.begin(identity, anew=True)
        builder = SegmentBuilder(workplace, copier, build, progress, makers)
        segment = builder.run(copier.entries())
        kept = [
            *manifest.segments[:first],
            *([segment] if segment else []),
            *manifest.segments[last:],
        ]
        return _commit(workplace, manifest, kept, added=0)


def write_parts(
    folder: str | Path,
    makers: Callable[[SegmentReader, TryOut], Sequence[PartMaker]],
    *,
    drop: Iterable[str] = (),
    change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    version: int | None = None,
) -> Manifest:
    """Make parts of segments, replacing those of the same kind, in one new version.

    If it is interrupted, the same call goes on with the files that were not kept yet. A segment
    that another call left unfinished stays.

    Args:
        makers: gives what to make of a segment; a part with the same settings is left as it is. It
            may try parts out first, which gives their files before it is known whether they stay.
        drop: kinds of parts that no segment is to have, unless one is made.
        change: gives the manifest with what else is to change; called when all is made.
        version: that this was decided on.

    Raises:
        CollectionError: there is no collection, another writer is at work, or the disk fails.
    """
    unwanted = set(drop)
    with _writing(Path(folder), version) as (workplace, collection):
        manifest = collection.manifest
        segments = []
        for reader in collection.segments:
            trying = partial(_try_out, workplace, reader)
            chosen = makers(reader, trying)
            parts = {p.kind: p for p in reader.segment.parts if p.kind not in unwanted}
            for maker in chosen:
                there = reader.segment.part(maker.kind)
                same = there is not None and there.settings == dict(maker.settings)
                made: Part = there if there and same else make_part(workplace, reader, maker)
                parts[maker.kind] = made
            segments.append(replace(reader.segment, parts=tuple(parts.values())))
        changed = change(replace(manifest, segments=tuple(segments)))
        if changed != manifest:
            changed = replace(changed, version=manifest.version + 1)
            manifest = workplace.commit(changed, keep_unfinished=True)
        workplace.discard_parts()
        return manifest


def _try_out(workplace: Workplace, reader: SegmentReader, maker: PartMaker) -> dict[str, Path]:
    """The files of a part: of the one that is there, or made and kept, but not given a place."""
    there = reader.segment.part(maker.kind)
    if there is not None and there.settings == dict(maker.settings):
        found = reader.part(maker.kind)
        return dict(found[1]) if found else {}
    return keep_part(workplace, reader, maker)


def check_context(collection: Collection, encoder: PassageEncoder) -> None:
    """Refuse vectors of another encoder than the collection's.

    Raises:
        MismatchError: names both and what to do.
    """
    manifest = collection.manifest
    if encoder.fingerprint != manifest.encoder_fingerprint or encoder.dim != manifest.dim:
        raise MismatchError(
            f"{collection.path}: was made by the encoder with fingerprint "
            f"{manifest.encoder_fingerprint} ({manifest.encoder_settings}), the one given has "
            f"{encoder.fingerprint}. Use the model that the collection was made with, or build the "
            "collection again with this one"
        )


def _dtype(manifest: Manifest) -> VectorType:
    dtype: Any = manifest.dtype
    return dtype  # type: ignore[no-any-return]


def _without(collection: Collection, chosen: Chosen) -> list[Segment]:
    """The segments with the documents chosen deleted; those that are left empty are left out."""
    kept = []
    for reader in collection.segments:
        segment = reader.segment
        leaving = chosen(reader.documents)
        if leaving.any():
            mask = deletions.mask(segment.deleted, segment.rows)
            mask |= documents.row_mask(reader.documents, leaving, segment.rows)
            segment = replace(segment, deleted=deletions.text(mask))
        if segment.gone < segment.rows:
            kept.append(segment)
    return kept


def _refuse_same_ids(collection: Collection, kept: Sequence[Segment], new: SegmentReader) -> None:
    """No passage of the new segment may have the id of one that stays."""
    staying = {segment.name: segment for segment in kept}
    for reader, start in zip(collection.segments, collection.starts, strict=False):
        segment = staying.get(reader.segment.name)
        if segment is None:
            continue
        mask = deletions.mask(segment.deleted, segment.rows)
        places, rows = rows_of_hashes(reader.ids, np.asarray(new.ids[0]))
        for place, row in zip(places.tolist(), rows.tolist(), strict=True):
            if mask[row]:
                continue
            old = collection.passage(row + start)
            number, first = new.block_of(int(new.ids[1][place]))
            inside = int(new.ids[1][place]) - first
            if new.batch(number).column(0)[inside].as_py() == old.id:
                raise IdError(
                    f"a passage of what is added has the id {old.id!a}, as has a passage of the "
                    f"document {document_of(old)!a} ({old.source or 'no source'}); rename one of "
                    "the documents, or remove the other first",
                    [old.id],
                )


def _commit(
    workplace: Workplace,
    manifest: Manifest,
    segments: Sequence[Segment],
    *,
    added: int,
    keep_unfinished: bool = False,
) -> Changed:
    rows = sum(segment.rows - segment.gone for segment in segments)
    if rows == 0:
        if not keep_unfinished:
            workplace.discard()
        raise InputError(
            f"{workplace.folder}: no passage would be left; a collection needs at least one: "
            "remove the folder, if that is what you want"
        )
    before = workplace.current
    assert before is not None
    fresh = workplace.commit(
        replace(
            manifest,
            rows=rows,
            segments=tuple(segments),
            version=before.version + 1,
            truncated=min(manifest.truncated, rows),
        ),
        keep_unfinished=keep_unfinished,
    )
    return Changed(fresh, added, before.rows + added - rows)


def small_segments(manifest: Manifest) -> list[str]:
    """Names of the newest segments, where there are so many small ones that one should be made of
    them: searching is faster, and each passage is copied a few times in all (log8 of how many
    there are). Empty: nothing to do."""
    names: list[str] = []
    total = 0
    for segment in reversed(manifest.segments):
        if segment.part("index") or (names and segment.rows > MERGED * total):
            break
        names.insert(0, segment.name)
        total += segment.rows
    return names if len(names) >= MERGED else []
