"""EM and F1 equal to Transformers' SQuAD metrics, on real and hostile answers."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from dpr.evaluation.answers import exact_match, f1, squad2

from .conftest import Ask
from .real_data import read_all

pytestmark = pytest.mark.slow

HOSTILE = [
    *"aA \n\t.,-'’\"_!$%é\u0301ΣςßİıŉǰK\u00a0\u2003\u200b\u00ad\x00\x1c\x85\ud800北京한😀½²\u0661",
    *[
        "the",
        "The ",
        " an",
        " a ",
        "A",
        "THE",
        "a.n",
        "the-",
        "\u2019s",
        "U.S.",
        "a\u0301n",
        "th\u00adé",
    ],
    *[
        "the\u0301",
        "\u0430n",
        "İthe",
        "the²",
        "ﬁ",
        "NaN",
        "0",
        "1,000",
        "\u2028the",
        "Rhine",
        "rhine",
    ],
]


def hostile(rng: random.Random) -> str:
    return "".join(rng.choices(HOSTILE, k=rng.randint(0, 8)))


def changed(answer: str, rng: random.Random) -> str:
    """As a reader may give it: cut, longer, in other case, with other punctuation and articles."""
    words = answer.split(" ")
    kind = rng.randrange(6)
    if kind == 0:
        return " ".join(word for word in words if rng.random() < 0.7)
    if kind == 1:
        return f"The {answer}."
    if kind == 2:
        return rng.choice([answer.upper(), answer.title(), answer.casefold()])
    if kind == 3:
        return " ".join([*words, *rng.choices(words, k=2)])
    if kind == 4:
        rng.shuffle(words)
        return "  a ".join(words)
    return answer


def test_10_000_pairs(ask_peers: Ask, shared_data: Path) -> None:
    rng = random.Random(0)
    answers = [answer for one in read_all(shared_data) for answer in one.answers]
    pairs = []
    for _ in range(6000):
        answer = rng.choice(answers)
        other = changed(answer, rng) if rng.random() < 0.8 else rng.choice(answers)
        pairs.append((answer, other))
    for _ in range(4000):
        answer = hostile(rng)
        pairs.append((answer, changed(answer, rng) if rng.random() < 0.5 else hostile(rng)))
    theirs = ask_peers("squad", {"pairs": pairs, "evaluations": []})["pairs"]
    partly = 0
    for (accepted, given), (exact, score) in zip(pairs, theirs, strict=True):
        assert exact_match(given, [accepted]) == exact, (accepted, given)
        assert f1(given, [accepted]) == score, (accepted, given)
        partly += 0 < score < 1
    assert partly > 1200
    assert sum(exact for exact, _ in theirs) > 1500


def simulated(rng: random.Random, answers: list[str]) -> dict[str, Any]:
    """An evaluation with unanswerable questions, missing answers and many equal confidences."""
    share = rng.choice([0.0, 0.3, 0.5, 0.9, 1.0])
    questions = []
    for _ in range(rng.choice([1, 2, 10, 60])):
        accepted = [rng.choice([rng.choice(answers), hostile(rng), "the"]) for _ in range(3)]
        accepted = [] if rng.random() < share else accepted[: rng.randint(1, 3)]
        given = changed(rng.choice(accepted or answers), rng)
        given = rng.choice([given, given, given, hostile(rng), "", "a"])
        # Steps of 1/16: 1 - confidence is exact and ties are many.
        questions.append(
            {"accepted": accepted, "given": given, "no_answer": rng.randint(0, 16) / 16}
        )
    return {"threshold": rng.randint(0, 16) / 16, "questions": questions}


def test_squad_2_with_thresholds(ask_peers: Ask, shared_data: Path) -> None:
    rng = random.Random(1)
    answers = [answer for one in read_all(shared_data) for answer in one.answers]
    evaluations = [simulated(rng, answers) for _ in range(500)]
    theirs = ask_peers("squad", {"pairs": [], "evaluations": evaluations})["evaluations"]
    for evaluation, expected in zip(evaluations, theirs, strict=True):
        questions = evaluation["questions"]
        found = squad2(
            [q["given"] for q in questions],
            [1 - q["no_answer"] for q in questions],
            [q["accepted"] for q in questions],
            1 - evaluation["threshold"],
        )
        wanted = {
            # Theirs are percentages, with the highest no-answer probability to answer at.
            name.removesuffix("_thresh") + "_threshold" if name.endswith("_thresh") else name: 1
            - value
            if name.endswith("_thresh")
            else value / 100
            for name, value in expected.items()
            if not name.endswith("total")
        }
        assert found == pytest.approx(wanted, abs=1e-12), evaluation
    assert len({tuple(sorted(expected)) for expected in theirs}) == 3  # both, HasAns, NoAns
