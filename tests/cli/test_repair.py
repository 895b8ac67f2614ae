"""``dpr repair``: reports, exit codes, and that a sync brings back what was lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from dpr.collection import read_manifest

Run = Callable[..., Result]


@pytest.fixture
def copy(collection: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(collection, tmp_path / "c"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_whole_collection_is_left_alone(run: Run, copy: Path) -> None:
    done = run("repair", copy)
    assert done.exit_code == 0 and done.stdout == "version 1 is whole; nothing was changed\n"


def test_what_is_mended_without_loss_is_no_failure(run: Run, copy: Path) -> None:
    flip(copy / "segments" / "0001" / "ids.npy", 150)
    assert run("verify", copy).exit_code == 1
    told = run("repair", copy, "--dry-run")
    assert told.exit_code == 0 and "can be mended: no passage lost" in told.stdout
    assert run("verify", copy).exit_code == 1
    done = run("repair", copy)
    assert done.exit_code == 0 and "segments/0001/ids.npy: its SHA-256" in done.stdout
    assert run("verify", copy).exit_code == 0


def test_what_is_lost_is_told_and_comes_back_with_a_sync(
    run: Run, copy: Path, documents: Path, model: Path
) -> None:
    more = documents.with_name("more.jsonl")
    line = {"id": "more", "title": "More", "text": "A song of the old river."}
    more.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert run("add", more, "--to", copy).exit_code == 0
    rows = read_manifest(copy).rows
    flip(copy / "segments" / "0001" / "vectors.npy", 200)  # one block, and so all of them
    told = run("repair", copy, "--dry-run", "--json")
    assert told.exit_code == 1
    value = json.loads(told.stdout)
    assert value["lost"] == sum(one["lost"] for one in value["documents"]) > 0
    assert [one["document"] for one in value["documents"]] == ["france", "bread", "stone"]
    assert value["parts"] == [{"segment": "0001", "kind": "words"}]
    done = run("repair", copy)
    assert done.exit_code == 1
    assert f"france ({documents.name}:1): " in done.stdout.replace(f"{documents.parent}/", "")
    assert "sync the sources again" in done.stdout
    assert run("verify", copy).exit_code == 0 and read_manifest(copy).rows == rows - value["lost"]
    assert run("sync", documents, "--to", copy).exit_code == 0
    assert run("verify", copy).exit_code == 0 and read_manifest(copy).rows == rows


def test_what_is_no_collection_is_told_in_one_line(run: Run, tmp_path: Path) -> None:
    done = run("repair", tmp_path)
    assert done.exit_code == 1 and "is not a collection" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_words_are_counted_again(run: Run, copy: Path) -> None:
    before = run("search", copy, "bread", "--mode", "bm25", "--json").stdout
    flip(copy / "parts" / "0001" / "words.safetensors", 300)
    assert run("search", copy, "bread", "--mode", "bm25").exit_code == 1
    done = run("repair", copy)
    assert done.exit_code == 0 and "words of segment 0001 cannot be kept: made again" in done.stdout
    after = json.loads(run("search", copy, "bread", "--mode", "bm25", "--json").stdout)
    assert after["hits"] == json.loads(before)["hits"] != []
    assert run("verify", copy).exit_code == 0
