"""Building: round trips, refusals, going on after a stop, overwriting."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from builds import FILES, HashEncoder, build, passages, snapshot, vector_of
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr.collection import (
    BuildSettings,
    Collection,
    build_collection,
    read_manifest,
    storage,
    verify,
)
from dpr.collection.manifest import SEGMENT_FILES
from dpr.errors import CollectionError, CorruptionError, InputError, MismatchError, SettingsError
from dpr.records import Passage

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


class Stop(Exception):
    """What a test stops a build with."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "c"


def stopped_build(folder: Path, after: int, **options: Any) -> None:
    """Build until ``after`` shards are done, then stop as an exception in the encoder would."""

    class Stopping(HashEncoder):
        def encode(self, passages: Sequence[Passage]) -> Any:
            if self.calls == after:
                raise Stop
            return super().encode(passages)

    with pytest.raises(Stop):
        build(folder, encoder=Stopping(), **options)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(texts.filter(bool), texts, texts, texts, texts, st.integers(0, 2**40)),
        min_size=1,
        max_size=30,
        unique_by=lambda row: row[0],
    ),
    shard_size=st.integers(1, 12),
    dtype=st.sampled_from(["float16", "float32"]),
)
def test_passages_come_back_as_they_were(
    rows: list[Any], shard_size: int, dtype: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("odd") / "c"
    given_passages = [Passage(*row, row[-1] + len(row[1])) for row in rows]
    build_collection(given_passages, HashEncoder(), folder, BuildSettings(dtype, shard_size))
    assert verify(folder) == []
    with Collection.open(folder, check="full") as collection:
        assert collection.passages(range(len(rows))) == given_passages
        assert [collection.row_of(p.id) for p in given_passages] == list(range(len(rows)))
        wanted = np.stack([vector_of(passage) for passage in given_passages]).astype(dtype)
        np.testing.assert_array_equal(collection.vectors[0], wanted)


def test_files_are_plain_arrow_and_numpy(folder: Path) -> None:
    manifest = build(folder, 1000)
    segment = folder / "segments" / "0001"
    with pa.memory_map(str(segment / "passages.arrow")) as source:
        table = pa.ipc.open_stream(source).read_all()
    table.validate(full=True)
    rows = table.select([field.name for field in fields(Passage)]).to_pylist()
    assert [Passage(**{**row, "metadata": {}}) for row in rows] == list(passages(1000))
    assert set(table["metadata"].to_pylist()) == {""}
    vectors = np.load(segment / "vectors.npy", allow_pickle=False)
    assert vectors.dtype == np.float16 and vectors.shape == (1000, 8) == (manifest.rows, 8)
    assert sorted(snapshot(folder)) == [
        ".lock", "manifest.copy.json", "manifest.json", "segments", "segments/0001",
        *(f"segments/0001/{name}" for name in sorted(SEGMENT_FILES)),
    ]  # fmt: skip
    assert len(snapshot(folder)) == FILES


def test_equal_builds_give_equal_bytes(tmp_path: Path) -> None:
    one = build(tmp_path / "one", 450)
    assert one == build(tmp_path / "other", 450) == read_manifest(tmp_path / "one")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "other")
    value = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert value["encoder"]["fingerprint"] == "encoder-one"
    assert value["made_from"] == {"size": [1, 2], "source": "tests"}


@pytest.mark.parametrize("after", [0, 1, 4, 9])
def test_goes_on_after_a_stop_and_encodes_nothing_twice(tmp_path: Path, after: int) -> None:
    build(tmp_path / "whole", 1000)
    stopped_build(tmp_path / "c", after)
    with pytest.raises(CollectionError, match="not finished"):
        Collection.open(tmp_path / "c")
    for name in ("passages.arrow", "vectors.npy"):  # bytes that the journal does not know
        with (tmp_path / "c" / "building" / "segment" / name).open("ab") as file:
            file.write(b"half a shard")
    encoder, done = HashEncoder(), []
    build_collection(
        passages(1000), encoder, tmp_path / "c", BuildSettings(shard_size=100), "question-one",
        {"source": "tests", "size": [1, 2]}, done.append,
    )  # fmt: skip
    assert encoder.calls == 10 - after
    assert done == list(range(100, 1001, 100))
    assert snapshot(tmp_path / "c") == snapshot(tmp_path / "whole")


