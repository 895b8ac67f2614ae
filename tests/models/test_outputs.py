"""Outputs read as objects, mappings and tuples."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from dpr.models.outputs import (
    DPRContextEncoderOutput,
    DPRQuestionEncoderOutput,
    DPRReaderOutput,
    ModelOutput,
)

VECTORS = torch.arange(6.0).view(2, 3)
LAYERS = (torch.zeros(1), torch.ones(1))


@pytest.fixture(params=[DPRQuestionEncoderOutput, DPRContextEncoderOutput])
def out(request: pytest.FixtureRequest) -> Any:
    return request.param(VECTORS, attentions=LAYERS)


def test_as_an_object(out: Any) -> None:
    assert out.pooler_output is VECTORS
    assert out.hidden_states is None
    assert out.attentions is LAYERS


def test_as_a_mapping(out: Any) -> None:
    assert isinstance(out, Mapping)
    assert out["pooler_output"] is VECTORS
    assert list(out) == list(out.keys()) == ["pooler_output", "attentions"]
    assert [value is given for value, given in zip(out.values(), (VECTORS, LAYERS), strict=True)]
    assert dict(out) == dict(out.items()) == {"pooler_output": VECTORS, "attentions": LAYERS}
    assert {**out} == dict(out)
    assert (lambda **given: given)(**out) == dict(out)
    assert out.get("hidden_states") is None
    assert out.get("nothing", 3) == 3
    assert "attentions" in out
    assert "hidden_states" not in out
    assert len(out) == 2


def test_as_a_tuple(out: Any) -> None:
    assert out.to_tuple() == (VECTORS, LAYERS)
    assert out[0] is VECTORS
    assert out[1] is out[-1] is LAYERS
    assert out[:1] == (VECTORS,)
    assert out[1:] == (LAYERS,)


def test_what_is_not_there_is_an_error(out: Any) -> None:
    for key in ("hidden_states", "nothing"):
        with pytest.raises(KeyError, match=key):
            out[key]
    with pytest.raises(IndexError):
        out[2]
    with pytest.raises(AttributeError):
        _ = out.nothing


def test_fields_can_be_set(out: Any) -> None:
    out.hidden_states = LAYERS
    assert list(out) == ["pooler_output", "hidden_states", "attentions"]
    assert out[1] is LAYERS


def test_copies(out: ModelOutput) -> None:
    for other in (copy.copy(out), copy.deepcopy(out), pickle.loads(pickle.dumps(out))):
        assert type(other) is type(out)
        assert list(other) == list(out)
        assert torch.equal(other["pooler_output"], VECTORS)


def test_the_readers_order() -> None:
    start, end, relevance = torch.zeros(2, 5), torch.ones(2, 5), torch.ones(2)
    out = DPRReaderOutput(start, end, relevance, hidden_states=LAYERS)
    assert list(out) == ["start_logits", "end_logits", "relevance_logits", "hidden_states"]
    assert out.to_tuple() == (start, end, relevance, LAYERS)
    assert out[:3] == (start, end, relevance)
    assert out["end_logits"] is out.end_logits is end
