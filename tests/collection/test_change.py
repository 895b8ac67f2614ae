"""Changes: what is there afterwards is what a plain list of documents says, in every version."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import HashEncoder, build, passages, vector_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpr.collection import (
    Collection,
    Entry,
    add_documents,
    build_collection,
    compact,
    named,
    read_manifest,
    remove_documents,
    small_segments,
    verify,
    write_parts,
)
from dpr.collection.build import BuildSettings
from dpr.collection.parts import Bench
from dpr.collection.segment import SegmentReader
from dpr.errors import CollectionError, InputError, MismatchError
from dpr.records import Passage

Documents = dict[str, list[Passage]]


def document(name: str, count: int, edition: int = 0) -> list[Passage]:
    return [
        Passage(
            f"{name}#{number}", f"{name} {number} of edition {edition}", name.title(),
            "", f"{name}.md", number, number + 9, name, {"edition": edition},
        )
        for number in range(count)
    ]  # fmt: skip


def entries(documents: Sequence[list[Passage]]) -> Iterator[Entry]:
    for one in documents:
        for passage in one:
            yield Entry(passage, f"digest of {passage.document} {passage.metadata}", "0")


def start(folder: Path, documents: Documents, dtype: Any = "float16") -> None:
    build_collection(
        entries(list(documents.values())),
        HashEncoder(),
        folder,
        BuildSettings(dtype, 4),
        "question",
    )


def assert_holds(folder: Path, documents: Documents) -> None:
    """The collection has exactly these passages, each with its vector."""
    assert verify(folder) == []
    with Collection.open(folder, check="full") as collection:
        found = {passage.id: passage for passage in collection}
        assert found == {p.id: p for one in documents.values() for p in one}
        assert len(collection) == len(found) == len(collection.live_rows())
        counts: dict[str, int] = {}
        for one in collection.documents():
            counts[one.id] = counts.get(one.id, 0) + one.rows
            assert one.digest == f"digest of {one.id} {documents[one.id][0].metadata}"
            assert (one.origin, one.source) == ("0", f"{one.id}.md")
        assert counts == {name: len(one) for name, one in documents.items()}
        for segment, begin in zip(collection.segments, collection.starts, strict=False):
            for row in range(segment.rows):
                if collection.live is None or collection.live[begin + row]:
                    passage = collection.passage(begin + row)
                    assert collection.row_of(passage.id) == begin + row
                    rows = collection.document_rows(begin + row)
                    assert collection.ids(rows) == [p.id for p in documents[passage.document]]
                    wanted = vector_of(passage)
                    got = segment.vectors[row].astype(np.float32)
                    if segment.scales is not None:
                        got = got * segment.scales[row]
                        assert np.abs(got - wanted).max() <= segment.scales[row] * 0.51
                    else:
                        np.testing.assert_array_equal(got, wanted)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 9))),
        st.tuples(st.just("remove"), st.lists(st.sampled_from("abcdefg"), max_size=3)),
        st.tuples(st.just("compact"), st.none()),
    ),
    max_size=6,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, dtype=st.sampled_from(["float16", "float32", "int8"]))
def test_any_changes_equal_those_of_a_dictionary(
    steps: list[Any], dtype: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("changes") / "c"
    documents: Documents = {"a": document("a", 5), "z": document("z", 1)}
    start(folder, documents, dtype)
    for number, (step, what) in enumerate(steps, 1):
        version = read_manifest(folder).version
        if step == "add":
            new = {name: document(name, count, number) for name, count in what.items()}
            replaced = sum(len(documents.get(name, [])) for name in new)
            done = add_documents(folder, entries(list(new.values())), HashEncoder(), shard_size=4)
            assert (done.added, done.removed) == (sum(map(len, new.values())), replaced)
            documents |= new
        elif step == "remove":
            gone = sum(len(documents.get(name, [])) for name in set(what))
            done = remove_documents(folder, named(what))
            assert (done.added, done.removed) == (0, gone)
            documents = {name: one for name, one in documents.items() if name not in what}
        else:
            done = compact(folder, shard_size=4)
            assert (done.added, done.removed) == (0, 0)
            assert len(done.manifest.segments) == 1 and not done.manifest.segments[0].deleted
        changed = done.added or done.removed or done.manifest.version != version
        assert done.manifest.version == version + bool(changed)
        assert_holds(folder, documents)


def test_readers_keep_their_version_and_find_the_newer_one(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    start(folder, {"a": document("a", 6), "b": document("b", 3)})
    old = Collection.open(folder)
    assert old.current() is old
    add_documents(folder, entries([document("a", 2, 1)]), HashEncoder())
    compact(folder)
    assert [passage.id for passage in old][:6] == [f"a#{number}" for number in range(6)]
    assert len(old) == 9 and old.version == 1
    new = old.current()
    assert new.version == 3 and len(new) == 5 and new.current() is new
    assert new.passages([new.row_of("a#1")]) == [document("a", 2, 1)[1]]
    remove_documents(folder, named(["b"]))
    newest = new.current()
    assert newest.segments[0].vectors is new.segments[0].vectors  # opened once
    assert len(newest) == 2 and len(new) == 5 and len(old) == 9


def test_a_collection_made_anew_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    build(folder, 20)
    old = Collection.open(folder)
    build(folder, 30, changed=3, overwrite=True)
    assert list(old.current()) == list(passages(30, changed=3))
    assert list(old) == list(passages(20))


def test_what_cannot_be_changed_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    with pytest.raises(CollectionError, match="no such folder"):
        remove_documents(folder, named(["a"]))
    assert not folder.exists()
    start(folder, {"a": document("a", 2)})
    before = read_manifest(folder)
    with pytest.raises(InputError, match="no passage would be left"):
        remove_documents(folder, named(["a"]))
    with pytest.raises(MismatchError, match=r"encoder-one.*encoder-two"):
        add_documents(folder, [], HashEncoder(fingerprint="encoder-two"))
    same = Passage("a#1", "another", document="b")
    with pytest.raises(InputError, match=r"'a#1'.*document 'a' \(a\.md\).*rename"):
        add_documents(folder, [same], HashEncoder())
    with pytest.raises(CollectionError, match=r"0001.*do not follow"):
        compact(folder, which=["0007"])
    assert read_manifest(folder) == before
    assert_holds(folder, {"a": document("a", 2)})
    assert add_documents(folder, [], HashEncoder()).manifest == before


def test_an_interrupted_addition_goes_on_and_removals_do_not_disturb_it(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    documents = {name: document(name, 5) for name in "abcd"}
    start(folder, {"a": documents["a"], "x": document("x", 2)})

    more = [documents[name] for name in "bcd"]
    with pytest.raises(KeyboardInterrupt):
        add_documents(folder, entries(more), Stopped(), shard_size=4)
    assert_holds(folder, {"a": documents["a"], "x": document("x", 2)})
    remove_documents(folder, named(["x"]))
    encoder = HashEncoder()
    done = add_documents(folder, entries(more), encoder, shard_size=4)
    assert encoder.calls == 2 and done.added == 15
    assert_holds(folder, documents)
    assert not (folder / "building").exists()


class Stopped(HashEncoder):
    def encode(self, passages: Sequence[Passage]) -> Any:
        if self.calls == 2:
            raise KeyboardInterrupt
        return super().encode(passages)


def test_what_was_decided_on_another_version_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    start(folder, {"a": document("a", 2), "b": document("b", 2)})
    remove_documents(folder, named(["b"]), version=1)
    before = read_manifest(folder)
    more = [document("c", 5), document("d", 5)]
    changes: list[Callable[[int], Any]] = [
        lambda version: add_documents(
            folder, entries(more), HashEncoder(), shard_size=4, version=version
        ),
        lambda version: compact(folder, version=version),
        lambda version: write_parts(folder, lambda *_: [Lengths()], version=version),
        lambda version: remove_documents(folder, named(["c"]), version=version),
    ]
    for change in changes:
        with pytest.raises(CollectionError, match="version 1 was read, version 2 is there now"):
            change(1)
        assert read_manifest(folder) == before
        assert not (folder / "building").exists()
    with pytest.raises(KeyboardInterrupt):
        add_documents(folder, entries(more), Stopped(), shard_size=4, version=2)
    going_on = HashEncoder()
    add_documents(folder, entries(more), going_on, shard_size=4, version=2)
    assert going_on.calls == 1  # what was unfinished is of this version
    for number, change in enumerate(changes[1:], 3):
        change(number)
        assert read_manifest(folder).version == number + 1


def _parts(folder: Path) -> None:
    write_parts(folder, lambda *_: [Lengths()], drop=["lengths"])
    assert [one.name for one in (folder / "building").glob("lengths*")] == []


def _no_parts(folder: Path) -> None:
    version = read_manifest(folder).version
    assert write_parts(folder, lambda *_: []).version == version


def _nothing(folder: Path) -> None:
    version = read_manifest(folder).version
    assert add_documents(folder, [], HashEncoder()).manifest.version == version


def _only_gone(folder: Path) -> None:
    assert add_documents(folder, [], HashEncoder(), gone=["x"]).removed == 2


def _everything(folder: Path) -> None:
    with pytest.raises(InputError, match="no passage would be left"):
        remove_documents(folder, named(["a", "x"]))


@pytest.mark.parametrize("between", [_parts, _no_parts, _nothing, _only_gone, _everything])
def test_an_interrupted_addition_outlives_what_begins_no_segment(
    tmp_path: Path, between: Callable[[Path], None]
) -> None:
    folder = tmp_path / "c"
    start(folder, {"a": document("a", 5), "x": document("x", 2)})
    more = [document(name, 5) for name in "bcd"]
    with pytest.raises(KeyboardInterrupt):
        add_documents(folder, entries(more), Stopped(), shard_size=4)
    between(folder)
    encoder = HashEncoder()
    add_documents(folder, entries(more), encoder, gone=["x"], shard_size=4)
    assert encoder.calls == 2
    assert_holds(folder, {name: document(name, 5) for name in "abcd"})
    assert not (folder / "building").exists()


def test_parts_that_were_not_chosen_do_not_stay(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    start(folder, {"a": document("a", 5)})
    more = entries([document(name, 5) for name in "bcd"])
    with pytest.raises(KeyboardInterrupt):
        add_documents(folder, more, Stopped(), shard_size=4)

    def makers(segment: SegmentReader, trying: Any) -> list[Lengths]:
        for factor in (1, 2, 3):
            trying(Lengths(factor))
        return [Lengths(2)]

    write_parts(folder, makers)
    assert {one.name for one in (folder / "building").iterdir()} == {"progress.json", "segment"}
    assert len(list((folder / "parts").iterdir())) == 1 and verify(folder) == []


def test_small_segments_become_one(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    documents = {"a": document("a", 200)}
    start(folder, documents)
    for number in range(8):
        assert small_segments(read_manifest(folder)) == []
        name = f"n{number}"
        documents[name] = document(name, 2)
        add_documents(folder, entries([documents[name]]), HashEncoder())
    names = small_segments(read_manifest(folder))
    assert len(names) == 8 and "0001" not in names
    compact(folder, which=names)
    assert [segment.rows for segment in read_manifest(folder).segments] == [200, 16]
    assert_holds(folder, documents)


class Lengths:
    """A part that holds the length of each text."""

    kind = "lengths"

    def __init__(self, factor: int = 1, stop: bool = False) -> None:
        self.settings = {"factor": factor}
        self.stop = stop
        self.made: list[str] = []

    def make(self, segment: SegmentReader, bench: Bench) -> list[str]:
        for name in ("first", "second"):
            if bench.kept(name) is None:
                if self.stop and name == "second":
                    raise KeyboardInterrupt
                self.made.append(name)
                bench.keep(name, [b"%d" % (segment.rows * self.settings["factor"]), b"!"])
        return ["first", "second"]


def test_parts_are_made_kept_and_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    start(folder, {"a": document("a", 6)})
    stopped, going_on = Lengths(stop=True), Lengths()
    with pytest.raises(KeyboardInterrupt):
        write_parts(folder, lambda segment, trying: [stopped])
    assert verify(folder) == [] and read_manifest(folder).version == 1
    write_parts(
        folder,
        lambda segment, trying: [going_on],
        change=lambda old: replace(old, search={"mode": "dense"}),
    )
    assert stopped.made == ["first"] and going_on.made == ["second"]
    assert read_manifest(folder).search == {"mode": "dense"}
    unchanged = read_manifest(folder)
    assert write_parts(folder, lambda segment, trying: [Lengths()]) == unchanged
    with Collection.open(folder) as collection:
        (segment,) = collection.segments
        part, files = segment.part("lengths") or (None, {})
        assert part and part.settings == {"factor": 1}
        write_parts(folder, lambda segment, trying: [Lengths(2)])  # the old one's files are gone
        assert {name: path.read_bytes() for name, path in files.items()} == {
            "first": b"6!", "second": b"6!",
        }  # fmt: skip
    add_documents(folder, entries([document("b", 2)]), HashEncoder(), makers=[Lengths(2)])
    with Collection.open(folder, check="full") as collection:
        found = [(segment.part("lengths") or (0, {}))[1] for segment in collection.segments]
        assert [files["first"].read_bytes() for files in found] == [b"12!", b"4!"]
    assert len(list((folder / "parts").iterdir())) == 2
    write_parts(folder, lambda segment, trying: [], drop=["lengths"])
    assert list((folder / "parts").iterdir()) == [] and verify(folder) == []
