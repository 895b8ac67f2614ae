"""Writing a tokenizer to a folder and uploading it.

Takes a tokenizer; writes ``tokenizer.json``, ``vocab.txt``, ``tokenizer_config.json`` and
``special_tokens_map.json``, which this package and Transformers load.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpr.errors import CheckpointError
from dpr.tokens.backend import StrPath, read_vocabulary
from dpr.tokens.loading import CONFIG_FILE, SPECIAL_FILE, TOKENIZER_FILE, VOCAB_FILE

if TYPE_CHECKING:
    from dpr.tokens.tokenizer import DPRTokenizer

_FLAGS = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")


def save(
    tokenizer: DPRTokenizer,
    folder: StrPath,
    legacy_format: bool | None = None,
    prefix: str | None = None,
) -> tuple[str, ...]:
    """Write the files into ``folder`` (made if missing); gives their paths.

    Raises:
        CheckpointError: ``folder`` is a file.
    """
    target = Path(folder)
    if target.is_file():
        raise CheckpointError(f"{target} is a file; give a folder to save the tokenizer to")
    target.mkdir(parents=True, exist_ok=True)
    lead = f"{prefix}-" if prefix else ""
    paths = [target / f"{lead}{CONFIG_FILE}", target / f"{lead}{SPECIAL_FILE}"]
    _write_json(paths[0], _configuration(tokenizer))
    _write_json(paths[1], tokenizer.special_tokens_map)
    if legacy_format is not True:
        paths.append(target / f"{lead}{TOKENIZER_FILE}")
        tokenizer.backend_tokenizer.save(str(paths[-1]))
    if legacy_format is not False:
        path = target / f"{lead}{VOCAB_FILE}"
        if write_vocabulary(tokenizer, path):
            paths.append(path)
        elif legacy_format:
            raise CheckpointError(
                "this vocabulary cannot be written as a vocab.txt (its ids have gaps, or a token "
                "holds a line break); save without legacy_format=True"
            )
    return tuple(str(path) for path in paths)


def write_vocabulary(tokenizer: DPRTokenizer, path: Path) -> bool:
    """Write the base vocabulary, a token a line; False, and no file, where that cannot hold it."""
    vocabulary = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
    lines = sorted(vocabulary, key=vocabulary.__getitem__)
    path.write_text("".join(f"{token}\n" for token in lines), encoding="utf-8", newline="\n")
    if read_vocabulary(path) == vocabulary:
        return True
    path.unlink()
    return False


def push(
    tokenizer: DPRTokenizer,
    repo_id: str,
    *,
    commit_message: str,
    private: bool | None,
    token: str | bool | None,
    revision: str | None,
    create_pr: bool,
) -> str:
    """Upload the files to a Hub repository, made if missing; gives the commit's URL."""
    # Imported here: it is slow to import, and nothing else needs it.
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repository = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    with tempfile.TemporaryDirectory() as folder:
        save(tokenizer, folder)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=commit_message,
            revision=revision,
            create_pr=create_pr,
        )
    return str(commit.commit_url)


def _configuration(tokenizer: DPRTokenizer) -> dict[str, Any]:
    config: dict[str, Any] = {
        "tokenizer_class": type(tokenizer).__name__.removesuffix("Fast"),
        "model_max_length": tokenizer.model_max_length,
        "do_lower_case": tokenizer.do_lower_case,
        "strip_accents": tokenizer.strip_accents,
        "tokenize_chinese_chars": tokenizer.tokenize_chinese_chars,
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
        "clean_up_tokenization_spaces": tokenizer.clean_up_tokenization_spaces,
        "split_special_tokens": tokenizer.split_special_tokens,
        # For vocab.txt, which has no place for them; a tokenizer.json holds them itself.
        "added_tokens_decoder": {
            index: {flag: getattr(token, flag) for flag in _FLAGS}
            for index, token in tokenizer.added_tokens_decoder.items()
        },
        **tokenizer.special_tokens_map,
    }
    if tokenizer.model_input_names != list(tokenizer.default_input_names):
        config["model_input_names"] = tokenizer.model_input_names
    if tokenizer.extra_special_tokens:
        config["extra_special_tokens"] = tokenizer.extra_special_tokens
    return config


def _write_json(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
