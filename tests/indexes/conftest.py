"""A bench for builds: a folder that keeps files under their names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest


class FolderBench:
    """Keeps files in a folder, each under its final name only once it is whole.

    Attributes:
        written: the names kept by this object, in order; what was kept before is not among them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[str] = []

    def kept(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.exists() else None

    def keep(self, name: str, chunks: Iterable[bytes | memoryview]) -> Path:
        partial = self.folder / (name + ".part")
        with partial.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        self.written.append(name)
        return partial.rename(self.folder / name)


@pytest.fixture
def bench(tmp_path: Path) -> FolderBench:
    return FolderBench(tmp_path)
