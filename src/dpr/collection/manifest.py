"""The manifest: what a collection is made of, as a small JSON file that carries its own checksum.

Takes and gives ``Manifest`` records and bytes; knows nothing of how segments are read or written.
The bytes depend on nothing but the content and what it was made from (sorted keys, no times), so
equal collections have equal manifests.

    manifest.json
      format, format_version     what the file is
      rows, dim, dtype           passages, and their vectors' shape and type
      truncated                  passages of which the encoder read only the first part
      encoder                    fingerprint and settings of what made the vectors
      question_fingerprint       of the question encoder that belongs to it
      made_from                  where the passages came from, as the caller described it
      segments                   name, rows, files: name, bytes, SHA-256
      checksum                   SHA-256 of all the above
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpr.collection.storage import size_of
from dpr.errors import CollectionError, CorruptionError, SettingsError

FORMAT = "dpr-collection"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
BUILDING = "building"
SEGMENTS = "segments"
PASSAGES_FILE = "passages.arrow"
VECTORS_FILE = "vectors.npy"
BLOCKS_FILE = "blocks.json"
SEGMENT_FILES = (PASSAGES_FILE, VECTORS_FILE, BLOCKS_FILE)
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a segment: its name, size in bytes and SHA-256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A folder of files that hold ``rows`` passages and their vectors; never changed once made."""

    name: str
    rows: int
    files: tuple[FileEntry, ...]

    def file(self, name: str) -> FileEntry:
        """The entry of a file by its name; KeyError where there is none."""
        for entry in self.files:
            if entry.name == name:
                return entry
        raise KeyError(name)


@dataclass(frozen=True)
class Manifest:
    """A version of a collection.

    Attributes:
        rows: number of passages.
        dim: numbers in a vector.
        dtype: how a number is stored: ``float16`` or ``float32``.
        segments: in the order of the rows.
        encoder_fingerprint: SHA-256 of the weights, tokenizer and settings of what encoded the
            passages.
        encoder_settings: the same for people.
        question_fingerprint: of the question encoder that belongs to it; "" where not known.
        made_from: the source and how it was split, as the caller described it.
        truncated: passages of which the encoder read only the first part.
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

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in the file, without the checksum."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "rows": self.rows,
            "dim": self.dim,
            "dtype": self.dtype,
            "segments": [
                {
                    "name": segment.name,
                    "rows": segment.rows,
                    "files": [
                        {"name": entry.name, "bytes": entry.bytes, "sha256": entry.sha256}
                        for entry in segment.files
                    ],
                }
                for segment in self.segments
            ],
            "encoder": {
                "fingerprint": self.encoder_fingerprint,
                "settings": self.encoder_settings,
            },
            "question_fingerprint": self.question_fingerprint,
            "made_from": self.made_from,
            "truncated": self.truncated,
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
            data = file.read(MAX_BYTES + 1)
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
    folder = Path(path)
    file = folder / MANIFEST
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
            f"{FORMAT_VERSION}; upgrade dense-passage-retrieval or build the collection again"
        )
    try:
        return _parsed(value)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
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
        segments=tuple(
            Segment(
                name=_plain_name(item["name"]),
                rows=int(item["rows"]),
                files=tuple(
                    FileEntry(_plain_name(f["name"]), int(f["bytes"]), str(f["sha256"]))
                    for f in item["files"]
                ),
            )
            for item in value["segments"]
        ),
        encoder_fingerprint=str(value["encoder"]["fingerprint"]),
        encoder_settings=dict(value["encoder"]["settings"]),
        question_fingerprint=str(value["question_fingerprint"]),
        made_from=dict(value["made_from"]),
        truncated=int(value.get("truncated", 0)),
    )
    if manifest.dtype not in ("float16", "float32"):
        raise ValueError(f"dtype {manifest.dtype!r}")
    if manifest.dim < 1 or manifest.rows != sum(segment.rows for segment in manifest.segments):
        raise ValueError(f"rows {manifest.rows}, dim {manifest.dim}")
    for segment in manifest.segments:
        if sorted(entry.name for entry in segment.files) != sorted(SEGMENT_FILES):
            raise ValueError(f"files of segment {segment.name!r}")
    return manifest


def _plain_name(name: Any) -> str:
    """A name that stays inside its folder whatever the manifest says."""
    if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\\0"):
        raise ValueError(f"name {name!r}")
    return name
