"""Checkpoints of the original code: what is converted, and what is refused."""

from __future__ import annotations

import sys
import types
import typing
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from dpr.errors import CheckpointError, SettingsError
from dpr.models.config import DPRConfig
from dpr.models.convert import convert_checkpoint
from dpr.models.dpr import DPRContextEncoder, DPRPreTrainedModel, DPRQuestionEncoder, DPRReader
from dpr.models.loading import UnusedWeightsWarning

from .small import same, tiny

ARGUMENTS = {
    "do_lower_case": True,
    "pretrained_model_cfg": "bert-base-uncased",
    "encoder_model_type": "hf_bert",
    "pretrained_file": None,
    "projection_dim": 0,
    "sequence_length": 256,
}


def config(**changes: Any) -> DPRConfig:
    """Of a hidden size that tells the number of heads."""
    return tiny(**({"hidden_size": 64, "num_attention_heads": 1} | changes))


def originals(model: DPRPreTrainedModel, prefix: str) -> dict[str, torch.Tensor]:
    """A model's weights under the names of the original code."""
    result = {}
    for key, value in model.state_dict().items():
        name = key.replace("span_predictor.qa_", "qa_").replace("span_predictor.", "")
        for body in ("question_encoder.", "ctx_encoder.", "encoder."):
            if name.startswith(body) and not name.startswith("encoder.layer"):
                name = prefix + name.removeprefix(body).removeprefix("bert_model.")
                break
        result[name] = value.clone()
    result[f"{prefix}embeddings.position_ids"] = torch.arange(40)[None]
    result[f"{prefix}pooler.dense.weight"] = torch.zeros(64, 64)
    return result


def towers(settings: DPRConfig) -> tuple[DPRQuestionEncoder, DPRContextEncoder, dict[str, Any]]:
    question, passage = DPRQuestionEncoder(settings), DPRContextEncoder(settings)
    weights = originals(question, "question_model.") | originals(passage, "ctx_model.")
    return question, passage, weights


def checkpoint(path: Path, weights: dict[str, Any], settings: Any = ARGUMENTS, **save: Any) -> Path:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    state = {
        "model_dict": OrderedDict(weights),
        "optimizer_dict": optimizer.state_dict(),
        "scheduler_dict": {"base_lrs": [2e-5], "last_epoch": 7, "lr_lambdas": [None]},
        "offset": 12,
        "epoch": 3,
        "encoder_params": settings,
    }
    torch.save(state, path, **save)
    return path


def omegaconf(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> Any:
    """The objects that omegaconf would make, of modules that exist until ``monkeypatch.undo``."""
    made: dict[str, type] = {}
    for dotted in ("dictconfig.DictConfig", "nodes.AnyNode", "base.ContainerMetadata"):
        room, name = dotted.split(".")
        module = types.ModuleType(f"omegaconf.{room}")
        made[name] = type(name, (), {"__module__": module.__name__})
        setattr(module, name, made[name])
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))

    def new(name: str, **attributes: Any) -> Any:
        instance = made[name]()
        instance.__dict__.update(attributes)
        return instance

    about = new("ContainerMetadata", ref_type=typing.Any, object_type=dict, key_type=str)
    root = new("DictConfig", _metadata=about, _parent=None, _content={})
    for key, value in values.items():
        root._content[key] = new("AnyNode", _val=value, _parent=root, _metadata=None)
    return root


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("projection", [0, 7])
def test_a_bi_encoder_gives_two_folders(zipped: bool, projection: int, tmp_path: Path) -> None:
    question, passage, weights = towers(config(projection_dim=projection))
    path = checkpoint(
        tmp_path / "dpr_biencoder.3.12", weights, _use_new_zipfile_serialization=zipped
    )
    written = convert_checkpoint(path, tmp_path / "out")
    assert written == [tmp_path / "out" / "question_encoder", tmp_path / "out" / "ctx_encoder"]
    loaded = DPRQuestionEncoder.from_pretrained(written[0])
    assert same(loaded, question)
    assert same(DPRContextEncoder.from_pretrained(written[1]), passage)
    expected = config(projection_dim=projection).to_dict()
    found = loaded.config.to_dict()
    assert found.pop("architectures") == ["DPRQuestionEncoder"]
    assert found.pop("dtype") == "float32"
    assert found == expected


