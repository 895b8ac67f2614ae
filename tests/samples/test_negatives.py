"""What keeps a passage from being a negative, reason by reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpr.corpus.duplicates import TextSimilarity
from dpr.errors import SettingsError
from dpr.samples.files import Context, TrainingSample
from dpr.samples.negatives import (
    FILTERS,
    Filters,
    Golds,
    MiningCounts,
    MiningSettings,
    Pool,
    Ranked,
    answer_matcher,
)

LONG = "one two three four five six seven eight nine ten"
GOLD = Context(f"The king lives in Bonn. {LONG}", "King", "king#0")
SAMPLE = TrainingSample("Where does the king live?", ("Bonn", "the Rhine"), (GOLD,))


def fault(
    context: Context,
    score: float = 1.0,
    best: float = 10.0,
    taken: tuple[Context, ...] = (),
    sample: TrainingSample = SAMPLE,
    others: tuple[TrainingSample, ...] = (),
    **options: object,
) -> str:
    pool = Pool([context, *taken])
    settings = MiningSettings(**options)  # type: ignore[arg-type]
    filters = Filters(sample, pool, settings, TextSimilarity(), Golds([*others, sample]))
    ranked = [Ranked(pool.rows[one.key], 1.0, 1, "x") for one in taken]
    return filters.fault(Ranked(pool.rows[context.key], score, 1, "x"), best, ranked)


def test_golds_are_left_out_whatever_is_said_of_them() -> None:
    assert fault(Context(GOLD.text, GOLD.title, "other id")) == "gold"
    assert fault(Context(GOLD.text, GOLD.title), keep_answers=True, near=0) == "gold"


def test_golds_of_the_same_question_in_other_samples() -> None:
    """As the doctor compares them: questions by their words, passages by their text."""
    other = Context("He lives in his\u00a0tower.", "Tower")
    again = TrainingSample("where does the KING live", (), (other,))
    for text in (other.text, "he lives in his  tower."):
        assert fault(Context(text, "another title"), others=(again,)) == "elsewhere"
        assert fault(Context(text), others=(replace(again, question="Where is he?"),)) == ""
        assert fault(Context(text), others=(again,), keep_answers=True, near=0) == "elsewhere"
    assert fault(GOLD, others=(replace(again, positives=(GOLD,)),)) == "gold"
    assert fault(Context("A whale."), others=(again,)) == ""
    titled = replace(again, positives=(Context("", "Tower"),))  # passages of a title alone
    assert fault(Context("", "Tower"), others=(titled,)) == "elsewhere"
    assert fault(Context("", "Whale"), others=(titled,)) == ""
    mark, other_mark = replace(again, question="?"), replace(again, question="!")
    assert fault(other, sample=replace(SAMPLE, question="?"), others=(mark,)) == "elsewhere"
    assert fault(other, sample=replace(SAMPLE, question="?"), others=(other_mark,)) == ""


def test_what_the_other_list_gave_already() -> None:
    other = Context("A whale.")
    assert fault(other, taken=(other,)) == "twice"
    assert fault(other, taken=(Context("A shark."),)) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("He moved to BONN.", "answer"),
        ("Bonnie is no answer.", ""),
        ("On a Rhine.", ""),
        ("Down the Rhine.", "answer"),
    ],
)
def test_answers_by_the_rule_of_answer_matching(text: str, found: str) -> None:
    assert fault(Context(text)) == found
    assert fault(Context(text), keep_answers=True) == ""
    assert fault(Context("Nothing.", "Bonn")) == ""  # a title is not looked at


def test_answers_without_a_letter_digit_or_sign_hold_nothing_up() -> None:
    assert answer_matcher(()) is None
    assert answer_matcher(("", " ", ".", "'", "…")) is None
    for blank in ("", ".", " - "):
        matcher = answer_matcher((blank, "Bonn", "$"))
        assert matcher is not None
        assert matcher.matches("in Bonn.")
        assert matcher.matches("in $.")
        assert not matcher.matches("It is - in Rome.")


@pytest.mark.parametrize(
    ("options", "highest", "best"),
    [
        ({"margin": 2.5}, 7.5, 10.0),
        ({"margin": 0.0}, -3.0, -3.0),
        ({"share": 0.95}, 9.5, 10.0),
        ({"share": 0.5}, -15.0, -10.0),  # below the positive, not above it
        ({"share": 1.0}, -10.0, -10.0),
        ({"max_score": 4.0}, 4.0, 10.0),
    ],
)
def test_scores_up_to_a_limit(options: dict[str, float], highest: float, best: float) -> None:
    (name,) = options
    other = Context("A whale.")
    assert fault(other, highest, best, **options) == ""
    assert fault(other, highest + 1e-9, best, **options) == name


def test_documents_by_title_and_by_id() -> None:
    same = Context("A whale.", "King"), Context("A whale.", "Other", "king#7")
    for one in same:
        assert fault(one, other_documents=True) == "document"
        assert fault(one) == ""
    for one in (Context("A whale.", "", "kings#0"), Context("A whale.", "Other")):
        assert fault(one, other_documents=True) == ""
    untitled = TrainingSample("q", (), (Context("A king."),))
    assert fault(Context("A whale."), sample=untitled, other_documents=True) == ""


def test_near_duplicates_of_positives_and_of_negatives() -> None:
    # 9 sequences of five words shared, of 11 and 10.
    near = Context(f"The king lives in Bonn. {LONG.removesuffix(' ten')} elven")
    similarity = TextSimilarity()(near.text, GOLD.text)
    assert 0.8 < similarity < 0.9
    assert fault(near, keep_answers=True) == "near"
    assert fault(near, keep_answers=True, near=similarity) == "near"
    assert fault(near, keep_answers=True, near=similarity + 1e-6) == ""
    assert fault(near, keep_answers=True, near=0) == ""
    whale = Context(f"A whale sings. {LONG}")
    again = Context(f"A whale sings, {LONG}!")
    assert fault(again, taken=(whale,)) == "near"
    assert fault(again, taken=()) == ""


def test_every_reason_is_told_and_counted() -> None:
    counts = MiningCounts().of("bm25")
    assert list(counts) == ["looked_at", *FILTERS, "kept"]
    assert not any(counts.values())


def test_a_pool_has_each_passage_once_without_what_a_sample_says_of_it() -> None:
    marked = Context("A king.", "K", "1", answers=((0, 1),), score=3.0, teacher_score=1.0)
    sample = TrainingSample("q", (), (marked,), (Context("b"),), (Context("A king."), Context("b")))
    pool = Pool.of([sample, sample])
    assert list(pool) == [Context("A king.", "K", "1"), Context("A king."), Context("b")]
    assert [pool.rows[one.key] for one in pool] == [0, 1, 2]
    assert pool.add(Context("b", "", "later")) == 2
    assert (len(pool), pool[2].id) == (3, "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"negatives": 0}, "negatives=0"),
        ({"first_rank": 0}, "first_rank=0"),
        ({"first_rank": 6, "last_rank": 5}, "first_rank=6, last_rank=5"),
        ({"choose": "best"}, "'top' and 'random'"),
        ({"margin": -0.1}, "margin=-0.1"),
        ({"margin": float("nan")}, "margin=nan"),
        ({"share": 0.0}, "share=0.0"),
        ({"share": 1.01}, "share=1.01"),
        ({"max_score": float("inf")}, "max_score=inf"),
        ({"near": 1.1}, "near=1.1"),
    ],
)
def test_impossible_settings(options: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        MiningSettings(**options)  # type: ignore[arg-type]
