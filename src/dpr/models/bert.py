"""The BERT stack that the three models share: token ids in, hidden states out.

One stack, two layouts of a batch. ``Padded`` is the usual (batch, length, hidden) with a mask.
``Packed`` lays the sequences end to end, (tokens, hidden), so that no operation is spent on
padding; attention then runs over runs of equal length (CPU) or in one variable-length kernel
(CUDA). Where only [CLS] is wanted, the last layer computes that row and no other.

Knows nothing of questions, passages, tasks or files. Devlin et al. 2019, with the names of the
published checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dpr.models.config import DPRConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
}


@dataclass(frozen=True, slots=True)
class Padded:
    """A batch as (batch, length, hidden). ``bias`` is added to the attention scores."""

    bias: Tensor | None = None

    @classmethod
    def from_mask(cls, mask: Tensor | None, dtype: torch.dtype) -> Padded:
        """``mask``: (batch, length) or (batch, 1 | heads, 1 | length, length), nonzero = attend;
        but a mask of four dimensions and floats is added to the scores as it is (0 = attend).

        A fully masked row keeps finite scores (all equally low), so it gives no NaN.
        """
        if mask is None:
            return cls()
        lowest = torch.finfo(dtype).min / 2  # room for a score to be added without overflow
        if mask.dim() == 4 and mask.is_floating_point():
            return cls(mask.to(dtype).clamp(min=lowest))
        if mask.dim() == 2:
            mask = mask[:, None, None, :]
        bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        return cls(bias.masked_fill(mask == 0, lowest))


@dataclass(frozen=True, slots=True)
class Packed:
    """Sequences laid end to end as (tokens, hidden); best with equal lengths side by side.

    Attributes:
        positions: (tokens,) the position of each token in its sequence.
        starts: (sequences,) the row of each sequence's first token.
        runs: (first sequence, first token, sequences, length) of each run of equal lengths.
        boundaries: (sequences + 1,) int32 cumulative lengths, for the CUDA kernel.
        longest: the longest sequence, in tokens.
    """

    positions: Tensor
    starts: Tensor
    runs: tuple[tuple[int, int, int, int], ...]
    boundaries: Tensor
    longest: int

    @classmethod
    def from_lengths(
        cls, lengths: Sequence[int], device: torch.device | str | None = None
    ) -> Packed:
        if not lengths or min(lengths) < 1:
            raise ValueError("packing needs at least one sequence, each of at least one token")
        boundaries = torch.tensor([0, *accumulate(lengths)])
        positions = torch.cat([torch.arange(length) for length in lengths])
        runs, sequence, token = [], 0, 0
        for length, group in groupby(lengths):
            count = len(list(group))
            runs.append((sequence, token, count, length))
            sequence, token = sequence + count, token + count * length
        return cls(
            positions.to(device, non_blocking=True),
            boundaries[:-1].to(device, non_blocking=True),
            tuple(runs),
            boundaries.to(device=device, dtype=torch.int32, non_blocking=True),
            max(lengths),
        )


Layout: TypeAlias = Padded | Packed


def first_tokens(x: Tensor, layout: Layout) -> Tensor:
    """The [CLS] rows: (batch, 1, hidden) when padded, (sequences, hidden) when packed."""
    return x[layout.starts] if isinstance(layout, Packed) else x[:, :1]


def attend_eager(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, dropout: float
) -> tuple[Tensor, Tensor]:
    """Attention spelt out, for (batch, heads, length, size) inputs; gives the weights too."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if bias is not None:
        scores = scores + bias
    exact = torch.promote_types(q.dtype, torch.float32)
    weights = F.dropout(scores.softmax(-1, dtype=exact).to(q.dtype), dropout)
    return weights @ v, weights


