"""Documents put together again from passages: what is shown is what the source held."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.collection.builds import HashEncoder

from dpr.collection import Collection, build_collection
from dpr.collection.change import named, remove_documents
from dpr.errors import InputError
from dpr.records import Passage
from dpr.serve.reading import Around, around

TEXT = (
    "One king lives here. " * 3
    + "👑 Two queens of snow lived there.\n\nAnd a cat.  "
    + "Old. " * 40
)


def cut(size: int, step: int, document: str = "b") -> list[Passage]:
    """A document as passages, which leave characters out or share some."""
    return [
        Passage(f"{document}{n}", TEXT[n : n + size], start=n, end=n + size, document=document)
        for n in range(0, len(TEXT) - size, step)
    ]


def built(folder: Path, passages: list[Passage]) -> Collection:
    others = [Passage("a0", "A river.", end=8, document="a"), Passage("z0", "Snow.", document="z")]
    build_collection([others[0], *passages, others[1]], HashEncoder(), folder / "one")
    return Collection.open(folder / "one")


def shown(found: Around) -> list[tuple[int, str]]:
    """Where each stretch that is shown begins, as the page puts them together."""
    parts = [(one.missing, one.text) for one in found.before]
    parts.append((found.missing, found.passage.text))
    parts += [(one.missing, one.text) for one in found.after]
    at, places = 0, []
    for missing, text in parts:
        at += missing
        places.append((at, text))
        at += len(text)
    return places


@pytest.mark.parametrize(("size", "step"), [(20, 20), (19, 20), (20, 7), (10, 30)])
def test_every_stretch_stands_where_the_document_has_it(
    tmp_path: Path, size: int, step: int
) -> None:
    passages = cut(size, step)
    collection = built(tmp_path, passages)
    covered = {at for one in passages for at in range(one.start, one.end)}
    for passage in passages:
        found = around(collection, passage.id)
        assert found.passage == passage
        places = shown(found)
        assert all(TEXT[at : at + len(text)] == text for at, text in places)
        assert {at + n for at, text in places for n in range(len(text))} == covered
        assert sum(len(text) for _, text in places) == len(covered)  # nothing twice
        assert (passage.start, passage.text) in places
        assert not found.more_before and not found.more_after


def test_of_a_long_document_a_part_is_shown(tmp_path: Path) -> None:
    passages = cut(10, 10)
    collection = built(tmp_path, passages)
    found = around(collection, passages[5].id, most=2)
    assert [text for _, text in shown(found)] == [one.text for one in passages[3:8]]
    assert found.more_before and found.more_after
    assert shown(found)[0][0] == passages[3].start
    first, last = (around(collection, passages[n].id, most=2) for n in (0, -1))
    assert (first.more_before, first.more_after) == (False, True)
    assert (last.more_before, last.more_after) == (True, False)


def test_what_was_removed_is_not_shown(tmp_path: Path) -> None:
    older = built(tmp_path, cut(10, 10))
    remove_documents(tmp_path / "one", named(["b"]))
    newer = Collection.open(tmp_path / "one")
    assert shown(around(newer, "a0")) == [(0, "A river.")]
    assert around(older, "b0").passage.text == TEXT[:10]
    with pytest.raises(InputError, match="no passage"):
        around(newer, "b0")


def test_passages_without_places_stand_alone(tmp_path: Path) -> None:
    collection = built(tmp_path, [Passage(f"p{n}", "The king.", document="d") for n in range(3)])
    found = around(collection, "p1")
    assert (found.before, found.after, found.missing) == ((), (), 0)
    assert found.passage.text == "The king."
