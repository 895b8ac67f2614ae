"""The packed stack beside its slow twin, the stack as it was."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.errors import SettingsError
from dpr.models import inference
from dpr.models.bert import Packed, Padded
from dpr.models.dpr import (
    DPRContextEncoder,
    DPRPreTrainedModel,
    DPRQuestionEncoder,
    DPRReader,
    pack,
)
from dpr.models.inference import PackedFeedForward, PackedLinear
from dpr.models.weights import weights_fingerprint
from dpr.records import Passage

from .small import CLASSES, same, tiny

SEQUENCES = [[2, 5, 6, 7, 3], [2, 9, 3], [2, 8, 3], [2, *range(10, 33), 3], [2]]


def make(model_class: type[DPRPreTrainedModel], **changes: Any) -> DPRPreTrainedModel:
    """A model with weights that leave no part of it near zero."""
    torch.manual_seed(0)
    model = model_class(tiny(initializer_range=0.3, **changes))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, 0, 0.3)
    return model.eval()


def twins(
    model_class: type[DPRPreTrainedModel], **changes: Any
) -> tuple[DPRPreTrainedModel, DPRPreTrainedModel]:
    """A model as it is, and the same prepared; skips where this machine cannot pack."""
    plain = make(model_class, **changes)
    fast = copy.deepcopy(plain)
    done = fast.prepare_for_inference()
    if done != inference.PACKED:
        pytest.skip(done)
    return plain, fast


def close(fast: Tensor, plain: Tensor) -> bool:
    return torch.allclose(fast, plain, rtol=1e-5, atol=1e-5)


def test_this_project_runs_where_packing_works() -> None:
    """So that the tests below are not all skipped in silence."""
    assert make(DPRQuestionEncoder).prepare_for_inference() == inference.PACKED


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@pytest.mark.parametrize("projection", [0, 11])
def test_packed_sequences(activation: str, projection: int) -> None:
    plain, fast = twins(DPRContextEncoder, hidden_act=activation, projection_dim=projection)
    for sequences in (SEQUENCES, SEQUENCES[:1], SEQUENCES[-1:]):
        with torch.no_grad():
            assert close(
                fast.encode_packed(*pack(sequences)), plain.encode_packed(*pack(sequences))
            )


@pytest.mark.parametrize(
    "lengths",
    [[17], [16], [3] * 17, [1] * 17, [1] * 33, [5, 5, 8], [40] * 9, [2] * 16, [39, 1, 1] * 7],
)
@pytest.mark.parametrize("cls_only", [False, True])
def test_what_packed_sequences_are_filled_up_with(lengths: list[int], cls_only: bool) -> None:
    plain, fast = twins(DPRQuestionEncoder)
    layout = Packed.from_lengths(lengths)
    torch.manual_seed(1)
    ids, types = torch.randint(1, 99, (sum(lengths),)), torch.randint(0, 2, (sum(lengths),))
    embeds = torch.randn(len(ids), plain.config.hidden_size)
    for tokens in ({"input_ids": ids}, {"input_ids": None, "inputs_embeds": embeds}):
        for more in ({}, {"token_type_ids": types, "want_hidden": True}):
            with torch.no_grad():
                slow, quick = (
                    one.stack(**tokens, layout=layout, cls_only=cls_only, **more)
                    for one in (plain, fast)
                )
            assert quick.last.shape == slow.last.shape
            assert close(quick.last, slow.last)
            pairs = list(zip(quick.hidden_states or (), slow.hidden_states or (), strict=True))
            assert len(pairs) == (3 if more else 0)
            assert all(a.shape == b.shape and close(a, b) for a, b in pairs)


def test_products_are_made_of_few_numbers_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the kernels that oneDNN keeps for each take gigabytes."""
    _, fast = twins(DPRQuestionEncoder)
    met, product = set[int](), PackedLinear.__call__

    def seen(self: PackedLinear, x: Tensor, *more: Any) -> Tensor:
        met.add(len(x))
        return product(self, x, *more)

    monkeypatch.setattr(PackedLinear, "__call__", seen)
    with torch.no_grad():
        for count in range(1, 300):
            fast.stack(
                torch.ones(3 * count).long(), Packed.from_lengths([3] * count), cls_only=True
            )
    assert max(met) == 960
    assert len(met) <= 16 + 5 * 8 + (960 - 512) // 64


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_output_of_a_padded_batch(layers: int) -> None:
    plain, fast = twins(DPRQuestionEncoder, num_hidden_layers=layers)
    ids = torch.tensor([[2, 5, 6, 7, 3, 0], [2, 9, 8, 7, 6, 3]])
    for implementation in ("sdpa", "eager"):
        for model in (plain, fast):
            model.set_attn_implementation(implementation)
        for options in (
            {},
            {"token_type_ids": (ids == 7).long()},
            {"output_hidden_states": True, "output_attentions": True},
        ):
            with torch.no_grad():
                slow, quick = plain(ids, **options), fast(ids, **options)
            assert close(quick.pooler_output, slow.pooler_output)
            for name in ("hidden_states", "attentions"):
                pairs = zip(getattr(quick, name) or (), getattr(slow, name) or (), strict=True)
                assert all(close(a, b) for a, b in pairs)


def test_the_reader() -> None:
    plain, fast = twins(DPRReader)
    with torch.no_grad():
        for a, b in zip(
            fast.read_packed(*pack(SEQUENCES)),
            plain.read_packed(*pack(SEQUENCES)),
            strict=True,
        ):
            assert close(a, b)


