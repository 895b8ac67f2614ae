"""Mining against a slow twin: every list written out, every filter asked of every passage."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import InputError, SettingsError
from dpr.evaluation.matching import has_answer
from dpr.samples import mining
from dpr.samples.files import Context, TrainingSample
from dpr.samples.mining import mine, mined
from dpr.samples.negatives import FILTERS, MiningCounts, MiningSettings, Pool

WORDS = "king queen whale river bread stone song city".split()


class Given:
    """Ranks by scores that it was given: of each question, one a row."""

    def __init__(self, name: str, scores: dict[str, list[float]]) -> None:
        self.name, self._scores = name, scores

    def search(self, questions: Sequence[str], k: int) -> list[list[tuple[float, int]]]:
        return [
            sorted(((s, r) for r, s in enumerate(self._scores[q])), key=lambda p: (-p[0], p[1]))[:k]
            for q in questions
        ]

    def scores(self, questions: Sequence[str], rows: Sequence[Sequence[int]]) -> list[list[float]]:
        return [[self._scores[q][r] for r in some] for q, some in zip(questions, rows, strict=True)]


def world(seed: int, questions: int = 12) -> tuple[list[TrainingSample], Pool, list[Given]]:
    rng = random.Random(seed)
    contexts = [Context(f"{word} {number}", rng.choice("ABC")) for number, word in
                enumerate(rng.choices(WORDS, k=20))]  # fmt: skip
    pool = Pool(contexts)
    samples = [
        TrainingSample(
            f"question {number}",
            tuple(rng.sample(WORDS, rng.randint(0, 2))),
            tuple(rng.sample(contexts, rng.randint(1, 2))),
        )
        for number in range(questions)
    ]
    searchers = [
        Given(name, {s.question: [rng.randint(-9, 9) / 3 for _ in contexts] for s in samples})
        for name in ("bm25", "dense")
    ]
    return samples, pool, searchers


def twin(
    sample: TrainingSample, pool: Pool, searchers: Sequence[Given], settings: MiningSettings
) -> list[tuple[Context, float]]:
    """The negatives of a question whose list is taken from the top."""

    def fits(row: int, score: float, best: float) -> bool:
        context = pool[row]
        titles = {one.title for one in sample.positives}
        return (
            context.key not in {one.key for one in sample.positives}
            and (settings.keep_answers or not has_answer(context.text, sample.answers))
            and (settings.margin is None or score <= best - settings.margin)
            and (settings.max_score is None or score <= settings.max_score)
            and not (settings.other_documents and context.title in titles)
        )

    lists = []
    for searcher in searchers:
        (found,) = searcher.search([sample.question], settings.last_rank)
        rows = [[pool.rows[one.key] for one in sample.positives]]
        best = max(searcher.scores([sample.question], rows)[0])
        ranked = found[settings.first_rank - 1 :]
        lists.append([(row, score) for score, row in ranked if fits(row, score, best)])
    taken: dict[int, float] = {}
    while any(lists) and len(taken) < settings.negatives:
        for one in lists:
            while one and one[0][0] in taken:
                one.pop(0)
            if one and len(taken) < settings.negatives:
                row, score = one.pop(0)
                taken[row] = score
    return [(pool[row], score) for row, score in taken.items()]


SETTINGS = st.builds(
    MiningSettings,
    negatives=st.integers(1, 9),
    first_rank=st.integers(1, 4),
    last_rank=st.integers(4, 25),
    margin=st.none() | st.sampled_from([0.0, 0.5, 2.0]),
    max_score=st.none() | st.sampled_from([-1.0, 0.0, 2.0]),
    keep_answers=st.booleans(),
    other_documents=st.booleans(),
)


@given(st.integers(0, 10_000), SETTINGS, st.sampled_from([[0], [1], [0, 1]]))
def test_as_the_slow_twin_does(seed: int, settings: MiningSettings, which: list[int]) -> None:
    samples, pool, all_searchers = world(seed)
    searchers = [all_searchers[one] for one in which]
    counts = MiningCounts()
    found = list(mine(samples, pool, searchers, settings, counts=counts))
    for sample, made in zip(samples, found, strict=True):
        expected = twin(sample, pool, searchers, settings)
        assert [(replace(c, score=None), c.score) for c in made.hard_negatives] == expected
        assert [c.key for c in made.positives] == [c.key for c in sample.positives]
    sizes = [len(one.hard_negatives) for one in found]
    assert (counts.questions, counts.none) == (len(samples), sizes.count(0))
    assert counts.fewer == sum(0 < one < settings.negatives for one in sizes)
    assert sum(one["kept"] for one in counts.lists.values()) == sum(sizes)
    for one in counts.lists.values():
        assert one["looked_at"] == one["kept"] + sum(one[name] for name in FILTERS)


def test_positives_have_the_score_of_the_one_searcher() -> None:
    samples, pool, searchers = world(1)
    for searcher in searchers:
        for made in mine(samples, pool, [searcher]):
            rows = [[pool.rows[one.key] for one in made.positives]]
            (expected,) = searcher.scores([made.question], rows)
            assert [one.score for one in made.positives] == expected
    for one in mined(samples, pool, searchers):
        assert [c.score for c in one.sample.positives] == [None] * len(one.sample.positives)
        assert {name: len(scores) for name, scores in one.positives.items()} == dict.fromkeys(
            ("bm25", "dense"), len(one.sample.positives)
        )
        for context, found in zip(one.sample.hard_negatives, one.found, strict=True):
            (own,) = (s for s in searchers if s.name == found.list)
            ranked = own.search([one.sample.question], 99)[0]
            assert ranked[found.rank - 1] == (found.score, found.row)
            assert (context.score, context.key) == (found.score, pool[found.row].key)


def test_half_comes_from_each_list() -> None:
    pool = Pool(Context(f"passage {number}") for number in range(30))
    sample = TrainingSample("q", (), (pool[0],))
    one = Given("bm25", {"q": [100.0 - row for row in range(30)]})
    other = Given("dense", {"q": [float(row) for row in range(30)]})
    (made,) = mined([sample], pool, [one, other], MiningSettings(negatives=5, near=0))
    assert [(f.list, f.row) for f in made.found] == [
        ("bm25", 1), ("dense", 29), ("bm25", 2), ("dense", 28), ("bm25", 3),
    ]  # fmt: skip


def test_drawing_is_by_question_and_seed_and_reaches_all() -> None:
    pool = Pool(Context(f"passage {number}") for number in range(12))
    samples = [TrainingSample(f"q{n}", (), (pool[0],)) for n in range(300)]
    searcher = Given("bm25", {s.question: [12.0 - row for row in range(12)] for s in samples})
    settings = MiningSettings(negatives=2, first_rank=3, last_rank=9, choose="random", near=0)
    drawn = [[f.rank for f in one.found] for one in mined(samples, pool, [searcher], settings)]
    assert drawn == [[f.rank for f in o.found] for o in mined(samples, pool, [searcher], settings)]
    ranks = [rank for one in drawn for rank in one]
    # Each of seven ranks is expected in 2/7 of 300 draws of two: 86, with a deviation of 8.
    assert set(ranks) == set(range(3, 10))
    assert all(50 < ranks.count(rank) < 125 for rank in range(3, 10))
    other = mined(samples, pool, [searcher], replace(settings, seed=1))
    assert [[f.rank for f in one.found] for one in other] != drawn


@pytest.mark.parametrize("choose", ["top", "random"])
def test_going_on_gives_the_same(choose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mining, "AT_ONCE", 4)
    samples, pool, searchers = world(5)
    settings = MiningSettings(negatives=3, choose=choose)
    counts, later = MiningCounts(), MiningCounts()
    whole = list(mined(samples, pool, searchers, settings, counts=counts))
    for first in (4, 8, 12):
        rest = mined(samples, pool, searchers, settings, counts=later, first=first)
        assert list(rest) == whole[first:]
    # Counts grow block by block: those told are of the blocks that were given.
    fresh = MiningCounts()
    going = mined(samples, pool, searchers, settings, counts=fresh)
    for _ in range(4):
        next(going)
    assert fresh.questions == 4


def test_a_positive_is_no_negative_of_its_question_in_another_sample() -> None:
    """Nor in a block that comes before it, or after what was done in an earlier call."""
    pool = Pool(Context(f"passage {number}") for number in range(5))
    asked = ("Who?", "who", "WHO", "whom")
    samples = [TrainingSample(text, (), (pool[n],)) for n, text in enumerate(asked)]
    searcher = Given("bm25", {one: [5.0, 4.0, 3.0, 2.0, 1.0] for one in asked})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mining, "AT_ONCE", 1)
        counts, settings = MiningCounts(), MiningSettings(near=0)
        found = list(mined(iter(samples), pool, [searcher], settings, counts=counts))
        assert list(mined(samples, pool, [searcher], settings, first=2)) == found[2:]
    rows = [[one.row for one in made.found] for made in found]
    assert rows == [[3, 4], [3, 4], [3, 4], [0, 1, 2, 4]]
    assert counts.of("bm25")["elsewhere"] == 6


def test_questions_whose_answers_cannot_be_looked_for_are_counted() -> None:
    samples, pool, searchers = world(2)
    told = (), (".",), ("a",)
    samples = [replace(one, answers=own) for one, own in zip(samples, told, strict=False)]
    for keep, expected in ((False, 2), (True, 0)):
        counts = MiningCounts()
        list(mine(samples, pool, searchers, MiningSettings(keep_answers=keep), counts=counts))
        assert counts.without_answers == expected


def test_a_teacher_scores_positives_and_what_is_trained_on() -> None:
    samples, pool, searchers = world(3)
    asked: list[int] = []

    def teacher(qs: Sequence[str], titles: Sequence[str], texts: Sequence[str]) -> list[float]:
        asked.append(len(qs))
        return [len(q) + len(a) + 7 * len(b) for q, a, b in zip(qs, titles, texts, strict=True)]

    samples[0] = replace(samples[0], negatives=(Context("A fish."),))
    nothing = MiningSettings(max_score=-99)
    for settings in (MiningSettings(), nothing):
        for one in mine(samples, pool, searchers, settings, teacher=teacher):
            for context in (*one.positives, *one.best_negatives):
                expected = len(one.question) + len(context.title) + 7 * len(context.text)
                assert context.teacher_score == expected
    assert len(asked) == 2  # a call a block
    with_negatives = next(mine(samples, pool, searchers, teacher=teacher))
    assert [c.teacher_score for c in with_negatives.negatives] == [None]

    for wrong in (lambda q, a, b: [1.0], lambda q, a, b: [float("nan")] * len(q)):
        with pytest.raises(InputError, match="the teacher gave"):
            list(mine(samples, pool, searchers, teacher=wrong))


def test_hard_negatives_that_were_there_give_way_and_others_stay() -> None:
    pool = Pool([Context("gold"), Context("old"), Context("new"), Context("other")])
    sample = TrainingSample("q", (), (pool[0],), (pool[3],), (pool[1],), "set")
    searcher = Given("bm25", {"q": [1.0, 2.0, 3.0, 0.0]})
    (made,) = mine([sample], pool, [searcher], MiningSettings(negatives=1))
    assert [one.text for one in made.hard_negatives] == ["new"]
    assert (made.negatives, made.dataset) == (sample.negatives, "set")


@pytest.mark.parametrize("choose", ["top", "random"])
def test_questions_without_an_answer_stay_as_they_are(choose: str) -> None:
    samples, pool, searchers = world(7)
    silent = TrainingSample("nobody knows", (), (), (Context("a song 3"),), (Context("bread"),))
    counts, settings = MiningCounts(), MiningSettings(negatives=3, choose=choose)
    found = list(mine([*samples, silent, silent], pool, searchers, settings, counts=counts))
    assert found == [*mine(samples, pool, searchers, settings), silent, silent]
    assert (counts.questions, counts.unanswerable) == (len(samples), 2)
    assert list(mine([silent], pool, searchers)) == [silent]


def test_what_cannot_be_done_is_told() -> None:
    samples, pool, searchers = world(0)
    with pytest.raises(SettingsError, match="of different names"):
        list(mine(samples, pool, []))
    with pytest.raises(SettingsError, match="of different names"):
        list(mine(samples, pool, [searchers[0], searchers[0]]))
    with pytest.raises(InputError, match=r"the positive 'a stranger' of .* is not in the pool"):
        list(mine([replace(samples[0], positives=(Context("a stranger"),))], pool, searchers))
