"""What the tests of collections share: odd passages, a fast deterministic encoder, a snapshot.

Run as a program it builds a collection and is killed by the tests at any time:
``python builds.py FOLDER ROWS DIM PAUSE [overwrite]``.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.collection import BuildSettings, Manifest, build_collection
from dpr.records import Passage

ODD = (
    "",
    "a\0b",
    "line\u2028end\u2029",
    "\ufeffbom",
    "tab\tquote\"'\r\n",
    "Ünïcödé 🦜",
    "x" * 5000,
)

FILES = 11  # and folders, of a collection that was just made


class HashEncoder:
    """Vectors that are a function of each passage's text; ``calls`` counts shards encoded."""

    def __init__(self, dim: int = 8, fingerprint: str = "encoder-one", pause: float = 0.0) -> None:
        self.dim = dim
        self.fingerprint = fingerprint
        self.settings: dict[str, Any] = {"model": "hash", "length": (1, 2)}
        self.pause = pause
        self.calls = 0
        self.truncated = 0  # those whose text is longer than 1000 characters

    def encode(self, passages: Sequence[Passage]) -> npt.NDArray[np.float32]:
        self.calls += 1
        self.truncated += sum(len(passage.text) > 1000 for passage in passages)
        time.sleep(self.pause)
        return np.stack([vector_of(passage, self.dim) for passage in passages])


def vector_of(passage: Passage, dim: int = 8) -> npt.NDArray[np.float32]:
    digest = hashlib.shake_128(f"{passage.id} {passage.text}".encode()).digest(dim)
    return np.frombuffer(digest, np.uint8).astype(np.float32) - np.float32(127.25)


def passages(rows: int, changed: int | None = None) -> Iterator[Passage]:
    """``rows`` passages; the text of row ``changed`` differs from the usual one."""
    for row in range(rows):
        text = f"text of {row} {ODD[row % len(ODD)]}" + ("!" if row == changed else "")
        yield Passage(f"p{row}", text, ODD[row % 5], "s" * (row % 3), "a.txt", row, row + len(text))


def build(
    folder: Path,
    rows: int = 1000,
    *,
    encoder: HashEncoder | None = None,
    changed: int | None = None,
    **settings: Any,
) -> Manifest:
    """Build with shards of 100 passages."""
    return build_collection(
        passages(rows, changed),
        encoder or HashEncoder(),
        folder,
        BuildSettings(**{"shard_size": 100, **settings}),
        question_fingerprint="question-one",
        made_from={"source": "tests", "size": (1, 2)},
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below the folder with its bytes, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"(folder)"
        for path in sorted(folder.rglob("*"))
    }


if __name__ == "__main__":
    build(
        Path(sys.argv[1]),
        int(sys.argv[2]),
        encoder=HashEncoder(int(sys.argv[3]), pause=float(sys.argv[4])),
        overwrite="overwrite" in sys.argv,
    )
