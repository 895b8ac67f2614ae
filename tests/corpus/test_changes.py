from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from dpr.corpus import (
    Changed,
    Kept,
    Problems,
    SourceSettings,
    changes,
    document_digest,
    files,
    read_changes,
    read_documents,
)
from dpr.errors import InputError
from dpr.records import Document, Section

SKIP = SourceSettings(on_error="skip")
DOCUMENT = Document("a", "text", "T", "a.md", (Section(0, "s"),), {"x": 1, "y": [2]})


def known(source: Any, settings: SourceSettings = SKIP) -> dict[str, str]:
    found = read_changes(source, {}, settings, Problems())
    return {one.document.id: one.digest for one in found if isinstance(one, Changed)}


def told(source: Any, before: Mapping[str, str], problems: Problems | None = None) -> list[str]:
    """``+id`` for what changed, ``=id`` for what is the same, ``?id`` for what cannot be read."""
    return [
        f"+{one.document.id}" if isinstance(one, Changed) else f"{'?' if one.note else '='}{one.id}"
        for one in read_changes(source, before, SKIP, problems or Problems())
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"id": "b"},
        {"text": "texT"},
        {"title": ""},
        {"sections": ()},
        {"sections": (Section(1, "s"),)},
        {"metadata": {"x": 1, "y": [3]}},
        {"metadata": {"x": "1", "y": [2]}},
        {"text": "tex", "title": "tT"},
    ],
)
def test_the_digest_is_of_what_is_searched_and_shown(other: dict[str, Any]) -> None:
    assert document_digest(replace(DOCUMENT, **other)) != document_digest(DOCUMENT)


def test_the_digest_is_not_of_where_it_stands_nor_of_the_order_of_metadata() -> None:
    moved = replace(DOCUMENT, source="b:7", metadata={"y": [2], "x": 1})
    assert document_digest(moved) == document_digest(DOCUMENT)
    # Collections hold it: another way to take it would make all documents new.
    held = b'["a","text","T",[[0,"s"]],{"x":1,"y":[2]}]'
    expected = blake2b(held, digest_size=16, person=b"dpr document").hexdigest()
    assert document_digest(DOCUMENT) == expected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "b.md", "sub/c.html", "sub/d.txt"):
        (tmp_path / name).write_text(f"text of {name}")
    return tmp_path


def test_with_nothing_known_all_documents_come(folder: Path) -> None:
    found = list(read_changes(folder))
    assert all(isinstance(one, Changed) for one in found)
    assert [one.document for one in found if isinstance(one, Changed)] == list(
        read_documents(folder)
    )


def test_only_what_changed_in_a_folder_is_made_into_documents(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = known(folder)
    assert told(folder, before) == ["=a.txt", "=b.md", "=sub/c.html", "=sub/d.txt"]
    (folder / "b.md").write_text("other text")
    (folder / "new.txt").write_text("text")
    (folder / "sub" / "d.txt").unlink()
    os.utime(folder / "a.txt", (1, 1))
    made: list[str] = []
    for name, reader in files.READERS.items():

        def watched(data: bytes, source: str, reader: Any = reader) -> Any:
            made.append(Path(source).name)
            return reader(data, source)

        monkeypatch.setitem(files.READERS, name, watched)
    assert told(folder, before) == ["=a.txt", "+b.md", "+new.txt", "=sub/c.html"]
    assert made == ["b.md", "new.txt"]


def test_a_file_is_told_by_its_name_too_and_by_how_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = known(folder)
    (folder / "a.txt").rename(folder / "a.md")
    assert told(folder, {**before, "a.md": before["a.txt"]})[0] == "+a.md"
    monkeypatch.setattr(changes, "READERS_VERSION", changes.READERS_VERSION + 1)
    assert all(one.startswith("+") for one in told(folder, before))


def test_a_file_that_cannot_be_read_any_more_does_not_vanish(folder: Path) -> None:
    before = known(folder)
    (folder / "a.txt").write_bytes(b"\xff")
    (folder / "new.txt").write_bytes(b"\xff")  # never was one
    (folder / "b.md").write_text(" ")  # is empty now, which is no fault of it
    problems = Problems()
    found = list(read_changes(folder, before, SKIP, problems))
    assert [one.id for one in found if isinstance(one, Kept)] == [
        "a.txt",
        "sub/c.html",
        "sub/d.txt",
    ]
    assert isinstance(found[0], Kept)
    assert found[0].digest == before["a.txt"]
    assert "not UTF-8" in found[0].note
    assert (problems.count, problems.hidden) == (3, 2)
    with pytest.raises(InputError, match=r"a\.txt:1: not UTF-8"):
        list(read_changes(folder, before))


def test_what_a_folder_holds_that_cannot_be_listed_does_not_vanish(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = known(folder)
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "sub":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (folder / "a.txt").unlink()
    assert told(folder, before) == ["=b.md", "?sub/c.html", "?sub/d.txt"]


def test_a_single_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    before = known(path)
    assert told(path, before) == ["=a.txt"]
    path.write_text("more text")
    assert told(path, before) == ["+a.txt"]


def write(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows))
    return path


def test_rows_of_a_table(tmp_path: Path) -> None:
    one, two, three = ({"id": name, "text": f"text {name}"} for name in "abc")
    path = write(tmp_path / "a.jsonl", one, two, three)
    before = known(path)
    write(path, three, {**two, "metadata": {"a": 1}}, one, {"id": "d", "text": "x"})
    assert told(path, before) == ["=c", "+b", "=a", "+d"]
    write(path, one)
    assert told(path, before) == ["=a"]


@pytest.mark.parametrize("bad", ["{", {"id": "b", "text": ""}, {"id": "b"}])
def test_no_document_vanishes_for_a_row_that_may_hide_it(tmp_path: Path, bad: Any) -> None:
    rows = [{"id": name, "text": f"text {name}"} for name in "abc"]
    path = write(tmp_path / "a.jsonl", *rows)
    before = known(path)
    write(path, rows[0], bad)
    assert told(path, before) == ["=a", "?b", "?c"]
    with pytest.raises(InputError):
        list(read_changes(path, before))


def test_an_id_that_comes_twice_hides_nothing(tmp_path: Path) -> None:
    rows = [{"id": name, "text": f"text {name}"} for name in "abc"]
    path = write(tmp_path / "a.jsonl", *rows)
    before = known(path)
    write(path, rows[0], rows[0])
    problems = Problems()
    assert told(path, before, problems) == ["=a"]
    assert (problems.count, problems.hidden) == (1, 0)


@pytest.mark.parametrize("as_documents", [False, True])
def test_rows_and_documents_of_a_program(as_documents: bool) -> None:
    rows: list[Any] = [{"id": name, "text": f"text {name}"} for name in "abc"]
    if as_documents:
        rows = list(read_documents(rows))
    before = known(rows)
    assert told(rows[1:], before) == ["=b", "=c"]
    assert told(iter(rows), {}) == ["+a", "+b", "+c"]


def test_the_topics_of_python() -> None:
    before = known("pydoc")
    assert told("pydoc", before) == [f"={name}" for name in before]


def test_a_source_with_nothing_in_it_is_told_rather_than_taken_for_all_gone(folder: Path) -> None:
    before = known(folder)
    for path in folder.rglob("*.*"):
        path.unlink()
    with pytest.raises(InputError, match="holds no document"):
        list(read_changes(folder, before))
