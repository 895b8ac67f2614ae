"""Finding a tokenizer's files, in a folder or on the Hugging Face Hub, and reading them.

Takes a :class:`Source` and the caller's overrides; gives the keywords that a tokenizer class is
made with. Reads JSON and text only, runs no code of a checkpoint. Knows nothing of encoding.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from tokenizers import AddedToken, Tokenizer

from dpr.errors import CheckpointError, SettingsError
from dpr.tokens.backend import NormaliserChoice, StrPath, from_vocabulary, read_vocabulary
from dpr.tokens.vocabulary import SPECIAL_NAMES

TOKENIZER_FILE = "tokenizer.json"
VOCAB_FILE = "vocab.txt"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens_map.json"
ADDED_FILE = "added_tokens.json"

# Some files state "no limit" as a huge number.
_NO_LIMIT = 10**9

_PIPELINE_KEYS = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
_OTHER_KEYS = (
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
    "split_special_tokens",
    "model_input_names",
)
_SOURCE_KEYS = ("vocab", "vocab_file", "tokenizer_file", "tokenizer_object")


@dataclass(frozen=True, slots=True)
class Source:
    """Where to load from.

    Attributes:
        name: a folder, a single file, or the id of a Hub repository.
        cache_dir, force_download, local_files_only, token, revision: as in
            ``huggingface_hub.hf_hub_download``.
        subfolder: the folder within the folder or repository.

    Raises:
        SettingsError: ``subfolder`` leaves the folder or repository.
    """

    name: str
    cache_dir: StrPath | None = None
    force_download: bool = False
    local_files_only: bool = False
    token: str | bool | None = None
    revision: str = "main"
    subfolder: str = ""

    def __post_init__(self) -> None:
        # As ``dpr.models.hub`` does for models, which is above this room.
        parts = (*PurePosixPath(self.subfolder).parts, *PureWindowsPath(self.subfolder).parts)
        if "\0" in self.subfolder or any(p == ".." or p[0] in "/\\" or ":" in p for p in parts):
            raise SettingsError(
                f"subfolder={self.subfolder!r} leaves the tokenizer's folder; give a relative "
                "path without '..', for example 'question_encoder'"
            )

    @property
    def path(self) -> Path:
        """``name`` as a path here, whether or not there is one; ``~`` is the user's home."""
        # Path.expanduser raises where there is no such user.
        return Path(os.path.expanduser(self.name))  # noqa: PTH111

    def find(self, filename: str) -> Path | None:
        """The local path of a file, downloaded if need be; None where there is none."""
        if self.path.is_dir():
            path = self.path / self.subfolder / filename
            return path if path.is_file() else None
        return _download(self, filename)


def constructor_keywords(
    source: Source, overrides: Mapping[str, Any]
) -> tuple[dict[str, Any], list[tuple[int, AddedToken]]]:
    """The keywords to make a tokenizer with, and added tokens (with ids) to add afterwards.

    What ``overrides`` say wins over ``special_tokens_map.json``, which wins over
    ``tokenizer_config.json``. Beside a ``tokenizer.json`` the configuration's normaliser
    settings are not read: the pipeline in that file is the one the model was trained with.

    Raises:
        CheckpointError: no vocabulary there, or a file that cannot be read.
    """
    if source.path.is_file():
        key = "tokenizer_file" if source.name.endswith(".json") else "vocab_file"
        return {key: source.path, "name_or_path": source.name, **overrides}, []
    given = any(overrides.get(key) is not None for key in _SOURCE_KEYS)
    serialised = None if given else source.find(TOKENIZER_FILE)
    vocab = None if given or serialised else source.find(VOCAB_FILE)
    if not given and serialised is None and vocab is None:
        raise CheckpointError(_nothing_found(source))
    config = _read_json(source.find(CONFIG_FILE))
    special = _special_tokens({**config, **_read_json(source.find(SPECIAL_FILE))})
    keywords = _settings(config) | special | {"name_or_path": source.name}
    added: list[tuple[int, AddedToken]] = []
    if serialised is not None:
        keywords["tokenizer_file"] = serialised
    else:
        keywords |= {key: config[key] for key in _PIPELINE_KEYS if config.get(key) is not None}
        settled = keywords | dict(overrides)
        names = _special_names(settled)
        added = _added_tokens(config, source.find(ADDED_FILE), names)
        if vocab is None:
            # The caller's vocabulary may have special tokens under other ids than these files.
            added = [(index, token) for index, token in added if token.content not in names]
        else:
            keywords["vocab_file"] = vocab
            if added:
                tokens = read_vocabulary(vocab)
                added = _fitting(added, tokens, overrides)
                keywords["tokenizer_object"] = _with_added(added, tokens, settled)
                added = [(index, token) for index, token in added if index >= len(tokens)]
    return keywords | dict(overrides), added


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    settings = {key: config[key] for key in _OTHER_KEYS if config.get(key) is not None}
    length = config.get("model_max_length", config.get("max_len"))
    if isinstance(length, (int, float)) and 0 < length < _NO_LIMIT:
        settings["model_max_length"] = int(length)
    return settings


