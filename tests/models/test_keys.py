"""From the names in a checkpoint to bare BERT names."""

from __future__ import annotations

import pytest

from dpr.errors import CheckpointError
from dpr.models.keys import head_of, map_keys

BODY = [
    "embeddings.word_embeddings.weight",
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
    "encoder.layer.0.attention.self.query.weight",
    "encoder.layer.0.attention.output.LayerNorm.bias",
    "encoder.layer.11.intermediate.dense.weight",
    "encoder.layer.11.output.dense.bias",
]


@pytest.mark.parametrize(
    "prefix",
    [
        "question_encoder.bert_model.",
        "ctx_encoder.bert_model.",
        "span_predictor.encoder.bert_model.",
        "bert.",
        "",
        "0.auto_model.",
        "auto_model.",
        "encoder.",  # the original reader
        "module.bert.",
    ],
)
def test_a_body_is_found_under_any_prefix(prefix: str) -> None:
    found = map_keys([prefix + name for name in BODY])
    assert found.prefix == prefix
    assert found.keys == {name: prefix + name for name in BODY}
    assert (found.ignored, found.unexpected) == ((), ())


def test_old_names_of_layer_norm() -> None:
    keys = map_keys(["bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.beta"]).keys
    assert keys == {
        "embeddings.LayerNorm.weight": "bert.embeddings.LayerNorm.gamma",
        "embeddings.LayerNorm.bias": "bert.embeddings.LayerNorm.beta",
    }


def test_what_is_ignored_and_what_is_unexpected() -> None:
    ignored = [
        "bert.embeddings.position_ids",
        "bert.pooler.dense.weight",
        "cls.predictions.bias",
        "cls.seq_relationship.weight",
    ]
    unexpected = ["classifier.weight", "bert.encoder.layer.0.adapter.weight"]
    found = map_keys([BODY[0].join(["bert.", ""]), *ignored, *unexpected])
    assert found.ignored == tuple(ignored)
    assert found.unexpected == tuple(unexpected)


def test_heads_belong_to_the_body_beneath_them() -> None:
    keys = [
        "question_encoder.bert_model.embeddings.word_embeddings.weight",
        "question_encoder.encode_proj.weight",
        "ctx_encoder.bert_model.embeddings.word_embeddings.weight",
        "ctx_encoder.encode_proj.weight",
    ]
    found = map_keys(keys, prefer="ctx_encoder.")
    assert found.keys == {
        "embeddings.word_embeddings.weight": keys[2],
        "encode_proj.weight": keys[3],
    }
    assert set(found.unexpected) == set(keys[:2])
    with pytest.raises(CheckpointError, match="several BERTs"):
        map_keys(keys)


def test_a_checkpoint_without_a_bert_or_with_one_name_twice() -> None:
    with pytest.raises(CheckpointError, match="no BERT weights"):
        map_keys(["classifier.weight", "qa_outputs.weight"])
    with pytest.raises(CheckpointError, match="twice"):
        map_keys(["bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"])


def test_heads() -> None:
    assert head_of("encode_proj.bias") == "encode_proj"
    assert head_of("encoder.layer.0.output.dense.bias") is None
