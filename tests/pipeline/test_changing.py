"""Documents come and go: what a collection holds afterwards is what a fresh build of the same
documents holds, and only what is new was encoded."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr.collection import Collection, verify
from dpr.corpus import SourceSettings
from dpr.encoding import ContextEncoder, Vectors
from dpr.errors import CollectionError, InputError, MismatchError, SettingsError
from dpr.filters import parse_filters
from dpr.pipeline import Pipeline, add, changing, compact, index, remove, sync
from dpr.pipeline.changing import to_remove
from dpr.records import Document

from .changes import SPLIT, TEXTS, check_fresh, held


def search_finds_exactly(place: Path) -> None:
    """Every way of searching finds what is there, and nothing else."""
    with Pipeline.open(place, read=False) as pipeline:
        ids = set(held(place))
        for mode in ("dense", "hybrid"):
            hits = pipeline.search("the king", 1000, mode=mode)
            assert {hit.passage.id for hit in hits} == ids
        assert {hit.passage.id for hit in pipeline.search("king", 1000, mode="bm25")} <= ids


def test_what_did_not_change_is_not_encoded_and_makes_no_version(
    folder: Path, made: Path, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = held(made).keys()
    monkeypatch.chdir(folder.parent)
    for change in (add, sync):
        for source in (folder, str(folder), "source", folder.parent / "source" / ".." / "source"):
            done = change(source, made)
            assert (done.added, done.removed, done.encoded, done.documents) == (0, 0, 0, 0)
            assert (done.unchanged, done.gone, done.manifest.version) == (4, 0, 1)
    assert not encoded
    assert held(made).keys() == before


def test_only_passages_that_changed_are_encoded(
    folder: Path, made: Path, encoded: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    before = held(made)
    words = TEXTS["a.txt"].split()
    words[9] = "forest"  # in the second passage, "words:8"
    (folder / "a.txt").write_text(" ".join(words) + " ", encoding="utf-8")
    done = sync(folder, made)
    assert encoded == [" ".join(words[8:16])]
    assert (done.documents, done.replaced, done.gone, done.unchanged) == (1, 1, 0, 3)
    assert (done.encoded, done.added, done.removed) == (1, 5, 5)
    assert done.manifest.version == 2
    after = held(made)
    for name, (passage, vector) in after.items():
        if passage.text != encoded[0]:
            assert np.array_equal(vector, before[name][1])
    check_fresh(made, folder, tiny_model, tmp_path)
    search_finds_exactly(made)


def test_files_come_go_move_and_are_emptied(
    folder: Path, made: Path, encoded: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    (folder / "a.txt").unlink()
    (folder / "b.md").rename(folder / "renamed.md")
    (folder / "d.txt").write_text(" \n", encoding="utf-8")
    (folder / "new.txt").write_text("A young man in Paris.", encoding="utf-8")
    done = sync(folder, made)
    assert (done.documents, done.replaced, done.gone, done.unchanged) == (2, 0, 3, 1)
    assert any("Paris" in text for text in encoded)
    assert not any("Rhine" in text for text in encoded)
    documents = {one.document for one, _ in held(made).values()}
    assert documents == {"deep/c.txt", "renamed.md", "new.txt"}
    check_fresh(made, folder, tiny_model, tmp_path)
    search_finds_exactly(made)


def test_adding_leaves_what_the_source_no_longer_has(
    folder: Path, made: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (folder / "a.txt").unlink()
    (folder / "d.txt").write_text("", encoding="utf-8")
    (folder / "new.txt").write_text("A young man in Paris.", encoding="utf-8")
    done = add(folder, made)
    assert (done.documents, done.replaced, done.gone) == (1, 0, 0)
    documents = {one.document for one, _ in held(made).values()}
    assert documents == {*TEXTS, "new.txt"}
    sync(folder, made)
    check_fresh(made, folder, tiny_model, tmp_path)


def test_a_malformed_file_that_is_skipped_stays_as_it_was(
    folder: Path, made: Path, encoded: list[str]
) -> None:
    before = held(made)
    (folder / "a.txt").write_bytes(b"no \xff\xfe text")
    with pytest.raises(InputError, match=r"a\.txt"):
        sync(folder, made)
    assert held(made).keys() == before.keys()
    (folder / "d.txt").write_text("eight", encoding="utf-8")
    done = sync(folder, made, reading={"on_error": "skip"})
    assert done.problems.count == 1
    assert encoded == ["eight"]
    after = held(made)
    for name, (passage, vector) in before.items():
        if passage.document == "a.txt":
            assert after[name][0] == passage
            assert np.array_equal(after[name][1], vector)


def test_a_source_that_is_read_or_cut_otherwise_is_replaced_as_a_whole(
    folder: Path, made: Path, encoded: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    done = sync(folder, made, split="words:5")
    assert (done.documents, done.replaced, done.gone) == (4, 4, 0)
    check_fresh(made, folder, tiny_model, tmp_path, split="words:5")
    encoded.clear()
    # It is cut so from now on.
    (folder / "d.txt").write_text("one two three four five six seven eight", encoding="utf-8")
    assert sync(folder, made).documents == 1
    assert encoded == ["six seven eight"]
    check_fresh(made, folder, tiny_model, tmp_path, split="words:5")


def test_two_sources_keep_to_themselves(
    folder: Path, made: Path, encoded: list[str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder / "deep", other)
    (other / "e.txt").write_text("The cat of the man.", encoding="utf-8")
    done = sync(other, made)  # "c.txt" and "e.txt"; the first source's stay
    assert (done.documents, done.gone) == (2, 0)
    with Collection.open(made) as collection:
        assert {one.id for one in collection.documents()} == {*TEXTS, "c.txt", "e.txt"}
        assert [one["split"] for one in collection.manifest.made_from["sources"]] == [SPLIT] * 2
    encoded.clear()
    assert sync(folder, made).gone == sync(other, made).gone == 0
    assert not encoded
    (other / "c.txt").unlink()
    assert sync(other, made).gone == 1
    (other / "e.txt").rename(other / "a.txt")
    with pytest.raises(InputError, match=r"document 'a\.txt' already.*source/a\.txt.*--replace"):
        sync(other, made)
    assert {*TEXTS} <= {one.document for one, _ in held(made).values()}
    done = sync(other, made, replace=True)
    assert (done.documents, done.replaced, done.gone) == (1, 1, 1)
    texts = [one.text for one, _ in held(made).values() if one.document == "a.txt"]
    assert texts == ["The cat of the man."]


class Power(BaseException):
    """Stands for a kill."""


def test_an_interrupted_sync_goes_on(
    folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path
) -> None:
    for number in range(6):
        (folder / f"n{number}.txt").write_text(f"The king number {number}.", encoding="utf-8")
    encode, texts = ContextEncoder.encode, list[str]()

    def failing(self: ContextEncoder, passages: Sequence[Any], *more: Any) -> Vectors:
        if len(texts) == 3:
            raise Power
        texts.extend(passage.text for passage in passages)
        return encode(self, passages, *more)

    with monkeypatch.context() as patched:
        patched.setattr(ContextEncoder, "encode", failing)
        with pytest.raises(Power):
            sync(folder, made, shard_size=1)
    assert {one.document for one, _ in held(made).values()} == set(TEXTS)
    done = sync(folder, made, shard_size=1)
    assert (done.documents, done.added, done.encoded) == (6, 6, 3)
    check_fresh(made, folder, tiny_model, tmp_path)


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Something is changed while the model of the next change is loaded."""
    load, left = ContextEncoder.from_pretrained, [change]

    def loading(*args: Any) -> Any:
        if left:
            left.pop()()
        return load(*args)

    monkeypatch.setattr(ContextEncoder, "from_pretrained", loading)