def _special_tokens(config: Mapping[str, Any]) -> dict[str, Any]:
    tokens: dict[str, Any] = {
        name: _token(config[name]) for name in SPECIAL_NAMES if config.get(name) is not None
    }
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    if isinstance(extra, Mapping):
        extra = list(extra.values())
    if extra:
        tokens["extra_special_tokens"] = [_token(token) for token in extra]
    return tokens


def _token(value: Any) -> str | AddedToken:
    if not isinstance(value, Mapping):
        return str(value)
    flags = {k: bool(value[k]) for k in ("single_word", "lstrip", "rstrip") if k in value}
    special = bool(value.get("special", True))
    normalized = bool(value.get("normalized", not special))
    return AddedToken(str(value["content"]), special=special, normalized=normalized, **flags)


def _special_names(keywords: Mapping[str, Any]) -> set[str]:
    """The texts of the special tokens among a tokenizer's keywords."""
    tokens = [keywords[name] for name in SPECIAL_NAMES if keywords.get(name) is not None]
    return {str(token) for token in [*tokens, *(keywords.get("extra_special_tokens") or ())]}


def _added_tokens(
    config: Mapping[str, Any], path: Path | None, names: set[str]
) -> list[tuple[int, AddedToken]]:
    """The added tokens by id; those among ``names`` are special, whatever the files say."""
    decoder = config.get("added_tokens_decoder") or {}
    found = {int(index): _token(value) for index, value in decoder.items()}
    for content, index in _read_json(path).items():
        found.setdefault(int(index), AddedToken(content, normalized=content not in names))
    added = []
    for index, value in sorted(found.items()):
        token = value if isinstance(value, AddedToken) else AddedToken(value)
        token.special = token.special or token.content in names
        added.append((index, token))
    return added


def _fitting(
    added: list[tuple[int, AddedToken]], tokens: Mapping[str, int], overrides: Mapping[str, Any]
) -> list[tuple[int, AddedToken]]:
    """Those beyond the vocabulary, or under the same id in it; with the flags of overrides."""
    own = {token.content: token for token in overrides.values() if isinstance(token, AddedToken)}
    return [
        (index, own.get(token.content, token))
        for index, token in added
        if index >= len(tokens) or tokens.get(token.content) == index
    ]


def _with_added(
    added: list[tuple[int, AddedToken]], tokens: Mapping[str, int], keywords: Mapping[str, Any]
) -> Tokenizer:
    """The pipeline over a vocabulary with its added tokens, in the order of their ids: a class
    would give the first ids to its special tokens."""
    choice = NormaliserChoice(**{key: keywords.get(key) for key in _PIPELINE_KEYS})
    backend = from_vocabulary(tokens, choice, str(keywords.get("unk_token", "[UNK]")))
    backend.add_tokens([token for _, token in added])
    return backend


def _read_json(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON ({error}); mend or remove it"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {type(value).__name__}; it must be a JSON object")
    return value


def _download(source: Source, filename: str) -> Path | None:
    # Imported here: it is slow to import, and nothing else needs it.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    try:
        path = hf_hub_download(
            source.name,
            filename,
            subfolder=source.subfolder or None,
            revision=source.revision,
            cache_dir=None if source.cache_dir is None else os.fspath(source.cache_dir),
            force_download=source.force_download,
            token=source.token,
            local_files_only=source.local_files_only,
        )
    except EntryNotFoundError:  # also: not in the cache, and the Hub cannot or may not be asked
        return None
    except HFValidationError as error:
        raise CheckpointError(
            f"{source.name!r} is neither a folder here nor the id of a Hub repository "
            "(owner/name); check the path"
        ) from error
    except HfHubHTTPError as error:
        raise CheckpointError(
            f"{source.name!r} is no folder here, and the Hub refused it at revision "
            f"{source.revision!r} ({error}); check the name, the revision and the token"
        ) from error
    return Path(path)


def _nothing_found(source: Source) -> str:
    where = f"{source.name}/{source.subfolder}" if source.subfolder else source.name
    if source.path.is_dir():
        return (
            f"{where} holds neither {TOKENIZER_FILE} nor {VOCAB_FILE}; give the folder that a "
            "tokenizer was saved to"
        )
    return (
        f"{where!r} is no folder here, and neither {TOKENIZER_FILE} nor {VOCAB_FILE} of it came "
        f"from the Hub at revision {source.revision!r} or from its cache; check the name, and "
        "the network or HF_HUB_OFFLINE"
    )
