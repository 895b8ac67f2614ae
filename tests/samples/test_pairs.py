"""Pairs of all kinds together: shares, determinism, and what is a positive of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dpr.errors import SettingsError
from dpr.records import Passage
from dpr.samples.files import TrainingSample
from dpr.samples.keywords import WordWeights
from dpr.samples.kinds import KINDS
from dpr.samples.pair_settings import NAMES
from dpr.samples.pairs import PairCounts, PairSettings, make_pairs

WORDS = (
    "river stone castle queen bread flour winter summer horse rider tower forest ship sea".split()
)


def text(number: int) -> str:
    """Four sentences whose words depend on the number."""
    turned = [WORDS[(number * step + step) % len(WORDS)] for step in range(1, 29)]
    return " ".join(
        f"{' '.join(turned[at : at + 7]).capitalize()} number {number}{at}."
        for at in (0, 7, 14, 21)
    )


PASSAGES = [
    Passage(f"d{n // 3}#{n % 3}", text(n), f"Story {n // 3}", document=f"d{n // 3}")
    for n in range(300)
]
ALL = "cloze,sentence,crops,neighbours,title,pseudo,keywords"


def pairs(settings: PairSettings, passages: list[Passage] = PASSAGES) -> list[TrainingSample]:
    weights = WordWeights(f"{one.title} {one.text}" for one in passages)
    return list(make_pairs(iter(passages), settings, weights))


def test_settings_name_the_kinds_that_there_are() -> None:
    assert tuple(KINDS) == NAMES


def test_the_same_passages_and_seed_give_the_same_pairs() -> None:
    settings = PairSettings(kinds=ALL, per_passage=3)
    first = pairs(settings)
    assert first == pairs(settings)
    assert first != pairs(replace(settings, seed=1))
    # A passage's pairs depend on its document alone, where no weights of words are asked for.
    settings = replace(settings, kinds="cloze,neighbours,title")
    assert pairs(settings, PASSAGES[30:60]) == pairs(settings)[90:180]


def test_kinds_are_drawn_by_their_shares() -> None:
    counts = Counter(one.dataset for one in pairs(PairSettings("cloze:3,crops:1", per_passage=1)))
    assert counts.total() == 300
    assert counts["cloze"] / 300 == pytest.approx(0.75, abs=0.1)


def test_other_kinds_fill_in_where_one_gives_nothing() -> None:
    untitled = [replace(one, title="") for one in PASSAGES]
    settings = PairSettings("title:1000,cloze", per_passage=2)
    assert Counter(one.dataset for one in pairs(settings, untitled)) == {"cloze": 600}
    assert Counter(one.dataset for one in pairs(settings)) == {"title": 300, "cloze": 300}


def test_what_was_made_is_counted_and_so_are_passages_that_give_nothing() -> None:
    counts = PairCounts()
    passages = [*PASSAGES[:3], Passage("none", "Too short.")]
    made = list(make_pairs(passages, PairSettings("cloze", per_passage=2), counts=counts))
    assert (counts.passages, counts.without, counts.pairs) == (4, 1, 6)
    assert counts.kinds == {"cloze": 6}
    assert len(made) == 6


def test_no_question_is_asked_twice_of_a_passage() -> None:
    made = pairs(PairSettings("sentence,cloze", per_passage=9, keep_sentence=1))
    questions: dict[str, list[str]] = {}
    for sample in made:
        questions.setdefault(sample.positives[0].id, []).append(sample.question)
    assert {len(own) for own in questions.values()} == {4}
    assert all(len(set(own)) == len(own) for own in questions.values())


def test_every_part_of_a_passage_is_a_positive_of_all_its_questions() -> None:
    """Else a batch with both would have it for a negative."""
    made = pairs(PairSettings(ALL, per_passage=4))
    for passage in PASSAGES[:60]:
        own = [one for one in made if one.positives[0].id == passage.id]
        parts = {one.positives[0].key for one in own} | {(passage.title, passage.text)}
        assert own
        for sample in own:
            assert parts <= {one.key for one in sample.positives}
            keys = [one.key for one in sample.positives]
            assert len(set(keys)) == len(keys)


def test_a_part_comes_first_where_it_is_what_is_to_be_found() -> None:
    for sample in pairs(PairSettings("cloze", per_passage=1, keep_sentence=0)):
        part, whole = sample.positives
        assert sample.question not in part.text
        assert sample.question in whole.text
        assert sample.answers == ()


def test_a_sentence_of_the_next_document_never_asks() -> None:
    for sample in pairs(PairSettings("neighbours", per_passage=2)):
        first, *others = sample.positives
        assert {one.id.split("#")[0] for one in others} <= {first.id.split("#")[0]}


def test_rows_of_one_title_are_one_document() -> None:
    rows = [Passage(str(n), text(n), f"Story {n // 3}") for n in range(6)]
    found = pairs(PairSettings("neighbours", per_passage=1), rows)
    assert [sample.positives[0].id for sample in found] == [str(n) for n in range(6)]


def test_a_long_document_is_looked_at_in_portions() -> None:
    taken = 0

    def passages() -> Iterator[Passage]:
        nonlocal taken
        for n in range(5000):
            taken += 1
            yield Passage(str(n), text(n), "One title")

    made = make_pairs(passages(), PairSettings("sentence", per_passage=1))
    next(made)
    assert taken < 600
    assert len(list(made)) == 4999


def test_keywords_need_weights() -> None:
    with pytest.raises(SettingsError, match="give WordWeights"):
        next(make_pairs(PASSAGES, PairSettings("keywords")))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kinds": "clozes"}, "'clozes' is none of cloze, sentence"),
        ({"kinds": ""}, "'' is none of"),
        ({"kinds": "title,title"}, "names title twice"),
        ({"kinds": "title:none"}, "share of title is 'none'"),
        ({"kinds": "title:0"}, "share of title is '0'"),
        ({"kinds": "title:nan"}, "share of title is 'nan'"),
        ({"per_passage": 0}, "per_passage=0"),
        ({"keywords": 1.5}, "keywords=1.5"),
        ({"most_words": 3}, "most_words=3 is below fewest_words=4"),
        ({"keep_sentence": 1.1}, "keep_sentence=1.1"),
        ({"shortest_crop": -1}, "shortest_crop=-1"),
    ],
)
def test_settings_are_checked(given: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        PairSettings(**given)  # type: ignore[arg-type]