def test_of_two_additions_side_by_side_the_second_is_refused_and_loses_nothing(
    folder: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for place in (one, other):
        place.mkdir()
        (place / "same.txt").write_text(f"The king of {place.name}.", encoding="utf-8")
    meanwhile(monkeypatch, lambda: add(one, made))
    with pytest.raises(CollectionError, match=r"version 1 was read, version 2 is there now.*again"):
        add(other, made)
    with pytest.raises(InputError, match="--replace"):
        add(other, made)
    (other / "same.txt").rename(other / "own.txt")
    assert add(other, made).documents == 1
    with Collection.open(made) as collection:
        sources = [Path(each["path"]).name for each in collection.manifest.made_from["sources"]]
        origins = {each.id: each.origin for each in collection.documents()}
    assert sources == ["source", "one", "other"]
    assert (origins["same.txt"], origins["own.txt"]) == ("1", "2")
    assert sync(other, made).gone == sync(one, made).gone == sync(folder, made).gone == 0


def test_what_was_chosen_from_an_older_version_is_not_removed(
    folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = changing.named

    def naming(ids: Any) -> Any:
        (folder / "b.md").write_text("---\nyear: 2020\n---\nnew", encoding="utf-8")
        sync(folder, made)
        return chosen(ids)

    monkeypatch.setattr(changing, "named", naming)
    with pytest.raises(CollectionError, match="version 1 was read, version 2 is there now"):
        remove(made, where=parse_filters(["year<2000"]))
    assert held(made)["b.md"][0].text.endswith("new")


@pytest.mark.parametrize("name", ["compact_segments", "check_growth"])
def test_what_fails_after_a_change_is_told_and_the_change_stays(
    folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def failing(*args: Any, **more: Any) -> Any:
        raise CollectionError("no space is left")

    monkeypatch.setattr(changing, name, failing)
    monkeypatch.setattr(changing, "small_segments", lambda manifest: ["0001", "0002"])
    if name == "check_growth":
        monkeypatch.setattr(changing, "small_segments", lambda manifest: [])
    (folder / "new.txt").write_text("A young man in Paris.", encoding="utf-8")
    done = sync(folder, made)
    assert (done.added, done.manifest.version) == (1, 2)
    assert done.note.startswith("the change is made") and "no space is left" in done.note
    assert "new.txt" in held(made)


def test_documents_in_memory_are_a_source_of_their_own(tiny_model: Path, tmp_path: Path) -> None:
    documents = [Document(f"d{n}", f"The king lives in city {n}.") for n in range(4)]
    done = sync(documents, tmp_path / "c", model=tiny_model)  # made, where there is none
    assert (done.documents, done.added, done.encoded, done.manifest.version) == (4, 4, 4, 1)
    documents[1] = Document("d1", "The queen lives in city 1.")
    done = sync(iter(documents[1:]), tmp_path / "c")
    assert (done.documents, done.replaced, done.gone, done.encoded) == (1, 1, 1, 1)
    assert list(held(tmp_path / "c")) == ["d2", "d3", "d1"]


def test_settings_of_reading_are_kept_and_replaced_one_by_one(
    tiny_model: Path, tmp_path: Path
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("key,body,year\na,the king,1990\nb,the queen,2001\n", encoding="utf-8")
    reading = SourceSettings(id_column="key", text_column="body")
    index(table, tmp_path / "c", model=tiny_model, reading=reading)
    table.write_text("key,body,year\na,the king,1990\nb,the cat,2001\n", encoding="utf-8")
    assert sync(table, tmp_path / "c").documents == 1
    done = sync(table, tmp_path / "c", reading={"metadata_columns": ("year",)})
    assert (done.documents, done.encoded) == (2, 0)  # other facts, the same texts
    facts = {one.id: one.metadata for one, _ in held(tmp_path / "c").values()}
    assert facts == {"a": {"year": "1990"}, "b": {"year": "2001"}}
    assert sync(table, tmp_path / "c").documents == 0
    with pytest.raises(SettingsError, match=r"unknown reading settings \['ids'\]; allowed: format"):
        sync(table, tmp_path / "c", reading={"ids": "key"})


def test_many_small_changes_become_one_segment(
    folder: Path, made: Path, encoded: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    segments = []
    for number in range(10):
        (folder / f"n{number}.txt").write_text(f"The king number {number}.", encoding="utf-8")
        sync(folder, made)
        with Collection.open(made) as collection:
            segments.append(len(collection.segments))
    assert max(segments) < 10
    assert len(encoded) == 10
    check_fresh(made, folder, tiny_model, tmp_path)
    search_finds_exactly(made)


def test_removing_by_id_and_by_filter(folder: Path, made: Path, encoded: list[str]) -> None:
    (folder / "b2.md").write_text("---\nyear: 1980\n---\nold", encoding="utf-8")
    sync(folder, made)
    encoded.clear()
    assert [one.id for one in to_remove(made, where=parse_filters(["year<2000"]))] == [
        "b.md",
        "b2.md",
    ]
    done = remove(made, ["d.txt"], where=parse_filters(["year<1985"]))
    assert (done.added, done.removed, done.manifest.version) == (0, 2, 3)
    assert {one.document for one, _ in held(made).values()} == {"a.txt", "b.md", "deep/c.txt"}
    search_finds_exactly(made)
    # What was replaced or removed is not there for filters either.
    assert not to_remove(made, where=parse_filters(["year<1985"]))
    (folder / "b.md").write_text("---\nyear: 2020\n---\nnew", encoding="utf-8")
    sync(folder, made)
    assert [one.id for one in to_remove(made, where=parse_filters(["year<2000"]))] == ["b2.md"]
    assert remove(made, where=parse_filters(["year=1492"])).manifest.version == 4


def test_what_cannot_be_removed(made: Path) -> None:
    before = held(made).keys()
    with pytest.raises(InputError, match=r"has no document 'absent'; nothing was removed"):
        remove(made, ["a.txt", "absent"])
    with pytest.raises(InputError, match="nothing to remove"):
        remove(made)
    with pytest.raises(SettingsError, match="removed as a whole"):
        remove(made, where=parse_filters(["section=Tale"]))
    with pytest.raises(InputError, match="no passage would be left"):
        remove(made, where=parse_filters(["source~*"]))
    assert held(made).keys() == before


def test_compacting_keeps_passages_vectors_and_hits(
    folder: Path, made: Path, encoded: list[str]
) -> None:
    (folder / "new.txt").write_text("A young man in Paris.", encoding="utf-8")
    sync(folder, made)
    remove(made, ["a.txt"])
    before = held(made)
    with Pipeline.open(made, read=False) as pipeline:
        hits = pipeline.search("the young king", 10)
        encoded.clear()
        done = compact(made)
        assert (done.added, done.removed, done.manifest.version) == (0, 0, 4)
        assert pipeline.search("the young king", 10) == hits
        assert pipeline.collection.version == 4
    after = held(made)
    assert list(after) == list(before)
    for name, (passage, vector) in after.items():
        assert passage == before[name][0]
        assert np.array_equal(vector, before[name][1])
    with Collection.open(made) as collection:
        assert [one.rows for one in collection.segments] == [len(before)]
    assert not encoded
    assert not verify(made)
    assert compact(made).manifest.version == 4
    assert sync(folder, made).documents == 1  # a.txt, which is in the folder still


def test_a_pipeline_answers_from_the_new_version_at_once(
    folder: Path, made: Path, tiny_model: Path
) -> None:
    with Pipeline.open(made, settings={"no_answer_below": 0.0}) as pipeline:
        asked = pipeline.ask("a young man in paris", 100)
        assert asked.version == 1
        (folder / "new.txt").write_text("A young man in Paris.", encoding="utf-8")
        sync(folder, made)
        asked = pipeline.ask("a young man in paris", 100, mode="bm25")
        assert (asked.version, asked.hits[0].passage.id) == (2, "new.txt")
        remove(made, ["new.txt"])
        asked = pipeline.ask("a young man in paris", 100)
        assert asked.version == 3
        assert "new.txt" not in {hit.passage.document for hit in asked.hits}


def test_the_collection_of_another_model_is_left_alone(
    made: Path, folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    import torch

    from dpr.models import DPRQuestionEncoder

    other = shutil.copytree(tiny_model, tmp_path / "other")
    model = DPRQuestionEncoder.from_pretrained(other / "encoder")
    with torch.no_grad():
        model.stack.embeddings.LayerNorm.weight.mul_(1.01)
    model.save_pretrained(other / "encoder")
    (folder / "new.txt").write_text("A young man in Paris.", encoding="utf-8")
    with pytest.raises(MismatchError, match="was made by the encoder with fingerprint"):
        sync(folder, made, model=other)
    with pytest.raises(CollectionError, match="there is no such folder"):
        add(folder, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
