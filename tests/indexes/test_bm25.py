"""BM25: against Lucene's formula written out, bm25s, and itself however rows are split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pydoc_data.topics import topics
from typing import Any

import bm25s
import numpy as np
import numpy.typing as npt
import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr.errors import InputError, SettingsError
from dpr.indexes import bm25
from dpr.indexes.bm25 import BM25, LUCENE, BM25Index, BM25Settings
from dpr.indexes.words import WordsSettings, count_words

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
PLAIN = WordsSettings(language=None, stop_words=None)
LETTERS = ["aa", "bb", "cc", "dd", "ee", "ff"]

TEXTS = ["red fox jumps", "red red hen", "blue whale sings deep songs", "grey fox"]


def formula(
    question: Sequence[str],
    text: Sequence[str],
    texts: Sequence[Sequence[str]],
    k1: float,
    b: float,
) -> float:
    """Lucene's, word by word."""
    mean = sum(map(len, texts)) / len(texts)
    score = 0.0
    for word in question:
        n = sum(word in one for one in texts)
        idf = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
        tf = text.count(word)
        score += idf * tf / (tf + k1 * (1 - b + b * len(text) / mean)) if tf else 0.0
    return score


def pairs_formula(
    question: Sequence[str],
    text: Sequence[str],
    texts: Sequence[Sequence[str]],
    settings: BM25Settings,
) -> float:
    """The same with each pair of neighbours as a word, but for the texts' lengths."""
    k1, b = settings.k1, settings.b
    words = formula(question, text, texts, k1, b)
    mean = sum(map(len, texts)) / len(texts)
    paired = [list(pairwise(one)) for one in texts]
    own = list(pairwise(text))
    score = 0.0
    for pair in pairwise(question):
        n = sum(pair in one for one in paired)
        idf = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
        if tf := own.count(pair):
            score += idf * tf / (tf + k1 * (1 - b + b * len(text) / mean))
    return words + settings.pairs * score


def mask(values: Sequence[bool]) -> Mask:
    return np.array(values, np.bool_)


def built(texts: Sequence[Sequence[str]], **options: Any) -> BM25:
    """A single segment of these words."""
    return BM25(
        [count_words([("", " ".join(one)) for one in texts], PLAIN)], [None], words=PLAIN, **options
    )


@pytest.mark.parametrize("settings", [LUCENE, replace(LUCENE, k1=1.2, b=0.75)])
def test_scores_are_lucenes(settings: BM25Settings) -> None:
    stem = Stemmer.Stemmer("english").stemWord
    words = [[stem(word) for word in text.split()] for text in TEXTS]
    (found,) = BM25Index(TEXTS, settings).search(["red foxes"], 10)
    expected = {
        row: formula(["red", "fox"], text, words, settings.k1, settings.b)
        for row, text in enumerate(words)
        if {"red", "fox"} & set(text)
    }
    assert {row: pytest.approx(score, rel=1e-12) for score, row in found} == expected
    assert [score for score, _ in found] == sorted((score for score, _ in found), reverse=True)


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.5, 0.75), (2.0, 1.0), (0.5, 0.0)])
def test_real_text_is_found_as_bm25s_finds_it(k1: float, b: float) -> None:
    texts = [part for text in topics.values() for part in text.split("\n\n") if part.strip()]
    texts = [text for text in texts if text.isascii()]
    assert len(texts) > 2000
    questions = [*texts[::25], "how do I raise an exception", "what is a class?", "import a module"]
    options: dict[str, Any] = {
        "stopwords": "en",
        "stemmer": Stemmer.Stemmer("english"),
        "show_progress": False,
    }
    peer = bm25s.BM25(k1=k1, b=b, method="lucene", dtype="float64")
    peer.index(bm25s.tokenize(texts, **options), show_progress=False)
    theirs = peer.retrieve(bm25s.tokenize(questions, **options), k=20, show_progress=False)
    index = BM25([count_words(("", text) for text in texts)], [None], replace(LUCENE, k1=k1, b=b))
    for found, rows, scores in zip(index.search(questions, 20), *theirs, strict=True):
        own, own_rows = found
        assert len(own) == np.count_nonzero(scores)
        np.testing.assert_allclose(own, scores[: len(own)], rtol=1e-12)
        # bm25s leaves the order of equal scores open, and which of them the last ones are.
        for place in np.flatnonzero(own_rows != rows[: len(own)]):
            assert np.isclose(own, own[place], rtol=1e-12).sum() > 1 or place == 19


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[list[str]], list[list[str]]]:
    """Texts and questions of few words, so that rows share many and scores tie."""
    words = st.lists(st.sampled_from(LETTERS), max_size=6)
    return draw(st.lists(words, max_size=14)), draw(st.lists(words, min_size=1, max_size=3))


