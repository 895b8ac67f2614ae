"""The Rust WordPiece pipeline: from a vocabulary or a ``tokenizer.json`` to a ready backend.

Takes a vocabulary (mapping or ``vocab.txt``), a serialised pipeline or a ready ``Tokenizer``;
gives a ``tokenizers.Tokenizer`` that normalises, splits and decodes as BERT does. Knows nothing
of special token names beyond what it is told, of padding or of the Hub.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from dpr.errors import CheckpointError, SettingsError

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class NormaliserChoice:
    """What a caller said about the normaliser; ``None`` is "not said".

    Attributes:
        do_lower_case: lower-case the text.
        strip_accents: drop accents; where not said, they are dropped when lower-casing.
        tokenize_chinese_chars: set white space around CJK ideographs, so each is a token.
    """

    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None

    def fresh(self) -> normalizers.Normalizer:
        """A normaliser by these choices, BERT's defaults standing in for what is not said."""
        lower, chinese = self.do_lower_case, self.tokenize_chinese_chars
        return normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=True if chinese is None else chinese,
            strip_accents=self.strip_accents,
            lowercase=True if lower is None else lower,
        )

    def applied_to(self, present: Any) -> Any:
        """``present`` (a file's normaliser, or None) with the choices that were made laid over it.

        A normaliser that is not BERT's cannot be adjusted: it stays where nothing was said, and
        gives way to a fresh one where something was.
        """
        if self == NormaliserChoice():
            return present
        if not isinstance(present, normalizers.BertNormalizer):
            return self.fresh()
        lower, accents = self.do_lower_case, self.strip_accents
        chinese = self.tokenize_chinese_chars
        return normalizers.BertNormalizer(
            clean_text=present.clean_text,
            handle_chinese_chars=present.handle_chinese_chars if chinese is None else chinese,
            strip_accents=present.strip_accents if accents is None else accents,
            lowercase=present.lowercase if lower is None else lower,
        )


def read_vocabulary(path: StrPath) -> dict[str, int]:
    """Token to id from a ``vocab.txt``: one token a line, the line number (from 0) its id.

    Raises:
        CheckpointError: the file is missing, is not UTF-8 text, or is empty.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"no vocabulary file at {os.fspath(path)}; give the path of a file")
    try:
        vocabulary = WordPiece.read_file(os.fspath(path))
    except Exception as error:  # the Rust side raises a bare Exception
        raise CheckpointError(
            f"{os.fspath(path)} cannot be read as a vocabulary ({error}); "
            "it must be UTF-8 text with one token a line"
        ) from error
    if not vocabulary:
        raise CheckpointError(f"{os.fspath(path)} is empty; a vocabulary has one token a line")
    return dict(vocabulary)


def from_vocabulary(
    vocab: Mapping[str, int] | StrPath, choice: NormaliserChoice, unk_token: str
) -> Tokenizer:
    """A BERT pipeline over a vocabulary given as a mapping or as the path of a ``vocab.txt``."""
    tokens = dict(vocab) if isinstance(vocab, Mapping) else read_vocabulary(vocab)
    backend = Tokenizer(WordPiece(tokens, unk_token=unk_token))
    backend.normalizer = choice.fresh()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    return backend


def from_serialised(path: StrPath, choice: NormaliserChoice) -> Tokenizer:
    """The pipeline that a ``tokenizer.json`` holds; its normaliser rules unless ``choice`` says.

    Raises:
        CheckpointError: the file is missing or is no serialised pipeline.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"no tokenizer file at {os.fspath(path)}; give the path of a file")
    try:
        backend = Tokenizer.from_file(os.fspath(path))
    except Exception as error:  # the Rust side raises a bare Exception
        raise CheckpointError(
            f"{os.fspath(path)} cannot be read as a tokenizer ({error}); "
            "it must be a tokenizer.json as the tokenizers library writes it"
        ) from error
    return _adjusted(backend, choice)


def from_object(backend: Tokenizer, choice: NormaliserChoice) -> Tokenizer:
    """A copy of a ready pipeline, so that the caller's own is never changed."""
    return _adjusted(copy.deepcopy(backend), choice)


def make_backend(
    vocab: Mapping[str, int] | StrPath | None,
    tokenizer_file: StrPath | None,
    tokenizer_object: Tokenizer | None,
    choice: NormaliserChoice,
    unk_token: str,
) -> Tokenizer:
    """The pipeline from whichever source was given: object, then file, then vocabulary.

    Raises:
        SettingsError: nothing was given.
        CheckpointError: a file cannot be read.
    """
    if tokenizer_object is not None:
        return from_object(tokenizer_object, choice)
    if tokenizer_file is not None:
        return from_serialised(tokenizer_file, choice)
    if vocab is not None:
        return from_vocabulary(vocab, choice, unk_token)
    raise SettingsError(
        "a tokenizer needs a vocabulary and none was given; pass vocab_file= (a vocab.txt), "
        "vocab= (a mapping), tokenizer_file= (a tokenizer.json) or tokenizer_object=, "
        "or use from_pretrained(folder)"
    )


def bert_template(cls: tuple[str, int], sep: tuple[str, int]) -> processors.TemplateProcessing:
    """``[CLS] a [SEP]`` and ``[CLS] a [SEP] b [SEP]``, the second text in segment 1."""
    return processors.TemplateProcessing(
        single=f"{cls[0]}:0 $A:0 {sep[0]}:0",
        pair=f"{cls[0]}:0 $A:0 {sep[0]}:0 $B:1 {sep[0]}:1",
        special_tokens=[cls, sep],
    )


def _adjusted(backend: Tokenizer, choice: NormaliserChoice) -> Tokenizer:
    # Truncation and padding baked into a file would act on every call, asked for or not.
    backend.no_truncation()
    backend.no_padding()
    backend.normalizer = choice.applied_to(backend.normalizer)
    return backend
