"""Each kind of pair: what asks, and what is to be found."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dpr.records import Passage
from dpr.samples.files import TrainingSample
from dpr.samples.keywords import WordWeights
from dpr.samples.kinds import BESIDE, KINDS, Place, as_typed
from dpr.samples.pairs import PairSettings

SENTENCES = [
    "There was once a king who lived in a castle by the river.",
    "“It is cold,” said the old dog to the snow man that night.",
    "Long after the war of 1648 the tale was told again by Princess Anna of the north.",
    "Why did he weep?",
]
TEXT = " ".join(SENTENCES)
STORY = [
    Passage("s#0", TEXT, "The Snow Man", document="s"),
    Passage("s#1", "A stove stood in the kitchen, and the dog had slept below it.", "The Snow Man"),
    Passage("s#2", "Spring came and he melted away. Nobody thought of him.", "The Snow Man"),
]
SETTINGS = PairSettings(per_passage=50, keep_sentence=0)


def made(
    kind: str,
    at: int = 0,
    settings: PairSettings = SETTINGS,
    story: list[Passage] = STORY,
    seed: int = 0,
) -> list[TrainingSample]:
    weights = WordWeights(f"{one.title} {one.text}" for one in story)
    return list(KINDS[kind](Place(story, at, weights), random.Random(seed), settings))


def test_a_question_is_on_one_line_without_marks_around() -> None:
    assert as_typed(" - “It is\n cold,” he said.\t") == "It is\n cold,” he said".replace("\n", "")
    assert as_typed("## Installing (on Windows)") == "Installing (on Windows)"
    assert as_typed("(see below) [1]") == "see below) [1]"
    assert as_typed("Why?!") == "Why"
    assert as_typed("「これは何ですか。」") == "これは何ですか"
    assert as_typed(" ...”) ") == ""


def test_cloze_asks_with_a_sentence_for_the_passage_without_it() -> None:
    found = made("cloze")
    assert {sample.question for sample in found} == {as_typed(one) for one in SENTENCES}
    for sample in found:
        (positive,) = sample.positives
        taken = [one for one in SENTENCES if sample.question in one]
        assert len(taken) == 1
        assert taken[0] not in positive.text
        assert sorted(positive.text.split() + taken[0].split()) == sorted(TEXT.split())
        assert (positive.title, positive.id) == ("The Snow Man", "s#0")


def test_cloze_keeps_the_sentence_as_often_as_it_is_told() -> None:
    settings = replace(SETTINGS, keep_sentence=0.3)
    kept = [
        sample.positives[0].text == TEXT
        for seed in range(400)
        for sample in made("cloze", settings=settings, seed=seed)
    ]
    assert sum(kept) / len(kept) == pytest.approx(0.3, abs=0.05)
    one = [Passage("a", SENTENCES[0])]
    assert made("cloze", story=one) == []  # nothing would be left
    assert made("cloze", story=one, settings=replace(SETTINGS, keep_sentence=1)) != []


def test_sentences_ask_for_the_whole_passage_and_long_ones_are_cut() -> None:
    found = made("sentence")
    assert {sample.question for sample in found} == {as_typed(one) for one in SENTENCES}
    assert all(sample.positives[0].text == TEXT for sample in found)
    short = made("sentence", settings=replace(SETTINGS, fewest_words=4, most_words=5))
    assert {len(sample.question.split()) for sample in short} == {4, 5}
    assert all(sample.question in " ".join(TEXT.split()) for sample in short)


def test_crops_are_runs_of_words_within_their_lengths() -> None:
    settings = replace(SETTINGS, fewest_words=3, most_words=6, shortest_crop=0.5)
    found = made("crops", settings=settings)
    assert len(found) == 50
    total, lengths = len(TEXT.split()), set()
    for sample in found:
        text = sample.positives[0].text
        lengths.add(len(text.split()))
        assert sample.question in TEXT
        assert text in TEXT
        assert 3 <= len(sample.question.split()) <= 6
    assert min(lengths) >= total / 2
    assert max(lengths) <= total
    assert len(lengths) > 10
    assert made("crops", story=[Passage("a", "too few words here")]) == []


def test_crops_count_characters_where_a_script_sets_no_words_apart() -> None:
    text = "昔々あるところにおじいさんとおばあさんがいました。おじいさんは山へ行きました。"
    found = made("crops", story=[Passage("a", text)])
    assert found
    assert all(sample.question in text for sample in found)
    assert all(4 <= len(sample.question) <= 24 for sample in found)


def test_neighbours_ask_for_the_passage_beside_theirs() -> None:
    found = made("neighbours", at=1)
    assert len(found) == 2
    for sample in found:
        first, own = sample.positives
        assert first.id == "s#1"
        assert own.id in ("s#0", "s#2")
        assert sample.question in own.text
    assert {sample.positives[1].id for sample in made("neighbours", at=0)} == {"s#1"}
    assert made("neighbours", story=STORY[:1]) == []


def test_titles_ask_for_passages_without_them() -> None:
    (sample,) = made("title", at=1)
    assert sample.question == "The Snow Man"
    first, *others = sample.positives
    assert (first.title, first.id) == ("", "s#1")
    assert [(one.title, one.id) for one in others] == [
        ("The Snow Man", "s#0"),
        ("The Snow Man", "s#2"),
    ]
    assert made("title", story=[Passage("a", TEXT)]) == []
    assert made("title", story=[Passage("a", TEXT, "* 1 *")]) == []
    many = [replace(STORY[1], id=str(n)) for n in range(50)]
    (sample,) = made("title", at=25, story=many)
    assert [one.id for one in sample.positives[1:]] == [
        str(n) for n in range(25 - BESIDE // 2, 26 + BESIDE // 2) if n != 25
    ]


def test_headings_ask_with_the_title_and_are_left_out_of_the_text() -> None:
    story = [
        Passage("d#0", "# Installing\n\nRun pip and wait a moment.", "The Manual", "Installing"),
        Passage("d#1", "Or build it from its source code.", "The Manual", "Installing"),
        Passage("d#2", "Ask a question about your documents.", "The Manual", "Using it"),
        Passage("d#3", "This manual says all about it.", "The Manual", "The Manual"),
        Passage("d#4", "No heading stands above this text.", "The Manual"),
    ]
    (sample,) = made("section", story=story)
    assert sample.question == "The Manual Installing"
    assert [(one.title, one.text) for one in sample.positives] == [
        ("", "Run pip and wait a moment."),
        ("The Manual", "Or build it from its source code."),
    ]
    assert [len(made("section", at, story=story)) for at in range(5)] == [1, 1, 1, 0, 0]


def test_made_questions_keep_the_place_of_their_answer() -> None:
    found = made("pseudo")
    assert {sample.answers for sample in found} == {("1648",)}
    for sample in found:
        (positive,) = sample.positives
        ((start, end),) = positive.answers
        assert (positive.text[start:end],) == sample.answers
        assert sample.question.endswith("?")
    assert made("pseudo", at=1) == []


def test_keywords_are_telling_words_in_the_passages_order() -> None:
    found = made("keywords", settings=replace(SETTINGS, fewest_words=2, keywords=3))
    assert len(found) == 50
    order = " ".join(as_typed(one).lower() for one in [STORY[0].title, *TEXT.split()]).split()
    rare = set(order) - {"the", "dog", "a", "in", "was", "it", "by", "to", "of"}
    for sample in found:
        words = sample.question.split()
        assert 2 <= len(words) <= 3
        assert set(words) <= rare
        at = [order.index(word) for word in words]
        assert at == sorted(at)
        assert sample.positives[0].text == TEXT
    assert {len(sample.question.split()) for sample in found} == {2, 3}
    assert made("keywords", story=[Passage("a", "the of and")]) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("title", "section")])
def test_no_question_has_fewer_words_than_allowed(kind: str) -> None:
    settings = replace(SETTINGS, fewest_words=9, most_words=11, keywords=9)
    for at in range(3):
        for sample in made(kind, at, settings):
            assert len(sample.question.split()) >= 8  # marks at an end may be a word that goes
            assert sample.question == as_typed(sample.question) or kind == "pseudo"


def test_empty_passages_give_nothing() -> None:
    for kind in KINDS:
        assert made(kind, story=[Passage("a", "")]) == []
        assert made(kind, story=[Passage("a", " \n ")]) == []
