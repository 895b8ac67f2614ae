"""BERT's WordPiece tokenizer: its settings, and texts to the backend's encodings.

Takes the settings users give a tokenizer and lists of texts; gives ``tokenizers.Encoding``. Is
safe to share among threads. Knows nothing of batches as models take them, nor of folders.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tokenizers import Encoding, Tokenizer

from dpr.errors import InputError, SettingsError
from dpr.tokens.backend import NormaliserChoice, StrPath, make_backend
from dpr.tokens.options import SIDES, CallOptions, check_choice, parameter_names, refuse_unknown
from dpr.tokens.vocabulary import Token, Vocabulary

POSITIONS = 512
"""Positions of every published DPR model: the length assumed where none is stated."""


class WordPieceTokenizer(Vocabulary):
    """BERT's tokenizer as far as the backend's encodings.

    Args:
        vocab: a mapping of token to id, or the path of a ``vocab.txt``.
        do_lower_case: lower-case the text; where not given, a ``tokenizer_file`` or
            ``tokenizer_object`` keeps its own rule and a vocabulary is taken as lower-casing.
        unk_token, sep_token, pad_token, cls_token, mask_token: the special tokens' texts.
        tokenize_chinese_chars: make each CJK ideograph a word; where not given, as the file
            has it, else True.
        strip_accents: drop accents; None follows lower-casing.
        vocab_file: the path of a ``vocab.txt``.
        tokenizer_file: the path of a ``tokenizer.json``.
        tokenizer_object: a ready ``tokenizers.Tokenizer``, which is copied.
        model_max_length: tokens the model has positions for.
        padding_side, truncation_side: "right" or "left".
        extra_special_tokens: further special tokens; ``additional_special_tokens`` is the same.
        model_input_names: which of input_ids, token_type_ids, attention_mask a call returns.
        clean_up_tokenization_spaces: drop spaces before punctuation when decoding.
        split_special_tokens: treat "[SEP]" and the like in a text as ordinary text.
        name_or_path: where it came from, as shown to people.

    Raises:
        TypeError: an unknown keyword, naming the closest known one.
        SettingsError: no vocabulary, two vocabularies, or a value outside what is allowed.
        CheckpointError: a file that cannot be read.
    """

    default_input_names: ClassVar[tuple[str, ...]] = (
        "input_ids",
        "token_type_ids",
        "attention_mask",
    )
    pad_token_type_id = 0

    def __init__(
        self,
        vocab: Mapping[str, int] | StrPath | None = None,
        do_lower_case: bool | None = None,
        unk_token: Token = "[UNK]",
        sep_token: Token = "[SEP]",
        pad_token: Token = "[PAD]",
        cls_token: Token = "[CLS]",
        mask_token: Token = "[MASK]",
        tokenize_chinese_chars: bool | None = None,
        strip_accents: bool | None = None,
        *,
        vocab_file: StrPath | None = None,
        tokenizer_file: StrPath | None = None,
        tokenizer_object: Tokenizer | None = None,
        bos_token: Token | None = None,
        eos_token: Token | None = None,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        extra_special_tokens: Sequence[Token] | None = None,
        additional_special_tokens: Sequence[Token] | None = None,
        model_input_names: Sequence[str] | None = None,
        clean_up_tokenization_spaces: bool = False,
        split_special_tokens: bool = False,
        name_or_path: StrPath = "",
        **unknown: object,
    ) -> None:
        if unknown:
            allowed = parameter_names(WordPieceTokenizer.__init__)
            refuse_unknown(type(self).__name__, unknown, allowed)
        if vocab is not None and vocab_file is not None:
            raise SettingsError("vocab= and vocab_file= both give a vocabulary; pass one of them")
        choice = NormaliserChoice(do_lower_case, strip_accents, tokenize_chinese_chars)
        source = vocab_file if vocab is None else vocab
        backend = make_backend(source, tokenizer_file, tokenizer_object, choice, str(unk_token))
        special: dict[str, Token | None] = {
            "bos_token": bos_token,
            "eos_token": eos_token,
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
        }
        extra = [*(extra_special_tokens or ()), *(additional_special_tokens or ())]
        super().__init__(backend, special, extra, clean_up_tokenization_spaces)
        self.model_max_length = POSITIONS if model_max_length is None else int(model_max_length)
        self.padding_side = check_choice("padding_side", padding_side, SIDES)
        self.truncation_side = check_choice("truncation_side", truncation_side, SIDES)
        self.model_input_names = list(model_input_names or self.default_input_names)
        self.split_special_tokens = split_special_tokens
        self.name_or_path = os.fspath(name_or_path)

    @property
    def do_lower_case(self) -> bool | None:
        """Whether text is lower-cased; None where the normaliser is not BERT's."""
        return getattr(self._tokenizer.normalizer, "lowercase", None)

    @property
    def strip_accents(self) -> bool | None:
        """Whether accents are dropped; None follows :attr:`do_lower_case`."""
        return getattr(self._tokenizer.normalizer, "strip_accents", None)

    @property
    def tokenize_chinese_chars(self) -> bool | None:
        """Whether each CJK ideograph is a word; None where the normaliser is not BERT's."""
        return getattr(self._tokenizer.normalizer, "handle_chinese_chars", None)

    @property
    def max_len_single_sentence(self) -> int:
        """Tokens of one text that fit beside its special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """Tokens of two texts that fit beside their special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, "
            f"vocab_size={self.vocab_size}, do_lower_case={self.do_lower_case}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map}, "
            f"added_tokens={self.get_added_vocab()})"
        )

    def text_encodings(self, texts: Sequence[str], *, offsets: bool = False) -> list[Encoding]:
        """The tokens of each text alone: no special tokens, no truncation, no padding.

        Special tokens written out in a text ("[SEP]") are tokenized as the ordinary characters
        they are, so that no text can forge the structure of an input built from the result.

        Args:
            texts: any number of strings.
            offsets: also keep each token's character span, which takes a little longer.

        Raises:
            InputError: an item that is not a string, with its position.
        """
        plain = CallOptions("do_not_pad", "do_not_truncate", None)
        return self._encode_all(
            texts, plain, add_special_tokens=False, split_special_tokens=True, offsets=offsets
        )

    def _encode_all(
        self,
        inputs: Sequence[Any],
        options: CallOptions,
        *,
        add_special_tokens: bool = True,
        pretokenized: bool = False,
        split_special_tokens: bool = False,
        padding_side: str | None = None,
        offsets: bool = True,
    ) -> list[Encoding]:
        """Encode in one call of the backend, whose state only this method changes, under a lock."""
        if not inputs:
            return []
        backend = self._tokenizer
        encode = backend.encode_batch if offsets else backend.encode_batch_fast
        with self._lock:
            self._set_state(options, padding_side or self.padding_side, split_special_tokens)
            try:
                try:
                    return encode(list(inputs), pretokenized, add_special_tokens)
                except TypeError:
                    # Lone surrogates cannot cross into Rust, nor be told from other bad items.
                    mended = [_mended(item, index) for index, item in enumerate(inputs)]
                    return encode(mended, pretokenized, add_special_tokens)
            except InputError:
                raise
            except TypeError as error:
                raise InputError(
                    f"the texts cannot be tokenized ({error}); give a string, a list of strings, "
                    "or with is_split_into_words=True lists of words"
                ) from error
            except Exception as error:  # the Rust side raises a bare Exception
                raise InputError(
                    f"the texts cannot be encoded ({error}); check max_length={options.max_length}"
                    f" and truncation={options.truncation!r} against their lengths"
                ) from error
            finally:
                self._reset_state()

    def _set_state(self, options: CallOptions, padding_side: str, split_special: bool) -> None:
        backend = self._tokenizer
        if options.truncates and options.max_length is not None:
            backend.enable_truncation(
                options.max_length,
                stride=options.stride,
                strategy=options.truncation,
                direction=self.truncation_side,
            )
        if options.pads:
            backend.enable_padding(
                direction=padding_side,
                pad_id=self.pad_token_id,
                pad_type_id=self.pad_token_type_id,
                pad_token=self.pad_token,
                length=options.max_length if options.padding == "max_length" else None,
                pad_to_multiple_of=options.pad_to_multiple_of,
            )
        backend.encode_special_tokens = split_special

    def _reset_state(self) -> None:
        backend = self._tokenizer
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = False


def _mended(item: Any, index: int) -> Any:
    """``item`` with each lone surrogate as U+FFFD, which BERT drops; offsets stay as they are."""
    if isinstance(item, str):
        return item.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(item, (list, tuple)):
        return type(item)(_mended(part, index) for part in item)
    raise InputError(
        f"text number {index} (from 0) is {type(item).__name__}, not a string; "
        "pass strings, or lists of words with is_split_into_words=True"
    )
