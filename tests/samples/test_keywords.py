"""Weights of words: those of BM25's own index, and drawn in their proportion."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from dpr.indexes.analysis import WordsSettings
from dpr.indexes.bm25 import BM25Index
from dpr.samples.keywords import WordWeights, draw_words

TEXTS = [
    "The river ran past the old castle, and the castle's king counted his ships.",
    "A king and a queen lived by the river; the queen sang of ships and of bread.",
    "Bread is made of flour. Flour is made of corn, and corn of the old earth.",
    "",
]


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_words_weight_is_its_score_in_bm25(row: int) -> None:
    weighed = WordWeights(TEXTS).weigh(TEXTS[row])
    index = BM25Index(TEXTS)
    assert len(weighed) >= 5
    for word, weight in weighed:
        ((scores,),) = [[score for score, at in index.search([word], 9)[0] if at == row]]
        assert weight == pytest.approx(scores, rel=1e-12)


def test_words_come_in_the_order_of_the_text_and_as_it_spells_them_first() -> None:
    words = [word for word, _ in WordWeights(TEXTS).weigh("Ships! A ship, old rivers, the ship.")]
    assert words == ["ships", "old", "rivers"]


def test_words_of_no_text_are_the_rarest_and_no_words_give_none() -> None:
    weights = WordWeights(TEXTS)
    by_word = dict(weights.weigh("dragon river"))
    assert by_word["dragon"] > by_word["river"] > 0
    assert weights.weigh("the of") == []
    assert WordWeights([]).weigh("a dragon")[0][1] > 0


def test_plain_words_are_neither_stemmed_nor_left_out() -> None:
    plain = WordWeights(TEXTS, WordsSettings(language=None, stop_words=None))
    assert [word for word, _ in plain.weigh("the ships, the ship")] == ["the", "ships", "ship"]


def test_words_are_drawn_in_proportion_to_their_weights_and_keep_their_order() -> None:
    weighed = [("rare", 3.0), ("middling", 2.0), ("common", 1.0)]
    chance = random.Random(7)
    firsts = Counter(draw_words(weighed, 1, chance)[0] for _ in range(6000))
    for word, weight in weighed:
        assert firsts[word] == pytest.approx(1000 * weight, abs=150)  # 4 standard deviations
    pairs = Counter(tuple(draw_words(weighed, 2, chance)) for _ in range(6000))
    # The first is drawn of all, the second of those that are left.
    expected = 3 / 6 * 2 / 3 + 2 / 6 * 3 / 4
    assert pairs["rare", "middling"] == pytest.approx(6000 * expected, abs=160)
    assert set(pairs) == {("rare", "middling"), ("rare", "common"), ("middling", "common")}
    assert draw_words(weighed, 9, chance) == ["rare", "middling", "common"]
