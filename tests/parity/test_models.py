"""The three models against Hugging Face Transformers', over random weights: the same numbers.

Every comparison is at unmasked positions and with the mask given, because Transformers' reader
without one attends padding. Tolerance 1e-5 in float32, absolute.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from dpr.models import dpr as models
from dpr.models.config import ACTIVATIONS, DPRConfig

TOLERANCE = 1e-5
NAMES = ["DPRQuestionEncoder", "DPRContextEncoder", "DPRReader"]
ENCODERS = NAMES[:2]
SMALL = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "type_vocab_size": 16,
}
BATCH, LENGTH = 4, 11


def scramble(model: torch.nn.Module, deviation: float) -> None:
    """All weights random, biases and LayerNorm too, so that leaving out any of them shows."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            weight.copy_(centre + deviation * torch.randn(weight.shape, generator=generator))


def pair(
    name: str,
    theirs_attend: str = "eager",
    ours_attend: str = "sdpa",
    deviation: float = 0.15,
    **changes: Any,
) -> tuple[Any, Any]:
    """Their model and ours, of the same configuration and weights."""
    settings = SMALL | changes
    theirs = getattr(transformers, name)(
        transformers.DPRConfig(**settings, attn_implementation=theirs_attend)
    ).eval()
    scramble(theirs, deviation)
    ours = getattr(models, name)(DPRConfig(**settings, attn_implementation=ours_attend)).eval()
    weights = theirs.state_dict()
    assert set(ours.state_dict()) == set(weights)
    ours.load_state_dict(weights)
    return theirs, ours


def tokens(vocabulary: int = 99, shape: tuple[int, int] = (BATCH, LENGTH)) -> Tensor:
    return torch.randint(5, vocabulary, shape, generator=torch.Generator().manual_seed(1))


def masks() -> dict[str, Tensor]:
    full = torch.ones(BATCH, LENGTH, dtype=torch.long)
    right, left, holes, dead = (full.clone() for _ in range(4))
    for row, size in enumerate([11, 3, 1, 7]):
        right[row, size:] = 0
        left[row, : LENGTH - size] = 0
    holes[:, 2::3] = 0
    holes[1, 4:9] = 0
    dead[2] = 0
    dead[3, 6:] = 0
    return {"full": full, "right": right, "left": left, "holes": holes, "dead": dead}


MASKS = masks()


def run(model: torch.nn.Module, **inputs: Any) -> Any:
    with torch.no_grad():
        return model(**inputs)


def gaps(theirs: Any, ours: Any, mask: Tensor) -> Iterator[tuple[str, float]]:
    """Largest absolute difference of each output, over the unmasked positions of live rows."""
    live = mask.any(1)
    for name in theirs:
        expected, got = theirs[name], ours[name]
        many = isinstance(expected, tuple)
        assert isinstance(got, tuple) == many
        for number, (a, b) in enumerate(
            zip(expected, got, strict=True) if many else [(expected, got)]
        ):
            assert a.shape == b.shape, name
            assert a.dtype == b.dtype, name
            if name == "attentions":  # (batch, heads, length, length): by query
                a, b = (t.transpose(1, 2)[mask.bool()] for t in (a, b))
            elif a.dim() > 1 and a.shape[:2] == mask.shape and name != "pooler_output":
                a, b = a[mask.bool()], b[mask.bool()]
            else:
                a, b = a[live], b[live]
            gap = float((a - b).abs().max())
            yield f"{name}[{number}]" if many else name, gap


def check(theirs: Any, ours: Any, mask: Tensor, tolerance: float = TOLERANCE) -> None:
    assert list(theirs) == list(ours)
    too_far = {name: gap for name, gap in gaps(theirs, ours, mask) if not gap <= tolerance}
    assert not too_far


@pytest.mark.parametrize("ours_attend", ["sdpa", "eager"])
@pytest.mark.parametrize("theirs_attend", ["sdpa", "eager"])
@pytest.mark.parametrize("padding", list(MASKS))
@pytest.mark.parametrize("name", NAMES)
def test_logits_and_vectors(name: str, padding: str, theirs_attend: str, ours_attend: str) -> None:
    theirs, ours = pair(name, theirs_attend, ours_attend)
    inputs = {"input_ids": tokens(), "attention_mask": MASKS[padding]}
    check(run(theirs, **inputs), run(ours, **inputs), MASKS[padding])


