"""The three models: packed reading and encoding, training, compiling, errors, mended quirks."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dpr import models as public
from dpr.models import bert
from dpr.models.dpr import (
    DPRContextEncoder,
    DPRPreTrainedModel,
    DPRQuestionEncoder,
    DPRReader,
    pack,
)

from .small import CLASSES, tiny

ENCODERS = [DPRQuestionEncoder, DPRContextEncoder]
LENGTHS = [8, 1, 3, 20, 1, 3, 3]


def model_of(cls: type[DPRPreTrainedModel], **changes: Any) -> Any:
    torch.manual_seed(0)
    model = cls(tiny(**changes))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model.eval()


def sequences(lengths: list[int]) -> list[list[int]]:
    torch.manual_seed(1)
    return [torch.randint(1, 99, (length,)).tolist() for length in lengths]


def batch(lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Ids padded with 0, and the mask."""
    rows = [torch.tensor(row) for row in sequences(lengths)]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return ids, ids != 0


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def same(a: Any, b: Any, mask: Tensor) -> None:
    """Equal outputs, span logits at unmasked positions only."""
    assert list(a) == list(b)
    for name in a:
        if name in ("start_logits", "end_logits"):
            close(a[name][mask], b[name][mask])
        else:
            close(a[name], b[name])


# Packed and padded


@pytest.mark.parametrize("projection", [0, 7])
@pytest.mark.parametrize("lengths", [[6], [1], [5, 5], LENGTHS, sorted(LENGTHS)], ids=str)
@pytest.mark.parametrize("cls", ENCODERS)
def test_vectors_of_packed_sequences(cls: Any, lengths: list[int], projection: int) -> None:
    model = model_of(cls, projection_dim=projection)
    ids, mask = batch(lengths)
    with torch.no_grad():
        packed = model.encode_packed(*pack(sequences(lengths)))
        whole = model(ids, mask, output_hidden_states=True)
        last = model.encoder.pool(whole.hidden_states[-1][:, 0])
    assert packed.shape == (len(lengths), projection or 32)
    close(packed, whole.pooler_output)
    close(packed, last)


@pytest.mark.parametrize("lengths", [[6], [1], [5, 5], LENGTHS, sorted(LENGTHS)], ids=str)
def test_logits_of_packed_sequences(lengths: list[int]) -> None:
    model = model_of(DPRReader)
    ids, mask = batch(lengths)
    with torch.no_grad():
        start, end, relevance = model.read_packed(*pack(sequences(lengths)))
        padded = model(ids, mask)
    close(start, padded.start_logits[mask])
    close(end, padded.end_logits[mask])
    close(relevance, padded.relevance_logits)