def test_cls_only_in_a_padded_layout() -> None:
    plain, fast = twins(DPRQuestionEncoder)
    ids = torch.randint(1, 99, (3, 7))
    with torch.no_grad():
        slow = plain.stack(ids, Padded(), cls_only=True).last
        quick = fast.stack(ids, Padded(), cls_only=True).last
    assert quick.shape == (3, 1, 32)
    assert close(quick, slow)


@pytest.mark.parametrize("model_class", CLASSES)
def test_weights_are_saved_bit_for_bit(
    model_class: type[DPRPreTrainedModel], tmp_path: Path
) -> None:
    plain, fast = twins(model_class)
    assert list(fast.state_dict()) == list(plain.state_dict())
    assert same(fast, plain)
    assert weights_fingerprint(fast.state_dict()) == weights_fingerprint(plain.state_dict())
    fast.save_pretrained(tmp_path)
    assert same(model_class.from_pretrained(tmp_path), plain)


def test_what_state_dict_gives_is_a_copy() -> None:
    plain, fast = twins(DPRQuestionEncoder)
    for tensor in fast.stack.encoder.state_dict().values():
        if tensor.dim() == 2:
            tensor.zero_()
    assert same(fast, plain)


def test_nothing_is_held_twice() -> None:
    _, fast = twins(DPRQuestionEncoder)
    assert not any(isinstance(module, nn.Linear) for module in fast.stack.modules())


def test_preparing_twice_does_no_harm() -> None:
    plain, fast = twins(DPRQuestionEncoder)
    assert fast.prepare_for_inference() == inference.PACKED
    assert same(fast, plain)


def test_what_a_prepared_model_refuses() -> None:
    plain, fast = twins(DPRQuestionEncoder)
    with pytest.raises(SettingsError, match="cannot train; load it anew"):
        fast.train()
    for change in (fast.half, fast.double, lambda: fast.to("meta")):
        with pytest.raises(SettingsError, match="cannot change its dtype or device"):
            change()
    others = {name: torch.zeros_like(weight) for name, weight in plain.state_dict().items()}
    with pytest.raises(SettingsError, match="cannot take other weights"):
        fast.load_state_dict(others)
    assert same(fast, plain)  # refused before anything was changed
    assert close(fast(torch.tensor([SEQUENCES[0]]))[0], plain(torch.tensor([SEQUENCES[0]]))[0])


def test_what_changes_nothing_is_allowed() -> None:
    plain, fast = twins(DPRQuestionEncoder)
    fast.eval().float().to("cpu")
    with torch.no_grad():
        assert close(fast(torch.tensor([SEQUENCES[0]]))[0], plain(torch.tensor([SEQUENCES[0]]))[0])


def test_a_prepared_model_has_no_gradients() -> None:
    _, fast = twins(DPRQuestionEncoder)
    assert not fast(torch.tensor([SEQUENCES[0]])).pooler_output.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_stay_as_they_are(dtype: torch.dtype) -> None:
    model = make(DPRQuestionEncoder).to(dtype)
    done = model.prepare_for_inference()
    assert done.startswith("plain: ")
    assert str(dtype) in done
    assert any(isinstance(module, nn.Linear) for module in model.stack.modules())


def test_a_torch_without_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise NotImplementedError("Could not run 'mkldnn::_reorder_linear_weight'")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", gone)
    plain = make(DPRQuestionEncoder)
    model = copy.deepcopy(plain)
    assert "does not pack linears: Could not run" in model.prepare_for_inference()
    assert same(model, plain)
    assert "PackedAddNorm" not in repr(model)


def test_a_processor_on_which_packed_products_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = inference.PackedLinear.plus
    monkeypatch.setattr(
        inference.PackedLinear, "plus", lambda self, x, other: honest(self, x, other) * 1.001
    )
    done = make(DPRQuestionEncoder).prepare_for_inference()
    assert done == "plain: packed products with a sum differ from plain ones on this processor"


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_encoders_that_are_loaded_are_prepared(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capability: str
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    encoder = ContextEncoder.from_pretrained(tiny_model / "encoder")
    plain = ContextEncoder(
        DPRContextEncoder.from_pretrained(tiny_model / "encoder"), encoder.tokenizer
    )
    many = inference.PACKED if capability == "AVX512" else "plain: with AVX2 plain products of"
    assert encoder.linears.startswith(many)
    question = QuestionEncoder.from_pretrained(tiny_model / "encoder")
    assert question.linears == inference.PACKED
    fused = {m.gelu for m in question.model.modules() if isinstance(m, PackedFeedForward)}
    assert fused == {capability == "AVX512"}
    assert plain.linears == "plain: as given"
    passages = [Passage(str(n), "the king " * (1 + 5 * n % 7), "tale") for n in range(9)]
    assert np.allclose(encoder.encode(passages), plain.encode(passages), rtol=1e-5, atol=1e-5)
    assert encoder.fingerprint == plain.fingerprint
    assert np.allclose(
        question.encode(["the king", "a tale"]),
        QuestionEncoder(
            DPRQuestionEncoder.from_pretrained(tiny_model / "encoder"), question.tokenizer
        ).encode(["the king", "a tale"]),
        rtol=1e-5,
        atol=1e-5,
    )
