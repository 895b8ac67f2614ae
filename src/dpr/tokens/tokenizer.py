"""The tokenizer that the six DPR classes share: text in, :class:`BatchEncoding` out.

Takes texts, pairs or word lists; gives ids, masks and, through the encodings, the way back to
characters. Knows nothing of questions, titles and passages (see ``dpr.tokens.reader``), nor of
models; files are left to ``dpr.tokens.loading`` and ``dpr.tokens.saving``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, Unpack

from tokenizers import Encoding

from dpr.errors import CheckpointError, InputError
from dpr.tokens import loading, saving
from dpr.tokens.backend import StrPath
from dpr.tokens.batch import BatchEncoding
from dpr.tokens.options import (
    CALL_DEFAULTS,
    CALL_KEYWORDS,
    SIDES,
    CallKeywords,
    CallOptions,
    PaddingValue,
    SequenceLengthWarning,
    check_choice,
    check_room,
    parameter_names,
    refuse_unknown,
    resolve,
    tensor_kind,
)
from dpr.tokens.padding import Padder, pad_encoded
from dpr.tokens.wordpiece import WordPieceTokenizer


class DPRTokenizer(WordPieceTokenizer):
    """BERT's WordPiece tokenizer with the interface of Transformers' tokenizers.

    Made as :class:`WordPieceTokenizer` is, or with :meth:`from_pretrained`.
    """

    def __call__(
        self, text: Any, text_pair: Any = None, **keywords: Unpack[CallKeywords]
    ) -> BatchEncoding:
        """Tokenize one text, a pair, or a batch of either.

        Args:
            text: a string, a list of strings (a batch) or of pairs; with ``is_split_into_words``
                a list of words, or a list of such lists (a batch).
            text_pair: the second text of each pair.
            keywords: see :class:`dpr.tokens.options.CallKeywords`.

        Raises:
            InputError: texts of a wrong type, batches of unequal length, ragged tensors.
            SettingsError: an option outside what is allowed.
            TypeError: an unknown keyword, naming the closest known one.
        """
        return self._batch(text, text_pair, keywords)

    def _batch(self, text: Any, text_pair: Any, keywords: CallKeywords) -> BatchEncoding:
        refuse_unknown(type(self).__name__, keywords, CALL_KEYWORDS)
        asked = {**CALL_DEFAULTS, **keywords}
        options = resolve(
            asked["padding"],
            asked["truncation"],
            asked["max_length"],
            asked["stride"],
            asked["pad_to_multiple_of"],
            self.model_max_length,
        )
        items, batched = _items(text, text_pair, asked["is_split_into_words"])
        with_special = asked["add_special_tokens"]
        check_room(options, self.num_special_tokens_to_add(bool(text_pair)) if with_special else 0)
        split, overflow = asked["split_special_tokens"], asked["return_overflowing_tokens"]
        encodings = self._encode_all(
            items,
            options,
            add_special_tokens=with_special,
            pretokenized=asked["is_split_into_words"],
            split_special_tokens=self.split_special_tokens if split is None else split,
            padding_side=self._side(asked["padding_side"]),
        )
        keys = self._keys(
            token_type_ids=asked["return_token_type_ids"],
            attention_mask=asked["return_attention_mask"],
            special_tokens_mask=asked["return_special_tokens_mask"],
            offset_mapping=asked["return_offsets_mapping"],
            length=asked["return_length"],
        )
        data, rows = _columns(encodings, keys, overflow)
        if options.max_length is None and asked["verbose"]:
            self._warn_of_length(data["input_ids"])
        kind = tensor_kind(asked["return_tensors"])
        if not batched and kind is None and not overflow:
            data = {key: v[0] if isinstance(v[0], list) else v for key, v in data.items()}
        return BatchEncoding(data, rows, tensor_type=kind)

    def encode(self, text: Any, text_pair: Any = None, **keywords: Unpack[CallKeywords]) -> Any:
        """The ids of a text or a pair; ``keywords`` as in a call."""
        return self._batch(text, text_pair, keywords)["input_ids"]

    def tokenize(self, text: Any, pair: Any = None, **keywords: Unpack[CallKeywords]) -> list[str]:
        """The tokens of a text or a pair, without special tokens unless asked for."""
        quiet: CallKeywords = {"verbose": False, "add_special_tokens": False}
        return self._batch(text, pair, {**quiet, **keywords}).tokens()

    def pad(
        self,
        encoded_inputs: Any,
        padding: PaddingValue = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad inputs that are already ids to one length.

        Args:
            encoded_inputs: one encoded input, a batch of them, or a list of encoded inputs (so
                that this serves as a collate function); lists, arrays or tensors.
            padding, max_length, pad_to_multiple_of, padding_side: as in a call.
            return_attention_mask: None follows ``model_input_names``.
            return_tensors: "pt" or "np"; None keeps what the ids were.
            verbose: accepted, without effect.

        Raises:
            InputError: no ``input_ids``, or keys with different numbers of rows.
            SettingsError: an option outside what is allowed.
        """
        if padding in (True, "longest"):
            max_length = None
        options = resolve(padding, False, max_length, 0, pad_to_multiple_of, self.model_max_length)
        return pad_encoded(
            encoded_inputs,
            self._padder(options, padding_side, return_attention_mask),
            tensor_kind(return_tensors),
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: StrPath,
        *,
        cache_dir: StrPath | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        subfolder: str = "",
        use_fast: bool = True,
        trust_remote_code: bool = False,
        **overrides: Any,
    ) -> Self:
        """Load from a folder, or from the Hugging Face Hub where no such folder exists.

        A ``tokenizer.json`` is taken as it is, its normaliser included, unless ``overrides`` say
        otherwise; without one, ``vocab.txt`` with what ``tokenizer_config.json`` (if any) says.

        Args:
            pretrained_model_name_or_path: a folder, a ``vocab.txt``, a ``tokenizer.json``, or
                the id of a Hub repository.
            cache_dir, force_download, local_files_only, token, revision, subfolder: as in
                ``huggingface_hub.hf_hub_download``; ``subfolder`` also of a local folder.
            use_fast, trust_remote_code: accepted, without effect: there is one implementation,
                and no code of a checkpoint is ever run.
            overrides: keywords of the class, which win over the files.

        Raises:
            CheckpointError: nothing to load there, or a file that cannot be read.
            TypeError: an unknown keyword.
        """
        refuse_unknown(cls.__name__ + ".from_pretrained", overrides, (*_LOADING, *_KEYWORDS))
        source = loading.Source(
            name=os.fspath(pretrained_model_name_or_path),
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            revision=revision,
            subfolder=subfolder,
        )
        keywords, added = loading.constructor_keywords(source, overrides)
        tokenizer = cls(**keywords)
        for index, new in added:
            tokenizer.add_tokens([new], special_tokens=new.special)
            found = tokenizer.convert_tokens_to_ids(new.content)
            if found != index:
                raise CheckpointError(
                    f"{source.name}: the added token {new.content!r} should have id {index}, but "
                    f"the vocabulary gives it {found}; the files do not belong together"
                )
        return tokenizer

    def save_pretrained(
        self,
        save_directory: StrPath,
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **push_keywords: Any,
    ) -> tuple[str, ...]:
        """Write what :meth:`from_pretrained`, here or in Transformers, loads; gives the paths.

        Args:
            save_directory: made if missing.
            legacy_format: True writes no ``tokenizer.json``, False no ``vocab.txt``.
            filename_prefix: put before each file's name, with a hyphen.
            push_to_hub: then also upload, with ``push_keywords`` as in :meth:`push_to_hub`;
                ``repo_id`` is the folder's name where not given.

        Raises:
            CheckpointError: ``save_directory`` is a file.
        """
        allowed = ("repo_id", *_PUSHING) if push_to_hub else ("push_to_hub", "filename_prefix")
        refuse_unknown("save_pretrained", push_keywords, allowed)
        paths = saving.save(self, save_directory, legacy_format, filename_prefix)
        if push_to_hub:
            repo_id = push_keywords.pop("repo_id", None) or Path(save_directory).resolve().name
            self.push_to_hub(repo_id, **push_keywords)
        return paths

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> str:
        """Upload the saved files to a Hub repository, made if missing; gives the commit's URL."""
        return saving.push(
            self,
            repo_id,
            commit_message=commit_message or "Upload tokenizer",
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
        )

    def _side(self, side: str | None) -> str:
        return check_choice("padding_side", side or self.padding_side, SIDES)

    def _padder(
        self, options: CallOptions, padding_side: str | None, with_mask: bool | None
    ) -> Padder:
        wanted = "attention_mask" in self.model_input_names if with_mask is None else with_mask
        return Padder(
            options, self._side(padding_side), self.pad_token_id, self.pad_token_type_id, wanted
        )

    def _keys(self, **asked: bool | None) -> list[str]:
        """The keys a call returns, in Transformers' order; None follows ``model_input_names``."""
        return [
            key
            for key, wanted in asked.items()
            if (key in self.model_input_names if wanted is None else wanted)
        ]

    def _warn_of_length(self, rows: Sequence[Sequence[int]]) -> None:
        longest = max((len(row) for row in rows), default=0)
        if longest > self.model_max_length:
            warnings.warn(
                f"a sequence of {longest} tokens is longer than the {self.model_max_length} "
                "positions of the model, which will refuse it; pass truncation=True",
                SequenceLengthWarning,
                stacklevel=4,
            )


