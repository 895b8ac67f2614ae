"""Documents to a collection: what is told of them, and what is refused before encoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dpr.collection import BuildSettings
from dpr.errors import CheckpointError, SettingsError
from dpr.indexes.words import WordsSettings
from dpr.pipeline import index
from dpr.records import Document
from dpr.shipped import find_models


def test_what_was_skipped_and_cut_is_told(tiny_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_text("the king " * 400, encoding="utf-8")
    (source / "b.txt").write_text("", encoding="utf-8")
    done: list[int] = []
    indexed = index(
        source,
        tmp_path / "c",
        model=str(tiny_model),
        split="none",
        build=BuildSettings(dtype="float32"),
        progress=done.append,
    )
    assert indexed.manifest.rows == 1
    assert indexed.manifest.dtype == "float32"
    assert indexed.problems.count == 1
    assert indexed.truncated == 1
    assert done[-1] == 1
    made_from = indexed.manifest.made_from
    assert made_from["sources"][0]["split"] == "none"
    assert made_from["model"] == str(tiny_model)


def test_a_reader_that_is_not_there_is_met_before_encoding(
    tiny_model: Path, tmp_path: Path
) -> None:
    names = find_models(str(tiny_model))
    with pytest.raises(CheckpointError, match="absent"):
        index(
            [Document("a", "text")],
            tmp_path / "c",
            model=replace(names, reader=str(tmp_path / "absent")),
        )
    assert not (tmp_path / "c").exists()


def test_a_language_without_stems_is_met_before_encoding(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="language is 'klingon'"):
        index(
            [Document("a", "text")],
            tmp_path / "c",
            model=tiny_model,
            words=WordsSettings(language="klingon"),
        )
    assert not (tmp_path / "c").exists()


def test_what_was_truncated_before_a_stop_is_counted(tiny_model: Path, tmp_path: Path) -> None:
    documents = [Document(f"d{n}", "the king " * 400, "") for n in range(4)]

    def interrupted() -> Iterator[Document]:
        yield from documents[:3]
        raise KeyboardInterrupt

    options = {
        "to": tmp_path / "c",
        "model": tiny_model,
        "split": "none",
        "build": BuildSettings(shard_size=1),
    }
    with pytest.raises(KeyboardInterrupt):
        index(interrupted(), **options)
    resumed = index(documents, **options)
    assert resumed.truncated == 4
    assert resumed.manifest == index(documents, **options | {"to": tmp_path / "whole"}).manifest
