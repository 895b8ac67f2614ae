"""``add``, ``sync``, ``remove``, ``compact`` and ``info --documents``: what is told of changes."""

from __future__ import annotations

import inspect
import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dpr.collection import Collection

from .conftest import Run

TEXTS = {
    "a.md": "---\nyear: 1990\n---\nParis is the capital of France. The old city lies on a river.",
    "b.txt": "Bread is made of flour.",
    "c.txt": "Who threw the first stone?",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    for name, text in TEXTS.items():
        (source / name).write_text(text, encoding="utf-8")
    return source


@pytest.fixture
def made(run: Run, folder: Path, model: Path, tmp_path: Path) -> Path:
    place = tmp_path / "c.dpr"
    done = run("index", folder, "--to", place, "--model", model, "--split", "words:8")
    assert done.exit_code == 0, done.output
    return place


def told(run: Run, *arguments: object) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def documents(place: Path) -> set[str]:
    with Collection.open(place) as collection:
        return {one.id for one in collection.documents()}


@pytest.mark.parametrize("verb", ["add", "sync"])
def test_the_options_are_those_of_the_library(verb: str) -> None:
    ours = inspect.signature(getattr(import_module(f"dpr.cli.{verb}"), verb)).parameters
    theirs = inspect.signature(getattr(import_module("dpr.pipeline"), verb)).parameters
    for name in ("split", "replace", "model", "shard_size"):
        assert ours[name].default == theirs[name].default


def test_sync_tells_documents_and_passages_apart(run: Run, folder: Path, made: Path) -> None:
    (folder / "b.txt").unlink()
    (folder / "a.md").write_text(TEXTS["a.md"] + " It is old.", encoding="utf-8")
    (folder / "new.txt").write_text("What is the queen of France?", encoding="utf-8")
    summary = told(run, "sync", folder, "--to", made)
    assert summary["documents"] == {"added": 1, "replaced": 1, "removed": 1, "unchanged": 1}
    passages = summary["passages"]
    assert passages == {
        "added": 4,
        "removed": 4,
        "encoded": 2,
        "taken_over": 2,
        "total": 5,
    }
    assert (summary["version"], summary["skipped"]) == (2, 0)
    again = run("sync", folder, "--to", made)
    assert again.stdout.splitlines()[:2] == [
        "documents: 0 added, 0 replaced, 0 removed, 3 unchanged",
        "passages: 0 added (0 encoded, 0 taken over), 0 removed",
    ]
    assert "version 2, 5 passages" in again.stdout
    assert documents(made) == {"a.md", "c.txt", "new.txt"}


def test_add_keeps_what_is_gone_and_refuses_ids_of_others(
    run: Run, folder: Path, made: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.txt").write_text("A song of bread and stone.", encoding="utf-8")
    refused = run("add", other, "--to", made)
    assert refused.exit_code == 1
    assert "--replace" in refused.stderr
    assert refused.stdout == ""
    summary = told(run, "add", other, "--to", made, "--replace")
    assert summary["documents"] == {"added": 0, "replaced": 1, "removed": 0, "unchanged": 0}
    (other / "b.txt").rename(other / "d.txt")
    assert told(run, "add", other, "--to", made)["documents"]["added"] == 1
    assert documents(made) == {*TEXTS, "d.txt"}
    nothing = run("add", other, "--to", tmp_path / "nothing")
    assert nothing.exit_code == 1
    assert "there is no such folder" in nothing.stderr


def test_sync_makes_a_collection_where_there_is_none(
    run: Run, folder: Path, model: Path, tmp_path: Path
) -> None:
    summary = told(
        run, "sync", folder, "--to", tmp_path / "new.dpr", "--model", model, "--split", "words:8"
    )
    assert (summary["documents"]["added"], summary["version"]) == (3, 1)
    assert documents(tmp_path / "new.dpr") == set(TEXTS)


def test_a_malformed_file_stops_or_stays_as_it_was(run: Run, folder: Path, made: Path) -> None:
    (folder / "a.md").write_bytes(b"\xff\xfe\xff")
    stopped = run("sync", folder, "--to", made)
    assert stopped.exit_code == 1
    assert "a.md" in stopped.stderr
    done = run("sync", folder, "--to", made, "--on-error", "skip")
    assert done.exit_code == 0
    assert f"{folder / 'a.md'}" in done.stdout
    assert told(run, "sync", folder, "--to", made, "--on-error", "skip")["skipped"] == 1
    assert documents(made) == set(TEXTS)


def test_columns_are_as_before_unless_said(run: Run, model: Path, tmp_path: Path) -> None:
    table, place = tmp_path / "t.csv", tmp_path / "t.dpr"
    table.write_text("key,body,year,lang\na,the river,1990,en\n", encoding="utf-8")
    columns = ("--id-column", "key", "--text-column", "body", "--metadata-column", "year")
    told(run, "index", table, "--to", place, "--model", model, *columns)
    with table.open("a", encoding="utf-8") as stream:
        stream.write("b,old bread,2001,fr\n")
    assert told(run, "sync", table, "--to", place)["documents"]["added"] == 1
    found = told(run, "search", place, "bread", "--where", "year>2000")
    assert [hit["metadata"] for hit in found["hits"]] == [{"year": "2001"}]
    both = ("--metadata-column", "year", "--metadata-column", "lang")
    assert told(run, "sync", table, "--to", place, *both)["documents"]["replaced"] == 2
    found = told(run, "search", place, "bread", "--where", "lang=fr")
    assert [hit["document"] for hit in found["hits"]] == ["b"]


def test_remove_shows_what_goes(run: Run, made: Path) -> None:
    dry = run("remove", made, "b.txt", "--where", "year<2000", "--dry-run")
    assert dry.exit_code == 0
    lines = dry.stdout.splitlines()
    assert lines[0].startswith("a.md  3 passages  ")
    assert lines[1].startswith("b.txt  1 passage  ")
    assert lines[2] == f"{made}: 2 documents, 4 passages would be removed (version 1, 5 passages)"
    assert documents(made) == set(TEXTS)
    summary = told(run, "remove", made, "b.txt", "--where", "year<2000")
    assert [one["id"] for one in summary["documents"]] == ["a.md", "b.txt"]
    assert (summary["passages"], summary["version"]) == ({"removed": 4, "total": 1}, 2)
    assert documents(made) == {"c.txt"}
    nothing = told(run, "remove", made, "--where", "year<2000")
    assert (nothing["documents"], nothing["version"]) == ([], 2)


def test_what_cannot_be_removed_is_said_and_nothing_is(run: Run, made: Path) -> None:
    for arguments, code, why in (
        (("b.txt", "absent"), 1, "has no document 'absent'; nothing was removed"),
        (("--where", "year"), 1, "cannot filter by 'year'"),
        (("--where", "source~*"), 1, "no passage would be left"),
        ((), 2, "nothing to remove"),
    ):
        done = run("remove", made, *arguments)
        assert done.exit_code == code
        assert why in " ".join(done.stderr.replace("│", " ").split())
        assert done.stdout == ""
    dry = run("remove", made, "--where", "source~*", "--dry-run")
    assert (dry.exit_code, dry.stdout) == (1, "")
    assert "no passage would be left" in dry.stderr
    assert documents(made) == set(TEXTS)


def test_compact_gives_room_back(run: Run, folder: Path, made: Path) -> None:
    assert "version 1 is compact already" in run("compact", made).stdout
    (folder / "new.txt").write_text("What is the queen of France?", encoding="utf-8")
    told(run, "sync", folder, "--to", made)
    told(run, "remove", made, "a.md")
    hits = told(run, "search", made, "old bread")["hits"]
    summary = told(run, "compact", made)
    assert (summary["version"], summary["passages"], summary["deleted"]) == (4, 3, 3)
    assert (summary["segments_before"], summary["segments"]) == (2, 1)
    assert summary["bytes"] < summary["bytes_before"]
    assert told(run, "search", made, "old bread")["hits"] == hits
    assert run("verify", made).exit_code == 0


def test_info_lists_documents_segments_and_sources(
    run: Run, folder: Path, made: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    told(run, "sync", other, "--to", made, "--replace")
    listed = run("info", made, "--documents").stdout.splitlines()
    assert len(listed) == 3
    assert listed[0] == f"a.md  3 passages  {other / 'a.md'}"
    facts = told(run, "info", made, "--documents")
    assert facts["documents"][1] == {
        "id": "b.txt",
        "source": str(other / "b.txt"),
        "passages": 1,
        "origin": "1",
    }
    assert (facts["version"], facts["rows"]) == (2, 5)
    shown = run("info", made).stdout
    for name in ("version", "segments 0 · rows", "parts · words · language", "sources 1 · path"):
        assert name in shown
    assert "{" not in shown