@pytest.mark.parametrize("cls", ENCODERS)
def test_a_padded_batch_is_packed_on_the_way(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(cls)
    ids, mask = batch(LENGTHS)
    mask[3, 4:9] = False  # holes keep their positions
    segments = torch.randint(0, 2, ids.shape)
    seen: list[tuple[int, ...]] = []
    model.stack.embeddings.register_forward_hook(lambda _, given, out: seen.append(out.shape))
    with torch.no_grad():
        fast = model(ids, mask, segments).pooler_output
        monkeypatch.setattr(type(model), "_can_pack", lambda *_: False)
        slow = model(ids, mask, segments).pooler_output
    assert seen == [(int(mask.sum()), 32), (*ids.shape, 32)]
    close(fast, slow)


@pytest.mark.parametrize("cls", CLASSES)
def test_gradients_of_packed_equal_those_of_padded(cls: Any) -> None:
    model = model_of(cls, projection_dim=7, hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    model.train()
    ids, mask = batch(LENGTHS)

    def gradients(outputs: tuple[Tensor, ...]) -> dict[str, Tensor | None]:
        model.zero_grad()
        torch.stack([out.pow(3).mean() for out in outputs]).sum().backward()
        return {key: weight.grad for key, weight in model.named_parameters()}

    if cls is DPRReader:
        fast = gradients(model.read_packed(*pack(sequences(LENGTHS))))
        out = model(ids, mask)
        slow = gradients((out.start_logits[mask], out.end_logits[mask], out.relevance_logits))
    else:
        fast = gradients((model.encode_packed(*pack(sequences(LENGTHS))),))
        slow = gradients((model(ids, mask, output_hidden_states=True).pooler_output,))
    for key, value in slow.items():
        if "span_predictor.encoder.encode_proj" in key:
            assert value is fast[key] is None  # the reader's heads take hidden states
        else:
            assert value is not None
            close(fast[key], value)


# Training and compiling


@pytest.mark.parametrize("cls", CLASSES)
def test_gradient_checkpointing(cls: Any) -> None:
    model = model_of(cls).train()
    ids, mask = batch(LENGTHS)
    found = []
    for switch in (model.gradient_checkpointing_disable, model.gradient_checkpointing_enable):
        switch()
        torch.manual_seed(5)
        model.zero_grad()
        model(ids, mask)[0][mask if cls is DPRReader else slice(None)].pow(3).mean().backward()
        found.append([w.grad.clone() for w in model.parameters() if w.grad is not None])
    assert model.is_gradient_checkpointing
    for a, b in zip(*found, strict=True):
        close(a, b, 1e-6)


@pytest.mark.parametrize("cls", CLASSES)
def test_dropout_in_training_only(cls: Any) -> None:
    model = model_of(cls)
    ids, mask = batch(LENGTHS)
    with torch.no_grad():
        assert torch.equal(model(ids, mask)[0], model(ids, mask)[0])
        model.train()
        assert not torch.allclose(model(ids, mask)[0], model(ids, mask)[0], atol=1e-2)


def compiled_equals(model: Any, backend: str) -> None:
    ids, mask = batch([6, 2, 4])
    torch.compiler.reset()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    everything = {"output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        for given in ((ids, mask), (ids,)):
            same(compiled(*given), model(*given), mask)
        got = compiled(ids, mask, **everything).attentions[-1]
        close(got, model(ids, mask, **everything).attentions[-1])


@pytest.mark.slow
@pytest.mark.parametrize("cls", CLASSES)
def test_compiled_in_one_graph(cls: Any) -> None:
    compiled_equals(model_of(cls, projection_dim=7), "aot_eager")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gcc"), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, in torch
@pytest.mark.parametrize("cls", [DPRContextEncoder, DPRReader])
def test_compiled_to_machine_code(cls: Any) -> None:
    compiled_equals(model_of(cls, num_hidden_layers=1), "inductor")


# Errors


def bad_inputs() -> dict[str, tuple[dict[str, Any], str]]:
    ids, vectors = torch.ones(2, 5, dtype=torch.long), torch.ones(2, 5, 32)
    long = torch.ones(1, 41, dtype=torch.long)
    holes = torch.ones(1, 41).index_fill(1, torch.arange(3, 9), 0)
    return {
        "neither": ({}, "either input_ids or inputs_embeds"),
        "both": ({"input_ids": ids, "inputs_embeds": vectors}, "not both"),
        "one sequence": ({"input_ids": ids[0]}, r"shape \(5,\).*input_ids\[None\]"),
        "no tokens": ({"input_ids": ids[:, :0]}, r"shape \(2, 0\).*at least one token"),
        "flat vectors": ({"inputs_embeds": vectors[0]}, r"shape \(5, 32\)"),
        "mask too short": (
            {"input_ids": ids, "attention_mask": torch.ones(2, 4)},
            r"attention_mask has shape \(2, 4\); allowed.* \(2, 5\) and \(2, 1, 5, 5\)",
        ),
        "mask of one row": ({"input_ids": ids, "attention_mask": torch.ones(1, 5)}, r"\(1, 5\)"),
        "mask of three": ({"input_ids": ids, "attention_mask": torch.ones(2, 5, 5)}, "allowed"),
        "mask of three heads": (
            {"input_ids": ids, "attention_mask": torch.ones(2, 3, 5, 5)},
            r"\(2, 3, 5, 5\)",
        ),
        "mask of other length": (
            {"input_ids": ids, "attention_mask": torch.ones(2, 1, 5, 1)},
            r"\(2, 1, 5, 1\)",
        ),
        "too long": ({"input_ids": long}, "41 tokens; this model has 40 positions"),
        "too long, with holes": (
            {"input_ids": long, "attention_mask": holes},
            "41 tokens; this model has 40 positions",
        ),
        "vectors too long": ({"inputs_embeds": torch.ones(1, 41, 32)}, "41 tokens"),
    }


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("case", bad_inputs())
def test_bad_inputs_are_refused(case: str, cls: Any) -> None:
    given, message = bad_inputs()[case]
    with pytest.raises(ValueError, match=message):
        model_of(cls)(**given)


@pytest.mark.parametrize("cls", CLASSES)
def test_unknown_keywords_are_refused(cls: Any) -> None:
    with pytest.raises(TypeError, match="position_ids"):
        model_of(cls)(torch.ones(1, 3, dtype=torch.long), position_ids=torch.arange(3))


def test_an_unknown_attention_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'flash'.*'sdpa' and 'eager'"):
        model_of(DPRReader).set_attn_implementation("flash")


@pytest.mark.parametrize("cls", CLASSES)
def test_an_empty_batch_gives_empty_outputs(cls: Any) -> None:
    model = model_of(cls)
    with torch.no_grad():
        out = model(torch.ones(0, 5, dtype=torch.long))
    assert {tuple(t.shape) for t in out.values()} <= {(0, 32), (0, 5), (0,)}


# What Transformers gets wrong, or leaves to chance


@pytest.mark.parametrize("cls", CLASSES)
def test_without_a_mask_padding_is_not_attended(cls: Any) -> None:
    model = model_of(cls)
    ids, mask = batch([6, 2, 4])
    with torch.no_grad():
        same(model(ids), model(ids, mask), mask)
        for row, size in enumerate([6, 2, 4]):  # and neither is it by each alone
            alone = model(ids[row : row + 1, :size])
            for name, value in model(ids).items():
                part = value[row : row + 1]
                close(part[:, :size] if "start" in name or "end" in name else part, alone[name])


def test_no_token_is_padding_where_the_configuration_says_so() -> None:
    model = model_of(DPRReader, pad_token_id=None)
    ids, mask = batch([6, 2])
    with torch.no_grad():
        same(model(ids), model(ids, torch.ones_like(ids)), torch.ones_like(mask))


@pytest.mark.parametrize("projection", [1, 7, 32, 50])
def test_a_reader_with_a_projection_reads_hidden_states(projection: int) -> None:
    model, plain = model_of(DPRReader, projection_dim=projection), model_of(DPRReader)
    weights = model.state_dict()
    plain.load_state_dict({key: weights[key] for key in plain.state_dict()})
    ids, mask = batch([6, 2, 4])
    with torch.no_grad():
        same(model(ids, mask), plain(ids, mask), mask)
    assert weights["span_predictor.encoder.encode_proj.weight"].shape == (projection, 32)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_tuple_keeps_the_hidden_states(cls: Any) -> None:
    model = model_of(cls)
    ids, mask = batch([6, 2, 4])
    options = {"output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        given = model(ids, mask, **options, return_dict=False)
        named = model(ids, mask, **options)
    assert len(given) == len(named) == (5 if cls is DPRReader else 3)
    assert len(given[-2]) == 3
    assert len(given[-1]) == 2
    for a, b in zip(given[-2], named.hidden_states, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("cls", CLASSES)
def test_a_fully_masked_row_gives_no_nan_and_changes_no_other(
    cls: Any, attention: str, dtype: torch.dtype
) -> None:
    model = model_of(cls, attn_implementation=attention).to(dtype)
    ids, mask = batch([6, 2, 4])
    mask[1] = False
    with torch.no_grad():
        for options in ({}, {"output_hidden_states": True, "output_attentions": True}):
            out = model(ids, mask, **options)
            assert all(bool(t.isfinite().all()) for t in out.to_tuple() if isinstance(t, Tensor))
            alone = model(ids[[0, 2]], mask[[0, 2]], **options)
            close(out[0][[0, 2]][:, 0], alone[0][:, 0], 1e-5 if dtype == torch.float32 else 0.05)


# What users call


def test_public_names_and_their_bases() -> None:
    for name in ("QuestionEncoder", "ContextEncoder", "Reader"):
        cls, base = getattr(public, f"DPR{name}"), getattr(public, f"DPRPretrained{name}")
        assert issubclass(cls, base)
        assert issubclass(base, public.DPRPreTrainedModel)
        assert base.base_model_prefix == cls.base_model_prefix
        assert [c for c in CLASSES if issubclass(c, base)] == [cls]
    assert public.DPRQuestionEncoder.base_model_prefix == "question_encoder"
    assert public.DPRContextEncoder.base_model_prefix == "ctx_encoder"
    assert public.DPRReader.base_model_prefix == "span_predictor"
    for name in public.__all__:
        assert getattr(public, name).__name__ == name


@pytest.mark.parametrize("cls", CLASSES)
def test_parts(cls: Any) -> None:
    model = model_of(cls)
    assert model.base_model is getattr(model, cls.base_model_prefix)
    assert isinstance(model.base_model, nn.Module)
    assert model.config.hidden_size == 32
    words = model.get_input_embeddings()
    assert words is model.stack.embeddings.word_embeddings
    model.set_input_embeddings(nn.Embedding(7, 32))
    assert model.stack.embeddings.word_embeddings.num_embeddings == 7
    assert cls.config_class is public.DPRConfig


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        (lambda m: m.half(), torch.float16),
        (lambda m: m.bfloat16(), torch.bfloat16),
        (lambda m: m.double().float(), torch.float32),
        (lambda m: m.to("cpu", dtype=torch.float64), torch.float64),
        (copy.deepcopy, torch.float32),
    ],
    ids=["half", "bfloat16", "float", "to", "copy"],
)
@pytest.mark.parametrize("cls", CLASSES)
def test_moved_models_work(cls: Any, change: Callable[[Any], Any], dtype: torch.dtype) -> None:
    ids, mask = batch([6, 2, 4])
    model = model_of(cls)
    with torch.no_grad():
        expected = model(ids, mask)
        changed = change(model)
        got = changed(ids, mask)
    assert changed.dtype == dtype
    assert changed.device.type == "cpu"
    for name, value in got.items():
        assert value.dtype == dtype
        if value.shape == mask.shape:
            value, expected[name][~mask] = value.masked_fill(~mask, 0), 0
        close(value.float(), expected[name], 1e-5 if dtype.itemsize > 2 else 0.3)


@pytest.mark.parametrize("cls", CLASSES)
def test_attention_can_be_chosen(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    slow = bert.attend_eager
    monkeypatch.setattr(bert, "attend_eager", lambda *given: calls.append(1) or slow(*given))
    ids, mask = batch([6, 2, 4])
    model = model_of(cls)
    eager = model_of(cls, attn_implementation="eager")
    with torch.no_grad():
        expected = model(ids, mask)
        assert not calls
        same(eager(ids, mask), expected, mask)
        assert len(calls) == 2
        model.set_attn_implementation("eager")
        same(model(ids, mask), expected, mask)
        assert len(calls) == 4
        assert model.config.attn_implementation == "eager"
        model.set_attn_implementation("sdpa")
        model(ids, mask)
    assert len(calls) == 4


@pytest.mark.parametrize(("rows", "multiple", "wanted"), [(120, None, 120), (99, 64, 128)])
@pytest.mark.parametrize("cls", CLASSES)
def test_a_larger_vocabulary(cls: Any, rows: int, multiple: int | None, wanted: int) -> None:
    model = model_of(cls)
    ids, mask = batch([6, 2, 4])
    with torch.no_grad():
        expected = model(ids, mask)
        table = model.resize_token_embeddings(rows, pad_to_multiple_of=multiple)
        assert table is model.get_input_embeddings()
        assert table.weight.shape == (wanted, 32)
        assert model.config.vocab_size == wanted
        same(model(ids, mask), expected, mask)
        model(torch.tensor([[wanted - 1, 3]]))
    model.resize_token_embeddings(50)
    with pytest.raises(IndexError):
        model(torch.tensor([[60, 3]]))


@pytest.mark.parametrize("cls", ENCODERS)
def test_the_length_of_vectors_is_told(cls: Any) -> None:
    assert model_of(cls).embeddings_size == model_of(cls).encoder.embeddings_size == 32
    assert model_of(cls, projection_dim=7).embeddings_size == 7
