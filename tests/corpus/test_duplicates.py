"""Duplicates, against comparing each passage with every earlier one."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.corpus import DuplicateSettings, read_passages
from dpr.corpus.duplicates import (
    Duplicate,
    DuplicateFinder,
    Duplicates,
    TextSimilarity,
    drop_duplicates,
)
from dpr.errors import SettingsError
from dpr.records import Passage


def passages(*texts: str) -> list[Passage]:
    return [Passage(str(at), text) for at, text in enumerate(texts)]


def find(given: Sequence[Passage], near: float | None, portion: int = 1000) -> list[Any]:
    finder = DuplicateFinder(DuplicateSettings(near))
    return [
        one
        for first in range(0, len(given), portion)
        for one in finder.find(given[first : first + portion])
    ]


def sequences(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", text.casefold())
    if len(words) < 5:
        return frozenset([tuple(words)] if words else [])
    return frozenset(tuple(words[at : at + 5]) for at in range(len(words) - 4))


def brute(given: Sequence[Passage], near: float | None) -> list[Duplicate | None]:
    """Each passage against all that were kept."""
    kept: list[tuple[str, str, frozenset[tuple[str, ...]]]] = []
    found: list[Duplicate | None] = []
    for passage in given:
        folded, own = " ".join(passage.text.casefold().split()), sequences(passage.text)
        best: Duplicate | None = None
        for identifier, other, theirs in kept:
            if other == folded:
                best = Duplicate(identifier, 1.0, True)
                break
            shared = len(own & theirs)
            if near is None or not shared:
                continue
            similarity = shared / (len(own) + len(theirs) - shared)
            if similarity >= max(near, best.similarity + 1e-12 if best else 0):
                best = Duplicate(identifier, similarity, False)
        if best is None:
            kept.append((passage.id, folded, own))
        found.append(best)
    return found


TEXT = "The quick brown fox jumps over the lazy dog and runs away into the dark green forest"


@pytest.mark.parametrize("near", [None, 0.8])
def test_equal_texts(near: float | None) -> None:
    given = passages("A b.", "a  B.\n", "A b", "", "ß", "SS", " a\tb. ", "")
    found = find(given, near)
    equal = [one.of if one and one.exact else None for one in found]
    assert equal == [None, "0", None, None, None, "4", "0", "3"]
    if near:  # "A b" has the same words as "A b."
        assert found[2] == Duplicate("0", 1.0, False)
    else:
        assert found[2] is None


def test_a_text_with_a_word_changed() -> None:
    words = (TEXT + " " + TEXT[::-1] + " " + TEXT.upper()[4:]).split()
    changed = " ".join([*words[:20], "cat", *words[21:]])
    given = passages(" ".join(words), changed, "Something else altogether, which is not like it.")
    [none, near, other] = find(given, 0.6)
    assert none is other is None
    assert near == brute(given, 0.6)[1]
    assert near is not None and not near.exact and 0.6 < near.similarity < 1
    assert find(given, 0.95) == [None, None, None]


def test_short_texts_and_texts_without_words() -> None:
    given = passages(
        "one two", "One, two!", "one two three", "...", "!!!", "...", "中文字", "中文 字"
    )
    assert find(given, 0.5) == brute(given, 0.5)
    assert [one is None for one in find(given, 0.5)] == [
        *(True, False, True, True, True, False, True, False)
    ]


VOCABULARY = ["a", "b", "c", "d", "E", "é", "中"]
SENTENCES = st.lists(st.sampled_from(VOCABULARY), min_size=0, max_size=9).map(" ".join)


@given(st.lists(SENTENCES, max_size=25), st.sampled_from([None, 1.0]), st.integers(1, 30))
def test_however_they_are_portioned(texts: list[str], near: float | None, portion: int) -> None:
    """At 1 bands miss nothing, so that all is as brute force says."""
    given = passages(*texts)
    assert find(given, near, portion) == brute(given, near)


def edited(text: str, rate: float, source: random.Random) -> str:
    words = text.split()
    for at in range(len(words)):
        if source.random() < rate:
            words[at] = source.choice(["", "word", words[source.randrange(len(words))]])
    return " ".join(words)


def with_edits(given: Sequence[Passage], copies: int) -> list[Passage]:
    """Each passage, and copies of it with more and more of its words changed, all mixed."""
    source = random.Random(0)
    made = [
        Passage(f"{passage.id}/{copy}", edited(passage.text, 0.008 * copy, source))
        for passage in given
        for copy in range(copies)
    ]
    source.shuffle(made)
    return made


def check_against_brute_force(given: list[Passage], near: float) -> tuple[int, int]:
    """No false positive; gives (found, to be found) near duplicates.

    A miss changes what is kept, and so what later passages are compared with: each passage is
    held against those that the finder itself kept.
    """
    found = find(given, near, 700)
    kept: dict[str, frozenset[tuple[str, ...]]] = {}
    hit = due = 0
    for passage, one in zip(given, found, strict=True):
        own = sequences(passage.text)
        similar = {
            identifier: len(own & theirs) / len(own | theirs)
            for identifier, theirs in kept.items()
            if own and not own.isdisjoint(theirs)
        }
        best = max(similar.values(), default=0)
        if one is None:
            kept[passage.id] = own
            due += best >= near
        elif not one.exact:
            assert one.similarity >= near
            assert one.similarity == pytest.approx(similar[one.of])
            assert one.of == next(name for name in similar if similar[name] == similar[one.of])
            hit, due = hit + 1, due + 1
    return hit, due


def test_edited_texts_against_brute_force() -> None:
    source = random.Random(1)
    vocabulary = [f"w{n}" for n in range(300)]
    made = [
        " ".join(source.choice(vocabulary) for _ in range(source.randrange(20, 60)))
        for _ in range(60)
    ]
    hit, due = check_against_brute_force(with_edits(passages(*made), 10), 0.7)
    assert due > 150
    assert hit >= 0.99 * due


@pytest.mark.parametrize(("near", "least"), [(0.8, 200), (0.6, 600)])
def test_real_texts_against_brute_force(shared_data: Path, near: float, least: int) -> None:
    given = list(read_passages(shared_data / "squad" / "validation.json"))
    hit, due = check_against_brute_force(with_edits(given[:150], 10), near)
    assert due >= least
    assert hit >= 0.995 * due


def test_real_texts_have_their_own(shared_data: Path) -> None:
    given = list(read_passages(shared_data / "policyqa" / "dev.json"))[:600]
    assert find(given, 0.8) == brute(given, 0.8)


def test_memory_is_as_stated() -> None:
    source = random.Random(2)
    texts = [" ".join(f"w{source.randrange(9**6)}" for _ in range(100)) for _ in range(600)]
    for near, most in ((None, 20), (0.8, 640)):
        finder = DuplicateFinder(DuplicateSettings(near))
        assert finder.find(passages(*texts)) == [None] * 600
        assert finder.memory <= 600 * most + 8
        before = finder.memory
        finder.find(passages(*texts))  # duplicates take none
        assert finder.memory == before


def test_dropping_and_counting() -> None:
    given = passages(*["same text"] * 30, "Same text!", "other")
    found = Duplicates()
    kept = list(drop_duplicates(iter(given), DuplicateSettings(0.9), found))
    assert [passage.id for passage in kept] == ["0", "31"]
    assert (found.exact, found.near, len(found.items)) == (29, 1, 20)
    assert found.items[0] == ("1", Duplicate("0", 1.0, True))
    lines = found.summary().splitlines()
    assert lines[0] == "30 duplicates, 29 of them equal to an earlier passage:"
    assert lines[1] == "  1 equals 0"
    assert lines[-1] == "  and 10 more"
    assert Duplicates().summary() == ""
    few = Duplicates()
    few.add("b", Duplicate("a", 0.8571, False))
    assert few.summary().endswith("\n  b shares 86% with a")


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("keep", None),
        ("drop-exact", DuplicateSettings()),
        ("drop-near", DuplicateSettings(0.8)),
        ("drop-near:0.9", DuplicateSettings(0.9)),
        ("drop-near:1", DuplicateSettings(1.0)),
    ],
)
def test_what_settings_are_spelt(text: str, settings: DuplicateSettings | None) -> None:
    assert DuplicateSettings.parse(text) == settings
    assert settings is None or DuplicateSettings.parse(str(settings)) == settings


@pytest.mark.parametrize(
    "text", ["", "drop", "keep:1", "drop-exact:1", "drop-near:", "drop-near:0.4", "drop-near:nan"]
)
def test_settings_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match=r"choose keep, drop-exact, or drop-near:N"):
        DuplicateSettings.parse(text)


@pytest.mark.parametrize("near", [0.49, 1.01, True, "0.8", float("nan")])
def test_thresholds_outside_the_range(near: Any) -> None:
    with pytest.raises(SettingsError, match=r"near is .*give a number of 0\.5 to 1"):
        DuplicateSettings(near)


@given(st.lists(st.lists(st.sampled_from("a b c d".split()), max_size=9), min_size=2, max_size=2))
def test_similarity_of_two_texts_is_that_of_all_their_sequences(words: list[list[str]]) -> None:
    one, other = (" ".join(some).title() for some in words)
    first, second = sequences(one), sequences(other)
    shared = len(first & second)
    expected = shared / (len(first | second)) if shared else 0.0
    similarity = TextSimilarity()
    assert similarity(one, other) == similarity(other, one) == expected
    for least in (0.2, 0.5, 1.0, *([expected] if expected else [])):
        assert similarity.reaches(one, other, least) == (expected >= least)
