"""How figures are rounded and said."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.evaluation.report.costs import bin_edges
from dpr.evaluation.report.examples import pieces
from dpr.evaluation.report.numbers import Kind, Name, number, pointer, words
from dpr.evaluation.report.pictures import PLOT_STEPS, steps
from dpr.evaluation.report.view import scale

CASES: list[tuple[Any, Kind, str]] = [
    (0.8125, "share", "81.2%"),
    (1.0, "share", "100.0%"),
    (0.95, "percent", "95%"),
    (0.021, "points", "+2.1"),
    (-0.021, "points", "−2.1"),
    (-0.0001, "points", "0.0"),
    (0.0, "effect", "0.00"),
    (3.14159, "number", "3.142"),
    (-0.1416, "signed", "−0.142"),
    (0.03217, "p", "0.032"),
    (0.000999, "p", "< 0.001"),
    (12345, "count", "12,345"),
    (0.0123, "ms", "0.0123 ms"),
    (12.345, "ms", "12.3 ms"),
    (1234.5, "ms", "1,234 ms"),
    (0, "ms", "0 ms"),
    (90, "seconds", "90.0 s"),
    (312, "seconds", "5.20 min"),
    (7300, "seconds", "2.03 h"),
    (999, "bytes", "999 B"),
    (52_428_800, "bytes", "52.4 MB"),
    (999_999, "bytes", "1.00 MB"),
    (None, "share", "–"),
    (math.nan, "share", "–"),
    (-math.inf, "effect", "−∞"),
    (True, "raw", "true"),
]


@pytest.mark.parametrize(("value", "kind", "text"), CASES)
def test_each_kind_has_one_form(value: Any, kind: Kind, text: str) -> None:
    assert str(number(value, kind)).replace("\N{NO-BREAK SPACE}", " ") == text


def test_words_take_figures_and_names_in_their_places() -> None:
    said = words("{} has {}.", Name("<b> & {}"), number(0.5, "share", pointer("a/b", "~", 0)))
    assert str(said) == "<b> & {} has 50.0%."
    assert said.__html__() == (
        "<bdi>&lt;b&gt; &amp; {}</bdi> has "
        '<data value="0.5" data-kind="share" data-of="/a~1b/~0/0">50.0%</data>.'
    )
    with pytest.raises(ValueError, match="zip"):
        words("{}")


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=3000))
def test_steps_keep_order_and_every_win_and_loss(values: list[float]) -> None:
    heights, edges = steps(values)
    assert len(edges) == len(heights) + 1 <= 2 * PLOT_STEPS + 2
    assert edges[0] == 0 and edges[-1] == 1
    assert heights == sorted(heights, reverse=True)
    widths = np.diff(edges) * len(values)
    for sign in (1, 0, -1):
        drawn = widths[np.sign(heights) == sign].sum()
        assert drawn == pytest.approx(sum(np.sign(value) == sign for value in values))
    unit = max(map(abs, values)) / PLOT_STEPS
    at = np.repeat(heights, widths.round().astype(int))
    assert np.abs(at - np.sort(values)[::-1]).max() <= unit + 1e-12


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=50))
def test_bins_hold_every_time(times: list[float]) -> None:
    edges = bin_edges(times)
    counts, _ = np.histogram(np.maximum(times, edges[0]), edges)
    assert counts.sum() == len(times)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_the_scale_holds_every_share(values: list[float]) -> None:
    low, high = scale(values, "share")
    assert 0 <= low < high <= 1
    assert low <= min(values) + 1e-12 and max(values) <= high + 1e-12


@given(
    st.text(max_size=30),
    st.lists(st.tuples(st.integers(-5, 40), st.integers(-5, 40)), max_size=6),
)
def test_marks_lose_no_character(text: str, marks: list[tuple[int, int]]) -> None:
    cut = pieces(text, marks)
    assert "".join(piece for piece, _ in cut) == text
    wanted = {place for start, end in marks for place in range(max(0, start), end)}
    marked = [is_marked for piece, is_marked in cut for _ in piece]
    assert marked == [place in wanted for place in range(len(text))]
