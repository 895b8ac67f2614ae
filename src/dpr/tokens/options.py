"""What a caller asked of a call: padding and truncation, checked and resolved.

Takes the values users pass (``True``, ``"longest"``, ``"only_first"``, an enum of Transformers);
gives one frozen :class:`CallOptions`. Also refuses misspelt keywords. Knows nothing of text.
"""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_type_hints

from dpr.errors import SettingsError

PAD = ("longest", "max_length", "do_not_pad")
TRUNCATE = ("longest_first", "only_first", "only_second", "do_not_truncate")
TENSORS = ("pt", "np")
SIDES = ("right", "left")

TruncationValue = bool | str | None
PaddingValue = bool | str


class SequenceLengthWarning(UserWarning):
    """A sequence came out longer than the model has positions, as truncation was not asked for."""


class TruncationWarning(UserWarning):
    """Truncation took the whole text of a passage: its question and title left no room."""


class MoreKeywords(TypedDict, total=False):
    """What calls of a tokenizer take by keyword, beside those of :class:`CallKeywords`.

    Attributes:
        add_special_tokens: ``[CLS] a [SEP]``, ``[CLS] a [SEP] b [SEP]``; the default.
        stride: tokens that overflowing pieces share.
        is_split_into_words: each text is a list of words.
        pad_to_multiple_of: padded lengths are multiples of this.
        padding_side: "right" or "left" for this call.
        return_token_type_ids: None follows ``model_input_names``.
        return_overflowing_tokens: what is cut off comes as further rows, with
            ``overflow_to_sample_mapping``.
        return_special_tokens_mask, return_offsets_mapping, return_length: add these keys.
        split_special_tokens: read special tokens written in a text as ordinary text; None
            follows the tokenizer's attribute.
        verbose: warn where a row is longer than the model has positions; the default.
    """

    add_special_tokens: bool
    stride: int
    is_split_into_words: bool
    pad_to_multiple_of: int | None
    padding_side: str | None
    return_token_type_ids: bool | None
    return_overflowing_tokens: bool
    return_special_tokens_mask: bool
    return_offsets_mapping: bool
    return_length: bool
    split_special_tokens: bool | None
    verbose: bool


class CallKeywords(MoreKeywords, total=False):
    """What calls of a tokenizer take by keyword.

    Attributes:
        padding: True or "longest", "max_length", False or "do_not_pad" (the default).
        truncation: True or "longest_first", "only_first", "only_second", False or
            "do_not_truncate"; where not given, ``max_length`` without padding asks for it.
        max_length: tokens at most, special ones included; the model's where one is needed.
        return_tensors: "pt", "np", or None for lists.
        return_attention_mask: None follows ``model_input_names``.
    """

    padding: PaddingValue
    truncation: TruncationValue
    max_length: int | None
    return_tensors: str | None
    return_attention_mask: bool | None