class SelfAttention(nn.Module):
    """Multi-head attention of each sequence over itself."""

    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.dropout = config.attention_probs_dropout_prob
        self.eager = config.attn_implementation == "eager"
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, x: Tensor, layout: Layout, cls_only: bool, want_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        q, k, v = self.project(x, layout, cls_only)
        dropout = self.dropout if self.training else 0.0
        if isinstance(layout, Packed):
            return self._packed(q, k, v, layout, cls_only, dropout), None
        size = q.shape[-1] // self.heads
        q, k, v = (t.view(*t.shape[:2], self.heads, size).transpose(1, 2) for t in (q, k, v))
        bias, weights = layout.bias, None
        if cls_only and bias is not None:
            bias = bias[:, :, :1]
        if want_weights or self.eager:
            context, weights = attend_eager(q, k, v, bias, dropout)
        else:
            context = F.scaled_dot_product_attention(q, k, v, bias, dropout)
        return context.transpose(1, 2).flatten(-2), weights if want_weights else None

    def project(self, x: Tensor, layout: Layout, cls_only: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, of [CLS] only where no other is wanted, keys and values."""
        q = self.query(first_tokens(x, layout) if cls_only else x)
        return q, self.key(x), self.value(x)

    def _packed(
        self, q: Tensor, k: Tensor, v: Tensor, layout: Packed, cls_only: bool, dropout: float
    ) -> Tensor:
        q, k, v = (t.view(len(t), self.heads, -1) for t in (q, k, v))
        if q.is_cuda and not dropout and q.dtype in (torch.float16, torch.bfloat16):
            return self._varlen(q, k, v, layout, cls_only)
        if q.dtype == torch.bfloat16 and not q.is_cuda and self.training:
            # On CPUs the derivative of attention in bfloat16 takes four times as long.
            with torch.autocast("cpu", enabled=False):
                q, k, v = q.float(), k.float(), v.float()
                return self._by_runs(q, k, v, layout, cls_only, dropout).bfloat16()
        return self._by_runs(q, k, v, layout, cls_only, dropout)

    def _by_runs(
        self, q: Tensor, k: Tensor, v: Tensor, layout: Packed, cls_only: bool, dropout: float
    ) -> Tensor:
        """Attention over runs of equal lengths, each one call without a mask."""
        # Split, not sliced: a slice's derivative is as long as what it was cut from, mostly zeros.
        tokens = [count * length for _, _, count, length in layout.runs]
        queries = [count for _, _, count, _ in layout.runs] if cls_only else tokens
        out = []
        for (_, _, count, _), *parts in zip(
            layout.runs,
            torch.split(q, queries),
            torch.split(k, tokens),
            torch.split(v, tokens),
            strict=True,
        ):
            q_run, k_run, v_run = (
                one.view(count, -1, *one.shape[1:]).transpose(1, 2) for one in parts
            )
            context = F.scaled_dot_product_attention(q_run, k_run, v_run, None, dropout)
            out.append(context.transpose(1, 2).flatten(0, 1).flatten(-2))
        return out[0] if len(out) == 1 else torch.cat(out)

    def _varlen(self, q: Tensor, k: Tensor, v: Tensor, layout: Packed, cls_only: bool) -> Tensor:
        from torch.nn.attention.varlen import varlen_attn

        rows, longest = layout.boundaries, layout.longest
        if cls_only:
            rows, longest = torch.arange(len(q) + 1, dtype=torch.int32, device=q.device), 1
        # Seven positionals: the rest of the signature changes between torch releases.
        context = varlen_attn(q, k, v, rows, layout.boundaries, longest, layout.longest)
        assert isinstance(context, Tensor)  # a tuple only where auxiliary outputs are asked for
        return context.flatten(-2)


class AddNorm(nn.Module):
    """Linear, dropout, residual, LayerNorm: closes both halves of a layer."""

    def __init__(self, inner: int, config: DPRConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        normed: Tensor = self.LayerNorm(self.dropout(self.dense(x)) + residual)
        return normed


class Attention(nn.Module):
    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = AddNorm(config.hidden_size, config)


class FeedForward(nn.Module):
    """The widening half of the feed-forward block: Linear, then the activation."""

    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.dense(x))


class Layer(nn.Module):
    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = FeedForward(config)
        self.output = AddNorm(config.intermediate_size, config)

    def forward(
        self, x: Tensor, layout: Layout, cls_only: bool = False, want_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        context, weights = self.attention.self(x, layout, cls_only, want_weights)
        x = self.attention.output(context, first_tokens(x, layout) if cls_only else x)
        return self.output(self.intermediate(x), x), weights


class Layers(nn.Module):
    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))


class Embeddings(nn.Module):
    """Word + position + segment vectors, normalised."""

    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.word_embeddings = nn.Embedding(
            config.vocab_size, size, padding_idx=config.pad_token_id
        )
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, words: Tensor, positions: Tensor, token_types: Tensor | None) -> Tensor:
        """``words``: vectors (..., hidden). Segments are all zero where none are given."""
        types = self.token_type_embeddings
        segment = types.weight[0] if token_types is None else types(token_types)
        out: Tensor = self.dropout(
            self.LayerNorm(words + segment + self.position_embeddings(positions))
        )
        return out


@dataclass(frozen=True, slots=True)
class StackOutput:
    """``last``: (batch, length or 1, hidden) when padded, (tokens or sequences, hidden) when
    packed; ``hidden_states``: the embeddings and each layer's output; ``attentions``: a layer's
    weights, (batch, heads, length, length)."""

    last: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class BertStack(nn.Module):
    """Embeddings and layers under the checkpoint names ``embeddings.*`` and ``encoder.layer.*``."""

    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)

    def forward(
        self,
        input_ids: Tensor | None,
        layout: Layout,
        *,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cls_only: bool = False,
        want_hidden: bool = False,
        want_attentions: bool = False,
    ) -> StackOutput:
        if inputs_embeds is None:
            assert input_ids is not None  # the models above check what users give
            inputs_embeds = self.embeddings.word_embeddings(input_ids)
        if isinstance(layout, Packed):
            positions, longest = layout.positions, layout.longest
        else:
            longest = inputs_embeds.shape[1]
            positions = torch.arange(longest, device=inputs_embeds.device)
        if longest > self.config.max_position_embeddings:
            raise ValueError(
                f"a sequence has {longest} tokens; this model has "
                f"{self.config.max_position_embeddings} positions: truncate or split the text"
            )
        x = self.embeddings(inputs_embeds, positions, token_type_ids)
        hidden, attentions = [x], []
        final = len(self.encoder.layer) - 1
        for number, layer in enumerate(self.encoder.layer):
            options = (layout, cls_only and number == final, want_attentions)
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                x, weights = checkpoint(layer, x, *options, use_reentrant=False)
            else:
                x, weights = layer(x, *options)
            if want_hidden:
                hidden.append(x)
            if weights is not None:
                attentions.append(weights)
        return StackOutput(
            x,
            tuple(hidden) if want_hidden else None,
            tuple(attentions) if want_attentions else None,
        )

    @torch.no_grad()
    def initialise(self) -> None:
        """Fresh weights: normal(0, initializer_range), zero biases and [PAD] row."""
        for module in self.modules():
            initialise(module, self.config.initializer_range)


@torch.no_grad()
def initialise(module: nn.Module, deviation: float) -> None:
    """BERT's initialisation of one module (not of its children)."""
    if isinstance(module, nn.Linear | nn.Embedding):
        module.weight.normal_(0.0, deviation)
    if isinstance(module, nn.Linear) and module.bias is not None:
        module.bias.zero_()
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        module.weight[module.padding_idx].zero_()
    if isinstance(module, nn.LayerNorm):
        module.reset_parameters()
