"""Folders exchanged with Transformers, both ways: equal configurations, tensors and outputs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import dpr.models as ours
from dpr.models.checkpoint import NewWeightsWarning, UnusedWeightsWarning

transformers = pytest.importorskip("transformers")

NAMES = ["DPRQuestionEncoder", "DPRContextEncoder", "DPRReader"]
SIZES: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 40,
    "type_vocab_size": 16,
}
IDS = torch.tensor([[2, 5, 17, 98, 3], [2, 7, 3, 0, 0]])
MASK = (IDS != 0).long()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Transformers draws a progress bar and logs; neither belongs in a test's output."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    yield
    transformers.utils.logging.enable_progress_bar()
    transformers.utils.logging.set_verbosity_warning()


def randomise(model: torch.nn.Module) -> torch.nn.Module:
    """Numbers everywhere, in biases and LayerNorm too, so that no two tensors are alike."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def assert_same(a: torch.nn.Module, b: torch.nn.Module) -> None:
    left, right = a.state_dict(), b.state_dict()
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert value.dtype == right[key].dtype
        assert torch.equal(value, right[key]), key
    with torch.no_grad():
        x, y = (model(IDS, attention_mask=MASK, return_dict=False) for model in (a, b))
    kept = MASK.bool()
    for one, other in zip(x, y, strict=True):
        if one.shape == IDS.shape:  # logits of padding mean nothing
            one, other = one[kept], other[kept]
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shard", ["5GB", "20KB"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transformers_loads_what_we_save(name: str, shard: str, dtype: str, tmp_path: Path) -> None:
    model = randomise(getattr(ours, name)(ours.DPRConfig(**SIZES)))
    model.save_pretrained(tmp_path, max_shard_size=shard, dtype=dtype)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard != "5GB")
    theirs, info = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert theirs.dtype == getattr(torch, dtype)
    assert_same(getattr(ours, name).from_pretrained(tmp_path).float(), theirs.float())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shard", ["5GB", "20KB"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_we_load_what_transformers_saves(
    name: str, shard: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    theirs = randomise(getattr(transformers, name)(transformers.DPRConfig(**SIZES))).to(dtype)
    theirs.save_pretrained(tmp_path, max_shard_size=shard)
    loaded, info = getattr(ours, name).from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == info["unexpected_keys"] == set()
    assert loaded.dtype == dtype
    assert_same(theirs.float(), loaded.float())


@pytest.mark.parametrize("name", NAMES[:2])
def test_projections_are_exchanged(name: str, tmp_path: Path) -> None:
    theirs = randomise(
        getattr(transformers, name)(transformers.DPRConfig(**SIZES, projection_dim=7))
    )
    theirs.save_pretrained(tmp_path)
    loaded = getattr(ours, name).from_pretrained(tmp_path)
    assert_same(theirs, loaded)
    loaded.save_pretrained(tmp_path / "again")
    assert_same(getattr(transformers, name).from_pretrained(tmp_path / "again"), theirs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sharded", [False, True])
def test_pytorch_files_as_the_published_checkpoints_have_them(
    name: str, sharded: bool, tmp_path: Path
) -> None:
    """pytorch_model.bin with position_ids and a pooler, and a config.json of 2020."""
    theirs = randomise(getattr(transformers, name)(transformers.DPRConfig(**SIZES)))
    weights = dict(theirs.state_dict())
    root = next(key for key in weights if "word_embeddings" in key).split("embeddings.")[0]
    weights[f"{root}embeddings.position_ids"] = torch.arange(40)[None]
    weights[f"{root}pooler.dense.weight"] = torch.zeros(32, 32)
    weights[f"{root}pooler.dense.bias"] = torch.zeros(32)
    config = SIZES | {
        "architectures": [name],
        "attention_probs_dropout_prob": 0.1,
        "gradient_checkpointing": False,
        "layer_norm_eps": 1e-12,
        "model_type": "dpr",
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "projection_dim": 0,
        "transformers_version": "4.2.0",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    if sharded:
        places = {k: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, k in enumerate(weights)}
        for place in set(places.values()):
            torch.save({k: v for k, v in weights.items() if places[k] == place}, tmp_path / place)
        index = {"metadata": {}, "weight_map": places}
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    else:
        torch.save(weights, tmp_path / "pytorch_model.bin")
    loaded, info = getattr(ours, name).from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == info["unexpected_keys"] == set()
    assert_same(theirs, loaded)
    assert_same(getattr(transformers, name).from_pretrained(tmp_path), loaded)


def test_configurations_are_exchanged(tmp_path: Path) -> None:
    theirs = transformers.DPRConfig(**SIZES, projection_dim=5, hidden_act="relu", note="kept")
    theirs.save_pretrained(tmp_path / "theirs")
    mine = ours.DPRConfig.from_pretrained(tmp_path / "theirs")
    mine.save_pretrained(tmp_path / "ours")
    back = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    assert type(back) is transformers.DPRConfig
    written, expected = back.to_dict(), theirs.to_dict()
    for values in (written, expected):
        values.pop("_name_or_path", None)
    assert written == expected


def test_the_defaults_are_the_same() -> None:
    theirs = transformers.DPRConfig().to_dict()
    mine = ours.DPRConfig().to_dict()
    assert mine == {key: theirs[key] for key in mine}


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM", "BertForQuestionAnswering"])
def test_models_are_started_from_any_bert(kind: str, tmp_path: Path) -> None:
    bert = randomise(getattr(transformers, kind)(transformers.BertConfig(**SIZES)))
    bert.save_pretrained(tmp_path)
    body = getattr(bert, "bert", bert)
    unused: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if kind == "BertForQuestionAnswering":
        unused = pytest.warns(UnusedWeightsWarning, match="qa_outputs")
    with unused:
        encoder = ours.DPRContextEncoder.from_pretrained(tmp_path)
    with torch.no_grad():
        expected = body(IDS, attention_mask=MASK).last_hidden_state[:, 0]
        found = encoder(IDS, attention_mask=MASK).pooler_output
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    with pytest.warns(NewWeightsWarning) as caught:
        reader, info = ours.DPRReader.from_pretrained(tmp_path, output_loading_info=True)
    assert len(caught) == 1
    heads = {"span_predictor.qa_classifier.weight", "span_predictor.qa_classifier.bias"}
    if kind == "BertForQuestionAnswering":
        # the span head of a SQuAD model is that of a DPR reader
        assert torch.equal(reader.span_predictor.qa_outputs.weight, bert.qa_outputs.weight)
    else:
        heads |= {"span_predictor.qa_outputs.weight", "span_predictor.qa_outputs.bias"}
    assert info["missing_keys"] == heads


def test_resizing_the_vocabulary_is_understood_by_transformers(tmp_path: Path) -> None:
    model = ours.DPRQuestionEncoder(ours.DPRConfig(**SIZES))
    model.resize_token_embeddings(105)
    model.save_pretrained(tmp_path)
    assert_same(transformers.DPRQuestionEncoder.from_pretrained(tmp_path), model.eval())
