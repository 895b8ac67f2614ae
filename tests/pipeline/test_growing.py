"""A file that grows: whatever stops it, it goes on to the same bytes, and to no others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dpr.collection import storage
from dpr.errors import CollectionError, InputError, SettingsError
from dpr.pipeline.growing import finished, growing, record_of

MADE = {"by": "bm25", "settings": {"depth": 3, "seed": 0}}
BLOCKS = [b"a\nb\n", b"c\n", b"d\ne\nf\n"]


def write(path: Path, stop: int = len(BLOCKS), overwrite: bool = False, made: object = MADE) -> int:
    """Goes on as far as a block, as a kill would leave it; gives where it began."""
    with growing(path, made, overwrite=overwrite) as file:  # type: ignore[arg-type]
        begun = file.done
        position = 0
        for number, block in enumerate(BLOCKS[:stop]):
            if position >= begun:
                file.append(block, block.count(b"\n"), {"blocks": number + 1})
            position += block.count(b"\n")
        if stop == len(BLOCKS):
            file.finish()
    return begun


def unfinished(path: Path) -> Path:
    return path.with_name(path.name + ".unfinished")


def test_it_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.jsonl"
    assert [write(path, stop) for stop in (0, 1, 2)] == [0, 0, 2]
    assert not path.exists()
    assert finished(path, MADE) is None
    assert write(path) == 3
    assert path.read_bytes() == b"".join(BLOCKS)
    assert sorted(one.name for one in path.parent.iterdir()) == ["out.jsonl", "out.jsonl.made.json"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert finished(path, MADE) == {"sha256": digest, "made_from": MADE, "blocks": 3}
    assert json.loads(record_of(path).read_text()) == finished(path, MADE)


def test_what_a_kill_left_behind_a_block_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write(path, 2)
    with (unfinished(path) / "lines").open("ab") as file:
        file.write(b'{"half a li')
    assert write(path) == 3
    assert path.read_bytes() == b"".join(BLOCKS)


@pytest.mark.parametrize("step", ["write", "sync", "rename", "sync folder", "remove"])
@pytest.mark.parametrize("which", range(0, 12, 2))
def test_a_failure_at_any_step(
    step: str, which: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    left = which

    def fail(now: str, where: Path) -> None:
        nonlocal left
        left -= now == step
        if left < 0:
            raise OSError(5, "broken")

    monkeypatch.setattr(storage, "before", fail)
    try:
        write(path)
    except CollectionError:
        assert left < 0
    monkeypatch.setattr(storage, "before", None)
    if finished(path, MADE) is None:
        assert not path.exists()
        write(path)
    assert finished(path, MADE)
    assert path.read_bytes() == b"".join(BLOCKS)
    assert not unfinished(path).exists()


def test_other_values_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write(path, 2)
    other = {"by": "both", "settings": {"depth": 3, "seed": 1}}
    with pytest.raises(SettingsError, match=r"other values of by, seed; run the same command"):
        write(path, made=other)
    assert write(path, 2) == 3  # nothing is lost by having asked
    assert write(path, made=other, overwrite=True) == 0
    assert finished(path, other)


def test_a_file_that_is_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("mine\n")
    with pytest.raises(InputError, match="is there already, made by something else"):
        write(path)
    assert not unfinished(path).exists()
    write(path, 2, overwrite=True)
    assert path.read_text() == "mine\n"
    assert finished(path, MADE) is None
    assert write(path, overwrite=True) == 3
    assert path.read_bytes() == b"".join(BLOCKS)


def test_what_was_altered_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    folder = unfinished(path)
    for name, content in (
        ("lines", b"a\nX\nc\n"),
        ("lines", b"a\n"),
        ("journal.json", b"{"),
        ("made.json", b"[]"),
    ):
        write(path, 2, overwrite=True)
        (folder / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: is not as it was written"):
            write(path)
    (folder / "lines").unlink()
    assert write(path, overwrite=True) == 0
    assert path.read_bytes() == b"".join(BLOCKS)
    path.write_bytes(b"other\n")
    assert finished(path, MADE) is None
    record_of(path).write_text("nothing")
    assert finished(path, MADE) is None


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with growing(path, MADE), pytest.raises(CollectionError, match="another process"):
        write(path)
