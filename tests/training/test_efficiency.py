from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dpr.errors import SettingsError
from dpr.evaluation.statistics import compare
from dpr.training.efficiency import LearningCurve, draw
from dpr.training.settings import LearningSettings


def found(own: int, other: int = 50) -> dict[str, list[float]]:
    """So many of 100 questions found, the same ones first."""
    return {
        "own": [1.0] * own + [0.0] * (100 - own),
        "other": [1.0] * other + [0.0] * (100 - other),
    }


def curve(**trained: int) -> LearningCurve:
    sizes = {int(name[1:]): found(own) for name, own in trained.items()}
    return LearningCurve(5, ("own", "other"), found(70), found(75), found(40, 60), sizes, 400)


def test_figures_are_shares_with_intervals() -> None:
    figures = curve(n100=45, n300=60).figures()
    assert list(figures) == ["BM25", "words", "untrained", "100 questions", "300 questions"]
    one = figures["300 questions"]["own"]
    assert (one.value, one.questions) == (pytest.approx(0.6), 100)
    assert one.low < 0.6 < one.high
    assert curve(n100=45).measured_on() == (
        "measured on 100 questions of own and 100 questions of other among 400 passages"
    )


def test_a_curve_that_rises_says_train_and_that_more_would_help() -> None:
    verdict = curve(n100=45, n300=60).verdict()
    assert verdict[0].startswith("Train: on own, +20.0 points of R@5 against untrained")
    assert "after training on 300 questions" in verdict[0]
    assert verdict[1].startswith("The curve still rises (+15.0 points from 100 to 300)")
    assert verdict[2].startswith("Against BM25: -10.0 points of R@5 (95% interval")
    assert verdict[3].startswith("Against words as collections are searched by them: -15.0 points")
    assert verdict[4].startswith("On other, which it was not trained for: -10.0 points")
    expected = compare("a", found(60)["own"], "b", found(40)["own"], "R@5")
    assert f"{100 * expected.low:+.1f} to {100 * expected.high:+.1f}" in verdict[0]


def test_a_flat_curve_says_that_nothing_is_shown() -> None:
    verdict = curve(n100=41, n300=41).verdict()
    assert verdict[0].startswith("These questions do not show that training helps")
    assert "p = 1.000 by the randomization test: no clear difference" in verdict[0]


def test_the_test_decides_and_not_the_interval() -> None:
    """Five losses and no win: 0 is outside the bootstrap's interval, and p is above .05."""
    verdict = curve(n100=35).verdict()[0]
    assert verdict.startswith("These questions do not show that training helps")
    assert "to -1.0; p = 0.062 by the randomization test: no clear difference)" in verdict


def test_too_short_a_training_shows_nothing() -> None:
    """Neither that training does not help nor that more questions would not."""
    verdict = replace(curve(n100=41, n300=41), short={300}).verdict()
    assert verdict[0].startswith("Nothing can be concluded: training on 300 had too few steps")
    assert not any("within chance" in one for one in verdict)
    # A smaller size was too short; a difference that is there is there.
    assert (
        replace(curve(n100=41, n300=41), short={100}).verdict() == curve(n100=41, n300=41).verdict()
    )
    assert replace(curve(n300=60), short={300}).verdict()[0].startswith("Train: on own")


def test_a_curve_that_falls_is_told() -> None:
    assert curve(n100=10, n300=5).verdict()[0].startswith("Do not train on these")


def test_the_largest_size_is_tested_whatever_did_best() -> None:
    """Of many sizes one does well by chance: it is told of, and no p is that of the best."""
    verdict = curve(n30=42, n100=60, n300=42).verdict()
    assert verdict[0].startswith("These questions do not show that training helps")
    assert "after training on 300" in verdict[0]
    assert verdict[1] == (
        "100 questions did better in this run (R@5 0.600, and 0.420 with 300); whether that is "
        "chance was not tested."
    )
    assert verdict[2].startswith("Against BM25: -28.0 points")
    assert "did better" not in " ".join(curve(n100=60, n300=60).verdict())


def test_sizes() -> None:
    assert LearningSettings(sizes="300, 100,all,5000").numbers(1200) == [100, 300, 1200]
    assert LearningSettings(sizes="300").numbers(200) == []
    for wrong in ("", "0", "100,x", "-1"):
        with pytest.raises(SettingsError, match="sizes"):
            LearningSettings(sizes=wrong)


def test_the_picture(tmp_path: Path) -> None:
    path = draw(curve(n100=45, n300=60), tmp_path / "curve.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]
