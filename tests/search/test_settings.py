"""What a collection keeps of how it is searched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dpr.errors import CorruptionError, SettingsError
from dpr.fusion import FusionSettings
from dpr.indexes.bm25 import BM25Settings
from dpr.search.settings import KEY, MODES, SearchSettings


@pytest.mark.parametrize(
    "settings",
    [
        SearchSettings(),
        SearchSettings(
            "hybrid", FusionSettings("rrf", 0.3, 20, 50), BM25Settings(1.2, 0.75), {"nprobe": 8}
        ),
    ],
)
def test_what_is_kept_comes_back(settings: SearchSettings) -> None:
    kept = settings.to_keep({"other": 1, KEY: "before"})
    assert kept["other"] == 1
    assert SearchSettings.kept(json.loads(json.dumps(kept))) == settings


def test_nothing_kept_is_the_usual() -> None:
    assert SearchSettings.kept({}) == SearchSettings.kept({"other": 1}) == SearchSettings()


def test_what_was_kept_before_there_was_a_power_adds_both_scores() -> None:
    kept = SearchSettings(fusion=FusionSettings(weight=0.4)).to_keep({})
    del kept[KEY]["fusion"]["power"]
    assert SearchSettings.kept(kept).fusion == FusionSettings(weight=0.4, power=1.0)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        {},
        {"mode": "words"},
        {"mode": "dense", "fusion": {"weight": -1.0}, "bm25": {}, "effort": None},
        {"mode": "dense", "fusion": {}, "bm25": {"k2": 1.0}, "effort": None},
    ],
)
def test_what_makes_no_sense_is_named(value: Any) -> None:
    with pytest.raises(CorruptionError, match="search settings that make no sense"):
        SearchSettings.kept({KEY: value})


def test_modes() -> None:
    assert MODES == ("auto", "dense", "bm25", "hybrid")
    with pytest.raises(SettingsError, match="mode is 'words'; allowed are auto, dense"):
        SearchSettings(mode="words")  # type: ignore[arg-type]
