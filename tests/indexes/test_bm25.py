"""BM25: against Lucene's formula written out, and what is not found."""

from __future__ import annotations

import math

import pytest

from dpr.errors import InputError, SettingsError
from dpr.indexes.bm25 import BM25Index, BM25Settings

TEXTS = ["red fox jumps", "red red hen", "blue whale sings deep songs", "grey fox"]


def formula(question: list[str], text: list[str], texts: list[list[str]], k1: float, b: float):
    mean = sum(map(len, texts)) / len(texts)
    score = 0.0
    for word in question:
        n = sum(word in one for one in texts)
        idf = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
        tf = text.count(word)
        score += idf * tf / (tf + k1 * (1 - b + b * len(text) / mean))
    return score


@pytest.mark.parametrize("settings", [BM25Settings(), BM25Settings(k1=1.2, b=0.75)])
def test_scores_are_lucenes(settings: BM25Settings) -> None:
    import Stemmer

    stem = Stemmer.Stemmer("english").stemWord
    words = [[stem(word) for word in text.split()] for text in TEXTS]
    (found,) = BM25Index(TEXTS, settings).search(["red foxes"], 10)
    expected = {
        row: formula(["red", "fox"], text, words, settings.k1, settings.b)
        for row, text in enumerate(words)
        if {"red", "fox"} & set(text)
    }
    assert {row: pytest.approx(score, rel=1e-5) for score, row in found} == expected
    assert [score for score, _ in found] == sorted((score for score, _ in found), reverse=True)


def test_only_texts_that_share_a_word_are_found() -> None:
    index = BM25Index(TEXTS)
    found = index.search(["whale", "of the", "zebra", "fox"], 3)
    assert [[row for _, row in one] for one in found] == [[2], [], [], [3, 0]]
    assert index.search([], 3) == []
    assert len(index) == 4
    assert index.bytes > 0


def test_equal_scores_come_by_row_and_k_cuts() -> None:
    index = BM25Index(["same words"] * 5)
    assert [row for _, row in index.search(["words"], 5)[0]] == [0, 1, 2, 3, 4]
    assert len(index.search(["words"], 2)[0]) == 2


def test_texts_without_any_word() -> None:
    index = BM25Index(["the", "of"])
    assert index.search(["the"], 3) == [[]]
    assert index.bytes == 0


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        BM25Index([])
    with pytest.raises(SettingsError, match="k is 0"):
        BM25Index(TEXTS).search(["fox"], 0)
    with pytest.raises(SettingsError, match="b=2"):
        BM25Settings(b=2)
