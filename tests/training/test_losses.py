"""The losses against plain numpy twins, torch's own cross-entropy and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dpr.training.losses import (
    distillation_loss,
    hash_softly,
    hashing_loss,
    relevance_loss,
    retrieval_loss,
    span_loss,
    suspects,
    without,
)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_retrieval_loss(
    questions: np.ndarray, passages: np.ndarray, positives: list[int], excluded: np.ndarray
) -> float:
    """Equation 2 of the paper, one question and one passage at a time."""
    total = 0.0
    for q, positive in enumerate(positives):
        scores = [float(questions[q] @ passage) for passage in passages]
        rivals = [p for p in range(len(passages)) if p == positive or not excluded[q, p]]
        total -= scores[positive] - math.log(sum(math.exp(scores[p]) for p in rivals))
    return total / len(positives)


@pytest.mark.parametrize("seed", range(5))
def test_retrieval_loss_without_exclusions(seed: int) -> None:
    questions, passages = numbers(4, 6, seed=seed), numbers(9, 6, seed=seed + 50)
    positives = torch.tensor([0, 3, 3, 8])
    loss = retrieval_loss(questions, passages, positives)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(questions @ passages.T, positives))
    slow = slow_retrieval_loss(
        questions.numpy(), passages.numpy(), positives.tolist(), np.zeros((4, 9), dtype=bool)
    )
    assert loss.item() == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_retrieval_loss_with_exclusions(seed: int) -> None:
    questions, passages = numbers(4, 6, seed=seed), numbers(9, 6, seed=seed + 50)
    excluded = numbers(4, 9, seed=seed + 99) > 0.3
    positives = torch.tensor([0, 3, 3, 8])
    kept = excluded.clone()
    loss = retrieval_loss(questions, passages, positives, excluded)
    slow = slow_retrieval_loss(
        questions.numpy(), passages.numpy(), positives.tolist(), excluded.numpy()
    )
    assert loss.item() == pytest.approx(slow, rel=1e-5)
    assert torch.equal(excluded, kept)  # the caller's, not ours to change


def test_an_excluded_passage_neither_counts_nor_learns() -> None:
    questions, passages = numbers(1, 6), numbers(3, 6, seed=1).requires_grad_()
    excluded = torch.tensor([[False, True, False]])
    loss = retrieval_loss(questions, passages, torch.tensor([0]), excluded)
    loss.backward()
    assert passages.grad is not None
    assert not passages.grad[1].any()
    assert passages.grad[[0, 2]].any(1).all()
    with torch.no_grad():
        moved = passages.clone()
        moved[1] *= -100
        assert torch.equal(loss, retrieval_loss(questions, moved, torch.tensor([0]), excluded))


def test_exclusion_is_not_a_score_of_zero() -> None:
    """All scores negative: an excluded passage of score 0 would win."""
    questions, passages = torch.tensor([[1.0]]), torch.tensor([[-20.0], [-30.0], [-25.0]])
    excluded = torch.tensor([[False, True, True]])
    assert retrieval_loss(questions, passages, torch.tensor([0]), excluded).item() == 0.0


def test_a_positive_is_never_excluded() -> None:
    questions, passages = numbers(2, 6), numbers(3, 6, seed=1)
    everything = torch.ones(2, 3, dtype=torch.bool)
    loss = retrieval_loss(questions, passages, torch.tensor([0, 1]), everything)
    assert loss.item() == 0.0


def test_retrieval_loss_of_half_precision_is_computed_in_single() -> None:
    questions, passages = 10 * numbers(3, 64), numbers(7, 64, seed=1)
    positives = torch.tensor([0, 1, 2])
    half = retrieval_loss(questions.bfloat16(), passages.bfloat16(), positives)
    assert half.dtype == torch.float32
    scores = questions.bfloat16().float() @ passages.bfloat16().float().T
    torch.testing.assert_close(half, F.cross_entropy(scores, positives))


def slow_span_loss(start: list[float], end: list[float], spans: list[tuple[int, int]]) -> float:
    """The probability of drawing any of the answer's spans, over all pairs of start and end."""
    pairs = {
        (s, e): math.exp(start[s] + end[e])
        for s, e in itertools.product(range(len(start)), range(len(end)))
    }
    return -math.log(sum(pairs[span] for span in spans) / sum(pairs.values()))


@pytest.mark.parametrize(
    "spans", [[(2, 4)], [(0, 0)], [(0, 6), (3, 3)], [(1, 2), (1, 4), (5, 6), (6, 6)]]
)
def test_span_loss_is_marginal_over_the_spans(spans: list[tuple[int, int]]) -> None:
    start, end = 2 * numbers(7), 2 * numbers(7, seed=1)
    expected = slow_span_loss(start.tolist(), end.tolist(), spans)
    assert span_loss(start, end, spans).item() == pytest.approx(expected, rel=1e-5)


