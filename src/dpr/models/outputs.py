"""What the three models return, with the field names and the manners that Transformers users know.

An output reads as an object (``out.pooler_output``), a mapping (``out["pooler_output"]``) and a
tuple (``out[0]``, ``out.to_tuple()``); fields that are None are left out of the last two.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass, fields
from typing import Any, overload

from torch import Tensor


class ModelOutput(Mapping[str, Any]):
    """Mapping and tuple manners for a dataclass of tensors."""

    def _items(self) -> dict[str, Any]:
        named = ((f.name, getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return {name: value for name, value in named if value is not None}

    def keys(self) -> KeysView[str]:
        return self._items().keys()

    def values(self) -> ValuesView[Any]:
        return self._items().values()

    def items(self) -> ItemsView[str, Any]:
        return self._items().items()

    def to_tuple(self) -> tuple[Any, ...]:
        return tuple(self._items().values())

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __len__(self) -> int:
        return len(self._items())

    def __contains__(self, name: object) -> bool:
        return name in self._items()

    @overload
    def __getitem__(self, key: str) -> Any: ...
    @overload
    def __getitem__(self, key: int) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, key: str | int | slice) -> Any:
        return self._items()[key] if isinstance(key, str) else self.to_tuple()[key]


@dataclass
class DPRQuestionEncoderOutput(ModelOutput):
    """Output of ``DPRQuestionEncoder``.

    Attributes:
        pooler_output: (batch, projection_dim or hidden) the last layer's [CLS], projected where
            the configuration has a projection; no tanh, no normalisation (Karpukhin et al., §3.2).
        hidden_states: layers + 1 tensors (batch, length, hidden), where asked for.
        attentions: a layer's weights (batch, heads, length, length), where asked for.
    """

    pooler_output: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class DPRContextEncoderOutput(ModelOutput):
    """Output of ``DPRContextEncoder``; fields as in ``DPRQuestionEncoderOutput``."""

    pooler_output: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class DPRReaderOutput(ModelOutput):
    """Output of ``DPRReader``.

    Attributes:
        start_logits, end_logits: (passages, length), of a span's first and last token.
        relevance_logits: (passages,), of a passage against the others of its question.
        hidden_states, attentions: as in ``DPRQuestionEncoderOutput``.
    """

    start_logits: Tensor
    end_logits: Tensor
    relevance_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
