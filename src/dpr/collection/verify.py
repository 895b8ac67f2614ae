"""Check a collection in full: every byte against its hash, every row for sense.

Takes a folder; gives findings for people. Knows nothing of encoders; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dpr.collection import documents, storage
from dpr.collection.finishing import batches, file_entry, longest
from dpr.collection.ids import IdIndex, hash_ids, sorted_hashes
from dpr.collection.manifest import (
    DOCUMENTS_FILE,
    IDS_FILE,
    MANIFEST,
    MANIFEST_COPY,
    PARTS,
    PASSAGES_FILE,
    SEGMENTS,
    VECTORS_FILE,
    FileEntry,
    Manifest,
    read_copy,
    read_manifest,
)
from dpr.collection.passages import TEXT_FIELDS
from dpr.collection.segment import SegmentReader
from dpr.collection.store import Collection
from dpr.errors import CollectionError, CorruptionError, DPRError
from dpr.records import Passage

_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: ``file`` relative to the collection's folder, and what."""

    file: str
    problem: str


def verify(path: str | Path) -> list[Finding]:
    """Check the collection in a folder; no findings means that it is whole.

    Reads all files (about a second for each GB, bounded memory). Begins again where a writer
    replaced the version meanwhile, whose files are then gone.

    Raises:
        CollectionError: there is no collection in the folder. A damaged one is a finding.
    """
    folder = Path(path)
    while True:
        try:
            manifest = read_manifest(folder)
            findings = _findings(folder, manifest)
            if not findings or read_manifest(folder) == manifest:
                return findings
        except CorruptionError as error:
            return [Finding(MANIFEST, str(error))]


def _findings(folder: Path, manifest: Manifest) -> list[Finding]:
    """What is wrong with a version."""
    findings = [*_check_bytes(folder, MANIFEST, manifest), *_check_copy(folder, manifest)]
    findings += check_files(folder, manifest)
    if any(finding.file.startswith((SEGMENTS, PARTS)) for finding in findings):
        return findings
    try:
        with Collection.open(folder) as collection:
            for segment in collection.segments:
                findings += _check_vectors(segment)
                findings += _check_derived(segment)
            return [*findings, *_check_passages(collection)]
    except (CollectionError, OSError) as error:
        return [*findings, Finding(MANIFEST, str(error))]


def _check_bytes(folder: Path, name: str, manifest: Manifest) -> Iterator[Finding]:
    """Its checksum is of what a manifest says; the same can be said in other bytes."""
    data = manifest.to_bytes()
    if storage.content_of(folder / name, len(data)) != data:
        yield Finding(name, "says what it should, but not in the bytes that were written")


def _check_copy(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    try:
        copy = read_copy(folder)
    except CollectionError as error:
        yield Finding(MANIFEST_COPY, str(error))
        return
    yield from _check_bytes(folder, MANIFEST_COPY, copy)
    # A stop between the two leaves a copy of a version that never came to be.
    if copy != manifest and copy.version <= manifest.version:
        yield Finding(MANIFEST_COPY, f"is of another version than {MANIFEST}")


def check_files(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    """The files that are not as the manifest lists them."""
    for segment in manifest.segments:
        for entry in segment.files:
            yield from check_file(folder, f"{SEGMENTS}/{segment.name}/{entry.name}", entry)
        for part in segment.parts:
            for entry in part.files:
                yield from check_file(folder, f"{PARTS}/{part.name}/{entry.name}", entry)


def check_file(folder: Path, name: str, entry: FileEntry) -> Iterator[Finding]:
    """What is wrong with a file."""
    try:
        found = file_entry(folder / name)
    except CorruptionError as error:
        yield Finding(name, str(error))
        return
    if found.bytes != entry.bytes:
        yield Finding(name, f"has {found.bytes} bytes, the manifest lists {entry.bytes}")
    elif found.sha256 != entry.sha256:
        yield Finding(name, f"has SHA-256 {found.sha256}, the manifest lists {entry.sha256}")


def _check_vectors(segment: SegmentReader) -> Iterator[Finding]:
    name = f"{SEGMENTS}/{segment.segment.name}/{VECTORS_FILE}"
    if bad := segment.guard.bad():
        yield Finding(name, f"{len(bad)} blocks do not match their hashes")
    if longest(segment.vectors, segment.scales) > segment.segment.longest:
        yield Finding(name, f"has longer vectors than {segment.segment.longest}")
    for first in range(0, segment.rows, _ROWS_AT_ONCE):
        part = segment.vectors[first : first + _ROWS_AT_ONCE]
        scales = None if segment.scales is None else segment.scales[first : first + len(part)]
        finite = np.isfinite(part).all(axis=1)
        if scales is not None:
            finite &= np.isfinite(scales)
        for bad_rows, problem in (
            (~finite, "holds NaN or infinity"),
            (~part.any(axis=1), "is all zero"),
        ):
            if bad_rows.any():
                row = first + int(np.argmax(bad_rows))
                yield Finding(
                    name, f"the vector in row {row} {problem} ({bad_rows.sum()} such here)"
                )


def _check_derived(segment: SegmentReader) -> Iterator[Finding]:
    """Ids and documents must be those of the passages."""
    folder = f"{SEGMENTS}/{segment.segment.name}"
    passages = list(range(len(segment.blocks)))
    hashes = np.concatenate(
        [hash_ids(segment.batch(number).column(0).to_pylist()) for number in passages]
    )
    if not np.array_equal(sorted_hashes(hashes), segment.ids):
        yield Finding(f"{folder}/{IDS_FILE}", f"is not that of {PASSAGES_FILE}")
    found = documents.document_batches(batches(segment.folder / PASSAGES_FILE, segment.blocks))
    if not pa.Table.from_batches(list(found), documents.SCHEMA).equals(segment.documents):
        yield Finding(f"{folder}/{DOCUMENTS_FILE}", f"is not that of {PASSAGES_FILE}")


def _check_passages(collection: Collection) -> Iterator[Finding]:
    index = IdIndex()
    live = collection.live_rows()
    for first in range(0, len(live), _ROWS_AT_ONCE):
        rows = live[first : first + _ROWS_AT_ONCE].tolist()
        try:
            passages = collection.passages(rows)
        except (DPRError, ValueError) as error:
            yield Finding("passages", str(error))
            return
        for row, passage in zip(rows, passages, strict=True):
            if problem := _fault(passage):
                yield Finding("passages", f"row {row}: {problem}")
        for earlier, later in index.add(passage.id for passage in passages):
            pair = live[[earlier, later]].tolist()
            one, other = collection.ids(pair)
            if one == other:
                problem = f"rows {pair[0]} and {pair[1]} have the same id {one!a}"
                yield Finding("passages", problem)


def _fault(passage: Passage) -> str:
    if not passage.id:
        return "its id is empty"
    if not 0 <= passage.start <= passage.end:
        return f"its offsets are {passage.start} to {passage.end}"
    if any(not isinstance(getattr(passage, name), str) for name in TEXT_FIELDS):
        return "a field is not text"
    return ""