CALL_KEYWORDS = tuple(get_type_hints(CallKeywords))
CALL_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(CALL_KEYWORDS),
    "add_special_tokens": True,
    "padding": False,
    "stride": 0,
    "is_split_into_words": False,
    "return_overflowing_tokens": False,
    "return_special_tokens_mask": False,
    "return_offsets_mapping": False,
    "return_length": False,
    "verbose": True,
}


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How one call pads and truncates.

    Attributes:
        padding: "longest", "max_length" or "do_not_pad".
        truncation: "longest_first", "only_first", "only_second" or "do_not_truncate".
        max_length: tokens, special ones included; None where nothing needs a limit.
        stride: tokens that consecutive overflowing pieces share.
        pad_to_multiple_of: padded lengths are multiples of this.
    """

    padding: str
    truncation: str
    max_length: int | None
    stride: int = 0
    pad_to_multiple_of: int | None = None

    @property
    def pads(self) -> bool:
        """Whether sequences are padded at all."""
        return self.padding != "do_not_pad"

    @property
    def truncates(self) -> bool:
        """Whether sequences are cut at all."""
        return self.truncation != "do_not_truncate"


def resolve(
    padding: PaddingValue,
    truncation: TruncationValue,
    max_length: int | None,
    stride: int,
    pad_to_multiple_of: int | None,
    model_max_length: int,
) -> CallOptions:
    """The options a call means.

    ``max_length`` alone (no padding, truncation not mentioned) asks for truncation; where padding
    or truncation needs a length and none is given, it is the model's.

    Raises:
        SettingsError: a value outside what is allowed.
    """
    if truncation is None:
        truncation = max_length is not None and padding is False
    pad = _padding_name(padding)
    cut = _truncation_name(truncation)
    if max_length is not None and pad == "longest" and cut == "do_not_truncate":
        warnings.warn(
            "max_length does nothing with padding='longest' (or True) and no truncation; "
            "pass padding='max_length' to pad to it or truncation=True to cut at it",
            UserWarning,
            stacklevel=4,
        )
    needed = cut != "do_not_truncate" or pad == "max_length"
    length = model_max_length if max_length is None and needed else max_length
    _check_counts(length, stride, pad_to_multiple_of)
    multiple = pad_to_multiple_of
    cut_and_padded = cut != "do_not_truncate" and pad != "do_not_pad"
    if cut_and_padded and length is not None and multiple is not None and length % multiple:
        raise SettingsError(
            f"truncation to max_length={length} with pad_to_multiple_of={multiple} cannot give a "
            f"multiple; use max_length={length // multiple * multiple or multiple}"
        )
    return CallOptions(pad, cut, length, stride, multiple)


def check_room(options: CallOptions, special_tokens: int) -> None:
    """Refuse a truncation length that special tokens alone fill, or a stride that cannot advance.

    Raises:
        SettingsError: naming the least length, or the greatest stride, that works.
    """
    if not options.truncates or options.max_length is None:
        return
    room = options.max_length - special_tokens
    if room < 0:
        raise SettingsError(
            f"max_length={options.max_length} is below the {special_tokens} special tokens that "
            f"are always there; use at least {special_tokens}"
        )
    if options.stride and options.stride >= room:
        raise SettingsError(
            f"stride={options.stride} leaves no advance: {room} tokens of text fit in max_length="
            f"{options.max_length}; use a stride of at most {max(room - 1, 0)}"
        )


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> str:
    """``value`` as a plain string (an enum's value) if it is one of ``allowed``."""
    plain = getattr(value, "value", value)
    if plain not in allowed:
        raise SettingsError(f"{name}={value!r} is not known; allowed are {', '.join(allowed)}")
    return str(plain)


def tensor_kind(value: object) -> Literal["pt", "np"] | None:
    """The kind of tensors asked for: "pt", "np" or None for lists."""
    if value is None:
        return None
    return "pt" if check_choice("return_tensors", value, TENSORS) == "pt" else "np"


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters, without ``self`` and catch-alls."""
    return tuple(
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and name not in ("self", "cls")
    )


def refuse_unknown(where: str, given: Iterable[str], allowed: Sequence[str]) -> None:
    """Raise the TypeError of an unexpected keyword, naming the allowed name closest to it."""
    for name in given:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(
                f"{where}() got an unexpected keyword argument {name!r}{hint} "
                f"(allowed: {', '.join(allowed)})"
            )


def _padding_name(padding: object) -> str:
    if padding is True:
        return "longest"
    if padding is False or padding is None:
        return "do_not_pad"
    return check_choice("padding", padding, PAD)


def _truncation_name(truncation: object) -> str:
    if truncation is True:
        return "longest_first"
    if truncation is False or truncation is None:
        return "do_not_truncate"
    return check_choice("truncation", truncation, TRUNCATE)


def _check_counts(length: int | None, stride: int, multiple: int | None) -> None:
    if length is not None and length < 0:
        raise SettingsError(f"max_length={length} is negative; it counts tokens")
    if stride < 0:
        raise SettingsError(f"stride={stride} is negative; it counts tokens")
    if multiple is not None and multiple < 1:
        raise SettingsError(f"pad_to_multiple_of={multiple} must be at least 1")
