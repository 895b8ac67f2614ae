"""The picture of confidences: a whole file of each kind, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpr.errors import SettingsError
from dpr.evaluation.calibration import coverage_curve, reliability
from dpr.evaluation.report.calibration import draw_confidence

pytest.importorskip("matplotlib")
GIVEN, RIGHT = [0.1, 0.4, 0.4, 0.8, 0.9], [0, 0, 1, 1, 1]
CURVES = reliability(GIVEN, RIGHT), coverage_curve(GIVEN, RIGHT)


@pytest.mark.parametrize(
    ("ending", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")]
)
def test_each_kind_is_drawn_whole(ending: str, begin: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"scores.{ending}"
    assert draw_confidence(path, {"before": CURVES, "after": CURVES}) == path
    assert path.read_bytes().startswith(begin)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_names_stand_in_the_legend(tmp_path: Path) -> None:
    path = draw_confidence(tmp_path / "scores.svg", {"one": CURVES, "another": ((), ())})
    text = path.read_text(encoding="utf-8")
    assert "<!-- one -->" in text and "<!-- another -->" not in text


def test_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"must end in \.png, \.svg, \.pdf"):
        draw_confidence(tmp_path / "scores.jpeg", {})
