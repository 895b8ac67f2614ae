"""Damage: a collection big enough to be partly lost, ways to alter its files, and what of it can be
proven afterwards, worked out from the bytes before and after alone."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from builds import HashEncoder
from scenarios import Editions, Lengths, entries

from dpr.collection import (
    BuildSettings,
    add_documents,
    build_collection,
    named,
    read_manifest,
    remove_documents,
    write_parts,
)

DIM = 64
BLOCK = 512
FIRST: Editions = {f"a{number:02}": (20 + number % 7, 0) for number in range(36)}
SECOND: Editions = {f"b{number:02}": (11, 1) for number in range(30)} | {"a03": (25, 1)}
GONE = ["a10", "a11", "b07", "b29"]
LARGE: Editions = {name: one for name, one in (FIRST | SECOND).items() if name not in GONE}
"""After ``make_large``: two segments of several blocks each, both with rows deleted, with parts."""


def make_large(folder: Path, dtype: Any = "float16", edition: int = 0) -> None:
    """Another edition is another collection, whose files have the same names and sizes."""
    first = {name: (count, had + edition) for name, (count, had) in FIRST.items()}
    second = {name: (count, had + edition) for name, (count, had) in SECOND.items()}
    settings = BuildSettings(dtype, 300)
    build_collection(entries(first), HashEncoder(DIM), folder, settings, "question")
    add_documents(folder, entries(second), HashEncoder(DIM), shard_size=300)
    remove_documents(folder, named(GONE))
    write_parts(folder, lambda *_: [Lengths()])


def files_of(folder: Path) -> list[str]:
    """Its files that something says the content of, the manifests included."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    )


Alter = Callable[[bytes, random.Random, bytes], bytes]


def flipped(data: bytes, rng: random.Random, other: bytes, at: int | None = None) -> bytes:
    """A bit, in a block of 512 bytes or anywhere."""
    first = rng.randrange(len(data)) if at is None else at
    place = rng.randrange(first, min(first + (1 if at is None else BLOCK), len(data)))
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]


def zeroed(data: bytes, rng: random.Random, other: bytes, at: int | None = None) -> bytes:
    """A block is zero."""
    first = rng.randrange(0, len(data), BLOCK) if at is None else at
    last = min(first + BLOCK, len(data))
    return data[:first] + bytes(last - first) + data[last:]


def swapped(data: bytes, rng: random.Random, other: bytes, at: int | None = None) -> bytes:
    """A block changes places with another one of the file."""
    first = rng.randrange(0, len(data), BLOCK) if at is None else at
    second = rng.randrange(0, len(data), BLOCK)
    first, second = sorted((first, second))
    if second + BLOCK > len(data) or first == second:
        return flipped(data, rng, other, first)
    a, b = data[first : first + BLOCK], data[second : second + BLOCK]
    return data[:first] + b + data[first + BLOCK : second] + a + data[second + BLOCK :]


def cut(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Its end is missing."""
    return data[: rng.randrange(len(data))]


def longer(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Something was added."""
    return data + rng.randbytes(rng.randrange(1, 600))


def mixed(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A block of the same file of another collection."""
    first = rng.randrange(0, len(data), BLOCK)
    return data[:first] + other[first : first + BLOCK] + data[first + BLOCK :]


def exchanged(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """The file of another collection."""
    return other


BLOCKWISE = (flipped, zeroed, swapped)
WHOLE = (cut, longer, mixed, exchanged)


def missing(path: Path) -> None:
    path.unlink()


def linked(path: Path) -> None:
    """To a copy of itself elsewhere, whose bytes are right."""
    elsewhere = path.with_name(path.name + ".elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def folder_instead(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def pipe_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device_instead(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


REPLACED = (missing, linked, dangling, folder_instead, pipe_instead, device_instead)


def restore(folder: Path, name: str, data: bytes) -> None:
    """Put a file back as it was, whatever lies there now."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.with_name(path.name + ".elsewhere").unlink(missing_ok=True)
    path.write_bytes(data)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""


def provable(whole: Path, damaged: Path) -> set[str]:
    """The ids of the passages that are proven, from comparing the bytes of two folders.

    Written for the layout of the files, not with the package's reading of them.
    """
    import pyarrow as pa

    found = set()
    manifest = read_manifest(whole)
    width = np.dtype(manifest.dtype).itemsize * manifest.dim
    step = max(1, 65536 // width)
    for segment in manifest.segments:
        place = Path("segments", segment.name)
        good = {entry.name: (whole / place / entry.name).read_bytes() for entry in segment.files}
        bad = {name: _bytes(damaged / place / name) for name in good}
        same = {name for name in good if good[name] == bad[name]}
        with pa.ipc.open_stream(good["passages.arrow"]) as stream:
            ids = stream.read_all()["id"].to_pylist()
        texts = np.zeros(len(ids), np.bool_)
        row = 0
        for offset, size, rows, _ in json.loads(good["blocks.json"])["passages"]:
            some = slice(offset, offset + size)
            holds = good["passages.arrow"][some] == bad["passages.arrow"][some]
            if "passages.arrow" in same or ("blocks.json" in same and holds):
                texts[row : row + rows] = True
            row += rows
        numbers = np.zeros(len(ids), np.bool_)
        files = {name: width if name == "vectors.npy" else 4 for name in good if ".npy" in name}
        files.pop("ids.npy")
        for first in range(0, len(ids), step):
            holds = all(
                good[name][128 + first * size : 128 + min(first + step, len(ids)) * size]
                == bad[name][128 + first * size : 128 + min(first + step, len(ids)) * size]
                for name, size in files.items()
            )
            if files.keys() <= same or ("vectors.sha256" in same and holds):
                numbers[first : first + step] = True
        live = ~_deleted(segment.deleted, len(ids))
        found |= {ids[at] for at in np.flatnonzero(texts & numbers & live)}
    return found


def _deleted(text: str, rows: int) -> Any:
    import base64
    import zlib

    if not text:
        return np.zeros(rows, np.bool_)
    packed = np.frombuffer(zlib.decompress(base64.b64decode(text.partition(":")[2])), np.uint8)
    return np.unpackbits(packed, count=rows, bitorder="little").view(np.bool_)
