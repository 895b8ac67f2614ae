from __future__ import annotations

import json

import pytest

from dpr.errors import CorruptionError, SettingsError
from dpr.reading import ReadingSettings


def test_settings_kept_for_a_reader_are_for_that_reader_alone() -> None:
    settings = ReadingSettings(confidence_slope=0.5, no_answer_below=0.3)
    kept = settings.to_keep({"search": 1}, "mine", "dev.json")
    assert kept["search"] == 1 and kept["reading"]["questions"] == "dev.json"
    assert ReadingSettings.kept(json.loads(json.dumps(kept)), lambda: "mine") == settings
    assert ReadingSettings.kept(kept, lambda: "another") is None
    assert ReadingSettings.kept({}, lambda: pytest.fail("asked for nothing")) is None
    with pytest.raises(CorruptionError, match="make no sense"):
        ReadingSettings.kept({"reading": {"reader": "mine", "settings": {"x": 1}}}, lambda: "mine")


def test_settings_follow_a_model_of_few_positions() -> None:
    assert ReadingSettings().within(512) == ReadingSettings()
    assert ReadingSettings().within(128) == ReadingSettings(max_length=128, stride=32)


def test_settings_outside_what_is_allowed() -> None:
    with pytest.raises(SettingsError, match="no_answer_below"):
        ReadingSettings(no_answer_below=1.5)
    with pytest.raises(SettingsError, match="confidence_slope"):
        ReadingSettings(confidence_slope=0.0)
    with pytest.raises(SettingsError, match="confidence_offset"):
        ReadingSettings(confidence_offset=float("nan"))
    with pytest.raises(SettingsError, match="confidence_standing=inf"):
        ReadingSettings(confidence_standing=float("inf"))
    with pytest.raises(SettingsError, match="passages"):
        ReadingSettings(passages=0)
