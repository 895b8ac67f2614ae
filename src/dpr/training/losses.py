"""Training losses, as plain functions from tensors to a scalar.

Knows nothing of models, text or optimisers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def exact(values: Tensor) -> Tensor:
    """In float32 at least, whatever precision the model ran in."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def retrieval_loss(
    questions: Tensor, passages: Tensor, positives: Tensor, excluded: Tensor | None = None
) -> Tensor:
    """Mean negative log-likelihood of each question's positive among all the passages given
    (Karpukhin et al. 2020, equation 2).

    Args:
        questions: (q, dim).
        passages: (p, dim): positives and hard negatives of every question of the batch.
        positives: (q,) row of each question's positive.
        excluded: (q, p) True where a passage must not count as a negative of a question,
            because it answers it too.
    """
    scores = without(similarity(questions, passages), positives, excluded)
    return likelihood_loss(scores, positives) / len(positives)


def similarity(questions: Tensor, passages: Tensor) -> Tensor:
    """Inner products (q, p), in float32 at least."""
    return exact(questions) @ exact(passages).T


def without(scores: Tensor, positives: Tensor, excluded: Tensor | None) -> Tensor:
    """Scores (q, p) with −inf where a passage is no negative of a question; a positive stays."""
    if excluded is None:
        return scores
    # −inf, never a factor of zero: a zero score can win where the others are negative.
    excluded = excluded.scatter(1, positives[:, None], False)
    return scores.masked_fill(excluded, float("-inf"))


def suspects(scores: Tensor, positives: Tensor, margin: float) -> Tensor:
    """(q, p) True where a passage scores more than a positive and ``margin`` above it: in-batch
    negatives that the model itself takes for answers (as RocketQA's teacher does, Qu et al. 2021,
    §3.3, and GISTEmbed's, Solatorio 2024)."""
    return scores.detach() > scores.detach().gather(1, positives[:, None]) + margin


def likelihood_loss(scores: Tensor, positives: Tensor) -> Tensor:
    """Summed negative log-likelihood of each question's positive: scores (q, p), positives (q,)."""
    return F.cross_entropy(exact(scores), positives, reduction="sum")


def distillation_loss(scores: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Summed Kullback–Leibler divergence of the model's distribution over passages from the
    teacher's (as in Izacard & Grave 2021, equation 5; Ren et al. 2021, RocketQAv2, equation 3).

    Args:
        scores: (q, p) of the model.
        teacher: (q, p), NaN where the teacher has not scored. A question counts where two or more
            of its passages are scored, and over those alone.
        temperature: what the teacher's scores are divided by.
    """
    known = ~teacher.isnan()
    rows = known.sum(1) >= 2
    known, scores, teacher = known[rows], scores[rows], teacher[rows] / temperature
    lowest = float("-inf")
    target = teacher.masked_fill(~known, lowest).log_softmax(1)
    given = exact(scores).masked_fill(~known, lowest).log_softmax(1)
    difference = (target - given).masked_fill(~known, 0.0)  # of −inf and −inf it is no number
    return (target.exp() * difference).sum()


HASHING_MARGIN = 2.0
HASHING_GROWTH = 0.1


def hash_softly(vectors: Tensor, updates: int) -> Tensor:
    """What stands for the sign of each number while training: tanh(β·x), steeper from step to step
    (Yamada et al. 2021, BPR, §3.1: β = √(1 + 0.1 · steps))."""
    return torch.tanh((1 + HASHING_GROWTH * updates) ** 0.5 * exact(vectors))


def hashing_loss(scores: Tensor, positives: Tensor) -> Tensor:
    """Summed over questions, the mean over a question's negatives of max(0, 2 − (s⁺ − s⁻)), of
    scores (q, p) between codes (Yamada et al. 2021, BPR, equation 3). −inf is no negative."""
    gaps = HASHING_MARGIN - scores.gather(1, positives[:, None]) + scores
    negatives = torch.isfinite(scores).scatter(1, positives[:, None], False)
    losses = gaps.clamp(min=0).masked_fill(~negatives, 0.0).sum(1)
    return (losses / negatives.sum(1).clamp(min=1)).sum()


def span_loss(start: Tensor, end: Tensor, spans: Sequence[tuple[int, int]]) -> Tensor:
    """−log Σ over the answer spans of P_start·P_end, for one passage: start and end logits
    (length,), spans as (first, last) token (Karpukhin et al. 2020, §6.1; marginal form of the
    original implementation)."""
    first, last = torch.tensor(spans, device=start.device).T
    likelihood = exact(start).log_softmax(0)[first] + exact(end).log_softmax(0)[last]
    return -likelihood.logsumexp(0)


def relevance_loss(relevance: Tensor, answered: bool = True, null: bool = False) -> Tensor:
    """Cross-entropy of one question's passages, (passages,) logits with the positive first.

    With ``null`` there is one more choice, that none of them answers, whose logit is 0: the
    positive learns to be above it, the negatives below, so that relevance says by itself whether a
    passage answers. Where the question is not ``answered`` that choice is the right one.
    """
    logits = exact(relevance)
    if null:
        logits = torch.cat([logits, logits.new_zeros(1)])
    return -logits.log_softmax(0)[0 if answered else -1]
