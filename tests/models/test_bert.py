"""The stack: packed equals padded, the fast paths equal the slow ones, and training works."""

from __future__ import annotations

import inspect
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dpr.models.bert import (
    ACTIVATIONS,
    BertStack,
    Packed,
    Padded,
    SelfAttention,
    attend_eager,
    first_tokens,
)
from dpr.models.config import ACTIVATIONS as NAMES
from dpr.models.config import DPRConfig

from .small import tiny

LENGTHS = {
    "one": [7],
    "one token": [1],
    "equal": [5, 5, 5],
    "sorted": [1, 3, 3, 8, 20],
    "unsorted": [8, 1, 3, 20, 1, 3, 3],
    "longest possible": [40, 2],
}


def stack(deviation: float = 0.2, **changes: Any) -> BertStack:
    """Weights larger than BERT's, so that attention is not near to a plain average."""
    torch.manual_seed(0)
    model = BertStack(tiny(**changes))
    model.initialise()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(deviation * torch.randn_like(weight))
    return model.eval()


def batch(lengths: list[int]) -> tuple[Tensor, Tensor, Tensor, Packed]:
    """Padded ids and their mask; the same ids end to end and their layout."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 99, (len(lengths), max(lengths)), generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return ids, mask, ids[mask], Packed.from_lengths(lengths)


def padded(mask: Tensor | None) -> Padded:
    return Padded.from_mask(mask, torch.float32)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def test_every_activation_that_a_configuration_may_name_is_there() -> None:
    assert set(ACTIVATIONS) == set(NAMES)


def test_a_layout_of_lengths() -> None:
    layout = Packed.from_lengths([2, 2, 1, 3, 1])
    assert layout.positions.tolist() == [0, 1, 0, 1, 0, 0, 1, 2, 0]
    assert layout.starts.tolist() == [0, 2, 4, 5, 8]
    assert layout.boundaries.tolist() == [0, 2, 4, 5, 8, 9]
    assert layout.boundaries.dtype == torch.int32
    assert layout.runs == ((0, 0, 2, 2), (2, 4, 1, 1), (3, 5, 1, 3), (4, 8, 1, 1))
    assert layout.longest == 3


@pytest.mark.parametrize("lengths", [[], [3, 0]])
def test_a_layout_of_nothing_is_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Packed.from_lengths(lengths)


@pytest.mark.parametrize("cls_only", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("layers", [1, 3])
def test_packed_equals_padded(layers: int, lengths: list[int], cls_only: bool) -> None:
    model = stack(num_hidden_layers=layers)
    ids, mask, flat, layout = batch(lengths)
    with torch.no_grad():
        slow = model(ids, padded(mask)).last
        fast = model(flat, layout, cls_only=cls_only).last
    close(fast, slow[:, 0] if cls_only else slow[mask])


def test_packed_equals_padded_with_segments_vectors_and_hidden_states() -> None:
    model = stack()
    ids, mask, _, layout = batch(LENGTHS["unsorted"])
    segments = torch.arange(ids.shape[1]).remainder(2).expand_as(ids)
    vectors = torch.randn(*ids.shape, 32)
    with torch.no_grad():
        slow = model(
            None, padded(mask), token_type_ids=segments, inputs_embeds=vectors, want_hidden=True
        )
        fast = model(
            None,
            layout,
            token_type_ids=segments[mask],
            inputs_embeds=vectors[mask],
            want_hidden=True,
        )
    assert len(fast.hidden_states) == len(slow.hidden_states) == 3
    for a, b in zip(fast.hidden_states, slow.hidden_states, strict=True):
        close(a, b[mask])


@pytest.mark.parametrize("shape", ["none", "two", "four"])
@pytest.mark.parametrize("eager", [False, True])
def test_cls_only_equals_the_first_row_of_the_whole(eager: bool, shape: str) -> None:
    model = stack(attn_implementation="eager" if eager else "sdpa")
    ids, mask, _, _ = batch([9, 4, 6])
    chosen = {"none": None, "two": mask, "four": (mask[:, None] & mask[:, :, None])[:, None]}
    chosen["four"][..., 0] = True
    with torch.no_grad():
        whole = model(ids, padded(chosen[shape])).last
        only = model(ids, padded(chosen[shape]), cls_only=True).last
    assert only.shape == (3, 1, 32)
    close(only, whole[:, :1])


def test_cls_only_computes_one_row_in_the_last_layer_and_all_before() -> None:
    model = stack()
    rows: list[int] = []
    for layer in model.encoder.layer:
        layer.intermediate.register_forward_hook(lambda _, given, out: rows.append(out.shape[-2]))
    ids, mask, flat, layout = batch([9, 4, 6])
    with torch.no_grad():
        model(ids, padded(mask), cls_only=True)
        model(flat, layout, cls_only=True)
    assert rows == [9, 1, 19, 3]


def gradients(model: BertStack, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {key: weight.grad.clone() for key, weight in model.named_parameters()}


@pytest.mark.parametrize("cls_only", [False, True])
@pytest.mark.parametrize("lengths", [LENGTHS["unsorted"], LENGTHS["equal"]], ids=str)
def test_gradients_of_packed_equal_those_of_padded(lengths: list[int], cls_only: bool) -> None:
    model = stack(attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0).train()
    ids, mask, flat, layout = batch(lengths)
    slow = model(ids, padded(mask)).last
    expected = gradients(model, (slow[:, 0] if cls_only else slow[mask]).pow(3).mean())
    fast = model(flat, layout, cls_only=cls_only).last
    got = gradients(model, fast.pow(3).mean())
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        close(got[key], value)
    assert all(value.any() for key, value in expected.items() if "key.bias" not in key)


@pytest.mark.parametrize("packed", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients_and_computes_layers_twice(
    packed: bool,
) -> None:
    model = stack().train()
    ids, mask, flat, layout = batch(LENGTHS["unsorted"])
    given = (flat, layout) if packed else (ids, padded(mask))
    calls: list[int] = []
    for layer in model.encoder.layer:
        layer.intermediate.dense.register_forward_hook(lambda *_: calls.append(1))
    found = []
    for model.gradient_checkpointing in (False, True):
        calls.clear()
        torch.manual_seed(5)  # the same dropout
        found.append(gradients(model, model(*given, cls_only=True).last.pow(3).mean()))
        assert len(calls) == (4 if model.gradient_checkpointing else 2)
    for key, value in found[0].items():
        close(found[1][key], value, 1e-6)
    calls.clear()
    with torch.no_grad():
        model(*given)
    assert len(calls) == 2


@pytest.mark.parametrize("changes", [{}, {"attn_implementation": "eager"}], ids=str)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
def test_dropout_in_training_only(kind: str, packed: bool, changes: dict[str, str]) -> None:
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = stack(**(none | {kind: 0.5} | changes))
    ids, mask, flat, layout = batch([9, 4, 6])
    given = (flat, layout) if packed else (ids, padded(mask))
    with torch.no_grad():
        assert torch.equal(model(*given).last, model(*given).last)
        model.train()
        first, second = model(*given).last, model(*given).last
    assert not torch.allclose(first, second, atol=1e-2)


def test_no_dropout_leaves_training_as_evaluation() -> None:
    model = stack(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    ids, mask, _, _ = batch([9, 4, 6])
    with torch.no_grad():
        assert torch.equal(model(ids, padded(mask)).last, model.train()(ids, padded(mask)).last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_fully_masked_row_attends_all_alike(dtype: torch.dtype) -> None:
    """Not NaN, even where scores are so low that adding the lowest number would overflow."""
    q = torch.full((1, 1, 3, 16), -20.0, dtype=dtype)
    k = torch.full((1, 1, 3, 16), 20.0, dtype=dtype)
    v = torch.eye(3, 16, dtype=dtype)[None, None]
    bias = Padded.from_mask(torch.zeros(1, 3), dtype).bias
    context, weights = attend_eager(q, k, v, bias, 0.0)
    close(weights, torch.full_like(weights, 1 / 3), 1e-2)
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v, bias)
    close(fused, context, 1e-2)


def test_eager_attention_keeps_double_precision() -> None:
    q, k, v = torch.randn(3, 2, 4, 5, 8, dtype=torch.float64)
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attend_eager(q, k, v, None, 0.0)[0], fused, atol=1e-12, rtol=0)


@pytest.mark.parametrize("lowest", [float("-inf"), torch.finfo(torch.float32).min])
def test_masks_that_are_added_to_the_scores(lowest: float) -> None:
    mask = torch.tensor([[True, True, False], [True, False, False]])
    added = torch.zeros(2, 1, 1, 3).masked_fill(~mask[:, None, None], lowest)
    for dtype in (torch.float32, torch.float16):
        expected = Padded.from_mask(mask, dtype).bias
        got = Padded.from_mask(added, dtype).bias
        assert expected is not None
        assert got is not None
        assert torch.equal(got, expected)


def test_more_tokens_than_positions_are_refused() -> None:
    model = stack()
    with pytest.raises(ValueError, match=r"41 tokens; this model has 40 positions: truncate"):
        model(torch.ones(1, 41, dtype=torch.long), Padded())
    with pytest.raises(ValueError, match=r"41 tokens"):
        model(torch.ones(44, dtype=torch.long), Packed.from_lengths([3, 41]))
    model(torch.ones(80, dtype=torch.long), Packed.from_lengths([40, 40]))


def test_fresh_weights() -> None:
    torch.manual_seed(0)
    model = BertStack(DPRConfig(vocab_size=2000, num_hidden_layers=1, pad_token_id=5))
    model.initialise()
    words = model.embeddings.word_embeddings.weight
    assert not words[5].any()
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            assert not weight.any(), name
        elif "LayerNorm" in name:
            assert bool((weight == 1).all()), name
        else:
            assert weight.std().item() == pytest.approx(0.02, rel=0.05), name
            assert weight.mean().item() == pytest.approx(0.0, abs=1e-3), name


@pytest.mark.slow
@pytest.mark.parametrize("cls_only", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_compiled_in_one_graph(packed: bool, cls_only: bool) -> None:
    model = stack()
    ids, mask, flat, layout = batch([5, 3, 3])
    given = (flat, layout) if packed else (ids, padded(mask))
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        close(compiled(*given, cls_only=cls_only).last, model(*given, cls_only=cls_only).last, 1e-6)


def loop_of_sequences(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, max_q: int, max_k: int
) -> Tensor:
    """What the CUDA kernel computes, one sequence at a time."""
    out = []
    for (a, b), (c, d) in zip(pairwise(rows.tolist()), pairwise(columns.tolist()), strict=True):
        assert 0 < b - a <= max_q
        assert 0 < d - c <= max_k
        scores = torch.einsum("qhd,khd->hqk", q[a:b], k[c:d]) / q.shape[-1] ** 0.5
        out.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v[c:d]))
    return torch.cat(out)


@pytest.mark.parametrize("cls_only", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_what_the_cuda_kernel_is_given(
    lengths: list[int], cls_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On any machine: the kernel's arguments, by a slow twin in its place."""
    import torch.nn.attention.varlen as kernels

    inspect.signature(kernels.varlen_attn).bind(*range(7))  # the installed torch takes the seven
    monkeypatch.setattr(kernels, "varlen_attn", loop_of_sequences)
    attention = SelfAttention(tiny())
    layout = Packed.from_lengths(lengths)
    k, v = torch.randn(2, sum(lengths), 4, 8)
    q = torch.randn(len(lengths) if cls_only else sum(lengths), 4, 8)
    got = attention._varlen(q, k, v, layout, cls_only)
    expected = attention._packed(q.flatten(1), k.flatten(1), v.flatten(1), layout, cls_only, 0.0)
    close(got, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("cls_only", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("lengths", [LENGTHS["sorted"], LENGTHS["unsorted"]], ids=str)
def test_the_cuda_kernel(
    lengths: list[int], dtype: torch.dtype, cls_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = stack()
    ids, mask, flat, _ = batch(lengths)
    with torch.no_grad():
        slow = model(ids, padded(mask)).last
        model.to("cuda", dtype)
        used: list[int] = []
        kernel = SelfAttention._varlen
        monkeypatch.setattr(
            SelfAttention, "_varlen", lambda *given: used.append(1) or kernel(*given)
        )
        layout = Packed.from_lengths(lengths, "cuda")
        fast = model(flat.cuda(), layout, cls_only=cls_only).last.float().cpu()
    assert len(used) == 2
    close(fast, slow[:, 0] if cls_only else slow[mask], 0.05 if dtype == torch.float16 else 0.3)


def test_first_tokens() -> None:
    x = torch.arange(12.0).view(6, 2)
    assert first_tokens(x, Packed.from_lengths([1, 3, 2])).tolist() == [[0, 1], [2, 3], [8, 9]]
    assert first_tokens(x.view(2, 3, 2), Padded()).tolist() == [[[0, 1]], [[6, 7]]]


def test_segments_are_zero_where_none_are_given() -> None:
    model = stack()
    ids, _, _, _ = batch([6, 6])
    with torch.no_grad():
        given = model(ids, Padded(), token_type_ids=torch.zeros_like(ids)).last
        assert torch.equal(model(ids, Padded()).last, given)
        other = model(ids, Padded(), token_type_ids=torch.ones_like(ids)).last
    assert not torch.allclose(other, given, atol=1e-2)


def test_weight_names_are_those_of_bert() -> None:
    names = {name for name, _ in stack(num_hidden_layers=1).named_parameters()}
    linear = [
        *(f"attention.self.{part}" for part in ("query", "key", "value")),
        *("attention.output.dense", "attention.output.LayerNorm"),
        *("intermediate.dense", "output.dense", "output.LayerNorm"),
    ]
    tables = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    assert names == {
        *(f"embeddings.{table}.weight" for table in tables),
        *(f"embeddings.LayerNorm.{end}" for end in ("weight", "bias")),
        *(f"encoder.layer.0.{part}.{end}" for part in linear for end in ("weight", "bias")),
    }
    assert all(isinstance(m.bias, nn.Parameter) for m in stack().modules() if type(m) is nn.Linear)
