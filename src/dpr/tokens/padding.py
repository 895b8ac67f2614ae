"""Padding of sequences that are already ids.

Takes one encoded input or a batch of them, as lists, arrays or tensors; gives a
:class:`BatchEncoding` of equal lengths. Knows nothing of text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpr.errors import InputError
from dpr.tokens.batch import BatchEncoding
from dpr.tokens.options import CallOptions


@dataclass(frozen=True, slots=True)
class Padder:
    """What padding is made of.

    Attributes:
        options: the strategy and the lengths.
        side: "right" or "left".
        pad_id, pad_type_id: the id and segment of padding.
        with_mask: return an attention mask, made of ones where there is none yet.
    """

    options: CallOptions
    side: str
    pad_id: int
    pad_type_id: int
    with_mask: bool

    def batch(self, rows: Mapping[str, Any]) -> dict[str, Any]:
        """Every row of every key, padded to one length."""
        ids = rows["input_ids"]
        unequal = {key: len(value) for key, value in rows.items() if len(value) != len(ids)}
        if unequal:
            raise InputError(f"{len(ids)} rows of input_ids, but {unequal}; give one of each a row")
        longest = max((len(row) for row in ids), default=0)
        padded = [
            self.row({key: value[i] for key, value in rows.items()}, longest)
            for i in range(len(ids))
        ]
        if not padded:
            return {**rows, "attention_mask": []} if self.with_mask else dict(rows)
        return {key: [row[key] for row in padded] for key in padded[0]}

    def row(self, row: Mapping[str, Any], longest: int) -> dict[str, Any]:
        """One row, padded to what the strategy says; ``longest`` is the longest of the batch."""
        row = dict(row)
        length = len(row["input_ids"])
        if self.with_mask:
            row.setdefault("attention_mask", [1] * length)
        missing = max(self._target(longest) - length, 0) if self.options.pads else 0
        fill: dict[str, Any] = {
            "input_ids": self.pad_id,
            "token_type_ids": self.pad_type_id,
            "special_tokens_mask": 1,
            "attention_mask": 0,
            "offset_mapping": (0, 0),
        }
        for key, value in row.items():
            if missing and key in fill:
                extra = [fill[key]] * missing
                whole = list(value)
                row[key] = whole + extra if self.side == "right" else extra + whole
        return row

    def _target(self, longest: int) -> int:
        options = self.options
        length = longest if options.padding == "longest" else options.max_length or 0
        multiple = options.pad_to_multiple_of
        return length if multiple is None else -(-length // multiple) * multiple


def pad_encoded(encoded: Any, padder: Padder, tensor_type: str | None) -> BatchEncoding:
    """Pad one encoded input, a batch, or a list of encoded inputs.

    Arrays and tensors come back as what they were where ``tensor_type`` does not say otherwise.

    Raises:
        InputError: there are no ``input_ids``, or keys with different numbers of rows.
    """
    if isinstance(encoded, (list, tuple)) and encoded and isinstance(encoded[0], Mapping):
        encoded = {key: [example[key] for example in encoded] for key in encoded[0]}
    if not isinstance(encoded, Mapping) or "input_ids" not in encoded:
        given = list(encoded) if isinstance(encoded, Mapping) else type(encoded).__name__
        raise InputError(f"nothing to pad: input_ids is needed, but got {given}")
    kind = tensor_type or _kind(encoded["input_ids"])
    data = {key: _lists(value) for key, value in encoded.items()}
    ids = data["input_ids"]
    if ids and not isinstance(ids[0], list):
        return BatchEncoding(padder.row(data, len(ids)), tensor_type=kind)
    return BatchEncoding(padder.batch(data), tensor_type=kind)


def _kind(values: Any) -> str | None:
    """ "pt" or "np" for what tensors the ids were, None for lists."""
    if isinstance(values, (list, tuple)):
        return _kind(values[0]) if values else None
    if not hasattr(values, "tolist"):
        return None
    return "pt" if type(values).__module__.startswith("torch") else "np"


def _lists(values: Any) -> Any:
    if hasattr(values, "tolist"):
        return values.tolist()
    if isinstance(values, Sequence) and not isinstance(values, str):
        return [_lists(value) for value in values]
    return values
