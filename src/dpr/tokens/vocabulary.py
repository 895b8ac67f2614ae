"""Tokens and their ids: the named special tokens, added tokens, conversion and decoding.

Takes a ready backend and the names of the special tokens; gives the part of a tokenizer that
does not encode. Knows nothing of padding, truncation, files or questions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

from tokenizers import AddedToken, Tokenizer

from dpr.errors import InputError, SettingsError
from dpr.tokens.backend import bert_template

Token = str | AddedToken

SPECIAL_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)

# The order and wording are those of the original BERT release's detokeniser.
_CLEAN_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


class _SpecialToken:
    """``tokenizer.sep_token``: the token's text, None where there is no such token."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, tokenizer: Vocabulary | None, owner: type) -> Any:
        if tokenizer is None:
            return self
        token = tokenizer._special.get(self._name)
        return None if token is None else str(token)

    def __set__(self, tokenizer: Vocabulary, value: Token | None) -> None:
        if value is not None and not isinstance(value, (str, AddedToken)):
            raise SettingsError(f"{self._name} must be a string, not {type(value).__name__}")
        tokenizer._special[self._name] = value


class _SpecialTokenId:
    """``tokenizer.sep_token_id``: the token's id, None where there is no such token."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name.removesuffix("_id")

    def __get__(self, tokenizer: Vocabulary | None, owner: type) -> Any:
        if tokenizer is None:
            return self
        token = tokenizer._special.get(self._name)
        return None if token is None else tokenizer.convert_tokens_to_ids(str(token))

    def __set__(self, tokenizer: Vocabulary, value: int | None) -> None:
        token = None if value is None else tokenizer.convert_ids_to_tokens(value)
        if value is not None and token is None:
            raise SettingsError(f"{self._name}_id={value} is not the id of any token")
        tokenizer._special[self._name] = token


class Vocabulary:
    """The ids of tokens and the tokens of ids, over a ``tokenizers.Tokenizer``.

    Attributes:
        bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token: the special
            tokens by name, each also as ``..._id``; None where the tokenizer has none.
        clean_up_tokenization_spaces: what decoding does where the call does not say.
    """

    bos_token = _SpecialToken()
    eos_token = _SpecialToken()
    unk_token = _SpecialToken()
    sep_token = _SpecialToken()
    pad_token = _SpecialToken()
    cls_token = _SpecialToken()
    mask_token = _SpecialToken()
    bos_token_id = _SpecialTokenId()
    eos_token_id = _SpecialTokenId()
    unk_token_id = _SpecialTokenId()
    sep_token_id = _SpecialTokenId()
    pad_token_id = _SpecialTokenId()
    cls_token_id = _SpecialTokenId()
    mask_token_id = _SpecialTokenId()

    def __init__(
        self,
        backend: Tokenizer,
        special: Mapping[str, Token | None],
        extra_special_tokens: Iterable[Token] = (),
        clean_up_tokenization_spaces: bool = False,
    ) -> None:
        self._tokenizer = backend
        # The backend carries truncation and padding as state: one call at a time may set them.
        self._lock = threading.Lock()
        self._special: dict[str, Token | None] = {name: special.get(name) for name in SPECIAL_NAMES}
        self._extra: list[Token] = list(extra_special_tokens)
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self._register_special_tokens()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Tokens in all, added ones included: what an embedding table must hold."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def __bool__(self) -> bool:
        return True

    @property
    def is_fast(self) -> bool:
        """True: there is only the Rust implementation."""
        return True

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The ``tokenizers.Tokenizer`` underneath; changing it changes this tokenizer."""
        return self._tokenizer

    @property
    def vocab_size(self) -> int:
        """Tokens in the base vocabulary, without added ones."""
        return self._tokenizer.get_vocab_size(with_added_tokens=False)

    def get_vocab(self) -> dict[str, int]:
        """Token to id, added tokens included."""
        return dict(self._tokenizer.get_vocab(with_added_tokens=True))

    @property
    def vocab(self) -> dict[str, int]:
        """The same as :meth:`get_vocab`."""
        return self.get_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id to added token, the special tokens among them."""
        return dict(self._tokenizer.get_added_tokens_decoder())

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Added token to id, in the order of ids."""
        return {token.content: i for i, token in sorted(self.added_tokens_decoder.items())}

    def get_added_vocab(self) -> dict[str, int]:
        """The same as :attr:`added_tokens_encoder`."""
        return self.added_tokens_encoder

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Name to text of each named special token that is set."""
        return {name: str(token) for name, token in self._special.items() if token is not None}

    @property
    def extra_special_tokens(self) -> list[str]:
        """Special tokens without a name of their own."""
        return [str(token) for token in self._extra]

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once, the named ones first."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self.extra_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of :attr:`all_special_tokens`."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def add_tokens(self, new_tokens: Token | Sequence[Token], special_tokens: bool = False) -> int:
        """Add tokens that are matched whole; gives how many were new.

        A model that is to see them needs ``model.resize_token_embeddings(len(tokenizer))``.
        """
        tokens = [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else list(new_tokens)
        if not tokens:
            return 0
        with self._lock:
            if special_tokens:
                return self._tokenizer.add_special_tokens(tokens)
            return self._tokenizer.add_tokens(tokens)

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, Token | Sequence[Token]],
        replace_extra_special_tokens: bool = True,
    ) -> int:
        """Set named special tokens, adding those the vocabulary lacks; gives how many were new.

        Args:
            special_tokens_dict: name to token; names are those of :data:`SPECIAL_NAMES` and
                ``extra_special_tokens`` (a list), which ``additional_special_tokens`` also means.
            replace_extra_special_tokens: replace the list of extra tokens, else extend it.

        Raises:
            SettingsError: an unknown name or a value that is no token.
        """
        tokens: list[Token] = []
        for name, value in special_tokens_dict.items():
            if name in ("extra_special_tokens", "additional_special_tokens"):
                tokens += self._set_extra(name, value, replace_extra_special_tokens)
            elif name not in SPECIAL_NAMES:
                raise SettingsError(
                    f"{name!r} is not a special token; allowed are "
                    f"{', '.join(SPECIAL_NAMES)} and extra_special_tokens"
                )
            elif not isinstance(value, (str, AddedToken)):
                raise SettingsError(f"{name} must be a string, not {type(value).__name__}")
            else:
                token = _as_special(value)
                setattr(self, name, token)
                tokens.append(token)
        added = self.add_tokens(tokens, special_tokens=True)
        self._set_template()
        return added

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str] | tuple[str, ...]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str] | tuple[str, ...]) -> int | list[int]:
        """The id of a token, or of each; the unknown token's where there is none."""
        if isinstance(tokens, str):
            return self._token_id(tokens)
        return [self._token_id(token) for token in tokens]

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str | None: ...
    @overload
    def convert_ids_to_tokens(
        self, ids: Iterable[Any], skip_special_tokens: bool = False
    ) -> list[str | None]: ...
    def convert_ids_to_tokens(
        self, ids: int | Iterable[Any], skip_special_tokens: bool = False
    ) -> str | list[str | None] | None:
        """The token of an id, or of each; None for an id outside the vocabulary."""
        if isinstance(ids, int):
            return self._tokenizer.id_to_token(ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._tokenizer.id_to_token(int(i)) for i in ids if int(i) not in skipped]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens as decoding does: word pieces glued, words spaced."""
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(list(tokens)))

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any:
        """The text of a sequence of ids, or a list of texts for a list of sequences.

        Args:
            token_ids: an int, a list, a NumPy array or a tensor of one or two axes.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: drop the space before punctuation and contractions;
                None follows the attribute of the same name.
        """
        ids = _plain(token_ids)
        if isinstance(ids, int):
            ids = [ids]
        clean = clean_up_tokenization_spaces
        if clean is None:
            clean = self.clean_up_tokenization_spaces
        if ids and isinstance(ids[0], (list, tuple)):
            texts = self._tokenizer.decode_batch(
                [list(row) for row in ids], skip_special_tokens=skip_special_tokens
            )
            return [self.clean_up_tokenization(text) for text in texts] if clean else texts
        text = self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return self.clean_up_tokenization(text) if clean else text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """As :meth:`decode`, always a list."""
        decoded = self.decode(sequences, skip_special_tokens, clean_up_tokenization_spaces)
        return [decoded] if isinstance(decoded, str) else list(decoded)

    @staticmethod
    def clean_up_tokenization(text: str) -> str:
        """``text`` without the spaces before English punctuation and contractions."""
        for spaced, joined in _CLEAN_UP:
            text = text.replace(spaced, joined)
        return text

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many tokens the template adds to one text, or to a pair."""
        return self._tokenizer.num_special_tokens_to_add(pair)

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for each special token of the sequence that the ids make, 0 for the others."""
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise InputError("give one sequence where it already has its special tokens")
            special = set(self.all_special_ids)
            return [int(int(i) in special) for i in token_ids_0]
        mask = [1, *([0] * len(token_ids_0)), 1]
        return mask if token_ids_1 is None else [*mask, *([0] * len(token_ids_1)), 1]

    def _token_id(self, token: str) -> int:
        index = self._tokenizer.token_to_id(token)
        if index is None and self.unk_token is not None:
            index = self._tokenizer.token_to_id(self.unk_token)
        if index is None:
            raise InputError(f"{token!r} is not in the vocabulary, which has no unknown token")
        return index

    def _set_extra(self, name: str, value: Any, replace: bool) -> list[Token]:
        if isinstance(value, (str, AddedToken)) or not all(
            isinstance(token, (str, AddedToken)) for token in value
        ):
            raise SettingsError(f"{name} must be a list of strings, not {value!r}")
        kept = [] if replace else self._extra
        known = {str(token) for token in kept}
        new: list[Token] = [_as_special(token) for token in value if str(token) not in known]
        self._extra = [*kept, *new] if new or not replace else self._extra
        return new

    def _register_special_tokens(self) -> None:
        present = {token.content for token in self.added_tokens_decoder.values() if token.special}
        wanted = [token for token in [*self._special.values(), *self._extra] if token is not None]
        missing = [_as_special(token) for token in wanted if str(token) not in present]
        if missing:
            self._tokenizer.add_special_tokens(missing)
        self._set_template()

    def _set_template(self) -> None:
        if self.cls_token is None or self.sep_token is None:
            raise SettingsError("cls_token and sep_token must be set: every input is built of them")
        template = bert_template(
            (self.cls_token, self.cls_token_id), (self.sep_token, self.sep_token_id)
        )
        with self._lock:
            self._tokenizer.post_processor = template


def _as_special(token: Token) -> AddedToken:
    if isinstance(token, AddedToken):
        token.special = True
        return token
    return AddedToken(token, special=True, normalized=False)


def _plain(values: Any) -> Any:
    """Lists of ints out of lists, mappings with ``input_ids``, arrays or tensors."""
    if isinstance(values, Mapping):
        values = values["input_ids"]
    tolist: Callable[[], Any] | None = getattr(values, "tolist", None)
    if tolist is not None:
        return tolist()
    if isinstance(values, (list, tuple)):
        return [_plain(value) if hasattr(value, "tolist") else value for value in values]
    return values
