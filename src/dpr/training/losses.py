"""The paper's two training losses, as plain functions from tensors to a scalar.

Knows nothing of models, text or optimisers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


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
    scores = questions @ passages.T
    if excluded is not None:
        # −inf, never a factor of zero: a zero score can win where the others are negative.
        excluded = excluded.scatter(1, positives[:, None], False)
        scores = scores.masked_fill(excluded, float("-inf"))
    return F.cross_entropy(scores.float(), positives)


def span_loss(start: Tensor, end: Tensor, spans: Sequence[tuple[int, int]]) -> Tensor:
    """−log Σ over the answer spans of P_start·P_end, for one passage: start and end logits
    (length,), spans as (first, last) token (Karpukhin et al. 2020, §6.1; marginal form of the
    original implementation)."""
    first, last = torch.tensor(spans, device=start.device).T
    likelihood = start.float().log_softmax(0)[first] + end.float().log_softmax(0)[last]
    return -likelihood.logsumexp(0)


def relevance_loss(relevance: Tensor) -> Tensor:
    """Cross-entropy of one question's passages, (passages,) logits with the positive first."""
    return -relevance.float().log_softmax(0)[0]
