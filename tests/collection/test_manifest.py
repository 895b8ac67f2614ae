"""The manifest: its own checksum, versions, names that would leave the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builds import build

from dpr.collection import read_manifest
from dpr.collection.manifest import sealed
from dpr.errors import CollectionError, CorruptionError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(tmp_path / "c", 10)
    return tmp_path / "c"


def rewrite(folder: Path, **changes: Any) -> None:
    """Change entries and give the file the right checksum again."""
    (folder / "manifest.json").write_bytes(sealed({**read_manifest(folder).as_dict(), **changes}))


def test_bytes_and_back(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest.to_bytes() == (folder / "manifest.json").read_bytes()
    assert hash(manifest.segments)


def test_any_altered_character_is_noticed(folder: Path) -> None:
    path = folder / "manifest.json"
    data = path.read_bytes()
    for at in range(0, len(data) - 1, 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(CollectionError):
            read_manifest(folder)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_manifest(folder: Path, text: bytes) -> None:
    (folder / "manifest.json").write_bytes(text)
    with pytest.raises(CorruptionError, match="manifest"):
        read_manifest(folder)


def test_other_formats_and_versions(folder: Path) -> None:
    good = (folder / "manifest.json").read_bytes()
    rewrite(folder, format_version=3)
    with pytest.raises(CollectionError, match=r"version 3.*reads 2"):
        read_manifest(folder)
    (folder / "manifest.json").write_bytes(good)
    rewrite(folder, format="other")
    with pytest.raises(CollectionError, match="'other'"):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["../x", "/etc", "..", "", "a/b", "a\0b", 3])
def test_names_stay_inside_the_folder(folder: Path, name: Any) -> None:
    segment = read_manifest(folder).as_dict()["segments"][0]
    rewrite(folder, segments=[{**segment, "name": name}])
    with pytest.raises(CorruptionError, match="name"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 11},
        {"dim": 0},
        {"dtype": "int8"},
        {"version": 0},
        {"encoder": {}},
        {"segments": [{}]},
    ],
)
def test_entries_that_make_no_sense(folder: Path, changes: dict[str, Any]) -> None:
    rewrite(folder, **changes)
    with pytest.raises(CorruptionError):
        read_manifest(folder)
