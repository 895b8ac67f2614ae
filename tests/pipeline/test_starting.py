"""Where retrievers begin: what is loaded, tied and refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dpr.encoding import SETTINGS_NAME, EncodingSettings
from dpr.errors import SettingsError
from dpr.pipeline.starting import load_towers
from dpr.settings import save_settings
from dpr.training.settings import RetrieverSettings

SETTINGS = RetrieverSettings(passage_length=32)
ALONE = RetrieverSettings(passage_length=32, question_tower_only=True)


def test_towers_are_tied_as_asked_or_as_the_start_is(tiny_model: Path) -> None:
    plain = str(tiny_model / "encoder")
    for start, settings, tied, expected in (
        (tiny_model, SETTINGS, None, True),
        (tiny_model, SETTINGS, False, False),
        (tiny_model, ALONE, None, False),
        (plain, SETTINGS, None, False),
        (plain, SETTINGS, True, True),
    ):
        towers = load_towers(start, settings, 0, tied)
        assert towers.tied is expected
        assert (towers.question.stack is towers.context.stack) is expected
        assert towers.names.question == plain


def test_starts_that_training_cannot_go_on_from(tiny_model: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(tiny_model, start)
    kept = start / "encoder" / SETTINGS_NAME
    for encoding, settings, said in (
        (EncodingSettings(32, pooling="mean"), SETTINGS, "or from a copy of this one without enc"),
        (EncodingSettings(32, prompt="query: "), SETTINGS, "prompt='query: '"),
        (EncodingSettings(64), ALONE, "give --passage-length 64"),
        (EncodingSettings(32), replace(ALONE, hashing=True), "not their signs.* leave out --hash"),
        (EncodingSettings(32, signs=True), ALONE, "gives the signs .* give --hashing as well"),
        (EncodingSettings(64), RetrieverSettings(passage_length=513), "--passage-length 512 or"),
        (EncodingSettings(64), RetrieverSettings(question_length=600), "--question-length 512 or"),
    ):
        save_settings(encoding, kept)
        with pytest.raises(SettingsError, match=said):
            load_towers(start, settings, 0)
    save_settings(EncodingSettings(64), kept)
    assert load_towers(start, SETTINGS, 0).tied
    save_settings(EncodingSettings(32, signs=True), kept)
    assert not load_towers(start, replace(ALONE, hashing=True), 0).tied
    assert load_towers(start, SETTINGS, 0).tied  # what is trained may give other vectors
    kept.unlink()
    with pytest.raises(SettingsError, match="not their signs"):
        load_towers(start, replace(ALONE, hashing=True), 0)