def test_a_stop_at_every_storage_step_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_small(folder: Path) -> None:
        build(folder, 15, shard_size=10)

    build_small(tmp_path / "whole")
    wanted = snapshot(tmp_path / "whole")
    steps: list[tuple[str, Path]] = []
    monkeypatch.setattr(storage, "before", lambda step, path: steps.append((step, path)))
    build_small(tmp_path / "counted")
    for stop_at in range(len(steps)):
        folder = tmp_path / f"c{stop_at}"
        left = [stop_at]

        def stop(step: str, path: Path, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Stop

        monkeypatch.setattr(storage, "before", stop)
        with pytest.raises(Stop):
            build_small(folder)
        monkeypatch.setattr(storage, "before", None)
        try:
            build_small(folder)
        except CollectionError as error:
            assert "complete collection" in str(error)  # stopped in the last act of cleaning
            assert verify(folder) == []
        else:
            assert snapshot(folder) == wanted, steps[stop_at]


@pytest.mark.parametrize(("number", "stride"), [(errno.ENOSPC, 1), (errno.EIO, 7)])
def test_a_failing_disk_leaves_the_old_version_and_can_be_continued(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, stride: int
) -> None:
    sizes = (8, 12)
    build(folder, sizes[0], shard_size=10)
    fail_at, failures = 1, 0
    while True:
        old, new = sizes
        left = [fail_at]

        def fail(step: str, path: Path, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(number, "the disk fails")

        monkeypatch.setattr(storage, "before", fail)
        try:
            build(folder, new, shard_size=10, overwrite=True)
        except CollectionError as error:
            failures += 1
            assert "could not" in str(error) and "run the same command again" in str(error)
        monkeypatch.setattr(storage, "before", None)
        assert verify(folder) == []
        assert len(Collection.open(folder)) in (old, new)
        if left[0] > 0:  # the build has fewer steps than that
            break
        build(folder, new, shard_size=10, overwrite=True)
        assert len(Collection.open(folder)) == new
        assert len(snapshot(folder)) == FILES  # no leftovers
        fail_at, sizes = fail_at + stride, (new, old)
    assert failures >= 30 // stride


def test_a_changed_source_is_refused_and_overwriting_keeps_what_holds(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    stopped_build(folder, 7)
    with pytest.raises(CollectionError, match=r"changed.* row 300 .*overwrite"):
        build(folder, changed=345)
    with pytest.raises(CollectionError, match=r"changed.* row 600 "):
        build(folder, 650)
    encoder = HashEncoder()
    build(folder, changed=345, encoder=encoder, overwrite=True)
    assert encoder.calls == 7
    build(tmp_path / "whole", changed=345)
    assert snapshot(folder) == snapshot(tmp_path / "whole")


def test_a_source_that_became_shorter_can_overwrite(tmp_path: Path) -> None:
    stopped_build(tmp_path / "c", 7)
    build(tmp_path / "c", 650, overwrite=True)
    build(tmp_path / "whole", 650)
    assert snapshot(tmp_path / "c") == snapshot(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": HashEncoder(fingerprint="encoder-two")}, '"encoder-one", is "encoder-two"'),
        ({"encoder": HashEncoder(dim=9)}, "dim was 8, is 9"),
        ({"dtype": "float32"}, 'dtype was "float16", is "float32"'),
        ({"shard_size": 50}, "shard_size was 100, is 50"),
    ],
)
def test_going_on_with_something_else_is_refused(
    folder: Path, options: dict[str, Any], message: str
) -> None:
    stopped_build(folder, 3)
    with pytest.raises(MismatchError, match=message):
        build(folder, **options)
    build(folder, overwrite=True, **options)
    assert verify(folder) == []


def test_a_complete_collection_is_not_replaced_unasked(folder: Path) -> None:
    build(folder, 200)
    before = snapshot(folder)
    with pytest.raises(CollectionError, match=r"complete collection of 200.*overwrite"):
        build(folder, 300)
    assert snapshot(folder) == before


def test_overwriting_keeps_the_old_version_readable(folder: Path) -> None:
    build(folder, 200)
    reader = Collection.open(folder)
    stopped_build(folder, 2, overwrite=True)
    assert len(Collection.open(folder)) == 200 and verify(folder) == []
    encoder = HashEncoder()
    manifest = build(folder, encoder=encoder, overwrite=True)
    assert encoder.calls == 8  # it went on
    assert manifest.segments[0].name == "0002" and len(Collection.open(folder)) == 1000
    assert reader.passages(range(200)) == list(passages(200))  # still the old version
    assert sorted(path.name for path in (folder / "segments").iterdir()) == ["0002"]


def test_a_stop_after_the_new_version_is_visible_only_leaves_cleaning(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(step: str, path: Path) -> None:
        if step == "remove":
            raise Stop

    monkeypatch.setattr(storage, "before", stop)
    with pytest.raises(Stop):
        build(folder, 250)
    monkeypatch.setattr(storage, "before", None)
    assert len(Collection.open(folder)) == 250
    with pytest.raises(CollectionError, match="changed"):
        build(folder, 251)
    encoder = HashEncoder()
    assert build(folder, 250, encoder=encoder) == read_manifest(folder)
    assert encoder.calls == 0 and not (folder / "building").exists()


@pytest.mark.parametrize("damage", ["journal", "vectors.npy", "passages.arrow"])
def test_a_damaged_unfinished_build_is_refused_and_can_be_overwritten(
    tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "c"
    stopped_build(folder, 5)
    if damage == "journal":
        path = folder / "building" / "progress.json"
        path.write_bytes(path.read_bytes().replace(b"[100,", b"[101,"))
    else:
        path = folder / "building" / "segment" / damage
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptionError, match="overwrite"):
        build(folder)
    build(folder, overwrite=True)
    build(tmp_path / "whole")
    assert snapshot(folder) == snapshot(tmp_path / "whole")


def test_one_builder_at_a_time(folder: Path) -> None:
    class Nested(HashEncoder):
        def encode(self, passages: Sequence[Passage]) -> Any:
            with pytest.raises(CollectionError, match="another process is writing"):
                build(folder)
            return super().encode(passages)

    build(folder, 50, encoder=Nested())


@pytest.mark.parametrize("content", ["notes.txt", "manifest.json", "building", ".lock+x"])
def test_a_folder_of_something_else_is_left_alone(folder: Path, content: str) -> None:
    folder.mkdir()
    if content == "building":
        (folder / "building").mkdir()
        (folder / "building" / "plan.txt").write_text("mine")
    elif content == "manifest.json":
        (folder / content).write_text('{"name": "an app"}')
    else:
        for name in content.split("+"):
            (folder / name).write_text("mine")
    before = snapshot(folder)
    for overwrite in (False, True):
        with pytest.raises(CollectionError, match="nothing was changed"):
            build(folder, overwrite=overwrite)
    assert snapshot(folder) == before


def test_a_file_in_place_of_the_folder_is_refused(folder: Path) -> None:
    folder.write_text("mine")
    with pytest.raises(CollectionError, match="is a file"):
        build(folder)


def test_segments_without_a_manifest_are_not_deleted(folder: Path) -> None:
    build(folder, 100)
    (folder / "manifest.json").unlink()
    with pytest.raises(CollectionError, match=r"no manifest\.json"):
        build(folder, 100)
    assert (folder / "segments" / "0001" / "vectors.npy").exists()


def test_no_passages_are_refused_and_leave_nothing(folder: Path) -> None:
    with pytest.raises(InputError, match="no passages"):
        build(folder, 0)
    assert set(snapshot(folder)) <= {".lock"}
    build(folder, 10)


@pytest.mark.parametrize(("first", "second"), [(3, 7), (150, 199), (20, 850)])
def test_duplicate_ids_are_refused_by_both_rows(folder: Path, first: int, second: int) -> None:
    def doubled() -> Iterator[Passage]:
        for row, passage in enumerate(passages(1000)):
            yield replace(passage, id=f"p{first}") if row == second else passage

    with pytest.raises(InputError, match=rf"the id 'p{first}': rows {first} and {second}"):
        build_collection(doubled(), HashEncoder(), folder, BuildSettings(shard_size=100))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "lone \ud800"}, r"'p3' \(row 3\).*U\+D800.*character 5"),
        ({"id": "\udcff"}, "lone surrogate"),
        ({"id": ""}, r"\(row 3\): its id is empty"),
        ({"title": None}, "title is NoneType"),
        ({"start": -1}, "offsets"),
        ({"start": 9, "end": 8}, "offsets"),
        ({"end": 2**63}, "offsets"),
        ({"end": 1.5}, "offsets"),
    ],
)
def test_passages_that_cannot_be_stored_are_refused(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    wrong = [*passages(3), replace(next(passages(1)), **{"id": "p3", **change})]
    with pytest.raises(InputError, match=message):
        build_collection(wrong, HashEncoder(), folder)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.nan, "float32", "'p13'.*NaN"),
        (-np.inf, "float16", "'p13'.*infinity"),
        (70_000.0, "float16", r"'p13'.*65504.*float32"),
        (0.0, "float32", "'p13'.*all zero"),
        (1e-9, "float16", "'p13'.*all zero in float16"),
    ],
)
def test_vectors_that_cannot_be_stored_are_refused(
    folder: Path, value: float, dtype: Any, message: str
) -> None:
    class Faulty(HashEncoder):
        def encode(self, passages: Sequence[Passage]) -> Any:
            array = super().encode(passages)
            for row, passage in enumerate(passages):
                if passage.id == "p13":
                    array[row] = value
            return array

    with pytest.raises(CollectionError, match=message):
        build(folder, 50, encoder=Faulty(), shard_size=10, dtype=dtype)


@pytest.mark.parametrize("shape", [(10, 9), (9, 8), (80,), (10, 8, 1)])
def test_vectors_of_the_wrong_shape_are_refused(folder: Path, shape: tuple[int, ...]) -> None:
    class Faulty(HashEncoder):
        def encode(self, passages: Sequence[Passage]) -> Any:
            return np.ones(shape, np.float32)

    with pytest.raises(CollectionError, match=r"from 'p0' on; expected floats of shape"):
        build(folder, 10, encoder=Faulty())


def test_wrong_settings_are_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="dtype"):
        BuildSettings(dtype="bfloat16")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="shard_size"):
        BuildSettings(shard_size=0)
    with pytest.raises(SettingsError, match="made_from"):
        build_collection(passages(1), HashEncoder(), folder, made_from={"x": {1, 2}})
    with pytest.raises(SettingsError, match="dim"):
        build_collection(passages(1), HashEncoder(dim=0), folder)
    assert not folder.exists()
