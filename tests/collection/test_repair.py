"""Repairs: all that is proven stays, all else goes, and the report says so."""

from __future__ import annotations

import errno
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from attacks import (
    BLOCKWISE,
    DIM,
    LARGE,
    REPLACED,
    WHOLE,
    files_of,
    make_large,
    provable,
    restore,
)
from builds import HashEncoder, build, snapshot
from scenarios import (
    BASE,
    FULL,
    Lengths,
    content_of,
    entries,
    flip,
    leftovers,
    make_base,
    report,
    truth,
)

from dpr.collection import (
    BuildSettings,
    add_documents,
    build_collection,
    compact,
    named,
    read_manifest,
    remove_documents,
    repair,
    storage,
    verify,
    write_parts,
)
from dpr.collection.manifest import sealed
from dpr.errors import CollectionError, CorruptionError


@pytest.fixture(scope="module", params=["float16", "int8"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / request.param
    make_large(folder, request.param)
    return folder


@pytest.fixture(scope="module")
def other(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / "c"
    make_large(folder, whole.name, edition=5)
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    make_base(tmp_path / "c")
    return tmp_path / "c"


def spoil(folder: Path, other: Path, rng: random.Random) -> list[str]:
    """Alter some files of the segments and parts, each in one way."""
    names = [name for name in files_of(folder) if "manifest" not in name]
    chosen = rng.sample(names, rng.choice([1, 1, 2, 3, 5]))
    for name in chosen:
        if rng.random() < 0.2:
            rng.choice(REPLACED)(folder / name)
            continue
        data = (folder / name).read_bytes()
        alter: Any = rng.choice([*BLOCKWISE, *BLOCKWISE, *WHOLE])
        (folder / name).write_bytes(alter(data, rng, (other / name).read_bytes()))
    return chosen


@pytest.mark.parametrize("seed", range(100 if FULL else 12))
def test_what_is_proven_stays_and_the_rest_is_told(
    seed: int, whole: Path, other: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "c"
    shutil.copytree(whole, folder)
    before, names = content_of(folder), spoil(folder, other, random.Random(seed))
    same = all(
        (folder / name).is_file()
        and not (folder / name).is_symlink()
        and (folder / name).read_bytes() == (whole / name).read_bytes()
        for name in names
    )
    assert same == (verify(folder) == [])
    wanted = provable(whole, folder)
    if not wanted:
        with pytest.raises(CorruptionError, match="nothing was changed"):
            repair(folder)
        return
    report(f"repair {whole.name} {seed}: {len(before[0]) - len(wanted)} of {len(before[0])} lost")
    tried = repair(folder, trial=True)
    done = repair(folder)
    assert (done.documents, done.unnamed, done.parts) == (
        tried.documents, tried.unnamed, tried.parts,
    )  # fmt: skip
    assert verify(folder) == []
    assert [one for one in leftovers(folder) if not one.endswith(".elsewhere")] == []
    passages, documents = content_of(folder)
    assert passages == {name: before[0][name] for name in wanted}
    assert done.lost == len(before[0]) - len(wanted)
    lost = {one.document: one for one in done.documents}
    for name, (source, digest, origin, count) in before[1].items():
        left = sum(one.document == name for one, _ in passages.values())
        if left == count:
            known = "" if name in lost else digest
            assert documents[name] == (source, known, origin, count)
        elif left:
            assert documents[name][1] == "" and documents[name][3] == left
        else:
            assert name not in documents
        if name in lost:
            assert lost[name].source == source and lost[name].kept == left
            assert lost[name].lost <= count - left
        elif done.unnamed == 0:
            assert left == count
    # What was lost comes back as a sync would bring it: documents whose digests are not known.
    again = {
        name: LARGE[name]
        for name in LARGE
        if documents.get(name, ("", ""))[1] != before[1][name][1]
    }
    if again:
        add_documents(folder, entries(again), HashEncoder(DIM), shard_size=300)
        assert content_of(folder) == before


@pytest.mark.parametrize("name", ["ids.npy", "documents.arrow", "blocks.json", "vectors.sha256"])
@pytest.mark.parametrize("how", ["flipped", "missing", "folder"])
def test_what_follows_from_the_rest_is_made_again_to_the_byte(
    name: str, how: str, base: Path
) -> None:
    before = snapshot(base)
    path = base / "segments" / "0001" / name
    if how == "flipped":
        flip(path, 10)
    else:
        path.unlink()
    if how == "folder":
        path.mkdir()
        (path / "inside").touch()
    done = repair(base)
    assert [one.file for one in done.findings] == [f"segments/0001/{name}"] and done.lost == 0
    assert snapshot(base) == before


@pytest.mark.parametrize("how", ["flipped", "missing", "folder", "cut", "space"])
@pytest.mark.parametrize("name", ["manifest.json", "manifest.copy.json"])
def test_either_manifest_is_made_again_from_the_other(name: str, how: str, base: Path) -> None:
    before = snapshot(base)
    path = base / name
    data = path.read_bytes()
    path.unlink()
    if how == "flipped":
        path.write_bytes(data.replace(b'"rows": ', b'"rows": 1', 1))
    elif how == "folder":
        path.mkdir()
    elif how == "cut":
        path.write_bytes(data[:-30])
    elif how == "space":  # the same to any reader of JSON
        path.write_bytes(data.replace(b": ", b":  ", 1))
    (finding, *_) = verify_or_fail(base)
    done = repair(base)
    assert finding.startswith(name) or "is not a collection" in finding
    assert [one.file for one in done.findings] == [name] and done.lost == 0
    assert snapshot(base) == before and verify(base) == []


def verify_or_fail(folder: Path) -> list[str]:
    try:
        return [f"{one.file}: {one.problem}" for one in verify(folder)]
    except CollectionError as error:
        return [str(error)]


def test_a_stop_between_the_manifests_leaves_no_copy_of_what_is_gone(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(step: str, path: Path) -> None:
        if (step, path.name) == ("rename", "manifest.json"):
            raise KeyboardInterrupt

    class Stopping(HashEncoder):
        def encode(self, passages: Any) -> Any:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(storage, "before", stop)
        compact(base)
    with pytest.raises(KeyboardInterrupt):  # clears away what the compaction made
        add_documents(base, entries({"x": (3, 0)}), Stopping())
    flip(base / "manifest.json", 50)
    repair(base)
    assert content_of(base) == truth(BASE)


def test_two_damaged_manifests_and_nothing_proven_change_nothing(base: Path) -> None:
    flip(base / "manifest.json", 40)
    flip(base / "manifest.copy.json", 60)
    before = snapshot(base)
    with pytest.raises(CorruptionError, match=r"manifest\.json: is damaged"):
        repair(base)
    assert snapshot(base) == before


def test_where_nothing_can_be_proven_nothing_is_changed(base: Path) -> None:
    for path in base.glob("segments/*/vectors.npy"):
        flip(path, 200)
    before = snapshot(base)
    with pytest.raises(CorruptionError, match="nothing of it can be proven"):
        repair(base)
    assert snapshot(base) == before


def test_a_whole_collection_and_a_trial_are_left_alone(base: Path) -> None:
    before = snapshot(base)
    assert repair(base).findings == () and snapshot(base) == before
    flip(base / "segments" / "0002" / "vectors.npy", 300)
    before = snapshot(base)
    told = repair(base, trial=True)
    assert told.lost == 14 and snapshot(base) == before
    assert {(one.document, one.source, one.lost, one.kept) for one in told.documents} == {
        ("d", "d.md", 9, 0), ("e", "e.md", 5, 0),
    }  # fmt: skip
    done = repair(base)
    assert done.documents == told.documents and done.manifest.version == 4
    assert content_of(base) == truth({name: BASE[name] for name in "abc"})


def test_damage_to_deleted_rows_alone_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    editions = {"a": (4, 0), "b": (4, 0), "c": (4, 0)}
    build_collection(entries(editions), HashEncoder(), folder, BuildSettings(shard_size=4))
    remove_documents(folder, named(["b"]))
    segment = folder / "segments" / "0001"
    second = json.loads((segment / "blocks.json").read_text())["passages"][1]
    flip(segment / "passages.arrow", second[0] + second[1] // 2)
    done = repair(folder)
    assert done.findings and done.lost == 0 and done.documents == ()
    assert content_of(folder) == truth({"a": (4, 0), "c": (4, 0)})
    assert verify(folder) == [] and read_manifest(folder).segments[0].rows == 8


def test_damaged_parts_are_dropped_and_can_be_made_again(base: Path) -> None:
    before = content_of(base)
    flip(base / "parts" / "0002" / "second", 0)
    done = repair(base)
    assert [(one.segment, one.part.kind) for one in done.parts] == [("0002", "lengths")]
    assert done.lost == 0 and verify(base) == [] and leftovers(base) == []
    write_parts(base, lambda *_: [Lengths()])
    assert content_of(base) == before
    assert all(segment.part("lengths") for segment in read_manifest(base).segments)


def test_a_newer_format_is_no_damage(base: Path) -> None:
    value = json.loads((base / "manifest.json").read_text())
    del value["checksum"]
    (base / "manifest.json").write_bytes(sealed({**value, "format_version": 3}))
    before = snapshot(base)
    with pytest.raises(CollectionError, match="format version 3"):
        repair(base)
    assert snapshot(base) == before


def test_what_may_not_be_read_is_no_damage(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, opened = snapshot(base), storage.open_file

    def refuse(path: Path) -> int:
        if path.name == "vectors.npy":
            raise OSError(errno.EACCES, "Permission denied")
        return opened(path)

    monkeypatch.setattr(storage, "open_file", refuse)
    with pytest.raises(CollectionError, match="check permissions"):
        repair(base)
    assert snapshot(base) == before


def test_a_build_that_is_not_finished_is_not_repaired(tmp_path: Path) -> None:
    folder = tmp_path / "c"

    class Stopping(HashEncoder):
        def encode(self, passages: Any) -> Any:
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().encode(passages)

    with pytest.raises(KeyboardInterrupt):
        build(folder, encoder=Stopping())
    with pytest.raises(CollectionError, match="not finished"):
        repair(folder)
    with pytest.raises(CollectionError, match="no such folder"):
        repair(tmp_path / "nothing")
    build(folder)
    assert verify(folder) == []


def test_an_unfinished_addition_goes_on_after_what_follows_was_mended(base: Path) -> None:
    class Stopping(HashEncoder):
        def encode(self, passages: Any) -> Any:
            if self.calls == 1:
                raise KeyboardInterrupt
            return super().encode(passages)

    more = {"x": (10, 0)}
    with pytest.raises(KeyboardInterrupt):
        add_documents(base, entries(more), Stopping(), shard_size=4)
    flip(base / "segments" / "0001" / "ids.npy", 150)
    assert repair(base).lost == 0
    encoder = HashEncoder()
    add_documents(base, entries(more), encoder, shard_size=4)
    assert encoder.calls == 2 and content_of(base) == truth({**BASE, **more})


def test_restoring_puts_files_back(base: Path) -> None:
    """What the other tests of damage rely on."""
    name = "segments/0001/ids.npy"
    data, before = (base / name).read_bytes(), snapshot(base)
    for replaced in REPLACED:
        replaced(base / name)
        restore(base, name, data)
        assert snapshot(base) == before
