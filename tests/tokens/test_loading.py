"""Folders and the Hub's cache: what is read, what wins, what is written and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import RepositoryNotFoundError
from tokenizers import AddedToken, normalizers
from tokenizers import Tokenizer as Backend

from dpr.errors import CheckpointError, SettingsError
from dpr.models.hub import HubOptions
from dpr.tokens import (
    DPRContextEncoderTokenizer,
    DPRQuestionEncoderTokenizer,
    DPRReaderTokenizer,
    DPRReaderTokenizerFast,
)

Tokenizer = DPRQuestionEncoderTokenizer


@pytest.fixture
def folder(vocab_file: Path, tmp_path: Path) -> Path:
    """A folder with a vocab.txt only."""
    (tmp_path / "vocab.txt").write_bytes(vocab_file.read_bytes())
    return tmp_path


def write(folder: Path, name: str, value: object) -> None:
    (folder / name).write_text(json.dumps(value), encoding="utf-8")


def test_a_vocabulary_alone_is_enough(folder: Path, question_tokenizer: Tokenizer) -> None:
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer("what is Love").input_ids == question_tokenizer("what is Love").input_ids
    assert tokenizer.model_max_length == 512
    assert tokenizer.name_or_path == str(folder)


def test_the_configuration_beside_a_vocabulary_is_followed(folder: Path) -> None:
    write(
        folder,
        "tokenizer_config.json",
        {
            "do_lower_case": False,
            "tokenize_chinese_chars": False,
            "model_max_length": 128.0,
            "padding_side": "left",
            "tokenizer_class": "SomethingElse",
            "never_split": None,
            "mask_token": {"__type": "AddedToken", "content": "the", "lstrip": True},
        },
    )
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("Paris 中文") == ["Paris", "[UNK]"]
    assert tokenizer.model_max_length == 128
    assert tokenizer.padding_side == "left"
    assert tokenizer.mask_token == "the"
    assert Tokenizer.from_pretrained(folder, do_lower_case=True).tokenize("Paris") == ["paris"]
    assert Tokenizer.from_pretrained(folder, model_max_length=64).model_max_length == 64


@pytest.mark.parametrize("stated", [int(1e30), 1e30, None, "many"])
def test_a_length_that_means_nothing_is_taken_as_the_published_models_have(
    folder: Path, stated: object
) -> None:
    write(folder, "tokenizer_config.json", {"model_max_length": stated})
    assert Tokenizer.from_pretrained(folder).model_max_length == 512


def test_special_tokens_come_from_either_file_and_overrides_win(folder: Path) -> None:
    write(folder, "tokenizer_config.json", {"unk_token": "a", "mask_token": "b"})
    write(
        folder,
        "special_tokens_map.json",
        {"mask_token": {"content": "the"}, "additional_special_tokens": ["<a>", "<b>"]},
    )
    tokenizer = Tokenizer.from_pretrained(folder, pad_token="of")
    assert (tokenizer.unk_token, tokenizer.mask_token, tokenizer.pad_token) == ("a", "the", "of")
    assert tokenizer.extra_special_tokens == ["<a>", "<b>"]


def test_added_tokens_of_older_folders_are_read(folder: Path, vocab: dict[str, int]) -> None:
    size = len(vocab)
    write(folder, "added_tokens.json", {"newword": size, "[SEP]": 3})
    decoder = {str(size + 1): {"content": "<x>", "special": True}, "0": {"content": "[PAD]"}}
    write(folder, "tokenizer_config.json", {"added_tokens_decoder": decoder})
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer("newword <x>").input_ids[1:-1] == [size, size + 1]
    write(folder, "added_tokens.json", {"newword": size + 7})
    with pytest.raises(CheckpointError, match=r"'<x>' should have id 177, but .* gives it 176"):
        Tokenizer.from_pretrained(folder)


def test_a_tokenizer_json_keeps_its_normaliser_unless_told(
    vocab: dict[str, int], tmp_path: Path
) -> None:
    cased = Tokenizer(vocab, do_lower_case=False)
    cased.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    # as Transformers writes it for a DPR tokenizer, whatever the pipeline does
    write(tmp_path, "tokenizer_config.json", {"do_lower_case": True})
    assert Tokenizer.from_pretrained(tmp_path).tokenize("Paris") == ["Paris"]
    told = Tokenizer.from_pretrained(tmp_path, do_lower_case=True)
    assert told.tokenize("Paris") == ["paris"]
    assert Tokenizer.from_pretrained(tmp_path / "tokenizer.json").tokenize("Paris") == ["Paris"]
    made = Tokenizer(tokenizer_file=tmp_path / "tokenizer.json", tokenize_chinese_chars=False)
    assert made.do_lower_case is False
    assert made.tokenize_chinese_chars is False
    assert made.strip_accents is None


def test_a_foreign_normaliser_stays_unless_told(vocab: dict[str, int]) -> None:
    backend: Any = Tokenizer(vocab).backend_tokenizer
    backend.normalizer = normalizers.Lowercase()
    kept = Tokenizer(tokenizer_object=backend)
    assert kept.do_lower_case is None
    assert kept.tokenize("Paris") == ["paris"]
    assert Tokenizer(tokenizer_object=backend, do_lower_case=False).tokenize("Paris") == ["Paris"]


def test_truncation_and_padding_baked_into_a_file_do_not_act(
    vocab: dict[str, int], tmp_path: Path
) -> None:
    backend = Backend.from_str(Tokenizer(vocab).backend_tokenizer.to_str())
    backend.enable_truncation(4)
    backend.enable_padding(length=9)
    backend.save(str(tmp_path / "tokenizer.json"))
    assert len(Tokenizer.from_pretrained(tmp_path)("love " * 6).input_ids) == 8


def test_saved_and_loaded_is_the_same(vocab: dict[str, int], tmp_path: Path) -> None:
    tokenizer = DPRReaderTokenizerFast(
        vocab, do_lower_case=False, strip_accents=True, model_max_length=99, padding_side="left"
    )
    tokenizer.add_tokens(["newword"])
    tokenizer.add_special_tokens({"extra_special_tokens": ["<a>"]})
    tokenizer("love " * 9, truncation=True, max_length=5, padding="max_length")
    paths = tokenizer.save_pretrained(tmp_path / "new" / "folder")
    assert sorted(Path(path).name for path in paths) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    config = json.loads(Path(paths[0]).read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "DPRReaderTokenizer"
    loaded = DPRReaderTokenizer.from_pretrained(tmp_path / "new", subfolder="folder")
    text = "Páris newword <a>"
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert (loaded.model_max_length, loaded.padding_side) == (99, "left")
    assert loaded.extra_special_tokens == ["<a>"]
    assert loaded.model_input_names == ["input_ids", "attention_mask"]


def test_saving_by_format_and_prefix(vocab: dict[str, int], tmp_path: Path) -> None:
    tokenizer = Tokenizer(vocab)
    tokenizer.save_pretrained(tmp_path / "old", legacy_format=True)
    assert not (tmp_path / "old" / "tokenizer.json").exists()
    assert Tokenizer.from_pretrained(tmp_path / "old").get_vocab() == vocab
    tokenizer.save_pretrained(tmp_path / "new", legacy_format=False, filename_prefix="q")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "q-special_tokens_map.json",
        "q-tokenizer.json",
        "q-tokenizer_config.json",
    ]
    with pytest.raises(CheckpointError, match="is a file"):
        tokenizer.save_pretrained(tmp_path / "old" / "vocab.txt")
    with pytest.raises(TypeError, match="push_to_hubb"):
        tokenizer.save_pretrained(tmp_path, push_to_hubb=True)


def test_added_tokens_survive_a_folder_without_a_tokenizer_json(
    vocab: dict[str, int], tmp_path: Path
) -> None:
    """Whatever order they came in: a word, a special token, again a word."""
    tokenizer = DPRReaderTokenizer(vocab, do_lower_case=False)
    tokenizer.add_tokens([AddedToken("Newword", single_word=True), "love"])
    tokenizer.add_special_tokens(
        {"extra_special_tokens": ["<a>"], "mask_token": AddedToken("[MASK]", lstrip=True)}
    )
    tokenizer.add_tokens(["<b>"])
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.save_pretrained(tmp_path / "one", legacy_format=True)
    once = DPRReaderTokenizer.from_pretrained(tmp_path / "one")
    once.save_pretrained(tmp_path / "two", legacy_format=True)
    twice = DPRReaderTokenizer.from_pretrained(tmp_path / "two")
    text = "Paris Newword Newwords loves <a> <b> <s> [MASK] Páris"
    for loaded in (once, twice):
        assert len(loaded) == len(tokenizer) == len(vocab) + 4
        assert loaded.vocab_size == len(vocab)
        assert loaded.get_vocab() == tokenizer.get_vocab()
        assert loaded.added_tokens_decoder == tokenizer.added_tokens_decoder
        assert {i: t.__getstate__() for i, t in loaded.added_tokens_decoder.items()} == {
            i: t.__getstate__() for i, t in tokenizer.added_tokens_decoder.items()
        }
        assert loaded.all_special_tokens == tokenizer.all_special_tokens
        assert loaded(text).input_ids == tokenizer(text).input_ids
    lowered = DPRReaderTokenizer.from_pretrained(tmp_path / "one", do_lower_case=True)
    assert lowered.tokenize("Paris <b>") == ["paris", "<b>"]


def test_a_vocabulary_of_the_callers_own_has_its_own_ids(
    vocab: dict[str, int], tmp_path: Path
) -> None:
    Tokenizer(vocab).save_pretrained(tmp_path)
    turned = {token: index for index, token in enumerate(reversed(vocab))}
    assert Tokenizer.from_pretrained(tmp_path, vocab=turned).get_vocab() == turned


def test_overrides_have_their_own_flags(vocab: dict[str, int], tmp_path: Path) -> None:
    Tokenizer(vocab).save_pretrained(tmp_path, legacy_format=True)
    mask = AddedToken("[MASK]", lstrip=True)
    loaded = Tokenizer.from_pretrained(tmp_path, mask_token=mask)
    assert loaded.added_tokens_decoder[vocab["[MASK]"]].lstrip


def test_special_tokens_of_an_added_tokens_json_stay_special(
    folder: Path, vocab: dict[str, int]
) -> None:
    size = len(vocab)
    write(folder, "added_tokens.json", {"word": size, "<a>": size + 1, "[SEP]": vocab["[SEP]"]})
    write(folder, "special_tokens_map.json", {"additional_special_tokens": ["<a>"]})
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer("word <a>").input_ids[1:-1] == [size, size + 1]
    decoder = tokenizer.added_tokens_decoder
    assert not decoder[size].special
    assert decoder[size + 1].special
    assert decoder[vocab["[SEP]"]].special


def test_a_vocabulary_with_gaps_is_saved_without_a_vocab_txt(
    vocab: dict[str, int], tmp_path: Path
) -> None:
    tokenizer = Tokenizer({**vocab, "later": 400})
    tokenizer.save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()
    assert Tokenizer.from_pretrained(tmp_path).convert_tokens_to_ids("later") == 400
    with pytest.raises(CheckpointError, match="ids have gaps"):
        tokenizer.save_pretrained(tmp_path, legacy_format=True)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", b"{", "tokenizer.json cannot be read as a tokenizer"),
        ("vocab.txt", b"", "vocab.txt is empty"),
        ("vocab.txt", b"\xff\xfe", "vocab.txt cannot be read as a vocabulary"),
        ("tokenizer_config.json", b"{", "tokenizer_config.json cannot be read as JSON"),
        ("tokenizer_config.json", b"[]", "holds list; it must be a JSON object"),
    ],
)
def test_damaged_files_are_named(folder: Path, name: str, content: bytes, said: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        Tokenizer.from_pretrained(folder)
    assert said in str(caught.value)
    assert str(folder / name) in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds neither tokenizer\.json nor vocab\.txt"):
        Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="neither a folder here nor the id"):
        Tokenizer.from_pretrained(tmp_path / "nowhere")


def test_a_name_may_begin_with_the_users_home(
    folder: Path, vocab: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    for name in (f"~/{folder.name}", Path("~", folder.name), f"~/{folder.name}/vocab.txt"):
        assert Tokenizer.from_pretrained(name).get_vocab() == vocab
    Tokenizer(vocab).save_pretrained(folder)
    assert Tokenizer.from_pretrained(f"~/{folder.name}/tokenizer.json").get_vocab() == vocab
    for name in ("~/nowhere", "~nobody_of_that_name/x"):
        with pytest.raises(CheckpointError, match="neither a folder here nor the id"):
            Tokenizer.from_pretrained(name)


@pytest.mark.parametrize("subfolder", ["../inside", "a/../../b", "/etc", "C:x", "\\x", "a\0b"])
def test_a_subfolder_lies_inside_as_it_does_for_models(folder: Path, subfolder: str) -> None:
    (folder / "inside").mkdir()
    with pytest.raises(SettingsError, match=r"subfolder=.* leaves the tokenizer's folder"):
        Tokenizer.from_pretrained(folder / "inside", subfolder=subfolder)
    with pytest.raises(SettingsError, match="leaves the model's folder"):
        HubOptions(subfolder=subfolder)


def test_unknown_keywords_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'revison'; did you mean 'revision'"):
        Tokenizer.from_pretrained(tmp_path, revison="x")


# The Hub


@pytest.fixture
def cache(tmp_path: Path, vocab_file: Path) -> Path:
    """A cache filled as huggingface_hub fills it."""
    repository = tmp_path / "cache" / "models--org--dpr"
    snapshot = repository / "snapshots" / "abc123" / "reader"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123", encoding="utf-8")
    (snapshot / "vocab.txt").write_bytes(vocab_file.read_bytes())
    write(snapshot, "tokenizer_config.json", {"model_max_length": 77})
    return tmp_path / "cache"


def test_a_filled_cache_is_enough(cache: Path) -> None:
    tokenizer = DPRReaderTokenizer.from_pretrained(
        "org/dpr", cache_dir=cache, local_files_only=True, subfolder="reader"
    )
    assert tokenizer.tokenize("love") == ["love"]
    assert tokenizer.model_max_length == 77


def test_offline_mode_is_honoured(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    tokenizer = DPRReaderTokenizer.from_pretrained("org/dpr", cache_dir=cache, subfolder="reader")
    assert tokenizer.model_max_length == 77
    with pytest.raises(CheckpointError, match=r"'org/other' is no folder here.*HF_HUB_OFFLINE"):
        DPRReaderTokenizer.from_pretrained("org/other", cache_dir=cache)


def test_the_hub_is_asked_as_the_caller_says(
    vocab_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def download(repo_id: str, filename: str, **keywords: Any) -> str:
        asked.append({"repo_id": repo_id, "filename": filename, **keywords})
        if filename == "vocab.txt":
            return str(vocab_file)
        raise huggingface_hub.errors.EntryNotFoundError(filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    keywords: dict[str, Any] = {
        "revision": "v2",
        "token": "secret",
        "cache_dir": "there",
        "subfolder": "q",
        "force_download": True,
        "local_files_only": False,
    }
    tokenizer = DPRContextEncoderTokenizer.from_pretrained(
        "org/dpr", use_fast=False, trust_remote_code=True, **keywords
    )
    assert tokenizer.tokenize("love") == ["love"]
    assert [request["filename"] for request in asked][:2] == ["tokenizer.json", "vocab.txt"]
    assert all(request == {**keywords, **request, "repo_id": "org/dpr"} for request in asked)


def test_a_refusal_of_the_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        answer: Any = SimpleNamespace(headers={}, request=None, status_code=404)
        raise RepositoryNotFoundError("no such repository", response=answer)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(CheckpointError, match="check the name, the revision and the token"):
        Tokenizer.from_pretrained("org/nowhere")


def test_pushing_uploads_what_saving_writes(
    vocab: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    class Api:
        def __init__(self, token: object) -> None:
            seen["token"] = token

        def create_repo(self, repo_id: str, **keywords: Any) -> Any:
            seen["created"] = (repo_id, keywords)
            return type("Url", (), {"repo_id": f"me/{repo_id}"})

        def upload_folder(self, *, folder_path: str, **keywords: Any) -> Any:
            seen["files"] = sorted(path.name for path in Path(folder_path).iterdir())
            seen["upload"] = keywords
            return type("Commit", (), {"commit_url": "https://example.invalid/commit"})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    tokenizer = Tokenizer(vocab)
    url = tokenizer.push_to_hub("dpr", token="secret", private=True, commit_message="First")
    assert url == "https://example.invalid/commit"
    assert seen["token"] == "secret"
    assert seen["created"] == ("dpr", {"private": True, "exist_ok": True})
    assert seen["upload"]["repo_id"] == "me/dpr"
    assert seen["upload"]["commit_message"] == "First"
    assert "tokenizer.json" in seen["files"]
    tokenizer.save_pretrained(tmp_path / "mine", push_to_hub=True)
    assert seen["created"][0] == "mine"
