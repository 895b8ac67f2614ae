"""The manifest: what a collection is made of, as a small JSON file that carries its own checksum.

Takes and gives ``Manifest`` records and bytes; knows nothing of how segments are read or written.
The bytes depend on nothing but the content and what it was made from (sorted keys, no times), so
equal collections have equal manifests.

    manifest.json
      format, format_version     what the file is
      version                    counts the changes of the collection, from 1
      rows, dim, dtype           passages, and their vectors' shape and type
      truncated                  passages of which the encoder read only the first part
      encoder                    fingerprint and settings of what made the vectors
      question_fingerprint       of the question encoder that belongs to it
      made_from                  where the passages came from, as the caller described it
      search                     settings of searching, as whoever searches keeps them
      segments                   name, rows, longest vector, deleted rows, files, parts
      checksum                   SHA-256 of all the above

``manifest.copy.json`` has the same content: what a repair goes by when the manifest is damaged.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dpr.collection import deletions
from dpr.collection.guard import DIGEST_BYTES, block_rows
from dpr.collection.storage import size_of
from dpr.collection.vectors import HEADER_BYTES, row_bytes
from dpr.errors import CollectionError, CorruptionError, SettingsError

FORMAT = "dpr-collection"
FORMAT_VERSION = 2
MANIFEST = "manifest.json"
MANIFEST_COPY = "manifest.copy.json"
BUILDING = "building"
SEGMENTS = "segments"
PARTS = "parts"
PASSAGES_FILE = "passages.arrow"
VECTORS_FILE = "vectors.npy"
SCALES_FILE = "scales.npy"
BLOCKS_FILE = "blocks.json"
HASHES_FILE = "vectors.sha256"
IDS_FILE = "ids.npy"
DOCUMENTS_FILE = "documents.arrow"
SEGMENT_FILES = (
    PASSAGES_FILE,
    VECTORS_FILE,
    BLOCKS_FILE,
    HASHES_FILE,
    IDS_FILE,
    DOCUMENTS_FILE,
)
DTYPES = ("float16", "float32", "int8")
MAX_BYTES = 256 << 20
MAX_ROWS = 1 << 32
"""Of a segment: what a manifest may promise before any file was looked at."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a segment: its name, size in bytes and SHA-256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """What was made from one segment, and could be made again: its words, or an index.

    Attributes:
        kind: what it is, ``words`` or ``index``; a segment has one of a kind at most.
        name: of its folder below ``parts``.
        settings: what it takes to make it again and to read it; plain JSON values.
    """

    kind: str
    name: str
    settings: dict[str, Any] = field(hash=False)
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A folder of files that hold ``rows`` passages and their vectors; never changed once made.

    Attributes:
        rows: of the files, those deleted since included.
        longest: no vector of the segment is longer.
        deleted: which rows are no longer part of the collection; see ``deletions``.
    """

    name: str
    rows: int
    longest: float
    files: tuple[FileEntry, ...]
    deleted: str = ""
    parts: tuple[Part, ...] = ()

    def file(self, name: str) -> FileEntry:
        """The entry of a file by its name; KeyError where there is none."""
        for entry in self.files:
            if entry.name == name:
                return entry
        raise KeyError(name)

    def part(self, kind: str) -> Part | None:
        """The part of a kind; None where there is none."""
        return next((part for part in self.parts if part.kind == kind), None)

    @property
    def gone(self) -> int:
        """How many rows are deleted."""
        return deletions.count(self.deleted, self.rows)


