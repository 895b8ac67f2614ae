"""Check a collection in full: every byte against its hash, every row for sense.

Takes a folder; gives findings for people. Knows nothing of encoders; writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpr.collection.build import file_entry
from dpr.collection.ids import IdIndex
from dpr.collection.manifest import MANIFEST, SEGMENTS, Manifest, Segment, read_manifest
from dpr.collection.passages import TEXT_FIELDS
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

    Reads all files (about a second for each GB, bounded memory).

    Raises:
        CollectionError: there is no collection in the folder. A damaged one is a finding.
    """
    folder = Path(path)
    try:
        manifest = read_manifest(folder)
    except CorruptionError as error:
        return [Finding(MANIFEST, str(error))]
    findings = [
        finding for segment in manifest.segments for finding in _check_files(folder, segment)
    ]
    if findings:
        return findings
    try:
        with Collection.open(folder) as collection:
            return [*_check_vectors(collection, manifest), *_check_passages(collection)]
    except CollectionError as error:
        return [Finding(MANIFEST, str(error))]


def _check_files(folder: Path, segment: Segment) -> list[Finding]:
    findings: list[Finding] = []
    for entry in segment.files:
        name = f"{SEGMENTS}/{segment.name}/{entry.name}"
        try:
            found = file_entry(folder / name)
        except CorruptionError as error:
            findings.append(Finding(name, str(error)))
            continue
        if found.bytes != entry.bytes:
            problem = f"has {found.bytes} bytes, the manifest lists {entry.bytes}"
            findings.append(Finding(name, problem))
        elif found.sha256 != entry.sha256:
            problem = f"has SHA-256 {found.sha256}, the manifest lists {entry.sha256}"
            findings.append(Finding(name, problem))
    return findings


def _check_vectors(collection: Collection, manifest: Manifest) -> list[Finding]:
    findings: list[Finding] = []
    for segment, vectors in zip(manifest.segments, collection.vectors, strict=True):
        name = f"{SEGMENTS}/{segment.name}/vectors.npy"
        for first in range(0, len(vectors), _ROWS_AT_ONCE):
            part = vectors[first : first + _ROWS_AT_ONCE]
            for bad, problem in (
                (~np.isfinite(part).all(axis=1), "holds NaN or infinity"),
                (~part.any(axis=1), "is all zero"),
            ):
                if bad.any():
                    row = first + int(np.argmax(bad))
                    findings.append(
                        Finding(name, f"the vector in row {row} {problem} ({bad.sum()} such here)")
                    )
    return findings


def _check_passages(collection: Collection) -> list[Finding]:
    findings: list[Finding] = []
    index = IdIndex()
    for first in range(0, len(collection), _ROWS_AT_ONCE):
        rows = range(first, min(first + _ROWS_AT_ONCE, len(collection)))
        try:
            passages = collection.passages(rows)
        except (DPRError, ValueError) as error:
            return [*findings, Finding("passages", str(error))]
        for row, passage in zip(rows, passages, strict=True):
            if problem := _fault(passage):
                findings.append(Finding("passages", f"row {row}: {problem}"))
        for earlier, later in index.add(passage.id for passage in passages):
            one, other = collection.ids([earlier, later])
            if one == other:
                problem = f"rows {earlier} and {later} have the same id {one!a}"
                findings.append(Finding("passages", problem))
    return findings


def _fault(passage: Passage) -> str:
    if not passage.id:
        return "its id is empty"
    if not 0 <= passage.start <= passage.end:
        return f"its offsets are {passage.start} to {passage.end}"
    if any(not isinstance(getattr(passage, name), str) for name in TEXT_FIELDS):
        return "a field is not text"
    return ""
