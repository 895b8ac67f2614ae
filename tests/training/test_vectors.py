"""Vectors with the gradient cache against vectors whose graphs are all kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dpr.models import DPRQuestionEncoder
from dpr.training.losses import retrieval_loss
from dpr.training.vectors import Encoding

IDS = [[2, *range(5, 5 + length), 3] for length in (4, 9, 4, 1, 7, 9, 2, 3)]


@pytest.fixture
def model(tiny_model: Path) -> DPRQuestionEncoder:
    return DPRQuestionEncoder.from_pretrained(tiny_model / "encoder").train()


def gradients(
    model: DPRQuestionEncoder, cached: bool, pack_tokens: int
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad(set_to_none=True)
    encoding = Encoding(model, IDS, pack_tokens, seed=5, cached=cached)
    vectors = encoding.vectors
    loss = retrieval_loss(vectors[:4], vectors[4:], torch.arange(4))
    loss.backward()  # type: ignore[no-untyped-call]
    encoding.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return vectors.detach(), loss.detach(), found


@pytest.mark.parametrize("pack_tokens", [1, 20, 1000])
def test_the_cache_changes_nothing_with_dropout_on(
    model: DPRQuestionEncoder, pack_tokens: int
) -> None:
    assert any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules())
    plain, cached = (gradients(model, cached, pack_tokens) for cached in (False, True))
    assert torch.equal(plain[0], cached[0])
    assert torch.equal(plain[1], cached[1])
    assert plain[2].keys() == cached[2].keys()
    for name, gradient in plain[2].items():
        torch.testing.assert_close(gradient, cached[2][name], rtol=1e-5, atol=1e-6)


def test_another_seed_draws_another_dropout(model: DPRQuestionEncoder) -> None:
    first, again, other = (
        Encoding(model, IDS, 20, seed=seed).vectors.detach() for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_vectors_come_in_the_order_of_the_ids(model: DPRQuestionEncoder) -> None:
    model.eval()
    vectors = Encoding(model, IDS, 12).vectors
    for row, ids in enumerate(IDS):
        alone = model(torch.tensor([ids])).pooler_output[0]
        torch.testing.assert_close(vectors[row], alone, rtol=1e-4, atol=1e-5)


def test_nothing_to_encode(model: DPRQuestionEncoder) -> None:
    encoding = Encoding(model, [], 10, cached=True)
    assert encoding.vectors.shape == (0, model.embeddings_size)
    encoding.backward()