@pytest.mark.parametrize("ours_attend", ["sdpa", "eager"])
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("attentions", [False, True])
@pytest.mark.parametrize("padding", ["full", "right", "holes"])
@pytest.mark.parametrize("name", NAMES)
def test_hidden_states_and_attentions(
    name: str, padding: str, attentions: bool, hidden: bool, ours_attend: str
) -> None:
    theirs, ours = pair(name, "eager", ours_attend)
    options = {"output_attentions": attentions, "output_hidden_states": hidden}
    inputs = {"input_ids": tokens(), "attention_mask": MASKS[padding]} | options
    expected, got = run(theirs, **inputs), run(ours, **inputs)
    assert (got.hidden_states is not None) == hidden
    assert (got.attentions is not None) == attentions
    check(expected, got, MASKS[padding])


@pytest.mark.parametrize("padding", ["full", "right", "holes"])
@pytest.mark.parametrize("name", ENCODERS)
def test_segments(name: str, padding: str) -> None:
    theirs, ours = pair(name)
    segments = torch.randint(0, 16, (BATCH, LENGTH), generator=torch.Generator().manual_seed(2))
    inputs = {"input_ids": tokens(), "attention_mask": MASKS[padding]}
    expected = run(theirs, **inputs, token_type_ids=segments)
    check(expected, run(ours, **inputs, token_type_ids=segments), MASKS[padding])
    without = run(ours, **inputs).pooler_output
    assert float((expected.pooler_output - without).abs().max()) > 0.01  # segments do matter


def test_segments_of_the_reader() -> None:
    """Transformers' reader takes none; its inner encoder does."""
    theirs, ours = pair("DPRReader")
    segments = (torch.arange(LENGTH) > 4).long().expand(BATCH, LENGTH)
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"]}
    inner = theirs.span_predictor.encoder
    states = run(inner, **inputs, token_type_ids=segments, return_dict=True).last_hidden_state
    with torch.no_grad():
        start, end = theirs.span_predictor.qa_outputs(states).unbind(-1)
        relevance = theirs.span_predictor.qa_classifier(states[:, 0])[:, 0]
    expected = {"start_logits": start, "end_logits": end, "relevance_logits": relevance}
    check(expected, run(ours, **inputs, token_type_ids=segments), MASKS["right"])


@pytest.mark.parametrize("padding", [None, "full", "right", "left", "holes"])
@pytest.mark.parametrize("name", NAMES)
def test_vectors_in_place_of_tokens(name: str, padding: str | None) -> None:
    theirs, ours = pair(name)
    given = torch.randn(BATCH, LENGTH, 32, generator=torch.Generator().manual_seed(3))
    inputs: dict[str, Any] = {"inputs_embeds": given}
    if padding is not None:
        inputs["attention_mask"] = MASKS[padding]
    check(run(theirs, **inputs), run(ours, **inputs), MASKS[padding or "full"])


@pytest.mark.parametrize("name", ENCODERS)
def test_without_a_mask_padding_is_left_out(name: str) -> None:
    theirs, ours = pair(name)
    ids = tokens() * MASKS["right"]  # 0 is [PAD]
    check(run(theirs, input_ids=ids), run(ours, input_ids=ids), MASKS["right"])


@pytest.mark.parametrize("kind", ["bool", "float"])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_masks_of_four_dimensions(name: str, whole: bool, kind: str) -> None:
    """A mask of its own for each query: here, a token sees those before it and the first two."""
    theirs, ours = pair(name, "sdpa" if kind == "bool" else "eager")
    allowed = (torch.ones(LENGTH, LENGTH).tril() + (torch.arange(LENGTH) < 2)) > 0
    mask = (allowed & MASKS["right"].bool()[:, None, :])[:, None]
    mask[..., 0] = True  # no query without a key
    if kind == "float":
        mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    inputs = {"input_ids": tokens(), "attention_mask": mask, "output_hidden_states": whole}
    check(run(theirs, **inputs), run(ours, **inputs), MASKS["right"])


