"""Duplicates stay away from a collection that changes, and come when they are none any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dpr.corpus import DuplicateSettings
from dpr.errors import InputError
from dpr.pipeline import add, index, sync
from dpr.records import Document

from .changes import FLOAT32, SPLIT, TEXTS, check_fresh, held


@pytest.fixture
def doubled(folder: Path, tiny_model: Path, tmp_path: Path) -> Path:
    """A collection from which e.txt was left out, which is equal to d.txt."""
    (folder / "e.txt").write_text(TEXTS["d.txt"].upper(), encoding="utf-8")
    options = {"model": tiny_model, "split": SPLIT, "duplicates": DuplicateSettings()}
    done = index(folder, tmp_path / "doubled", build=FLOAT32, **options)
    assert done.duplicates.exact == 1
    assert done.documents == 4
    return tmp_path / "doubled"


def test_duplicates_stay_away_and_come_when_they_are_none_any_more(
    folder: Path, doubled: Path, encoded: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    options = {"duplicates": DuplicateSettings()}
    for change in (sync, add):
        assert change(folder, doubled).manifest.version == 1
    assert not encoded
    (folder / "f.txt").write_text("A young man in Paris.", encoding="utf-8")
    (folder / "g.txt").write_text("a young  man in paris.", encoding="utf-8")
    done = sync(folder, doubled)
    assert (done.documents, done.duplicates.exact) == (1, 2)
    check_fresh(doubled, folder, tiny_model, tmp_path, **options)
    (folder / "d.txt").write_text("Now another text.", encoding="utf-8")
    done = sync(folder, doubled)
    assert (done.documents, done.replaced) == (2, 1)
    check_fresh(doubled, folder, tiny_model, tmp_path, **options)
    # A document that becomes a duplicate leaves no passage of before.
    (folder / "g.txt").unlink()
    (folder / "e.txt").write_text("a young man in paris.", encoding="utf-8")
    done = sync(folder, doubled)
    assert (done.documents, done.gone) == (0, 1)
    assert "e.txt" not in {one.document for one, _ in held(doubled).values()}


def test_duplicates_are_looked_for_in_lists_only(tiny_model: Path, tmp_path: Path) -> None:
    documents = [Document("a", "the king"), Document("b", "The King")]
    index(documents, tmp_path / "c", model=tiny_model, duplicates=DuplicateSettings())

    def streamed() -> Iterator[Document]:
        yield from documents

    with pytest.raises(InputError, match="give a list"):
        sync(streamed(), tmp_path / "c")
    assert sync(documents, tmp_path / "c").manifest.version == 1


SHARED, OWN = "The king of the old city lives there.", "A young man in Paris."


@pytest.fixture
def parted(tmp_path: Path, tiny_model: Path) -> Path:
    """A collection of the folder "two" in which b.md has its second passage only, since its first
    one is that of a.md."""
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "a.md").write_text(SHARED, encoding="utf-8")
    (folder / "b.md").write_text(f"{SHARED} {OWN}", encoding="utf-8")
    (folder / "c.md").write_text("Another text.", encoding="utf-8")
    made = tmp_path / "parted"
    options = {"model": tiny_model, "split": SPLIT, "duplicates": DuplicateSettings()}
    assert index(folder, made, build=FLOAT32, **options).duplicates.exact == 1
    assert set(held(made)) == {"a.md", "b.md#1", "c.md"}
    return made


@pytest.mark.parametrize("change", [add, sync])
@pytest.mark.parametrize("gone", [True, False])
def test_a_passage_comes_back_once_the_one_that_it_repeats_is_gone(
    change: Any,
    gone: bool,
    parted: Path,
    encoded: list[str],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "two"
    if gone:
        (folder / "a.md").unlink()
        # Adding leaves a.md where it is, and b.md needs nothing.
        expected = (1, 2) if change is sync else (0, 3)
    else:
        (folder / "a.md").write_text("Now of another thing.", encoding="utf-8")
        expected = (2, 1)
    done = change(folder, parted)
    assert (done.documents, done.unchanged) == (
        expected[0],
        len(list(folder.iterdir())) - expected[0],
    )
    if expected[0]:
        assert sorted(encoded) == sorted([SHARED] if gone else [SHARED, "Now of another thing."])
        options = {"duplicates": DuplicateSettings()}
        check_fresh(parted, folder, tiny_model, tmp_path, **options)
    encoded.clear()
    assert change(folder, parted).manifest.version == done.manifest.version
    assert not encoded


@pytest.mark.parametrize("how", ["edited", "gone"])
def test_what_changes_between_the_two_readings_stops_the_sync(
    how: str, parted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpr.pipeline import passages

    folder, before = tmp_path / "two", held(parted)
    (folder / "new.md").write_text("What is new.", encoding="utf-8")
    read = passages.read_changes

    def reading(*arguments: Any) -> Iterator[Any]:
        yield from list(read(*arguments))
        monkeypatch.setattr(passages, "read_changes", read)
        if how == "edited":
            (folder / "b.md").write_text(f"{OWN} {SHARED} More.", encoding="utf-8")
        else:
            (folder / "b.md").unlink()

    monkeypatch.setattr(passages, "read_changes", reading)
    with pytest.raises(
        InputError, match=r"document 'b\.md' changed while it was read.*run it again"
    ):
        sync(folder, parted)
    assert held(parted).keys() == before.keys()
    assert sync(folder, parted).documents >= 1


def test_a_known_row_whose_id_is_taken_stays_where_such_are_skipped(
    tiny_model: Path, tmp_path: Path
) -> None:
    rows = [{"id": "a#0", "text": "the king"}, {"id": "a", "text": "the queen"}]
    index(rows, tmp_path / "c", model=tiny_model, split="words:2")
    rows = [{"id": "a#0", "text": "The King"}, {"id": "a", "text": "the queen of france"}]
    with pytest.raises(InputError, match="'a#0' is given twice"):
        sync(rows, tmp_path / "c")
    done = sync(rows, tmp_path / "c", reading={"on_error": "skip"})
    assert (done.problems.count, done.documents, done.gone) == (1, 1, 0)
    assert {one.text for one, _ in held(tmp_path / "c").values()} == {"The King", "the queen"}
