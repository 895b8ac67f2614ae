"""The stack's linears in oneDNN's own weight layout: the same vectors, sooner, on a CPU.

``prepare`` takes a ``BertStack`` and replaces the modules that hold linears by twins that hold
packed ones; each twin answers to the call of the module it stands for. The layout is made for the
processor at hand, so nothing is rearranged at each call; queries, keys and values come from one
product; the residual sum happens inside a product, and GELU where that is quicker.

oneDNN makes and keeps a kernel for every number of rows it meets, half a megabyte each, and between
them the memory freed by batches cannot be put together again. So packed sequences are filled up to
few numbers of rows; what was added is taken away at the end.

What is packed is not kept a second time. ``state_dict`` unpacks it again, bit for bit, under the
usual names, so saving and fingerprints are as before. What a packed model cannot do it refuses:
train, change its precision or device, take other weights.

The slow twin is the stack as it was; docs/decisions/0010 says why this is not done unasked. Knows
nothing of questions, passages or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpr.errors import SettingsError
from dpr.models.bert import (
    AddNorm,
    BertStack,
    FeedForward,
    Layer,
    Layout,
    Packed,
    SelfAttention,
    StackOutput,
    first_tokens,
)

PACKED = "packed float32 linears (oneDNN)"
_REFUSAL = "the model was prepared for inference and cannot {what}; load it anew to do so"


class PackedLinear:
    """``x Wᵀ + b`` of one or several linears that share their input, outputs side by side.

    Takes float32 on the CPU, (..., inputs); gives (..., sum of the outputs). No gradients.
    """

    def __init__(self, *linears: nn.Linear) -> None:
        self.sizes = [linear.out_features for linear in linears]
        weight = torch.cat([linear.weight.detach() for linear in linears])
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight)
        biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
        if biases and len(biases) < len(linears):
            raise ValueError("linears that are packed together have biases all or none")
        self.bias = torch.cat(biases) if biases else None

    def __call__(self, x: Tensor, activation: str = "none") -> Tensor:
        """``activation``: "none" or "gelu" (with erf), applied to the result."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise.default(
            x, self.weight, self.bias, activation, [], "none"
        )
        return y

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The result with ``other``, of its shape, added."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            x, other, self.weight, self.bias, "add"
        )
        return y

    def unpacked(self) -> list[tuple[Tensor, Tensor | None]]:
        """Weight (outputs, inputs) and bias of each of the linears, the bits they came with."""
        weights = torch.split(self.weight.to_dense(), self.sizes)
        biases = (
            [None] * len(self.sizes) if self.bias is None else torch.split(self.bias, self.sizes)
        )
        return [
            (weight.clone(), None if bias is None else bias.clone())
            for weight, bias in zip(weights, biases, strict=True)
        ]


class PackedStack(BertStack):
    """A stack whose layers are packed: refuses what they cannot do before anything is changed."""

    def forward(
        self, input_ids: Tensor | None, layout: Layout, *, cls_only: bool = False, **more: Any
    ) -> StackOutput:
        """As ``BertStack``; packed sequences are filled up meanwhile."""
        given = more | {"input_ids": input_ids}
        if not isinstance(layout, Packed) or (filled := _filled(layout)) is layout:
            return super().forward(layout=layout, cls_only=cls_only, **given)
        rows = len(layout.positions)
        missing = len(filled.positions) - rows
        for name, sides in (("input_ids", 1), ("token_type_ids", 1), ("inputs_embeds", 2)):
            if (tokens := given.get(name)) is not None:
                given[name] = F.pad(tokens, (0, 0) * (sides - 1) + (0, missing))
        out = super().forward(layout=filled, cls_only=cls_only, **given)
        hidden = out.hidden_states and tuple(one[:rows] for one in out.hidden_states)
        if cls_only:
            rows = len(layout.starts)
            hidden = hidden and (*hidden[:-1], hidden[-1][:rows])
        return replace(out, last=out.last[:rows], hidden_states=hidden)

    def _load_from_state_dict(self, *_: Any) -> None:
        raise SettingsError(_REFUSAL.format(what="take other weights"))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        probe = torch.empty(0)
        if (moved := fn(probe)).dtype != probe.dtype or moved.device != probe.device:
            raise SettingsError(_REFUSAL.format(what="change its dtype or device"))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def train(self, mode: bool = True) -> Self:
        if mode:
            raise SettingsError(_REFUSAL.format(what="train"))
        return super().train(mode)


class _Packed(nn.Module):
    """What the twins share: packed linears, each under the names that its parts are saved by."""

    def __init__(self) -> None:
        nn.Module.__init__(self)  # not that of the class stood for, which would make weights
        self.training = False
        self.linears: dict[tuple[str, ...], PackedLinear] = {}

    def pack(self, module: nn.Module, *names: str) -> PackedLinear:
        """The submodules ``names`` of ``module`` as one."""
        linear = PackedLinear(*(module.get_submodule(name) for name in names))  # type: ignore[arg-type]
        self.linears[names] = linear
        return linear

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for names, linear in self.linears.items():
            for name, (weight, bias) in zip(names, linear.unpacked(), strict=True):
                destination[f"{prefix}{name}.weight"] = weight
                if bias is not None:
                    destination[f"{prefix}{name}.bias"] = bias


