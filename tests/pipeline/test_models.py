"""What users call a model, as places: where a training begins."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dpr.errors import CheckpointError
from dpr.pipeline.models import has_one_tower, reader_place, shown_name, towers
from dpr.shipped import ModelNames, find_models


def test_where_both_towers_begin(tiny_model: Path, tmp_path: Path) -> None:
    inside = str(tiny_model / "encoder")
    assert towers(tiny_model) == ModelNames(inside, inside, str(tiny_model / "reader"))
    plain = tmp_path / "bert"
    shutil.copytree(inside, plain)
    for place in (str(plain), "someone/bert"):
        assert towers(place) == ModelNames(place, place)
    two = ModelNames("a/question", "a/context")
    assert towers(two) == two
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no dual encoder"):
        towers(tmp_path / "empty")


def test_one_tower_is_that_of_a_tied_model(tiny_model: Path, tmp_path: Path) -> None:
    inside = str(tiny_model / "encoder")
    assert has_one_tower(tiny_model)
    assert has_one_tower(ModelNames(inside, inside))
    assert not has_one_tower("someone/bert")
    assert not has_one_tower(ModelNames("a/question_encoder", "a/ctx_encoder"))


def test_what_a_folder_is_called_does_not_tie_towers(tiny_model: Path, tmp_path: Path) -> None:
    """A checkpoint on its own becomes two towers, whether it is called encoder or not."""
    for name in ("encoder", "bert"):
        shutil.copytree(tiny_model / "encoder", tmp_path / name)
        assert not has_one_tower(str(tmp_path / name))
    assert has_one_tower(tmp_path) is True  # a model: a folder with one encoder in it


def test_where_a_reader_is(tiny_model: Path, tmp_path: Path) -> None:
    inside = str(tiny_model / "reader")
    assert reader_place(str(tiny_model)) == reader_place(inside) == inside
    assert reader_place("someone/bert") == "someone/bert"
    shutil.copytree(tiny_model / "encoder", tmp_path / "encoder")
    with pytest.raises(CheckpointError, match="has no reader, only the towers"):
        reader_place(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no reader"):
        reader_place(str(tmp_path / "empty"))


def test_names_shown_to_strangers_hold_no_path(tiny_model: Path) -> None:
    assert shown_name(find_models()) == "dpr-mini"
    assert shown_name(find_models(str(tiny_model))) == "tiny"
    assert shown_name(ModelNames("owner/question", "owner/context")) == "owner/question"