def test_span_loss_of_one_span_is_two_cross_entropies() -> None:
    start, end = numbers(7), numbers(7, seed=1)
    expected = F.cross_entropy(start[None], torch.tensor([2])) + F.cross_entropy(
        end[None], torch.tensor([4])
    )
    torch.testing.assert_close(span_loss(start, end, [(2, 4)]), expected)


def test_span_loss_is_zero_where_all_spans_are_answers_and_survives_large_logits() -> None:
    everything = list(itertools.product(range(3), range(3)))
    assert span_loss(numbers(3), numbers(3), everything).item() == pytest.approx(0.0, abs=1e-6)
    start = torch.tensor([500.0, -500.0, 0.0], requires_grad=True)
    loss = span_loss(start, torch.zeros(3), [(1, 1), (2, 2)])
    loss.backward()
    assert loss.item() == pytest.approx(500 + math.log(3), rel=1e-5)
    assert start.grad is not None
    assert start.grad.isfinite().all()


def test_relevance_loss() -> None:
    relevance = 3 * numbers(8)
    expected = F.cross_entropy(relevance[None], torch.tensor([0]))
    torch.testing.assert_close(relevance_loss(relevance), expected)
    assert relevance_loss(torch.tensor([1.0])).item() == 0.0
    assert relevance_loss(relevance.bfloat16()).dtype == torch.float32


def test_distillation_is_the_divergence_over_what_the_teacher_scored() -> None:
    scores, teacher = numbers(3, 5), 4 * numbers(3, 5, seed=1)
    teacher[0, 3:] = float("nan")
    teacher[1, 1:] = float("nan")  # one score is no distribution
    expected = 0.0
    for row, known in ((0, [0, 1, 2]), (2, [0, 1, 2, 3, 4])):
        wanted = (teacher[row, known] / 2).softmax(0)
        given = scores[row, known].softmax(0)
        expected += float(F.kl_div(given.log(), wanted, reduction="sum"))
    scores.requires_grad_()
    loss = distillation_loss(scores, teacher, temperature=2.0)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None and scores.grad.isfinite().all()
    assert not scores.grad[1].any() and not scores.grad[0, 3:].any()
    nothing = torch.full((3, 5), float("nan"))
    assert distillation_loss(scores, nothing).item() == 0
    same = distillation_loss(scores.detach(), scores.detach())
    assert same.item() == pytest.approx(0, abs=1e-6)


def test_hashing_loss_by_hand() -> None:
    scores = torch.tensor([[3.0, 2.0, 0.0], [1.0, 5.0, float("-inf")]], requires_grad=True)
    loss = hashing_loss(scores, torch.tensor([0, 0]))
    # The first: gaps 1 and 3 of the 2 wanted; the second: 4 too few, and no other negative.
    assert loss.item() == pytest.approx((1 + 0) / 2 + 6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert scores.grad.tolist() == [[-0.5, 0.5, 0.0], [-1.0, 1.0, 0.0]]


def test_soft_codes_come_near_to_signs() -> None:
    vectors = torch.tensor([-2.0, 0.5, 3.0])
    early, late = hash_softly(vectors, 0), hash_softly(vectors, 100_000)
    torch.testing.assert_close(early, vectors.tanh())
    torch.testing.assert_close(late, vectors.sign())


def test_suspects_are_above_the_positive_and_the_margin() -> None:
    scores = torch.tensor([[1.0, 1.5, 2.5], [4.0, 1.0, 5.1]])
    found = suspects(scores, torch.tensor([0, 0]), 1.0)
    assert found.tolist() == [[False, False, True], [False, False, True]]
    masked = without(scores, torch.tensor([0, 0]), found)
    assert masked.isneginf().tolist() == found.tolist()
    everything = torch.ones(2, 3, dtype=torch.bool)
    assert without(scores, torch.tensor([0, 2]), everything)[1].tolist() == pytest.approx(
        [float("-inf"), float("-inf"), 5.1]
    )


def test_relevance_with_the_choice_that_none_answers() -> None:
    relevance = torch.tensor([1.0, -2.0])
    three = torch.tensor([1.0, -2.0, 0.0]).log_softmax(0)
    assert relevance_loss(relevance, null=True).item() == pytest.approx(-three[0].item())
    unanswered = relevance_loss(relevance, answered=False, null=True)
    assert unanswered.item() == pytest.approx(-three[2].item())
