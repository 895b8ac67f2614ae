"""Folders and files of a run that are replaced as a whole, whatever stops the replacing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from dpr.errors import CheckpointError
from dpr.training.checkpointing import Position, mend_folder, replace_folder, save_checkpoint


class Killed(Exception):
    pass


def write(text: str, fail: bool = False) -> object:
    def fill(folder: Path) -> None:
        folder.mkdir()
        (folder / "a").write_text(text)
        if fail:
            raise Killed
        (folder / "b").write_text(text)

    return fill


def content(folder: Path) -> list[tuple[str, str]]:
    return sorted((path.name, path.read_text()) for path in folder.iterdir())


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    best = tmp_path / "best"
    replace_folder(best, write("first"))  # type: ignore[arg-type]
    with pytest.raises(Killed):
        replace_folder(best, write("second", fail=True))  # type: ignore[arg-type]
    assert content(best) == [("a", "first"), ("b", "first")]
    replace_folder(best, write("third"))  # type: ignore[arg-type]
    assert content(best) == [("a", "third"), ("b", "third")]
    assert list(tmp_path.iterdir()) == [best]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_at_any_rename_leaves_a_whole_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    best = tmp_path / "best"
    replace_folder(best, write("old"))  # type: ignore[arg-type]
    rename = Path.rename
    done = 0

    def dying(self: Path, target: Path) -> Path:
        nonlocal done
        if done == renames:
            raise Killed
        done += 1
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying)
        patch.setattr("shutil.rmtree", lambda *_, **__: None)  # a kill before what is old goes
        if renames < 2:
            with pytest.raises(Killed):
                replace_folder(best, write("new"))  # type: ignore[arg-type]
        else:
            replace_folder(best, write("new"))  # type: ignore[arg-type]
    mend_folder(best)
    kept = "new" if renames == 2 else "old"
    assert content(best) == [("a", kept), ("b", kept)]
    assert list(tmp_path.iterdir()) == [best]


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight])
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, {"w": weight}, optimizer, Position(1))
    before = path.read_bytes()

    def full(tensors: object, temporary: Path, metadata: object) -> None:
        temporary.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("dpr.training.checkpointing.save_file", full)
    with pytest.raises(CheckpointError, match=r"could not be written.*still stands"):
        save_checkpoint(path, {"w": weight}, optimizer, Position(2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
