from __future__ import annotations

import doctest
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import dpr.corpus
from dpr.corpus import (
    Problems,
    SourceSettings,
    SplitSettings,
    read_documents,
    read_passages,
)
from dpr.corpus.sources import recognise
from dpr.errors import InputError, SettingsError


def test_exported_names() -> None:
    assert dpr.corpus.__all__ == [
        "Changed",
        "DuplicateSettings",
        "Kept",
        "PassageIds",
        "Problem",
        "Problems",
        "SourceSettings",
        "SplitSettings",
        "document_digest",
        "read_changes",
        "read_documents",
        "read_passages",
        "split_document",
    ]


def test_the_example() -> None:
    results = doctest.testmod(dpr.corpus)
    assert (results.failed, results.attempted) == (0, 3)


def test_importing_brings_in_nothing_heavy() -> None:
    code = "import sys, dpr.corpus; print([m for m in ('torch', 'pyarrow', 'pypdf', 'docx') "
    code += "if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PSGS = "id\ttext\ttitle\n1\tone\tA\n"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.txt", "x", "files"),
        ("a.HTML", "x", "files"),
        ("a.pdf", "x", "files"),
        ("psgs_w100.tsv", PSGS, "psgs"),
        ("a.tsv", "\ufeff" + PSGS.replace("\n", "\r\n"), "psgs"),
        ("a.tsv", "id\ttext\n1\tone\n", "tsv"),
        ("a.csv", "id,text\n", "csv"),
        ("a.jsonl", "{}", "jsonl"),
        ("a.ndjson.gz", None, "jsonl"),
        ("a.json", "{}", "squad"),
        ("a.parquet", "x", "parquet"),
        ("passages", PSGS, "psgs"),
        ("rows.dat", '\n{"id": "1", "text": "one"}\n{', "jsonl"),
        ("rows.bin", "PAR1....", "parquet"),
    ],
)
def test_formats_are_recognised(tmp_path: Path, name: str, data: str | None, expected: str) -> None:
    path = tmp_path / name
    path.write_text(data or "", encoding="utf-8", newline="")
    assert recognise(path) == expected


def test_folders_are_recognised(tmp_path: Path) -> None:
    assert recognise(tmp_path) == "files"
    (tmp_path / "corpus.jsonl.gz").touch()
    assert recognise(tmp_path) == "beir"


@pytest.mark.parametrize(
    ("name", "data"), [("a.docm", "text"), ("noextension", "text"), ("a.txt.gz", ""), ("a.x", "{")]
)
def test_what_is_not_recognised_is_told(tmp_path: Path, name: str, data: str) -> None:
    path = tmp_path / name
    path.write_text(data)
    with pytest.raises(InputError, match=r"psgs|gzip|\.parquet"):
        read_documents(path)


def test_a_source_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder; allowed is a folder"):
        read_documents(tmp_path / "none")


def test_a_folder_without_documents(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    with pytest.raises(InputError, match=r"(?s)holds no document; .*ignored 1 .*a\.py"):
        list(read_documents(tmp_path))


def test_a_folder_for_a_format_of_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the format csv needs a file"):
        read_documents(tmp_path, SourceSettings(format="csv"))


def test_columns_for_what_has_none(tmp_path: Path) -> None:
    settings = SourceSettings(text_column="body")
    (tmp_path / "a.txt").write_text("x")
    for source in (tmp_path, tmp_path / "a.txt", "pydoc"):
        with pytest.raises(SettingsError, match="columns are named"):
            read_documents(source, settings)
    path = tmp_path / "a.tsv"
    path.write_text(PSGS)
    [document] = read_documents(path, SourceSettings(text_column="title", title_column="text"))
    assert (document.text, document.title) == ("A", "one")


def test_a_format_that_is_named_wins_over_the_extension(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text('{"id": "1", "text": "one"}\n')
    [document] = read_documents(path, SourceSettings(format="jsonl"))
    assert document.text == "one"


def test_a_folder_called_pydoc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pydoc").mkdir()
    (tmp_path / "pydoc" / "a.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert [document.id for document in read_documents("./pydoc")] == ["a.txt"]
    assert next(iter(read_documents("pydoc"))).source.startswith("pydoc:")


def test_what_nobody_collects_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "1", "text": "one"}\n{"id": "2"}\n')
    skip = SourceSettings(on_error="skip")
    with caplog.at_level(logging.WARNING, "dpr"):
        for read in (read_documents, read_passages):
            caplog.clear()
            assert len(list(read(path, skip))) == 1
            assert len(caplog.records) == 1
            assert "skipped 1:\n" in caplog.text
            assert f"{path}:2: no text" in caplog.text
        caplog.clear()
        list(read_passages(path, skip, problems=Problems()))
        assert not caplog.records


def rows(path: Path, *documents: tuple[str, int]) -> Path:
    lines = (json.dumps({"id": i, "text": " ".join("w" * n)}) for i, n in documents)
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("documents", "taken"),
    [
        ([("a", 3), ("a#0", 1)], "a#0"),
        ([("a#1", 1), ("a", 3)], "a#1"),
        ([("a#0", 3), ("a#0#1", 1)], "a#0#1"),
        ([("a", 3), ("a#2", 1), ("a#00", 1), ("b#0", 1), ("b", 1)], None),
        ([("a", 3), ("a#0", 3)], None),
    ],
)
def test_passage_ids_are_unique(
    tmp_path: Path, documents: list[tuple[str, int]], taken: str | None
) -> None:
    path = rows(tmp_path / "a.jsonl", *documents)
    two = SplitSettings(size=2)
    if taken is None:
        ids = [passage.id for passage in read_passages(path, split_settings=two)]
        assert len(set(ids)) == len(ids)
        return
    with pytest.raises(InputError, match=f"'{taken}' is given twice"):
        list(read_passages(path, split_settings=two))
    problems = Problems()
    skip = SourceSettings(on_error="skip")
    ids = [passage.id for passage in read_passages(path, skip, two, problems)]
    assert len(set(ids)) == len(ids)
    assert [item.source for item in problems.items] == [f"{path}:2"]


def test_published_passages_keep_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "psgs.tsv"
    text = " ".join(["word"] * 100)
    path.write_text(f"id\ttext\ttitle\n7\t{text}\tA\n8\t {text}\tA\n")
    passages = list(read_passages(path))
    assert [(p.id, p.text, p.start) for p in passages] == [("7", text, 0), ("8", text, 1)]


def test_the_real_data(shared_data: Path) -> None:
    split = SplitSettings(unit="none")
    beir = list(read_passages(shared_data / "fairytaleqa" / "validation", split_settings=split))
    assert len(beir) == len({passage.id for passage in beir}) == 380
    # Its training set names two sections alike, which is told, and can be skipped.
    train = shared_data / "fairytaleqa" / "train"
    with pytest.raises(InputError, match=r"corpus\.jsonl:1461: .*also that of line 1460"):
        list(read_documents(train))
    problems = Problems()
    documents = list(read_documents(train, SourceSettings(on_error="skip"), problems))
    assert (len(documents), problems.count) == (3349, 1)