@settings(deadline=None, max_examples=200)
@given(
    st.data(),
    collections(),
    st.integers(1, 16),
    st.sampled_from([(0.9, 0.4), (0.0, 0.0), (1.2, 1.0)]),
    st.integers(1, 5),
)
def test_any_adds_removes_and_splits_score_as_a_fresh_index_does(
    data: st.DataObject,
    given_texts: tuple[list[list[str]], list[list[str]]],
    k: int,
    weights: tuple[float, float],
    postings: int,
) -> None:
    texts, asked = given_texts
    booleans = st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)).map(mask)
    live, allowed = data.draw(booleans), data.draw(st.none() | booleans)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=3)))
    borders = list(zip([0, *cuts], [*cuts, len(texts)], strict=True))
    choice = BM25Settings(*weights, pairs=data.draw(st.sampled_from([0.0, 0.5, 3.0])))
    questions = [" ".join(one) for one in asked]

    segments = [
        count_words([("", " ".join(one)) for one in texts[first:last]], PLAIN)
        for first, last in borders
    ]
    masks = [
        None if own.all() and data.draw(st.booleans()) else own
        for own in (live[first:last] for first, last in borders)
    ]
    names = data.draw(st.none() | st.permutations([f"p{row}" for row in range(len(texts))]))
    ids = None if names is None else lambda rows: [names[row] for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bm25, "POSTINGS", postings)
        split = BM25(segments, masks, choice, PLAIN, ids)
        found = split.search(questions, k, allowed)

    stay = np.flatnonzero(live)
    fresh = built([texts[row] for row in stay], settings=choice)
    rows_allowed = live if allowed is None else live & allowed
    for question, words, (scores, rows) in zip(questions, asked, found, strict=True):
        every = np.zeros(len(texts))
        every[stay] = fresh.scores(question, range(len(stay)))
        for row in stay:
            expected = pairs_formula(words, texts[row], [texts[one] for one in stay], choice)
            assert every[row] == pytest.approx(expected, rel=1e-12)
        ranked = sorted(
            np.flatnonzero((every > 0) & rows_allowed).tolist(),
            key=lambda row: (-every[row], names[row] if names else row),
        )
        assert rows.tolist() == ranked[:k]
        assert scores.tolist() == every[ranked[:k]].tolist()  # every bit
        assert split.scores(question, stay).tolist() == every[stay].tolist()


def test_pruned_search_finds_what_a_full_one_does() -> None:
    """Words of very different frequency, so that most are looked up for a few rows only."""
    rng = np.random.default_rng(3)
    words = np.array([f"w{number}" for number in range(2000)])
    drawn = np.minimum(rng.zipf(1.3, (6000, 30)) - 1, 1999)
    texts = [words[own[: rng.integers(3, 30)]].tolist() for own in drawn]
    index = built(texts)
    for _ in range(60):
        asked = words[np.minimum(rng.zipf(1.3, 6) - 1, 1999)].tolist()
        question = " ".join(asked)
        full = index.scores(question, range(len(texts)))
        for k in (1, 10, 100):
            ((scores, rows),) = index.search([question], k)
            order = np.lexsort((np.arange(len(full)), -full))[:k]
            order = order[full[order] > 0]
            assert rows.tolist() == order.tolist()
            assert scores.tolist() == full[order].tolist()


def test_frequent_words_are_looked_up_only_where_rare_ones_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = built([["often"] * (row % 3) + (["rare"] if row == 77 else []) for row in range(900)])
    walked: list[int] = []
    postings = BM25._postings

    def spy(self: BM25, term: Any) -> Any:
        for rows, counts in postings(self, term):
            walked.append(len(rows))
            yield rows, counts

    monkeypatch.setattr(BM25, "_postings", spy)
    ((_, rows),) = index.search(["often rare"], 1)
    assert rows.tolist() == [77]
    assert set(walked) == {1}


def test_weights_are_chosen_when_questions_are_asked() -> None:
    counts = count_words([("", text) for text in TEXTS])
    for choice in (BM25Settings(), BM25Settings(2.0, 0.9), BM25Settings(pairs=4)):
        ((scores, rows),) = BM25([counts], [None], choice).search(["red fox"], 4)
        assert (
            list(zip(scores.tolist(), rows.tolist(), strict=True))
            == (BM25Index(TEXTS, choice).search(["red fox"], 4)[0])
        )
    plain = BM25([counts], [None], BM25Settings(k1=0.9, pairs=0)).search(["red fox"], 4)[0][0]
    assert plain.tolist() == [one for one, _ in BM25Index(TEXTS).search(["red fox"], 4)[0]]


