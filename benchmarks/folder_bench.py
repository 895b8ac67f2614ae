"""Where the benchmarks build indexes: a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class FolderBench:
    """Keeps what builds of indexes have done in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def kept(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.exists() else None

    def keep(self, name: str, chunks: Iterable[bytes | memoryview]) -> Path:
        partial = self.folder / (name + ".part")
        with partial.open("wb") as file:
            file.writelines(chunks)
        return partial.rename(self.folder / name)