@pytest.mark.parametrize("below", [True, False])
def test_a_checkpoint_with_omegaconf_objects(
    below: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question, passage, weights = towers(config())
    settings = omegaconf(monkeypatch, ARGUMENTS | {"dropout": 0.25})
    if below:
        settings = {"do_lower_case": True, "encoder": settings}
    path = checkpoint(tmp_path / "x.cp", weights, settings)
    monkeypatch.undo()
    assert "omegaconf" not in sys.modules
    first, second = convert_checkpoint(path, tmp_path / "out")
    loaded = DPRQuestionEncoder.from_pretrained(first)
    assert same(loaded, question)
    assert same(DPRContextEncoder.from_pretrained(second), passage)
    assert loaded.config.hidden_dropout_prob == 0.25
    assert loaded.config.attention_probs_dropout_prob == 0.25
    assert "omegaconf" not in sys.modules


def test_an_old_file_with_omegaconf_objects_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = omegaconf(monkeypatch, ARGUMENTS)
    path = checkpoint(
        tmp_path / "x.cp", towers(config())[2], settings, _use_new_zipfile_serialization=False
    )
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"refuses the name omegaconf\."):
        convert_checkpoint(path, tmp_path / "out")


def test_a_reader_gives_one_folder(tmp_path: Path) -> None:
    reader = DPRReader(config())
    path = checkpoint(tmp_path / "reader.cp", originals(reader, "encoder."))
    for kind in ("auto", "reader"):
        (folder,) = convert_checkpoint(path, tmp_path / kind, kind=kind)
        assert folder == tmp_path / kind / "reader"
        assert same(DPRReader.from_pretrained(folder), reader)
    with pytest.raises(CheckpointError, match="pass kind='reader'"):
        convert_checkpoint(path, tmp_path / "out", kind="biencoder")


def test_weights_saved_from_a_parallel_wrapper(tmp_path: Path) -> None:
    question, _, weights = towers(config())
    path = checkpoint(tmp_path / "x.cp", {f"module.{k}": v for k, v in weights.items()})
    first, _ = convert_checkpoint(path, tmp_path / "out")
    assert same(DPRQuestionEncoder.from_pretrained(first), question)


def test_half_precision_stays(tmp_path: Path) -> None:
    weights = {key: value.half() for key, value in towers(config())[2].items()}
    first, _ = convert_checkpoint(checkpoint(tmp_path / "x.cp", weights), tmp_path / "out")
    assert DPRQuestionEncoder.from_pretrained(first).dtype == torch.float16


def test_the_number_of_heads_is_never_guessed(tmp_path: Path) -> None:
    small = tiny(layer_norm_eps=1e-7, hidden_act="relu")
    _, passage, weights = towers(small)
    for key in list(weights):
        if "pooler" in key:
            del weights[key]
    path = checkpoint(tmp_path / "x.cp", weights)
    with pytest.raises(CheckpointError, match="number of attention heads is not known"):
        convert_checkpoint(path, tmp_path / "out")
    small.save_pretrained(tmp_path / "base")
    base = DPRConfig(num_attention_heads=4, layer_norm_eps=1e-7, hidden_act="relu")
    for given in (base, tmp_path / "base"):
        _, folder = convert_checkpoint(path, tmp_path / "out", base_config=given)
        loaded = DPRContextEncoder.from_pretrained(folder)
        assert same(loaded, passage)
        assert loaded.config.num_attention_heads == 4
        assert loaded.config.hidden_act == "relu"
        assert loaded.config.hidden_size == 32
    with pytest.raises(CheckpointError, match="not a multiple of num_attention_heads"):
        convert_checkpoint(path, tmp_path / "out", base_config=DPRConfig())


