"""First answers from arrays against ``combine``, which makes them one by one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dpr.confidence import Evidence
from dpr.evaluation.answers import exact_match, f1
from dpr.reading import MAP, Reading, ReadingSettings, Span, combine, confidence
from dpr.records import Hit, Passage

WORDS = "The king, a king! of old Paris and the queen".split()
FREE = ReadingSettings(no_answer_below=0.0, answers=1)
MAPPED = dict(zip(MAP, (0.4, 0.2, 0.1, -0.3, 0.5, -1.0), strict=True))


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
    evidence = Evidence(many, accepted)
    first = evidence.first(settings)
    mapped = replace(settings, **{f"confidence_{name}": weight for name, weight in MAPPED.items()})
    sure = confidence(evidence.grounds(settings), mapped)
    for number, (one, wanted) in enumerate(zip(many, accepted, strict=True)):
        (given,) = combine(one, settings) or (None,)
        (scored,) = combine(one, mapped) or (None,)
        assert sure[number] == pytest.approx(scored.score if scored else 0.0)
        assert first.share[number] == pytest.approx(given.score if given else 0.0)
        assert first.exact[number] == (exact_match(given.text, wanted) if given else 0.0)
        assert first.f1[number] == pytest.approx(f1(given.text, wanted) if given else 0.0)


def test_without_any_reading_there_is_no_answer() -> None:
    evidence = Evidence([[], []], [["a"], []])
    first = evidence.first(FREE)
    assert confidence(evidence.grounds(FREE), replace(FREE, confidence_slope=0.5)).tolist() == [
        0,
        0,
    ]
    assert first.share.tolist() == first.exact.tolist() == first.f1.tolist() == [0.0, 0.0]
