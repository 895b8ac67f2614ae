"""Filling models with checkpoints of all kinds: what loads, what is refused, what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dpr.errors import CheckpointError
from dpr.models.checkpoint import (
    NewWeightsWarning,
    UnusedWeightsWarning,
    weights_fingerprint,
)
from dpr.models.dpr import DPRContextEncoder, DPRPreTrainedModel, DPRQuestionEncoder, DPRReader

from .small import CLASSES, bare, same, store, tiny


@pytest.mark.parametrize("prefix", ["bert.", "", "0.auto_model.", "auto_model."])
@pytest.mark.parametrize("old_names", [False, True])
def test_a_plain_bert_becomes_an_encoder(prefix: str, old_names: bool, tmp_path: Path) -> None:
    model = DPRContextEncoder(tiny())
    weights = {prefix + name: value for name, value in bare(model).items()}
    if old_names:
        weights = {
            key.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): value
            for key, value in weights.items()
        }
    weights[f"{prefix}pooler.dense.weight"] = torch.zeros(32, 32)
    weights[f"{prefix}embeddings.position_ids"] = torch.arange(40)
    weights["cls.predictions.bias"] = torch.zeros(99)
    loaded, info = DPRContextEncoder.from_pretrained(
        store(tmp_path, weights), output_loading_info=True
    )
    assert same(model, loaded)
    assert info["missing_keys"] == info["unexpected_keys"] == set()
    assert info["prefix"] == prefix


def test_the_other_towers_weights_load_and_the_report_says_so(tmp_path: Path) -> None:
    question = DPRQuestionEncoder(tiny(projection_dim=5))
    question.save_pretrained(tmp_path)
    passage, info = DPRContextEncoder.from_pretrained(tmp_path, output_loading_info=True)
    assert info["swapped"] is True
    assert all(map(torch.equal, question.state_dict().values(), passage.state_dict().values()))
    assert weights_fingerprint(question.state_dict()) == weights_fingerprint(passage.state_dict())


def test_a_reader_from_a_plain_bert_has_new_heads_and_says_so(tmp_path: Path) -> None:
    folder = store(tmp_path, bare(DPRContextEncoder(tiny())))
    with pytest.warns(NewWeightsWarning, match="qa_classifier.*newly initialised") as caught:
        reader, info = DPRReader.from_pretrained(folder, output_loading_info=True)
    assert [warning.filename for warning in caught] == [__file__]
    assert info["missing_keys"] == {
        f"span_predictor.{head}.{kind}"
        for head in ("qa_outputs", "qa_classifier")
        for kind in ("weight", "bias")
    }
    heads = reader.state_dict()
    assert 0.005 < float(heads["span_predictor.qa_outputs.weight"].std()) < 0.04
    assert float(heads["span_predictor.qa_outputs.bias"].abs().sum()) == 0
    assert all(value.device.type == "cpu" for value in heads.values())


def test_a_new_projection_on_request(tmp_path: Path) -> None:
    DPRQuestionEncoder(tiny()).save_pretrained(tmp_path)
    with pytest.warns(NewWeightsWarning, match="encode_proj"):
        model = DPRQuestionEncoder.from_pretrained(tmp_path, projection_dim=6, dtype="float16")
    assert model.question_encoder.encode_proj.weight.shape == (6, 32)
    assert model.question_encoder.encode_proj.weight.dtype == torch.float16


def test_weights_without_a_place_are_listed(tmp_path: Path) -> None:
    DPRReader(tiny()).save_pretrained(tmp_path)
    with pytest.warns(UnusedWeightsWarning, match=r"qa_outputs\.weight"):
        _, info = DPRContextEncoder.from_pretrained(tmp_path, output_loading_info=True)
    assert "span_predictor.qa_outputs.weight" in info["unexpected_keys"]


@pytest.mark.parametrize("cls", CLASSES)
def test_missing_body_weights_are_an_error_that_lists_them(
    cls: type[DPRPreTrainedModel], tmp_path: Path
) -> None:
    weights = cls(tiny()).state_dict()
    lost = next(key for key in weights if "layer.1.output.dense.weight" in key)
    del weights[lost]
    with pytest.raises(CheckpointError, match="1 weights are missing") as error:
        cls.from_pretrained(store(tmp_path, weights))
    assert lost in str(error.value)


@pytest.mark.parametrize(
    "lost",
    ["qa_outputs.bias", "qa_classifier.weight", "encode_proj.bias", "qa_outputs", "encode_proj"],
)
def test_missing_heads_of_a_dpr_checkpoint_are_an_error(lost: str, tmp_path: Path) -> None:
    config = tiny(projection_dim=5)
    weights = DPRReader(config).state_dict()
    key = next(key for key in weights if f".{lost}" in key)
    weights = {name: value for name, value in weights.items() if f".{lost}" not in name}
    with pytest.raises(CheckpointError, match="missing") as error:
        DPRReader.from_pretrained(store(tmp_path, weights, config))
    assert key in str(error.value)


def test_a_configuration_of_other_sizes_is_an_error_that_lists_the_shapes(tmp_path: Path) -> None:
    weights = DPRQuestionEncoder(tiny()).state_dict()
    with pytest.raises(CheckpointError, match=r"found \(99, 32\), expected \(98, 32\)"):
        DPRQuestionEncoder.from_pretrained(store(tmp_path, weights, tiny(vocab_size=98)))
    with pytest.raises(CheckpointError, match=r"... and \d+ more"):
        DPRQuestionEncoder.from_pretrained(
            tmp_path, vocab_size=99, intermediate_size=40, hidden_size=64
        )
    with pytest.raises(CheckpointError, match=r"no place:\n.*encoder\.layer\.1"):
        DPRQuestionEncoder.from_pretrained(store(tmp_path, weights, tiny(num_hidden_layers=1)))
    with pytest.raises(CheckpointError, match="missing"):
        DPRQuestionEncoder.from_pretrained(store(tmp_path, weights, tiny(num_hidden_layers=3)))
    projected = DPRQuestionEncoder(tiny(projection_dim=3)).state_dict()
    with pytest.raises(CheckpointError, match=r"no place:\n.*encode_proj"):
        DPRQuestionEncoder.from_pretrained(store(tmp_path, projected))


def test_layers_are_left_out_on_request(tmp_path: Path) -> None:
    DPRQuestionEncoder(tiny()).save_pretrained(tmp_path)
    with pytest.warns(UnusedWeightsWarning, match=r"layer\.1"):
        model = DPRQuestionEncoder.from_pretrained(tmp_path, num_hidden_layers=1)
    assert len(model.stack.encoder.layer) == 1


def test_weights_of_whole_numbers_are_refused(tmp_path: Path) -> None:
    weights = DPRQuestionEncoder(tiny()).state_dict()
    key = next(iter(weights))
    weights[key] = weights[key].to(torch.int8)
    with pytest.raises(CheckpointError, match=r"found torch\.int8"):
        DPRQuestionEncoder.from_pretrained(store(tmp_path, weights))


@pytest.mark.parametrize(
    ("saved", "config_says", "asked", "expected"),
    [
        ("float16", "float16", {}, torch.float16),
        ("float16", None, {}, torch.float16),
        ("float16", None, {"dtype": "auto"}, torch.float16),
        ("float32", "bfloat16", {"dtype": "auto"}, torch.bfloat16),
        ("float16", "float16", {"dtype": torch.float32}, torch.float32),
        ("float32", "float32", {"torch_dtype": "float16"}, torch.float16),
        ("float8_e4m3fn", None, {}, torch.float32),
    ],
)
def test_dtype(
    saved: str,
    config_says: str | None,
    asked: dict[str, Any],
    expected: torch.dtype,
    tmp_path: Path,
) -> None:
    weights = {
        key: value.to(getattr(torch, saved))
        for key, value in DPRQuestionEncoder(tiny()).state_dict().items()
    }
    model = DPRQuestionEncoder.from_pretrained(
        store(tmp_path, weights, tiny(dtype=config_says)), **asked
    )
    assert model.dtype == expected
    assert {parameter.dtype for parameter in model.parameters()} == {expected}
    assert model.config.dtype == str(expected).removeprefix("torch.")


def test_parameters_in_a_file_become_ordinary_weights(tmp_path: Path) -> None:
    model = DPRQuestionEncoder(tiny())
    model.config.save_pretrained(tmp_path)
    torch.save(dict(model.named_parameters()), tmp_path / "pytorch_model.bin")
    loaded = DPRQuestionEncoder.from_pretrained(tmp_path)
    assert same(model, loaded)
    assert all(p.is_leaf and p.requires_grad for p in loaded.parameters())
