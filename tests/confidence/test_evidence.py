"""First answers from arrays against ``combine``, which makes them one by one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dpr.confidence import Evidence
from dpr.evaluation.answers import exact_match, f1
from dpr.reading import Reading, ReadingSettings, Span, combine
from dpr.records import Hit, Passage

WORDS = "The king, a king! of old Paris and the queen".split()
FREE = ReadingSettings(no_answer_below=0.0, answers=1)


def readings(rng: random.Random) -> list[tuple[Hit, Reading]]:
    """Of a few passages, some in several windows, whose spans often say the same."""
    found = []
    for number in range(rng.randint(0, 5)):
        text = " ".join(rng.choices(WORDS, k=6))
        hit = Hit(Passage(f"p{number}", text), rng.gauss(0, 1), dense_score=rng.gauss(0, 2))
        for _ in range(rng.choice([1, 1, 2, 3])):
            spans = []
            for _ in range(rng.randint(0, 4)):
                start = rng.randrange(len(text) - 1)
                end = rng.randrange(start + 1, len(text) + 1)
                spans.append(Span(start, end, -rng.expovariate(0.5), rng.gauss(0, 5)))
            spans.sort(key=lambda span: -span.log_probability)
            found.append((hit, Reading(number, rng.gauss(0, 3), tuple(spans))))
    return found


@pytest.mark.parametrize("weights", [(1.0, 1.0, 0.0), (0.25, 0.0, 2.0), (2.0, 0.5, 0.7)])
def test_first_answers_are_those_of_combine(weights: tuple[float, float, float]) -> None:
    rng = random.Random(1)
    many = [readings(rng) for _ in range(300)]
    accepted = [[" ".join(rng.choices(WORDS, k=2)), "king"] for _ in many]
    assert any(not one for one in many)
    names = ("relevance_weight", "retrieval_weight", "rank_weight")
    settings = replace(FREE, **dict(zip(names, weights, strict=True)))
    first = Evidence(many, accepted).first(settings)
    for number, (one, wanted) in enumerate(zip(many, accepted, strict=True)):
        (given,) = combine(one, settings) or (None,)
        assert first.share[number] == pytest.approx(given.score if given else 0.0)
        assert first.exact[number] == (exact_match(given.text, wanted) if given else 0.0)
        assert first.f1[number] == pytest.approx(f1(given.text, wanted) if given else 0.0)


def test_without_any_reading_there_is_no_answer() -> None:
    first = Evidence([[], []], [["a"], []]).first(FREE)
    assert first.share.tolist() == first.exact.tolist() == first.f1.tolist() == [0.0, 0.0]