@dataclass(frozen=True)
class Manifest:
    """A version of a collection.

    Attributes:
        rows: number of passages, without those deleted.
        dim: numbers in a vector.
        dtype: how a number is stored: ``float16``, ``float32`` or ``int8``.
        segments: in the order of the rows.
        encoder_fingerprint: SHA-256 of the weights, tokenizer and settings of what encoded the
            passages.
        encoder_settings: the same for people.
        question_fingerprint: of the question encoder that belongs to it; "" where not known.
        made_from: the source and how it was split, as the caller described it.
        truncated: passages of which the encoder read only the first part, at most: those deleted
            since are not told apart before a compaction.
        version: counts the changes, from 1.
        search: how to search, kept by whoever searches; plain JSON values.
    """

    rows: int
    dim: int
    dtype: str
    segments: tuple[Segment, ...]
    encoder_fingerprint: str
    encoder_settings: dict[str, Any]
    question_fingerprint: str
    made_from: dict[str, Any]
    truncated: int = 0
    version: int = 1
    search: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all the files on disk but the manifest itself."""
        files = [entry for one in self.segments for entry in one.files]
        files += [entry for one in self.segments for part in one.parts for entry in part.files]
        return sum(entry.bytes for entry in files)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in the file, without the checksum."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "version": self.version,
            "rows": self.rows,
            "dim": self.dim,
            "dtype": self.dtype,
            "segments": [asdict(segment) for segment in self.segments],
            "encoder": {
                "fingerprint": self.encoder_fingerprint,
                "settings": self.encoder_settings,
            },
            "question_fingerprint": self.question_fingerprint,
            "made_from": self.made_from,
            "truncated": self.truncated,
            "search": self.search,
        }

    def to_bytes(self) -> bytes:
        """The file's content."""
        return sealed(self.as_dict())


def canonical(value: Any, what: str) -> str:
    """JSON with sorted keys; equal values give equal texts.

    Raises:
        SettingsError: the value holds something that JSON has no form for, NaN and infinity
            included; ``what`` names it.
    """
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"{what} must be made of dict, list, str, int, finite float, bool and None, so that "
            f"the collection can record it: {error}"
        ) from error


def sealed(value: dict[str, Any], indent: int | None = 1) -> bytes:
    """A dict as JSON with a checksum of its content added."""
    checksum = hashlib.sha256(canonical(value, "the manifest").encode()).hexdigest()
    text = json.dumps({**value, "checksum": checksum}, sort_keys=True, indent=indent)
    return text.encode() + b"\n"


def unsealed(path: Path, remedy: str) -> dict[str, Any]:
    """Read what ``sealed`` wrote.

    Raises:
        CorruptionError: the file is cut, altered, or not such a file; the message ends with
            ``remedy``.
    """
    try:
        with path.open("rb") as file:
            # A buffer of the largest size would be made even for the smallest file.
            data = file.read(min(os.fstat(file.fileno()).st_size, MAX_BYTES) + 1)
    except OSError as error:
        raise CorruptionError(f"{path}: cannot be read: {error.strerror}; {remedy}") from error
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        value = json.loads(data)
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        checksum = value.pop("checksum")
        if hashlib.sha256(canonical(value, path.name).encode()).hexdigest() != checksum:
            raise ValueError("its content does not match its checksum")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise CorruptionError(f"{path}: is damaged ({error}); {remedy}") from error
    return value


def read_manifest(path: str | Path) -> Manifest:
    """The manifest of the collection in a folder.

    Raises:
        CollectionError: there is no collection, or one of a newer format.
        CorruptionError: its manifest is damaged.
    """
    return _read(Path(path), MANIFEST)


def read_copy(path: str | Path) -> Manifest:
    """The copy of the manifest, for repairs; raises as ``read_manifest``."""
    return _read(Path(path), MANIFEST_COPY)


def _read(folder: Path, name: str) -> Manifest:
    file = folder / name
    if size_of(file) is None:
        raise CollectionError(_why_no_manifest(folder))
    value = unsealed(file, "restore the collection from a copy or build it again")
    if value.get("format") != FORMAT:
        raise CollectionError(
            f"{file}: is not a collection's manifest (format {value.get('format')!r}, expected "
            f"{FORMAT!r}); give a folder that `dpr index` made"
        )
    if value.get("format_version") != FORMAT_VERSION:
        raise CollectionError(
            f"{file}: has format version {value.get('format_version')!r}, this release reads "
            f"{FORMAT_VERSION}; build the collection again, or use the release that made it"
        )
    try:
        return _parsed(value)
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        raise CorruptionError(
            f"{file}: has a missing or wrong entry ({error!r}); restore the collection from a "
            f"copy or build it again"
        ) from error


