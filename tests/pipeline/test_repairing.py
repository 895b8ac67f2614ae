"""Repairing from documents: words are counted again in the version that drops what was damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dpr.collection import Collection, named, read_manifest, remove_documents, storage, verify
from dpr.pipeline import add, index
from dpr.pipeline.repairing import repair
from dpr.records import Document
from dpr.search.parts import WORDS, open_words, words_settings


class Power(BaseException):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def made(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two segments with their words."""
    to = tmp_path_factory.mktemp("repairing") / "c"
    index([Document(f"d{n}", f"the king {n}") for n in range(3)], to, model=tiny_model)
    add([Document(f"e{n}", f"the queen {n}") for n in range(3)], to)
    return to


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("saved", [False, True])
def test_words_are_counted_again_however_often_the_repair_is_killed(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    for stop in range(0, 1000, 7):
        folder = Path(shutil.copytree(made, tmp_path / str(stop)))
        if saved:  # a segment of which rows are copied
            remove_documents(folder, named(["e1"]))
        before = read_manifest(folder).version
        for path in folder.glob("parts/*/*"):
            flip(path)
        if saved:
            name = read_manifest(folder).segments[1].name
            flip(folder / "segments" / name / "vectors.sha256")
            flip(folder / "segments" / name / "ids.npy")
        steps = 0

        def count(step: str, path: Path, stop: int = stop) -> None:
            nonlocal steps
            steps += 1
            if steps > stop:
                raise Power

        with monkeypatch.context() as patch:
            patch.setattr(storage, "before", count)
            try:
                repair(folder)
                killed = False
            except Power:
                killed = True
        done = repair(folder)
        assert done.manifest == read_manifest(folder)
        assert done.manifest.version == before + 1 and verify(folder) == []
        assert all(one.part(WORDS) for one in done.manifest.segments)
        with Collection.open(folder) as collection:
            assert words_settings(collection) is not None
            assert len(open_words(collection).search(["king"], 10)[0][0]) > 0
        assert not (folder / "building").exists()
        shutil.rmtree(folder)
        if not killed:
            break
    assert 15 < stop < 990
