"""Settings of fusion: kept as JSON, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from dpr.errors import SettingsError
from dpr.fusion import METHODS, FusionSettings
from dpr.settings import load_settings, save_settings


@pytest.mark.parametrize("method", METHODS)
def test_settings_are_kept_as_json(method: Any, tmp_path: Path) -> None:
    settings = FusionSettings(method, weight=0.25, rank_constant=10, depth=7, power=3)
    save_settings(settings, tmp_path / "fusion.json")
    assert load_settings(FusionSettings, tmp_path / "fusion.json") == settings


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"method": "sum"}, "'sum'; choose one of 'normalised', 'weighted', 'rrf'"),
        ({"weight": 1.5}, "weight 1.5 with the method 'normalised'; give a number from 0 to 1"),
        ({"method": "rrf", "weight": -0.1}, "from 0 to 1"),
        ({"method": "weighted", "weight": -1}, "a finite number of 0 or more"),
        ({"method": "weighted", "weight": math.inf}, "a finite number"),
        ({"weight": math.nan}, "weight nan"),
        ({"weight": "0.5"}, "weight '0.5'; give a number"),
        ({"weight": True}, "weight True"),
        ({"depth": 0}, "depth 0; give a whole number of 1 or more"),
        ({"depth": 2.5}, "depth 2.5"),
        ({"rank_constant": -1}, "rank_constant -1; give a whole number of 0 or more"),
        ({"rank_constant": True}, "rank_constant True"),
        ({"power": 0.5}, "power 0.5; give a number from 1 to 10"),
        ({"power": 11}, "power 11"),
        ({"power": math.nan}, "power nan"),
        ({"power": "2"}, "power '2'"),
        ({"power": True}, "power True"),
    ],
)
def test_what_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        FusionSettings(**given)


def test_the_papers_weight_is_above_1() -> None:
    assert FusionSettings("weighted", 1.1).weight == 1.1