_KEYWORDS = parameter_names(WordPieceTokenizer.__init__)
_LOADING = parameter_names(DPRTokenizer.from_pretrained)
_PUSHING = parameter_names(DPRTokenizer.push_to_hub)


def _items(text: Any, pair: Any, words: bool) -> tuple[list[Any], bool]:
    """The backend's inputs, and whether the caller gave a batch."""
    if text is None:
        raise InputError("there is no text to tokenize (None); pass a string or a list of strings")
    batched = isinstance(text, (list, tuple)) and (
        not words or bool(text and isinstance(text[0], (list, tuple)))
    )
    if not batched:
        # An empty second text counts as none, as in Transformers.
        return [(text, pair) if pair else text], False
    if pair is None:
        return list(text), True
    if isinstance(pair, str) or len(pair) != len(text):
        given = "one string" if isinstance(pair, str) else f"{len(pair)} second texts"
        raise InputError(f"got {len(text)} texts and {given}; give one second text for each text")
    return list(zip(text, pair, strict=True)), True


def _columns(
    encodings: Sequence[Encoding], keys: Sequence[str], overflow: bool
) -> tuple[dict[str, Any], list[Encoding]]:
    """Encodings as key to rows, and the encoding of each row."""
    rows: list[Encoding] = []
    samples: list[int] = []
    for index, encoding in enumerate(encodings):
        pieces = [encoding, *encoding.overflowing] if overflow else [encoding]
        rows += pieces
        samples += [index] * len(pieces)
    data: dict[str, Any] = {"input_ids": [row.ids for row in rows]}
    for key in keys:
        data[key] = [_column(row, key) for row in rows]
    if overflow:
        data["overflow_to_sample_mapping"] = samples
    return data, rows


def _column(row: Encoding, key: str) -> Any:
    match key:
        case "token_type_ids":
            return row.type_ids
        case "offset_mapping":
            return row.offsets
        case "length":
            return len(row.ids)
        case _:
            return getattr(row, key)
