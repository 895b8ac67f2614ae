"""Models small enough for tests, and what tests do with their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dpr.models.config import DPRConfig
from dpr.models.dpr import DPRContextEncoder, DPRPreTrainedModel, DPRQuestionEncoder, DPRReader

CLASSES: list[type[DPRPreTrainedModel]] = [DPRQuestionEncoder, DPRContextEncoder, DPRReader]


def tiny(**changes: Any) -> DPRConfig:
    values = {
        "vocab_size": 99,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 37,
        "max_position_embeddings": 40,
    }
    return DPRConfig(**(values | changes))


def bare(model: DPRPreTrainedModel) -> dict[str, torch.Tensor]:
    """The weights of a model's BERT, as a plain BERT names them."""
    marker = "bert_model."
    return {
        key.split(marker, 1)[1]: value.clone()
        for key, value in model.state_dict().items()
        if marker in key
    }


def store(folder: Path, weights: dict[str, torch.Tensor], config: DPRConfig | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    (config or tiny()).save_pretrained(folder)
    return folder


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)
