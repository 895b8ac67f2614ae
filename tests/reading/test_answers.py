from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dpr.reading import Reading, ReadingSettings, Span, combine, standings
from dpr.records import Hit, Passage


def test_a_passage_in_several_windows_counts_once() -> None:
    long, short = Passage("a", "x y z"), Passage("b", "w")
    span = Span(0, 1, 0.0, 1.0)
    readings = [
        (Hit(long, 2.0), Reading(0, 0.5, (span,))),
        (Hit(long, 2.0), Reading(0, 0.5, (Span(0, 1, 0.0, 1.0),))),  # x again, in the overlap
        (Hit(long, 2.0), Reading(0, 0.5, (Span(2, 3, 0.0, 1.0),))),
        (Hit(short, 2.0), Reading(1, 0.5, (span,))),
    ]
    given = combine(readings, ReadingSettings(no_answer_below=0.0))
    scores = {answer.text: answer.score for answer in given}
    assert scores == pytest.approx({"w": 1 / 2, "x": 1 / 2 * 2 / 3, "y": 1 / 2 * 1 / 3})


def test_a_more_relevant_window_weighs_more() -> None:
    passage = Passage("a", "x y")
    readings = [
        (Hit(passage, 9.0), Reading(0, 2.0, (Span(0, 1, 0.0, 1.0),))),
        (Hit(passage, 9.0), Reading(0, 1.0, (Span(2, 3, 0.0, 1.0),))),
    ]
    first, second = combine(readings, ReadingSettings(no_answer_below=0.0, relevance_weight=0.5))
    assert (first.text, second.text) == ("x", "y")
    assert first.score / second.score == pytest.approx(np.exp(0.5))
    assert first.score + second.score == pytest.approx(1)


def test_a_later_hit_counts_less_by_its_place() -> None:
    readings = [
        (Hit(Passage(name, name), 1.0), Reading(n, 0.0, (Span(0, 1, 0.0, 0.0),)))
        for n, name in enumerate("xyz")
    ]
    readings.insert(1, readings[0])  # a second window of the first
    settings = ReadingSettings(no_answer_below=0.0, rank_weight=2.0)
    scores = {answer.text: answer.score for answer in combine(readings, settings)}
    whole = 1 + 1 / 4 + 1 / 9
    assert scores == pytest.approx({"x": 1 / whole, "y": 1 / 4 / whole, "z": 1 / 9 / whole})


def spread(share: float) -> list[tuple[Hit, Reading]]:
    """A passage whose first answer has this share, and the second one the rest."""
    spans = (Span(0, 1, np.log(share), 0.0), Span(2, 3, np.log(1 - share), 0.0))
    return [(Hit(Passage("a", "x y"), 1.0), Reading(0, 0.0, spans))]


def test_scores_are_mapped_to_probabilities_and_keep_their_order() -> None:
    settings = ReadingSettings(no_answer_below=0.0, confidence_slope=0.5, confidence_offset=-1.0)
    for share in (0.5001, 0.7, 0.99):
        first, second = combine(spread(share), settings)
        expected = [1 / (1 + np.exp(1 - np.log(p / (1 - p)) / 2)) for p in (share, 1 - share)]
        assert [first.score, second.score] == pytest.approx(expected)
        assert first.text == "x" and first.score > second.score
    plain = [answer.score for answer in combine(spread(0.7), ReadingSettings(no_answer_below=0.0))]
    assert plain == pytest.approx([0.7, 0.3])  # as before there was a map


def test_scores_are_made_of_more_than_the_share() -> None:
    """The documented rule by hand: two passages, two answers, each likeliest in one of them."""
    readings = [
        (Hit(Passage("a", "long"), 5.0), Reading(0, 2.0, (Span(0, 4, np.log(0.5), 3.0),))),
        (Hit(Passage("b", "xy"), 1.0), Reading(1, 1.0, (Span(0, 2, np.log(0.9), 4.0),))),
        (Hit(Passage("c", "xy"), 3.0), Reading(2, 0.0, (Span(0, 2, np.log(0.2), 9.0),))),
    ]
    plain = ReadingSettings(no_answer_below=0.0, retrieval_weight=0.0)
    shares = {one.text: one.score for one in combine(readings, plain)}
    settings = replace(
        plain, confidence_slope=0.5, confidence_relevance=0.2, confidence_span=0.1,
        confidence_length=-0.3, confidence_standing=0.4, confidence_offset=-1.0,
    )  # fmt: skip
    spread = np.std([5.0, 1.0, 3.0])
    expected = {}
    for text, relevance, logits, score in (("long", 2.0, 3.0, 5.0), ("xy", 1.0, 4.0, 1.0)):
        odds = 0.5 * np.log(shares[text] / (1 - shares[text])) + 0.2 * relevance + 0.1 * logits
        odds += -0.3 * np.log(len(text)) + 0.4 * (score - 3.0) / spread - 1.0
        expected[text] = 1 / (1 + np.exp(-odds))
    assert {one.text: one.score for one in combine(readings, settings)} == pytest.approx(expected)
    # Where the second would have the higher score, it has that of the first.
    turned = combine(readings, replace(settings, confidence_standing=-2.0))
    assert [one.text for one in turned] == ["long", "xy"]
    assert turned[0].score == turned[1].score


def test_passages_that_score_alike_stand_alike() -> None:
    assert standings([2.0, 2.0]).tolist() == [0.0, 0.0]
    assert standings([7.0]).tolist() == [0.0] and standings([]).tolist() == []
    assert standings([1.0, 3.0]).tolist() == [-1.0, 1.0]


def test_no_answer_goes_by_the_probability_that_is_shown() -> None:
    sure = ReadingSettings(no_answer_below=0.5, confidence_offset=-1.0)
    assert combine(spread(0.7), sure) == ()  # 0.46
    assert len(combine(spread(0.7), ReadingSettings(no_answer_below=0.5))) == 1


def test_a_share_of_all_is_not_certain() -> None:
    settings = ReadingSettings(no_answer_below=0.0, confidence_slope=0.4)
    (only,) = combine(
        [(Hit(Passage("a", "x"), 1.0), Reading(0, 0.0, (Span(0, 1, 0.0, 0.0),)))], settings
    )
    assert 0.99 < only.score < 1
