from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from dpr.corpus import SourceSettings, SplitSettings
from dpr.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "unit", "size"),
    [
        ("words", "words", 100),
        ("words:7", "words", 7),
        ("sentences", "sentences", 100),
        ("paragraphs:300", "paragraphs", 300),
        ("none", "none", 100),
    ],
)
def test_what_a_split_is_spelt(text: str, unit: str, size: int) -> None:
    settings = SplitSettings.parse(text)
    assert (settings.unit, settings.size) == (unit, size)
    assert SplitSettings.parse(str(settings)) == settings


@pytest.mark.parametrize(
    "text",
    ["", "word", "words:", "words:x", "words:-1", "words:0", "words:1e3", "words:²", "none:5"],
)
def test_a_split_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"words"):
        SplitSettings.parse(text)


@pytest.mark.parametrize("size", [0, -1, 100_001, True, 2.0, "5"])
def test_sizes_outside_the_range_are_refused(size: Any) -> None:
    with pytest.raises(SettingsError, match=r"size"):
        SplitSettings(size=size)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"format": "xml"}, "psgs"),
        ({"on_error": "ignore"}, "skip"),
        ({"id_column": ""}, "id_column"),
        ({"format": "psgs", "text_column": "body"}, "columns of its own"),
        ({"format": "pydoc", "id_column": "key"}, "columns of its own"),
    ],
)
def test_source_settings_are_checked(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        SourceSettings(**wrong)


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SplitSettings().size = 5  # type: ignore[misc]
