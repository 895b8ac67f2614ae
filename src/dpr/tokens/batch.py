"""What a tokenizer returns: a dictionary of ids and masks with the way back to the text.

Takes lists (or arrays, or tensors) and the backend's encodings; gives a mapping with attribute
access, conversion to tensors and the lookups between tokens, words and characters. Knows nothing
of models, and of torch only when torch's tensors are asked for.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Encoding

from dpr.errors import InputError
from dpr.tokens.options import tensor_kind


class CharSpan(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens ``start`` to ``end`` (exclusive) of an input."""

    start: int
    end: int


class BatchEncoding(UserDict[str, Any]):
    """Ids and masks of one input or a batch, by key or by attribute.

    ``batch["input_ids"]`` and ``batch.input_ids`` are the same; ``batch[0]`` is the first
    ``tokenizers.Encoding``; a slice gives a plain dictionary where there are no encodings.

    Args:
        data: key to value.
        encoding: the backend's encoding, or one for each row.
        tensor_type: "pt", "np" or None to leave the values as they are.
        prepend_batch_axis: give each value a first axis of one when converting.
        n_sequences: 1 for single texts, 2 for pairs; taken from the encodings if not given.

    Attributes:
        truncated: for each row of a reader's batch, how many tokens of its text were cut off;
            None where the tokenizer keeps no such count.
        text_spans: for each row of a reader's batch, (start, end) of its text among the row's
            tokens, padding on the left not counted; None where unknown.
    """

    truncated: list[int] | None
    text_spans: list[tuple[int, int]] | None

    def __init__(
        self,
        data: dict[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | None = None,
        tensor_type: object = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        super().__init__(data)
        encodings = [encoding] if isinstance(encoding, Encoding) else encoding
        self._encodings = None if encodings is None else list(encodings)
        if n_sequences is None and self._encodings:
            n_sequences = self._encodings[0].n_sequences
        self._n_sequences = n_sequences
        self.truncated = None
        self.text_spans = None
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            return self.data[item]
        if self._encodings is not None:
            return self._encodings[item]
        if isinstance(item, slice):
            return {key: value[item] for key, value in self.data.items()}
        raise KeyError(
            f"{item!r}: this batch has no encodings to number; use a string key "
            f"({', '.join(self.data)}) or a slice"
        )

    def __getattr__(self, name: str) -> Any:
        # "data" itself is missing while a copy is being rebuilt: do not look for it in itself.
        if name != "data" and name in self.data:
            return self.data[name]
        raise AttributeError(f"{type(self).__name__} has no attribute or key {name!r}")

    @property
    def n_sequences(self) -> int | None:
        """1 for single texts, 2 for pairs, None where unknown."""
        return self._n_sequences

    @property
    def encodings(self) -> list[Encoding] | None:
        """The backend's encodings, one a row; None where the rows were put together by hand."""
        return self._encodings

    @property
    def is_fast(self) -> bool:
        """Whether there are encodings, and so the lookups below."""
        return self._encodings is not None

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row."""
        return self._row(batch_index).tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token, 0 or 1 for the text it is from, None for special tokens."""
        return self._row(batch_index).sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token, the number of its word in its text, None for special tokens."""
        return self._row(batch_index).word_ids

    def token_to_sequence(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> int | None:
        """Which text a token is from: ``(token)`` in the first row, or ``(row, token)``."""
        row, token = self._row_and_token(batch_or_token_index, token_index)
        return row.token_to_sequence(token)

    def token_to_word(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> int | None:
        """The number of a token's word: ``(token)`` in the first row, or ``(row, token)``."""
        row, token = self._row_and_token(batch_or_token_index, token_index)
        return row.token_to_word(token)

    def token_to_chars(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> CharSpan | None:
        """The characters of a token: ``(token)`` in the first row, or ``(row, token)``."""
        row, token = self._row_and_token(batch_or_token_index, token_index)
        span = row.token_to_chars(token)
        return None if span is None else CharSpan(*span)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word: ``(word)`` in the first row, or ``(row, word)``."""
        row, word = self._row_and_index(batch_or_word_index, word_index)
        span = row.word_to_tokens(word, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word: ``(word)`` in the first row, or ``(row, word)``."""
        row, word = self._row_and_index(batch_or_word_index, word_index)
        span = row.word_to_chars(word, sequence_index)
        return None if span is None else CharSpan(*span)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token of a character: ``(char)`` in the first row, or ``(row, char)``."""
        row, char = self._row_and_index(batch_or_char_index, char_index)
        return row.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The number of a character's word: ``(char)`` in the first row, or ``(row, char)``."""
        row, char = self._row_and_index(batch_or_char_index, char_index)
        return row.char_to_word(char, sequence_index)

    def convert_to_tensors(
        self, tensor_type: object = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Turn every value into a tensor of torch ("pt") or an array of NumPy ("np"), in place.

        Raises:
            InputError: rows of unequal length.
        """
        kind = tensor_kind(tensor_type)
        if kind is None:
            return self
        convert = _as_torch if kind == "pt" else _as_numpy
        for key, value in self.data.items():
            self.data[key] = convert(key, [value] if prepend_batch_axis else value)
        return self

    def to(
        self, device: Any = None, dtype: Any = None, *, non_blocking: bool = False
    ) -> BatchEncoding:
        """Move tensors to a device, in place, and cast those of floating point; gives itself.

        Args:
            device: a torch device, its name or number; or a torch dtype.
            dtype: what floating-point tensors become; ids and masks stay whole numbers.
            non_blocking: as in ``torch.Tensor.to``.
        """
        if device is not None and type(device).__name__ == "dtype":
            device, dtype = None, device
        for key, value in self.data.items():
            if not hasattr(value, "to"):
                continue
            cast = dtype if dtype is not None and value.is_floating_point() else None
            self.data[key] = value.to(device=device, dtype=cast, non_blocking=non_blocking)
        return self

    def _row(self, index: int) -> Encoding:
        if self._encodings is None:
            raise InputError(
                "this batch was put together without encodings, so its tokens, words and "
                "characters cannot be looked up; they are there when the tokenizer is called "
                "on one text or a pair"
            )
        return self._encodings[index]

    def _row_and_index(self, first: int, second: int | None) -> tuple[Encoding, int]:
        return (self._row(0), first) if second is None else (self._row(first), second)

    def _row_and_token(self, first: int, second: int | None) -> tuple[Encoding, int]:
        row, token = self._row_and_index(first, second)
        return row, token + len(row.ids) if token < 0 else token


def _as_torch(key: str, value: Any) -> Any:
    import torch  # only here: tokenizing needs none of it

    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    try:
        if isinstance(value, list) and value and isinstance(value[0], torch.Tensor):
            return torch.stack(value)
        return torch.from_numpy(_as_numpy(key, value))
    except (TypeError, RuntimeError) as error:
        raise InputError(_ragged(key)) from error


def _as_numpy(key: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(_ragged(key)) from error
    if array.dtype == object:
        raise InputError(_ragged(key))
    return array.astype(np.int64) if array.size == 0 else array


def _ragged(key: str) -> str:
    return (
        f"{key} cannot become a tensor: its rows differ in length; "
        "pass padding=True (and truncation=True with max_length= where they are too long)"
    )
