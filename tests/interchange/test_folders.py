"""Folders of sentence-transformers without that library: what is written and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dpr.errors import CheckpointError, SettingsError
from dpr.interchange import exporting
from dpr.interchange.dual import DualEncoder
from dpr.interchange.exporting import export_sentence_transformers
from dpr.interchange.importing import read_sentence_transformers
from interchange.towers import random_towers


@pytest.fixture
def folder(tiny_vocabulary: Path, tmp_path: Path) -> Path:
    dual = random_towers(tiny_vocabulary, projection=16)
    return dual.save_sentence_transformers(tmp_path / "export")


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), encoding="utf-8")


def test_an_export_is_of_the_modules_it_lists(folder: Path) -> None:
    rows = json.loads((folder / "modules.json").read_text("utf-8"))
    assert [(row["path"], row["type"].rpartition(".")[2]) for row in rows] == [
        ("", "Transformer"),
        ("1_Pooling", "Pooling"),
        ("2_Dense", "Dense"),
    ]
    kept = json.loads((folder / "config_sentence_transformers.json").read_text("utf-8"))
    assert kept["similarity_fn_name"] == "dot"
    assert kept["prompts"] == {"query": "", "document": ""}
    assert "write plain apostrophes" in (folder / "README.md").read_text("utf-8")
    weights = load_file(folder / "model.safetensors")
    assert all(value.dtype == torch.float32 for value in weights.values())
    assert not any("encode_proj" in name for name in weights)


def test_a_folder_with_anything_in_it_is_refused(
    folder: Path, tiny_vocabulary: Path, tmp_path: Path
) -> None:
    dual = random_towers(tiny_vocabulary, tied=False)
    (tmp_path / "other").mkdir()
    dual.save_sentence_transformers(tmp_path / "other")
    assert (tmp_path / "other" / "query_0_Transformer").is_dir()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match="is there and is not empty"):
        dual.save_sentence_transformers(folder)  # it may be another's, trained further
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_failure_leaves_nothing(
    tiny_vocabulary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_card", fail)
    with pytest.raises(CheckpointError, match="cannot be written: No space left"):
        random_towers(tiny_vocabulary).save_sentence_transformers(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_towers_that_do_not_belong_together(tiny_vocabulary: Path, tmp_path: Path) -> None:
    one, other = (random_towers(tiny_vocabulary, projection=size) for size in (0, 8))
    with pytest.raises(SettingsError, match="of 32 numbers, the context encoder of 8"):
        export_sentence_transformers(one.question, other.context, tmp_path / "export")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"type": "custom.Model"}, "'custom.Model' is code of its own, which is not run"),
        ({"path": "../elsewhere"}, "refuses the module folder '../elsewhere'"),
        ({"path": "/etc"}, "refuses the module folder '/etc'"),
        ({"type": "sentence_transformers.models.CNN"}, "are Transformer, Pooling, CNN; supported"),
    ],
)
def test_modules_that_are_not_read(row: dict[str, str], message: str, folder: Path) -> None:
    path = folder / "modules.json"
    rows = json.loads(path.read_text("utf-8"))
    rows[-1] |= row
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        DualEncoder.from_pretrained(folder)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[" * 100_000])
def test_a_damaged_list_of_modules(text: str, folder: Path) -> None:
    (folder / "modules.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"modules\.json: "):
        DualEncoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("path", "values", "message"),
    [
        ("2_Dense/config.json", {"use_residual": True}, "residual True; supported is"),
        ("2_Dense/config.json", {"out_features": "many"}, "out_features is 'many'"),
        ("2_Dense/config.json", {"out_features": 9}, r"linear.weight is \(16, 32\); expected"),
        ("sentence_bert_config.json", {"max_seq_length": "long"}, "max_seq_length is 'long'"),
        ("config_sentence_transformers.json", {"prompts": {"query": 3}}, "its prompt 3 is no text"),
        ("config_sentence_transformers.json", {"prompts": [1]}, r"its prompt \[1\] is no text"),
        ("config_sentence_transformers.json", {"truncate_dim": 8}, "sets truncate_dim, which"),
        (
            "sentence_bert_config.json",
            {"processing_kwargs": {"text": {}}},
            "sets processing_kwargs",
        ),
        ("config.json", {"model_type": "roberta"}, "model_type='roberta'"),
    ],
)
def test_settings_that_are_not_read(
    path: str, values: dict[str, Any], message: str, folder: Path
) -> None:
    change(folder / path, **values)
    with pytest.raises((CheckpointError, SettingsError), match=message):
        DualEncoder.from_pretrained(folder)


def test_a_prompt_left_out_of_the_pooling(folder: Path) -> None:
    change(folder / "config_sentence_transformers.json", prompts={"query": "query: "})
    change(folder / "1_Pooling" / "config.json", include_prompt=False)
    with pytest.raises(CheckpointError, match="leaves its prompt 'query: ' out of the pooling"):
        DualEncoder.from_pretrained(folder)


def test_texts_whose_case_would_be_lowered_twice(folder: Path) -> None:
    change(folder / "sentence_bert_config.json", do_lower_case=True)
    DualEncoder.from_pretrained(folder)  # its tokenizer does so anyway
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text("utf-8"))
    tokenizer["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(CheckpointError, match="lowers the case of texts before"):
        DualEncoder.from_pretrained(folder)


def test_a_dense_without_weights(folder: Path) -> None:
    save_file({"other": torch.zeros(1)}, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"linear\.weight is None"):
        DualEncoder.from_pretrained(folder)


def test_routes_of_other_names(tiny_vocabulary: Path, tmp_path: Path) -> None:
    folder = random_towers(tiny_vocabulary, tied=False).save_sentence_transformers(tmp_path / "x")
    path = folder / "router_config.json"
    routes = json.loads(path.read_text("utf-8"))["structure"]
    change(path, structure={"query": routes["query"], "image": routes["document"]})
    with pytest.raises(CheckpointError, match="its routes are query, image; supported"):
        DualEncoder.from_pretrained(folder)
    change(path, structure=None)
    with pytest.raises(CheckpointError, match="has no 'types' or no 'structure'"):
        DualEncoder.from_pretrained(folder)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no modules\.json"):
        read_sentence_transformers(tmp_path)
