"""Likeness: sets against counting all pairs, forms against what should and should not be equal."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr.samples.likeness import (
    SimilarSets,
    SimilarWordings,
    answer_form,
    form,
    jaccard,
    plain,
    sequences,
)

NUMBERS = st.frozensets(st.integers(0, 25), max_size=14)


@settings(max_examples=300)
@given(st.lists(NUMBERS, max_size=25), NUMBERS, st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9, 1.0]))
def test_similar_sets_are_those_that_counting_all_pairs_gives(
    sets: list[frozenset[int]], one: frozenset[int], least: float
) -> None:
    slow = {row: jaccard(one, other) for row, other in enumerate(sets)}
    assert dict(SimilarSets(sets, least).find(one)) == {
        row: value for row, value in slow.items() if value >= least
    }


def test_similar_sets_misses_no_near_copy() -> None:
    rng = random.Random(0)
    texts = [" ".join(rng.choices("abcdefgh", k=40)) for _ in range(300)]
    copies = [text.split() for text in texts]
    for words in copies:
        words[rng.randrange(5)] = "other"
    index = SimilarSets(map(sequences, texts), 0.75)
    for row, words in enumerate(copies):
        assert index.find(sequences(" ".join(words)))[0][0] == row


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The  King\n", "the king"),
        ("ﬁne caf\u00e9", "fine cafe\u0301"),
        ("it’s “so” – yes", 'it\'s "so" - yes'),
        ("a\u00adb\u200bc\ufeff", "abc"),
        ("STRASSE", "straße"),
    ],
)
def test_plain_texts_are_equal(one: str, other: str) -> None:
    assert plain(one) == plain(other)
    assert plain(plain(one)) == plain(one)


@pytest.mark.parametrize(("one", "other"), [("a b", "ab"), ("1.5", "15"), ("x-y", "x y")])
def test_plain_texts_stay_apart(one: str, other: str) -> None:
    assert plain(one) != plain(other)


def test_forms() -> None:
    assert form("Who's  HE?") == form("who’s he") == "who s he"
    assert form("what is C++?") != form("what is C#?") != form("what is C?")
    assert form("北京 在哪里？") == "北 京 在 哪 里"
    assert form(" . ") == ""
    assert answer_form("The King") == "king"
    assert answer_form("the") == "the"


WORDED = [
    "when did jack mccoy join law and order",
    "who played virgil tibbs in the heat of the night",
    "where does the last name suazo come from",
    "how many goals were scored in the 2010 world cup",
    "who is he",
]


@pytest.mark.parametrize(
    ("question", "row"),
    [
        ("when did jack mccoy joined law and order", 0),
        ("when did jakc mccoy join law and order", 0),
        ("in the heat of the night who played tibbs", 1),
        ("how many goals were scored in 2010 world cup", 3),
        ("where does the last name hidalgo come from", None),
        ("how many goals were scored in the 2014 world cup", None),
        ("who is the queen", None),
        ("where is the heat of the night filmed", None),
    ],
)
def test_wordings(question: str, row: int | None) -> None:
    found = SimilarWordings(WORDED).find(form(question))
    assert [one for one, _ in found] == ([] if row is None else [row])