def test_words_side_by_side_count_more_than_words_apart() -> None:
    texts = ["the wolf and the little red hen", "the red wolf and the little hen"]
    for question, found in (("little red hen", [0, 1]), ("red wolf", [1, 0])):
        scores = {row: score for score, row in BM25Index(texts).search([question], 2)[0]}
        assert scores[0] == scores[1]
        ranked = BM25Index(texts, BM25Settings()).search([question], 2)[0]
        assert [row for _, row in ranked] == found
        assert ranked[1][0] >= scores[0] == BM25Index(texts).scores(question, [0])[0]


def test_words_that_only_ask_are_left_out_where_others_are_left() -> None:
    texts = ["who is who and what was what", "the fox had fled"]
    found = {
        question: [row for _, row in BM25Index(texts, BM25Settings()).search([question], 2)[0]]
        for question in ("When had the fox fled, and who was it?", "Who is who?", "WHAT?")
    }
    assert list(found.values()) == [[1], [0], [0]]
    assert len(BM25Index(texts, LUCENE).search([next(iter(found))], 2)[0]) == 2
    words = WordsSettings(language="german", stop_words=None)
    german = BM25([count_words([("", texts[0])], words)], [None], words=words)
    assert german.search(["who fled"], 1)[0][1].tolist() == [0]


def test_titles_count_as_they_are_told_to() -> None:
    texts = [("grey", "fox fox"), ("fox", "grey hen"), ("", "hen")]
    for title, found in ((0, [0]), (1, [0, 1]), (4, [1, 0])):
        words = WordsSettings(title=title)
        index = BM25([count_words(texts, words)], [None], words=words)
        assert index.search(["foxes"], 3)[0][1].tolist() == found


def test_a_question_is_answered_alike_in_any_company() -> None:
    texts = [part.split() for text in topics.values() for part in text.split("\n\n")][:1500]
    texts = [[word.lower() for word in one if word.isalpha()] for one in texts]
    questions = [" ".join(one[:7]) for one in texts[::40]]
    for weight in (0.0, 0.5):
        index = built(texts, settings=BM25Settings(pairs=weight))
        together = index.search(questions, 30)
        for question, (scores, rows) in zip(questions, together, strict=True):
            others = [index.search([question], 90)]
            if not weight:
                others.append(index.search([" ".join(reversed(question.split()))], 30))
            for ((more, more_rows),) in others:
                assert more[:30].tolist() == scores.tolist()
                assert more_rows[:30].tolist() == rows.tolist()


def test_a_question_in_a_script_without_spaces_finds_its_text() -> None:
    index = BM25Index(["富士山は日本の山です", "琵琶湖は日本の湖です", "ภาษาไทย", "a fox"])
    found = index.search(["富士山の高さ", "琵琶湖", "ไทย", "日本"], 4)
    assert [[row for _, row in one] for one in found] == [[0], [1], [2], [0, 1]]


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
    assert [row for _, row in index.search(["words"], 2)[0]] == [0, 1]


def test_nothing_to_find() -> None:
    assert BM25Index(["the", "of"]).search(["the"], 3) == [[]]
    counts = count_words([("", text) for text in TEXTS])
    for index in (BM25([], []), BM25([counts], [np.zeros(4, np.bool_)])):
        ((scores, rows),) = index.search(["red fox"], 3)
        assert (scores.tolist(), rows.tolist()) == ([], [])
        assert (scores.dtype, rows.dtype) == (np.float64, np.int64)
    index = BM25([counts], [None])
    assert index.search(["red fox"], 3, np.zeros(4, np.bool_))[0][1].tolist() == []
    assert index.scores("red fox", []).tolist() == []
    assert index.scores("red fox", [3, 2, 3])[1] == 0.0
    assert (len(index), index.rows) == (4, 4)


def test_scores_of_rows_in_memory_are_those_of_its_lists() -> None:
    index = BM25Index(TEXTS)
    found = {row: score for score, row in index.search(["red fox"], 4)[0]}
    assert index.scores("red fox", [3, 0, 2, 0]) == [found.get(row, 0.0) for row in (3, 0, 2, 0)]
    with pytest.raises(InputError, match="from 0 to 3"):
        index.scores("red fox", [4])


def test_what_is_refused() -> None:
    index = BM25([count_words([("", text) for text in TEXTS])], [None])
    with pytest.raises(InputError, match="at least one"):
        BM25Index([])
    with pytest.raises(SettingsError, match="k is 0"):
        BM25Index(TEXTS).search(["fox"], 0)
    with pytest.raises(InputError, match="allowed has shape"):
        index.search(["fox"], 1, np.ones(3, np.bool_))
    for rows in ([4], [-1], [[0]]):
        with pytest.raises(InputError, match="from 0 to 3"):
            index.scores("fox", rows)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="live has masks"):
        BM25([count_words([("", "a")])], [])
    for wrong in ({"b": 2}, {"k1": -1}, {"k1": math.inf}, {"k1": math.nan}, {"b": math.nan}):
        with pytest.raises(SettingsError, match="allowed: k1 of 0 or more"):
            BM25Settings(**wrong)