@pytest.mark.parametrize("kind", [torch.float32, torch.bool, torch.int32])
@pytest.mark.parametrize("name", NAMES)
def test_masks_of_other_types(name: str, kind: torch.dtype) -> None:
    theirs, ours = pair(name, "sdpa")
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["holes"].to(kind)}
    check(run(theirs, **inputs), run(ours, **inputs), MASKS["holes"])


@pytest.mark.parametrize("projection", [1, 7, 32, 50])
@pytest.mark.parametrize("name", ENCODERS)
def test_projection(name: str, projection: int) -> None:
    theirs, ours = pair(name, projection_dim=projection)
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"]}
    got = run(ours, **inputs)
    assert got.pooler_output.shape == (BATCH, projection)
    inner = getattr(theirs, theirs.base_model_prefix)
    assert ours.embeddings_size == ours.base_model.embeddings_size == inner.embeddings_size
    check(run(theirs, **inputs), got, MASKS["right"])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_activations(name: str, activation: str) -> None:
    theirs, ours = pair(name, hidden_act=activation)
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"]}
    check(run(theirs, **inputs), run(ours, **inputs), MASKS["right"])


@pytest.mark.parametrize(
    "changes",
    [
        {"layer_norm_eps": 0.5},
        {"num_hidden_layers": 1},
        {"num_attention_heads": 1},
        {"max_position_embeddings": LENGTH},
        {"type_vocab_size": 1},
        {"pad_token_id": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NAMES)
def test_other_configurations(name: str, changes: dict[str, Any]) -> None:
    theirs, ours = pair(name, **changes)
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"]}
    options = {"output_hidden_states": True, "output_attentions": True}
    check(run(theirs, **inputs, **options), run(ours, **inputs, **options), MASKS["right"])


@pytest.mark.parametrize("attentions", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_tuples(name: str, attentions: bool) -> None:
    """The same order; and ours does not lose the hidden states on the way, as theirs does."""
    theirs, ours = pair(name)
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"], "return_dict": False}
    expected = run(theirs, **inputs)
    got = run(ours, **inputs)
    assert type(got) is tuple
    names = list(run(ours, input_ids=tokens()))
    check(
        dict(zip(names, expected, strict=True)), dict(zip(names, got, strict=True)), MASKS["right"]
    )
    options = {"output_hidden_states": True, "output_attentions": attentions}
    full = run(theirs, **(inputs | {"return_dict": True}), **options)
    got = run(ours, **inputs, **options)
    check(full, dict(zip(full, got, strict=True)), MASKS["right"])


@pytest.mark.parametrize(
    "flags",
    [
        {"output_hidden_states": True},
        {"output_attentions": True},
        {"output_hidden_states": True, "output_attentions": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NAMES)
def test_defaults_of_the_configuration(name: str, flags: dict[str, bool]) -> None:
    theirs, ours = pair(name, **flags)
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"]}
    check(run(theirs, **inputs), run(ours, **inputs), MASKS["right"])
    off = dict.fromkeys(flags, False)
    check(run(theirs, **inputs, **off), run(ours, **inputs, **off), MASKS["right"])


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_can_ask_for_tuples(name: str) -> None:
    theirs, ours = pair(name, return_dict=False)
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"]}
    expected, got = run(theirs, **inputs), run(ours, **inputs)
    assert type(expected) is type(got) is tuple
    assert len(expected) == len(got)
    assert list(run(ours, **inputs, return_dict=True)) == list(
        run(theirs, **inputs, return_dict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_positional_arguments(name: str) -> None:
    theirs, ours = pair(name)
    ids, mask = tokens(), MASKS["right"]
    third = [None] if name == "DPRReader" else [torch.ones_like(ids), None]
    with torch.no_grad():
        check(theirs(ids, mask, *third, True, True), ours(ids, mask, *third, True, True), mask)


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str) -> None:
    theirs, ours = pair(name)
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"]}
    for model in (theirs, ours):
        out = model(**inputs).to_tuple()
        kept = [t[MASKS["right"].bool()] if t.shape == MASKS["right"].shape else t for t in out]
        sum((t.square().mean() for t in kept), torch.tensor(0.0)).backward()
    expected = {key: weight.grad for key, weight in theirs.named_parameters()}
    for key, weight in ours.named_parameters():
        if expected[key] is None:
            assert weight.grad is None, key
        else:
            torch.testing.assert_close(weight.grad, expected[key], atol=2e-5, rtol=1e-4, msg=key)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ours_attend", ["sdpa", "eager"])
@pytest.mark.parametrize("padding", ["full", "right", "left", "dead"])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision(name: str, padding: str, ours_attend: str, dtype: torch.dtype) -> None:
    """As near to the float32 numbers as Transformers' half precision is, within twice."""
    theirs, ours = pair(name, "sdpa", ours_attend)
    mask = MASKS[padding]
    inputs = {"input_ids": tokens(), "attention_mask": mask}
    exact = run(theirs, **inputs)
    expected, got = run(theirs.to(dtype), **inputs), run(ours.to(dtype), **inputs)
    exact = {key: value.to(dtype) for key, value in exact.items()}
    error = dict(gaps(exact, expected, mask))
    for key, gap in gaps(exact, got, mask):
        assert gap <= 2 * error[key] + 0.01
    assert all(bool(t.isfinite().all()) for t in got.values())


@pytest.mark.parametrize("name", NAMES)
def test_double_precision(name: str) -> None:
    for attend in ("sdpa", "eager"):
        theirs, ours = pair(name, ours_attend=attend)
        inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"]}
        expected, got = run(theirs.double(), **inputs), run(ours.double(), **inputs)
        check(expected, got, MASKS["right"], 1e-12)


@pytest.mark.parametrize(
    ("name", "projection"), [*((name, 0) for name in NAMES), *((name, 7) for name in ENCODERS)]
)
def test_through_folders(name: str, projection: int, tmp_path: Path) -> None:
    """What either library saves, the other loads, with nothing missing and nothing left over."""
    theirs, ours = pair(name, projection_dim=projection)
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"]}
    expected = run(theirs, **inputs)
    theirs.save_pretrained(tmp_path / "theirs")
    loaded, info = getattr(models, name).from_pretrained(
        tmp_path / "theirs", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    check(expected, run(loaded, **inputs), MASKS["right"])
    ours.save_pretrained(tmp_path / "ours")
    loaded, info = getattr(transformers, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    check(expected, run(loaded, **inputs), MASKS["right"])


@pytest.mark.parametrize("name", NAMES)
def test_a_larger_vocabulary(name: str) -> None:
    """New rows are each library's own; tokens of the old vocabulary give what they gave."""
    theirs, ours = pair(name)
    theirs.resize_token_embeddings(128, mean_resizing=False)
    ours.resize_token_embeddings(128)
    assert ours.config.vocab_size == theirs.config.vocab_size == 128
    shape = theirs.get_input_embeddings().weight.shape
    assert ours.get_input_embeddings().weight.shape == shape
    inputs = {"input_ids": tokens(), "attention_mask": MASKS["right"]}
    check(run(theirs, **inputs), run(ours, **inputs), MASKS["right"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_base_size(name: str) -> None:
    """The size of the released checkpoints, 110 million weights, sequences up to 512 tokens."""
    defaults = {key: getattr(DPRConfig(), key) for key in SMALL}
    theirs, ours = pair(name, deviation=0.03, **defaults)
    if name == "DPRReader":
        assert sum("bert_model" in key for key in ours.state_dict()) == 197
    ids = tokens(30522, (2, 24))
    mask = torch.ones_like(ids)
    mask[1, 13:] = 0
    options = {"output_hidden_states": True, "output_attentions": True}
    inputs = {"input_ids": ids, "attention_mask": mask}
    check(run(theirs, **inputs, **options), run(ours, **inputs, **options), mask)
    check(run(theirs, **inputs), run(ours, **inputs), mask)
    ids = tokens(30522, (1, 512))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    check(run(theirs, **inputs), run(ours, **inputs), inputs["attention_mask"])
