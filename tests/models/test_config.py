"""DPRConfig: fields, checks, config.json."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from dpr.errors import CheckpointError, SettingsError
from dpr.models.config import DPRConfig


def write(folder: Path, **values: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def test_the_defaults_are_those_of_bert_base() -> None:
    config = DPRConfig()
    assert config.to_dict() == {
        "model_type": "dpr",
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "projection_dim": 0,
    }
    assert DPRConfig.model_type == "dpr"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("hidden_size", 70, "not a multiple of num_attention_heads=12"),
        ("num_hidden_layers", -1, "whole number of at least 1"),
        ("num_hidden_layers", 0, "whole number of at least 1"),
        ("vocab_size", 3.5, "whole number of at least 1"),
        ("vocab_size", True, "whole number of at least 1"),
        ("intermediate_size", "3072", "whole number of at least 1"),
        ("projection_dim", -1, "whole number of at least 0"),
        ("hidden_act", "gelu_fast", "one of gelu, gelu_new"),
        ("hidden_act", ["gelu"], "one of gelu, gelu_new"),
        ("hidden_dropout_prob", 1.0, r"in \[0, 1\)"),
        ("attention_probs_dropout_prob", float("nan"), r"in \[0, 1\)"),
        ("layer_norm_eps", 0, "above 0"),
        ("layer_norm_eps", float("inf"), "above 0"),
        ("initializer_range", -0.1, "at least 0"),
        ("pad_token_id", 30522, "below vocab_size=30522"),
        ("pad_token_id", -1, "at least 0"),
        ("dtype", "int8", "one of float32"),
        ("attn_implementation", "flash_attention_2", "one of sdpa, eager"),
        ("position_embedding_type", "relative_key", "one of absolute"),
        ("is_decoder", True, "encoders only"),
        ("model_type", "roberta", "only 'dpr' and 'bert'"),
    ],
)
def test_a_value_outside_what_is_allowed_is_named(field: str, value: object, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as error:
        DPRConfig(**{field: value})  # type: ignore[arg-type]
    assert field in str(error.value)


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish"])
def test_the_activations_that_the_models_know(name: str) -> None:
    assert DPRConfig(hidden_act=name).hidden_act == name


def test_a_model_without_a_padding_token() -> None:
    assert DPRConfig(pad_token_id=None).pad_token_id is None


def test_a_misspelt_keyword_is_refused_and_the_right_one_named() -> None:
    with pytest.raises(TypeError, match="'hidden_sise'; did you mean 'hidden_size'"):
        DPRConfig(hidden_sise=64)


def test_legacy_keys_are_tolerated_and_kept() -> None:
    config = DPRConfig(
        gradient_checkpointing=True,
        position_embedding_type="absolute",
        torch_dtype="float16",
        bos_token_id=None,
        transformers_version="4.1.0",
    )
    assert config.gradient_checkpointing is True
    assert config.dtype == config.torch_dtype == "float16"
    written = config.to_dict()
    assert written["dtype"] == "float16"
    assert "torch_dtype" not in written
    assert "transformers_version" not in written  # it would say that Transformers wrote the file


def test_dtype_may_be_given_as_torch_prints_it() -> None:
    config = DPRConfig(dtype="torch.bfloat16")
    assert config.dtype == "bfloat16"
    config.torch_dtype = "torch.float16"
    assert config.dtype == "float16"


def test_unknown_keys_of_a_file_survive_loading_and_saving(tmp_path: Path) -> None:
    values = {"model_type": "dpr", "hiden_size": 3, "team": {"name": "x"}, "to_dict": 7}
    config = DPRConfig.from_pretrained(write(tmp_path / "a", **values))
    assert config.team == {"name": "x"}
    assert callable(config.to_dict)  # a key of a file never hides a method
    config.save_pretrained(tmp_path / "b")
    written = json.loads((tmp_path / "b" / "config.json").read_text())
    assert {key: written[key] for key in values} == values
    assert DPRConfig.from_pretrained(tmp_path / "b") == config


def test_attributes_can_be_added_and_changed() -> None:
    config = DPRConfig()
    config.note = "mine"
    config.hidden_size = 384
    config.num_attention_heads = 6
    config.validate()
    assert config.to_dict()["note"] == "mine"
    config.num_attention_heads = 7
    with pytest.raises(SettingsError, match="multiple"):
        config.validate()
    with pytest.raises(AttributeError, match="no field 'nothing'"):
        _ = config.nothing


def test_a_bert_folder_gives_a_dpr_configuration(tmp_path: Path) -> None:
    bert = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 144}
    config = DPRConfig.from_pretrained(write(tmp_path, **bert, use_cache=True))
    assert config.hidden_size == 144
    assert config.to_dict()["model_type"] == "dpr"


def test_keywords_override_the_file(tmp_path: Path) -> None:
    folder = write(tmp_path, hidden_size=144, torch_dtype="float16", mine=1)
    config = DPRConfig.from_pretrained(folder, projection_dim=5, dtype="float32", mine=2)
    assert (config.hidden_size, config.projection_dim, config.dtype) == (144, 5, "float32")
    assert config.mine == 2
    assert DPRConfig.from_dict({"dtype": "float16"}, torch_dtype="float32").dtype == "float32"
    with pytest.raises(TypeError, match="'projektion_dim'; did you mean 'projection_dim'"):
        DPRConfig.from_pretrained(folder, projektion_dim=5)


def test_the_file_is_found_in_a_subfolder(tmp_path: Path) -> None:
    write(tmp_path / "question_encoder", hidden_size=144)
    assert DPRConfig.from_pretrained(tmp_path, subfolder="question_encoder").hidden_size == 144
    for subfolder in ("../x", "/etc", "a/../../b", "C:\\x", "..\\x", "a\0"):
        with pytest.raises(SettingsError, match="subfolder"):
            DPRConfig.from_pretrained(tmp_path, subfolder=subfolder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not valid JSON"),
        (b'{"hidden_size": ', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1]", "not an object"),
        (b'{"hidden_size": 7}', "multiple of num_attention_heads"),
        (b'{"model_type": "distilbert"}', "only 'dpr' and 'bert'"),
        (b'{"layer_norm_eps": NaN}', "layer_norm_eps"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=says) as error:
        DPRConfig.from_pretrained(tmp_path)
    assert "config.json" in str(error.value)


def test_a_folder_without_configuration(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        DPRConfig.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        DPRConfig.from_pretrained(tmp_path / "nowhere")


def test_saving_refuses_what_json_cannot_hold_and_invalid_fields(tmp_path: Path) -> None:
    config = DPRConfig(thing={1, 2})
    with pytest.raises(SettingsError, match="JSON"):
        config.save_pretrained(tmp_path)
    config = DPRConfig()
    config.vocab_size = 0
    with pytest.raises(SettingsError, match="vocab_size"):
        config.save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_equality_copies_and_printing() -> None:
    config = DPRConfig(projection_dim=3, extra_key=[1])
    twin = copy.deepcopy(config)
    assert twin == config
    twin.extra_key.append(2)
    assert twin != config
    assert config.extra_key == [1]
    assert config != "something else"
    assert repr(config).startswith("DPRConfig {")
    assert json.loads(repr(config).removeprefix("DPRConfig ")) == config.to_dict()


def test_importing_the_configuration_does_not_import_torch() -> None:
    code = "import sys, dpr.models.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
