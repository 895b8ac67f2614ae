"""from_pretrained and save_pretrained: files, keywords, and the small conveniences."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors import safe_open

from dpr.errors import CheckpointError, SettingsError
from dpr.models.checkpoint import (
    NonFiniteWeightsWarning,
)
from dpr.models.config import DPRConfig
from dpr.models.dpr import DPRContextEncoder, DPRPreTrainedModel, DPRQuestionEncoder, DPRReader

from .small import CLASSES, bare, same, store, tiny


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("projection", [0, 7])
def test_a_saved_model_is_loaded_as_it_was(
    cls: type[DPRPreTrainedModel], projection: int, tmp_path: Path
) -> None:
    model = cls(tiny(projection_dim=projection))
    model.save_pretrained(tmp_path)
    loaded, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert same(model, loaded)
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert info["missing_keys"] == info["unexpected_keys"] == info["mismatched_keys"] == set()
    assert not info["swapped"]
    assert loaded.name_or_path == str(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["architectures"] == [cls.__name__]
    assert (written["dtype"], written["model_type"]) == ("float32", "dpr")
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("sharded", [False, True])
def test_pytorch_files_load_too(sharded: bool, tmp_path: Path) -> None:
    model = DPRQuestionEncoder(tiny())
    model.config.save_pretrained(tmp_path)
    weights = model.state_dict()
    if sharded:
        names = {key: f"part-{i % 2}.bin" for i, key in enumerate(weights)}
        for name in set(names.values()):
            torch.save({k: v for k, v in weights.items() if names[k] == name}, tmp_path / name)
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": names}))
    else:
        torch.save(weights, tmp_path / "pytorch_model.bin")
    assert same(model, DPRQuestionEncoder.from_pretrained(tmp_path))
    with pytest.raises(CheckpointError, match="no weights"):
        DPRQuestionEncoder.from_pretrained(tmp_path, use_safetensors=True)


def test_a_model_can_be_saved_over_the_files_it_was_loaded_from(tmp_path: Path) -> None:
    DPRQuestionEncoder(tiny()).save_pretrained(tmp_path)
    model = DPRQuestionEncoder.from_pretrained(tmp_path)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 4096)  # not a view of the file
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert same(model, DPRQuestionEncoder.from_pretrained(tmp_path))


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    DPRQuestionEncoder(tiny()).save_pretrained(tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    DPRQuestionEncoder.from_pretrained(tmp_path)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_loading_does_not_load_the_compiler(tmp_path: Path) -> None:
    DPRQuestionEncoder(tiny()).save_pretrained(tmp_path)
    code = (
        "import sys; from dpr.models.dpr import DPRQuestionEncoder as E;"
        "E.from_pretrained(sys.argv[1]); sys.exit('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == 0


def test_saving_in_another_dtype_leaves_the_model_alone(tmp_path: Path) -> None:
    model = DPRQuestionEncoder(tiny())
    model.save_pretrained(tmp_path, dtype="float16")
    assert model.dtype == torch.float32
    assert DPRQuestionEncoder.from_pretrained(tmp_path).dtype == torch.float16
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"


def test_keywords_are_checked(tmp_path: Path) -> None:
    DPRQuestionEncoder(tiny()).save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="'revison'; did you mean 'revision'"):
        DPRQuestionEncoder.from_pretrained(tmp_path, revison="main")
    with pytest.raises(TypeError, match="'hidden_dropout'; did you mean 'hidden_dropout_prob'"):
        DPRQuestionEncoder.from_pretrained(tmp_path, hidden_dropout=0.2)
    with pytest.raises(SettingsError, match="dtype='int8'"):
        DPRQuestionEncoder.from_pretrained(tmp_path, dtype="int8")
    with pytest.raises(SettingsError, match="attn_implementation='flash'"):
        DPRQuestionEncoder.from_pretrained(tmp_path, attn_implementation="flash")
    model = DPRQuestionEncoder.from_pretrained(
        tmp_path, hidden_dropout_prob=0.25, attn_implementation="eager", output_attentions=True
    )
    assert model.config.hidden_dropout_prob == 0.25
    assert model.config.attn_implementation == "eager"
    assert model(torch.tensor([[5, 6]])).attentions is not None


def test_the_attention_asked_for_is_the_one_used(tmp_path: Path) -> None:
    DPRQuestionEncoder(tiny()).save_pretrained(tmp_path)
    eager, sdpa = (
        DPRQuestionEncoder.from_pretrained(tmp_path, attn_implementation=name)
        for name in ("eager", "sdpa")
    )
    flags = [
        {module.eager for module in model.modules() if hasattr(module, "eager")}
        for model in (eager, sdpa)
    ]
    assert flags == [{True}, {False}]


def test_a_configuration_given_in_place_of_the_files(tmp_path: Path) -> None:
    weights = bare(DPRQuestionEncoder(tiny()))
    folder = store(tmp_path / "bert", weights)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json"):
        DPRQuestionEncoder.from_pretrained(folder)
    given = tiny(hidden_dropout_prob=0.3)
    model = DPRQuestionEncoder.from_pretrained(folder, config=given)
    assert model.config == DPRConfig(**(given.to_dict() | {"dtype": "float32"}))
    assert given.dtype is None  # not touched
    given.save_pretrained(tmp_path / "config")
    assert same(model, DPRQuestionEncoder.from_pretrained(folder, config=tmp_path / "config"))


def test_saving_refuses_pickles_and_files_in_place_of_folders(tmp_path: Path) -> None:
    model = DPRQuestionEncoder(tiny())
    with pytest.raises(SettingsError, match="pickle"):
        model.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(SettingsError, match="max_shard_size"):
        model.save_pretrained(tmp_path, max_shard_size="many")
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="is a file"):
        model.save_pretrained(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_saving_weights_that_are_no_numbers_warns(value: float, tmp_path: Path) -> None:
    model = DPRQuestionEncoder(tiny())
    with torch.no_grad():
        model.get_input_embeddings().weight[3, 4] = value
    with pytest.warns(NonFiniteWeightsWarning, match="word_embeddings"):
        model.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DPRQuestionEncoder.from_pretrained(tmp_path)


def test_tied_towers_are_saved_whole(tmp_path: Path) -> None:
    question, passage = DPRQuestionEncoder(tiny()), DPRContextEncoder(tiny())
    table = question.get_input_embeddings()
    passage.set_input_embeddings(table)
    passage.stack.embeddings.position_embeddings.weight = torch.nn.Parameter(table.weight[:40])
    passage.save_pretrained(tmp_path)
    assert same(passage, DPRContextEncoder.from_pretrained(tmp_path))


def test_sizes_and_places() -> None:
    model = DPRQuestionEncoder(tiny())
    total = sum(parameter.numel() for parameter in model.parameters())
    assert model.num_parameters() == total
    assert model.num_parameters(exclude_embeddings=True) == total - 32 * (99 + 40 + 2)
    model.get_input_embeddings().weight.requires_grad_(False)
    assert model.num_parameters(only_trainable=True) == total - 32 * 99
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.half().dtype == torch.float16
    assert model.name_or_path == ""


def test_gradient_checkpointing_is_switched() -> None:
    model = DPRReader(tiny())
    assert not model.is_gradient_checkpointing
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    assert model.stack.gradient_checkpointing
    model.gradient_checkpointing_disable()
    assert not model.stack.gradient_checkpointing


def test_the_vocabulary_can_be_resized(tmp_path: Path) -> None:
    model = DPRQuestionEncoder(tiny()).half().eval()
    before = model.get_input_embeddings().weight.clone()
    table = model.resize_token_embeddings(101, pad_to_multiple_of=8)
    assert table is model.get_input_embeddings()
    assert table.weight.shape == (104, 32)
    assert (table.weight.dtype, table.padding_idx) == (torch.float16, 0)
    assert torch.equal(table.weight[:99], before)
    assert 0.01 < float(table.weight[99:].detach().float().std()) < 0.03
    assert table.weight.requires_grad
    assert model.config.vocab_size == 104
    model.save_pretrained(tmp_path)
    assert same(model, DPRQuestionEncoder.from_pretrained(tmp_path))
    assert model.resize_token_embeddings(50).weight.shape == (50, 32)
    assert model.resize_token_embeddings().num_embeddings == 50
    for wrong in (0, -3, 2.5):
        with pytest.raises(SettingsError, match="new_num_tokens"):
            model.resize_token_embeddings(wrong)  # type: ignore[arg-type]


class FakeApi:
    """Stands in for the hub: keeps what it was told."""

    calls: list[tuple[str, Any]]

    def __init__(self, token: Any = None) -> None:
        type(self).calls = [("token", token)]

    def create_repo(self, repo_id: str, **keywords: Any) -> None:
        self.calls.append((repo_id, keywords))

    def upload_folder(self, *, folder_path: str, **keywords: Any) -> str:
        if keywords["repo_id"] == "me/broken":
            raise OSError("connection reset")
        files = {path.name for path in Path(folder_path).iterdir()}
        self.calls.append(("files", files))
        return f"https://hub/{keywords['repo_id']}/commit/1"


def test_a_model_is_uploaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    model = DPRQuestionEncoder(tiny())
    assert model.push_to_hub("me/mine", token="t", private=True) == "https://hub/me/mine/commit/1"
    assert FakeApi.calls == [
        ("token", "t"),
        ("me/mine", {"private": True, "exist_ok": True}),
        ("files", {"config.json", "model.safetensors"}),
    ]
    with pytest.raises(CheckpointError, match="me/broken: cannot upload: connection reset"):
        model.push_to_hub("me/broken")