def _why_no_manifest(folder: Path) -> str:
    if not folder.exists():
        return f"{folder}: there is no such folder; make a collection with `dpr index` first"
    if not folder.is_dir():
        return f"{folder}: is not a folder; a collection is a folder that `dpr index` made"
    if (folder / BUILDING).is_dir():
        return (
            f"{folder}: its build is not finished; run the command that began it again, it "
            f"continues where it stopped"
        )
    return (
        f"{folder}: is not a collection (it has no {MANIFEST}); give a folder that `dpr index` made"
    )


def _parsed(value: dict[str, Any]) -> Manifest:
    manifest = Manifest(
        rows=int(value["rows"]),
        dim=int(value["dim"]),
        dtype=str(value["dtype"]),
        segments=tuple(_segment(item) for item in value["segments"]),
        encoder_fingerprint=str(value["encoder"]["fingerprint"]),
        encoder_settings=dict(value["encoder"]["settings"]),
        question_fingerprint=str(value["question_fingerprint"]),
        made_from=dict(value["made_from"]),
        truncated=int(value["truncated"]),
        version=int(value["version"]),
        search=dict(value["search"]),
    )
    if manifest.dtype not in DTYPES:
        raise ValueError(f"dtype {manifest.dtype!r}")
    live = sum(segment.rows - segment.gone for segment in manifest.segments)
    if manifest.dim < 1 or manifest.version < 1 or manifest.rows != live:
        raise ValueError(f"rows {manifest.rows}, dim {manifest.dim}, version {manifest.version}")
    _check_names(manifest)
    for segment in manifest.segments:
        sizes = _sizes(segment.rows, manifest.dim, manifest.dtype)
        if any(segment.file(name).bytes != size for name, size in sizes.items()):
            raise ValueError(f"sizes of files of segment {segment.name!r}")
    return manifest


def _check_names(manifest: Manifest) -> None:
    needed = sorted((*SEGMENT_FILES, *((SCALES_FILE,) if manifest.dtype == "int8" else ())))
    for segment in manifest.segments:
        if sorted(entry.name for entry in segment.files) != needed:
            raise ValueError(f"files of segment {segment.name!r}")
    parts = [part for segment in manifest.segments for part in segment.parts]
    for names in (
        [segment.name for segment in manifest.segments],
        [part.name for part in parts],
        *([entry.name for entry in part.files] for part in parts),
    ):
        if len(set(names)) != len(names):
            raise ValueError(f"a name that comes twice among {names}")


def _sizes(rows: int, dim: int, dtype: str) -> dict[str, int]:
    """What the files must hold whose sizes follow from a segment's rows."""
    width = row_bytes(dim, dtype)
    sizes = {
        VECTORS_FILE: HEADER_BYTES + rows * width,
        HASHES_FILE: -(-rows // block_rows(width)) * DIGEST_BYTES,
        IDS_FILE: HEADER_BYTES + rows * 16,
    }
    return {**sizes, SCALES_FILE: HEADER_BYTES + rows * 4} if dtype == "int8" else sizes


def _segment(item: dict[str, Any]) -> Segment:
    rows, longest, deleted = int(item["rows"]), float(item["longest"]), str(item["deleted"])
    if not (0 < rows <= MAX_ROWS and math.isfinite(longest) and longest > 0):
        raise ValueError(f"rows {rows}, longest {longest}")
    deletions.count(deleted, rows)  # refuses what is none
    parts = tuple(
        Part(
            str(part["kind"]), _plain_name(part["name"]), dict(part["settings"]),
            _entries(part["files"]),
        )
        for part in item["parts"]
    )  # fmt: skip
    if len({part.kind for part in parts}) != len(parts):
        raise ValueError(f"two parts of one kind in segment {item['name']!r}")
    return Segment(
        _plain_name(item["name"]), rows, longest, _entries(item["files"]), deleted, parts
    )


def _entries(items: list[dict[str, Any]]) -> tuple[FileEntry, ...]:
    return tuple(
        FileEntry(_plain_name(item["name"]), int(item["bytes"]), str(item["sha256"]))
        for item in items
    )


def _plain_name(name: Any) -> str:
    """A name that stays inside its folder whatever the manifest says."""
    if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\\0"):
        raise ValueError(f"name {name!r}")
    name.encode()  # a lone surrogate names no file
    return name
