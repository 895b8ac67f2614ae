"""Vectors to train with, in the memory of a part of them (gradient cache).

A contrastive loss wants many vectors at once, and their graphs take the memory. With the cache
(Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup") vectors
are computed part by part without a graph, the loss gives the gradient of each vector, and each part
is computed once more, with a graph, to carry its vectors' gradients on to the weights. Dropout is
drawn from each part's own seed, so that both passes, and a step without the cache, see the same.
Takes token ids and a model, gives tensors. Knows nothing of losses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from dpr.models.dpr import DPRContextEncoder, DPRQuestionEncoder, pack
from dpr.tokens.batching import token_batches
from dpr.training.losses import exact
from dpr.training.task import seed_of


class Encoding:
    """Vectors of token ids, (n, dim), in the order given, and the way back to the weights.

    Attributes:
        vectors: what losses are computed from. With the cache a leaf: after ``backward`` of the
            loss, call ``backward`` here.
    """

    def __init__(
        self,
        model: DPRQuestionEncoder | DPRContextEncoder,
        ids: Sequence[Sequence[int]],
        pack_tokens: int,
        *,
        seed: int = 0,
        cached: bool = False,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._model, self._ids, self._seed = model, ids, seed
        self._cached, self._autocast = cached, autocast
        self._parts = token_batches([len(one) for one in ids], pack_tokens)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not cached):
            words = [None] * len(self._parts) if cached else self._words()
            found = [self._encode(number, one) for number, one in enumerate(words)]
        if not found:
            # With a gradient, so that the backward of what is gathered runs in every process.
            shape = 0, model.embeddings_size
            nothing = exact(torch.zeros(shape, dtype=model.dtype, device=model.device))
            self.vectors = nothing.requires_grad_()
            return
        order = torch.tensor([row for part in self._parts for row in part], device=model.device)
        self.vectors = torch.cat(found)[order.argsort()]
        if cached:
            self.vectors.requires_grad_()

    def _words(self) -> list[Tensor | None]:
        """The word embeddings of each part, looked up at once: the derivative of a lookup is as
        large as the vocabulary."""
        rows = [[self._ids[row] for row in part] for part in self._parts]
        ids = [token for part in rows for one in part for token in one]
        vectors: Tensor = self._model.get_input_embeddings()(
            torch.tensor(ids, dtype=torch.long, device=self._model.device)
        )
        return list(torch.split(vectors, [sum(map(len, part)) for part in rows]))

    def _encode(self, number: int, words: Tensor | None = None) -> Tensor:
        torch.manual_seed(seed_of(self._seed, number))
        ids, layout = pack([self._ids[row] for row in self._parts[number]], self._model.device)
        with self._autocast():
            return exact(self._model.encode_packed(ids, layout, words))

    def backward(self) -> None:
        """Carries the gradients of ``vectors`` on to the weights; nothing is left to do without
        the cache."""
        if not self._cached or self.vectors.grad is None:
            return
        for number, part in enumerate(self._parts):
            torch.autograd.backward(self._encode(number), self.vectors.grad[part])