def test_tokenizer_files_come_along(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "x.cp", towers(config())[2])
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        convert_checkpoint(path, tmp_path / "out", tokenizer_from=tokenizer)
    assert not (tmp_path / "out").exists()
    (tokenizer / "vocab.txt").write_text("[PAD]\n")
    (tokenizer / "tokenizer_config.json").write_text("{}")
    (tokenizer / "pytorch_model.bin").write_text("not this")
    for folder in convert_checkpoint(path, tmp_path / "out", tokenizer_from=tokenizer):
        assert {file.name for file in folder.iterdir()} == {
            "config.json",
            "model.safetensors",
            "tokenizer_config.json",
            "vocab.txt",
        }


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ("ctx_model.", "no weights under 'ctx_model.'"),
        ("question_model.encoder.layer.0.output.dense.bias", "1 weights are missing"),
        ("ctx_model.encoder.layer.0.", "weight is missing"),
        ("ctx_model.embeddings.word_embeddings", "word_embeddings.weight is missing"),
        ("question_model.encode_proj.bias", "1 weights are missing"),
    ],
)
def test_an_incomplete_bi_encoder_is_refused_whole(lost: str, says: str, tmp_path: Path) -> None:
    weights = towers(config(projection_dim=7))[2]
    weights = {key: value for key, value in weights.items() if not key.startswith(lost)}
    with pytest.raises(CheckpointError, match=says) as error:
        convert_checkpoint(checkpoint(tmp_path / "x.cp", weights), tmp_path / "out")
    assert "x.cp" in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("lost", ["qa_outputs.weight", "qa_classifier.weight", "qa_outputs.bias"])
def test_an_incomplete_reader_is_refused(lost: str, tmp_path: Path) -> None:
    weights = originals(DPRReader(config()), "encoder.")
    del weights[lost]
    with pytest.raises(CheckpointError, match=r"x\.cp.*(it has no|missing|incomplete)"):
        convert_checkpoint(checkpoint(tmp_path / "x.cp", weights), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_no_model_uses_are_told_of(tmp_path: Path) -> None:
    weights = towers(config())[2] | {"question_model.adapter.weight": torch.ones(2)}
    with pytest.warns(UnusedWeightsWarning, match="adapter"):
        convert_checkpoint(checkpoint(tmp_path / "x.cp", weights), tmp_path / "out")


@pytest.mark.parametrize("name", ["encoder_model_type", "pretrained_model_cfg"])
def test_other_architectures_are_refused(name: str, tmp_path: Path) -> None:
    settings = ARGUMENTS | {name: "hf_roberta"}
    path = checkpoint(tmp_path / "x.cp", towers(config())[2], settings)
    with pytest.raises(CheckpointError, match=f"{name} is 'hf_roberta'"):
        convert_checkpoint(path, tmp_path / "out")


def test_what_is_no_such_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "x.cp"
    with pytest.raises(CheckpointError, match="no such file"):
        convert_checkpoint(path, tmp_path / "out")
    for value in ([1], {"model": {}}, {"model_dict": [1]}):
        torch.save(value, path)
        with pytest.raises(CheckpointError, match="no checkpoint of the original DPR code"):
            convert_checkpoint(path, tmp_path / "out")
    torch.save({"model_dict": {"a": 3}}, path)
    with pytest.raises(CheckpointError, match=r"model_dict\['a'\] is no tensor"):
        convert_checkpoint(path, tmp_path / "out")
    torch.save(
        {"model_dict": {"question_model.a": torch.ones(1), "ctx_model.a": torch.ones(1)}}, path
    )
    with pytest.raises(CheckpointError, match="holds no BERT weights"):
        convert_checkpoint(path, tmp_path / "out")
    with pytest.raises(SettingsError, match="kind='encoder'"):
        convert_checkpoint(path, tmp_path / "out", kind="encoder")