class PackedSelfAttention(_Packed, SelfAttention):
    """``SelfAttention`` with its three products as one, or as two in the last layer, where the
    query of [CLS] alone may be wanted."""

    def __init__(self, attention: SelfAttention, final: bool) -> None:
        _Packed.__init__(self)
        self.heads, self.dropout = attention.heads, attention.dropout
        self.eager = attention.eager
        self.size = attention.query.out_features
        self.separate_query = self.pack(attention, "query") if final else None
        self.rest = self.pack(attention, *(() if final else ("query",)), "key", "value")

    def project(self, x: Tensor, layout: Layout, cls_only: bool) -> tuple[Tensor, Tensor, Tensor]:
        rest = torch.split(self.rest(x), self.size, -1)
        if self.separate_query is None:
            q, k, v = rest
            return (first_tokens(q, layout) if cls_only else q), k, v
        k, v = rest
        return self.separate_query(first_tokens(x, layout) if cls_only else x), k, v


class PackedFeedForward(_Packed, FeedForward):
    """``FeedForward``; GELU happens inside the product."""

    def __init__(self, block: FeedForward, gelu: bool) -> None:
        _Packed.__init__(self)
        self.product = self.pack(block, "dense")
        self.gelu, self.activation = gelu, block.activation

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, "gelu") if self.gelu else self.activation(self.product(x))


class PackedAddNorm(_Packed, AddNorm):
    """``AddNorm`` without dropout; the residual is added inside the product."""

    def __init__(self, block: AddNorm) -> None:
        _Packed.__init__(self)
        self.product = self.pack(block, "dense")
        self.LayerNorm = block.LayerNorm

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        normed: Tensor = self.LayerNorm(self.product.plus(x, residual))
        return normed


def _rounded(rows: int) -> int:
    """The next number of rows that products are made of: any up to 16, every second up to 32, every
    fourth up to 64, and so on; from 512 on every 64th."""
    step = min(64, 1 << max(0, (rows - 1).bit_length() - 4))
    return -(-rows // step) * step


def _filled(layout: Packed) -> Packed:
    """With more sequences at the end, so that both sequences and tokens are of such a number: all
    of one token but the last. Their positions are 0, which every model has, however long they
    are; ``longest`` is that of the others."""
    sequences, tokens = len(layout.starts), len(layout.positions)
    if _rounded(sequences) == sequences and _rounded(tokens) == tokens:
        return layout
    more = _rounded(sequences + 1) - sequences
    missing = _rounded(tokens + more) - tokens
    starts = torch.arange(tokens, tokens + more)
    runs = [(sequences, tokens, more - 1, 1)] if more > 1 else []
    runs.append((sequences + more - 1, tokens + more - 1, 1, missing - more + 1))
    return Packed(
        F.pad(layout.positions, (0, missing)),
        torch.cat([layout.starts, starts]),
        (*layout.runs, *runs),
        torch.cat([layout.boundaries, starts[1:].int(), torch.tensor([tokens + missing]).int()]),
        layout.longest,
    )


def bulk_pays() -> bool:
    """Whether packed linears are the quicker ones for many tokens at once too. Not on a processor
    with AVX2 and nothing wider: there MKL's products of many rows are quicker than oneDNN's. Taken
    from the processor, not from a clock, so that a build that goes on gives the same bits."""
    return torch.backends.cpu.get_cpu_capability() != "AVX2"


def prepare(stack: BertStack, bulk: bool = False) -> str:
    """Packs the linears of a stack, if that can be done here; says what was done, and why.
    ``bulk``: only where it pays for many tokens at once.

    The stack is in evaluation mode and without gradients afterwards, packed or not. Preparing
    twice does no harm.

    Returns:
        ``PACKED``, or "plain: " and the reason.
    """
    stack.eval().requires_grad_(False)
    if isinstance(stack, PackedStack):
        return PACKED
    if bulk and not bulk_pays():
        return "plain: with AVX2 plain products of many rows are quicker"
    if reason := obstacle(stack):
        return f"plain: {reason}"
    gelu = stack.config.hidden_act == "gelu" and bulk_pays()
    final = len(stack.encoder.layer) - 1
    for number, layer in enumerate(stack.encoder.layer):
        assert isinstance(layer, Layer)
        # One at a time, so that no more than one module is ever held twice.
        attention = layer.attention
        attention.self = PackedSelfAttention(attention.self, number == final)
        attention.output = PackedAddNorm(attention.output)
        layer.intermediate = PackedFeedForward(layer.intermediate, gelu)
        layer.output = PackedAddNorm(layer.output)
    stack.__class__ = PackedStack  # in place: models above keep the stack they have
    return PACKED


def obstacle(stack: BertStack) -> str:
    """Why the linears of a stack cannot be packed here; "" if they can."""
    for name, weight in stack.named_parameters():
        if weight.device.type != "cpu" or weight.dtype != torch.float32:
            return f"{name} is {weight.dtype} on {weight.device}; float32 on the CPU can be packed"
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "this torch was built without oneDNN"
    try:
        return _check()
    except (AttributeError, RuntimeError, TypeError) as error:
        # The operators are torch's own business: they may change their arguments or go.
        return f"this torch ({torch.__version__}) does not pack linears: {str(error)[:200]}"


@torch.no_grad()
def _check() -> str:
    """Tries all that is used, on a small product; says what differs from the plain way."""
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(32, 24)
    for parameter in linear.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x, other = torch.randn(5, 32, generator=generator), torch.randn(5, 24, generator=generator)
    packed, plain = PackedLinear(linear), linear(x)
    weight, bias = packed.unpacked()[0]
    if not torch.equal(weight, linear.weight) or not torch.equal(bias, linear.bias):  # type: ignore[arg-type]
        return "unpacking does not give the weights back"
    pairs = {
        "products": (packed(x), plain),
        "products with GELU": (packed(x, "gelu"), nn.functional.gelu(plain)),
        "products with a sum": (packed.plus(x, other), plain + other),
    }
    for name, (fast, slow) in pairs.items():
        if not torch.allclose(fast, slow, rtol=1e-5, atol=2e-5):
            return f"packed {name} differ from plain ones on this processor"
    return ""
