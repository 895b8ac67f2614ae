from __future__ import annotations

import os
from pathlib import Path

import pytest

from dpr.corpus import Changed, Kept, Problems, SourceSettings, read_changes, read_documents
from dpr.errors import InputError

SKIP = SourceSettings(on_error="skip")


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.txt").write_text("no")
    (tmp_path / "b" / "z.MD").write_text("intro\n\n# Z one\n\ntext\n")
    (tmp_path / "b" / "a.rst").write_text("Aye\n===\n\ntext\n")
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r")
    (tmp_path / "c.html").write_text("<h1>Sea</h1>text")
    (tmp_path / "d.htm").write_text("<p>text</p>")
    (tmp_path / "e.txt").write_text(" \n")
    (tmp_path / "f.py").write_text("no")
    (tmp_path / "README").write_text("no")
    (tmp_path / "loop").symlink_to(tmp_path)
    problems = Problems()
    documents = list(read_documents(tmp_path, problems=problems))
    assert [(d.id, d.title) for d in documents] == [
        ("b.txt", "b"),
        ("b/a.rst", "Aye"),
        ("b/z.MD", "Z one"),
        ("c.html", "Sea"),
        ("d.htm", "d"),
    ]
    assert [d.source for d in documents] == [str(tmp_path / d.id) for d in documents]
    assert documents[0].text == "one\r\ntwo\r"
    assert [section.title for section in documents[2].sections] == ["Z one"]
    assert [item.source for item in problems.items] == [str(tmp_path / "e.txt")]
    names = [Path(path).name for path in problems.ignored_items]
    assert names == [".git", "README", "f.py", "loop"]


def test_the_order_does_not_depend_on_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.txt", "a.txt", "B.txt", "é.txt"):
        (tmp_path / name).write_text(name)
    scandir = os.scandir
    for key in (False, True):
        monkeypatch.setattr(
            os,
            "scandir",
            lambda path, key=key: sorted(scandir(path), key=lambda e: e.name, reverse=key),
        )
        ids = [document.id for document in read_documents(tmp_path)]
        assert ids == ["B.txt", "a.txt", "b.txt", "é.txt"]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.txt", b"one\ntwo \xff", r"a\.txt:2: not UTF-8: byte 0xff at byte 8"),
        ("a.txt", b"\xef\xbb\xbfa\n\xe9", r"a\.txt:2: not UTF-8: byte 0xe9 at byte 5"),
        ("a.md", b"one\n\ntwo\0", r"a\.md:3: NUL byte at byte 8"),
        ("a.txt", "text".encode("utf-16"), "UTF-16"),
        ("a.html", b"<![odd[ x", "cannot be read as HTML"),
    ],
)
def test_malformed_files_are_told_or_skipped(
    tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "z.txt").write_text("text")
    with pytest.raises(InputError, match=told):
        list(read_documents(tmp_path))
    with pytest.raises(InputError, match=told):
        list(read_documents(tmp_path / name))
    problems = Problems()
    assert [d.id for d in read_documents(tmp_path, SKIP, problems)] == ["z.txt"]
    assert problems.count == 1


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_text("text")
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    with pytest.raises(InputError, match=r"udcff\.txt: the path has a lone surrogate"):
        list(read_documents(tmp_path))


def test_a_file_goes_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "a.txt"
    path.parent.mkdir()
    path.write_text("text")
    assert [document.id for document in read_documents(path)] == ["a.txt"]
    path.write_text("")
    with pytest.raises(InputError, match="empty"):
        list(read_documents(path))


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="closed: cannot be read: Permission denied"):
        list(read_documents(tmp_path))
    problems = Problems()
    assert [document.id for document in read_documents(tmp_path, SKIP, problems)] == ["a.txt"]
    assert problems.count == 1


def test_a_link_to_itself_is_malformed_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.txt").symlink_to("b.txt")
    (tmp_path / "other").symlink_to("other")
    with pytest.raises(InputError, match=r"b\.txt: cannot be read: Too many levels"):
        list(read_documents(tmp_path))
    problems = Problems()
    found = list(read_changes(tmp_path, {"b.txt": "before"}, SKIP, problems))
    assert isinstance(found[0], Changed) and found[0].document.id == "a.txt"
    assert isinstance(found[1], Kept) and (found[1].id, found[1].digest) == ("b.txt", "before")
    assert (problems.count, problems.ignored) == (1, 1)
