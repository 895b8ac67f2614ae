from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, Success

from dpr.errors import InputError
from dpr.evaluation.measures import gold_ranks, reciprocal_rank, success, summary


def test_ranks_of_a_case_worked_by_hand() -> None:
    questions = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    passages = np.array([[3.0, 1.0], [2.0, 5.0], [2.0, 9.0]], np.float32)
    # First question: scores 3, 2, 2; a tie goes to the passage that stands first.
    assert gold_ranks(questions, passages, [[2], [0, 2]]).tolist() == [2, 0]
    assert gold_ranks(questions, passages, [[1], [0]]).tolist() == [1, 2]


def test_chunks_change_nothing() -> None:
    rng = np.random.default_rng(0)
    questions = rng.standard_normal((23, 8)).astype(np.float32)
    passages = rng.standard_normal((50, 8)).astype(np.float32)
    golds = [[int(rng.integers(50))] for _ in range(23)]
    whole = gold_ranks(questions, passages, golds)
    assert (gold_ranks(questions, passages, golds, chunk=4) == whole).all()


def test_equal_to_ir_measures() -> None:
    rng = np.random.default_rng(1)
    questions = rng.standard_normal((60, 4)).astype(np.float32)
    passages = rng.standard_normal((40, 4)).astype(np.float32)
    golds = [rng.choice(40, size=int(rng.integers(1, 4)), replace=False) for _ in range(60)]
    scores = questions @ passages.T
    run = [
        ir_measures.ScoredDoc(f"q{q}", f"p{p}", float(scores[q, p]))
        for q in range(60)
        for p in range(40)
    ]
    qrels = [ir_measures.Qrel(f"q{q}", f"p{p}", 1) for q in range(60) for p in golds[q]]
    theirs = ir_measures.calc_aggregate(
        [Success @ 1, Success @ 5, Success @ 20, RR @ 10], qrels, run
    )
    ours = summary(gold_ranks(questions, passages, golds))
    assert ours["R@1"] == pytest.approx(theirs[Success @ 1])
    assert ours["R@5"] == pytest.approx(theirs[Success @ 5])
    assert ours["R@20"] == pytest.approx(theirs[Success @ 20])
    assert ours["MRR@10"] == pytest.approx(theirs[RR @ 10])


def test_measures_of_ranks_worked_by_hand() -> None:
    ranks = np.array([0, 1, 9, 10])
    assert success(ranks, 1) == 0.25
    assert success(ranks, 10) == 0.75
    assert reciprocal_rank(ranks) == pytest.approx((1 + 1 / 2 + 1 / 10) / 4)


def test_vectors_that_are_not_finite_are_no_perfect_answer() -> None:
    questions = np.full((2, 3), np.nan, dtype=np.float32)
    passages = np.ones((4, 3), dtype=np.float32)
    with pytest.raises(InputError, match="not finite"):
        gold_ranks(questions, passages, [[0], [1]])


def test_pieces_change_nothing() -> None:
    rng = np.random.default_rng(0)
    passages = rng.integers(-2, 3, (50, 4)).astype(np.float32)  # small numbers: many ties
    questions = rng.integers(-2, 3, (9, 4)).astype(np.float32)
    golds = [rng.choice(50, 3, replace=False).tolist() for _ in range(9)]
    expected = []
    for question, of_one in zip(questions, golds, strict=True):
        order = np.argsort(-(passages @ question), kind="stable").tolist()
        expected.append(min(order.index(row) for row in of_one))
    for chunk, piece in ((1024, 65_536), (2, 7), (9, 50), (1, 1)):
        assert gold_ranks(questions, passages, golds, chunk, piece).tolist() == expected
