"""Random towers whose vectors lie far apart, for tests of what other libraries make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dpr.encoding import ContextEncoder, EncodingSettings, QuestionEncoder
from dpr.interchange.dual import DualEncoder
from dpr.models import DPRConfig, DPRContextEncoder, DPRQuestionEncoder
from dpr.tokens import DPRContextEncoderTokenizer, DPRQuestionEncoderTokenizer


def random_towers(
    vocabulary: Path, tied: bool = True, projection: int = 0, **settings: Any
) -> DualEncoder:
    """Not prepared for inference: of the plain code path. ``settings``: of the encoding."""
    torch.manual_seed(1)
    config = DPRConfig(
        vocab_size=len(vocabulary.read_text(encoding="utf-8").splitlines()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=128,
        projection_dim=projection,
        initializer_range=0.2,
    )
    question, context = DPRQuestionEncoder(config), DPRContextEncoder(config)
    if tied:
        weights = question.state_dict()
        context.load_state_dict(
            {k.replace("question_encoder.", "ctx_encoder."): v for k, v in weights.items()}
        )
    chosen = EncodingSettings(**{"max_length": 64, **settings})
    file = {"vocab_file": str(vocabulary)}
    return DualEncoder(
        QuestionEncoder(question, DPRQuestionEncoderTokenizer(**file), chosen),
        ContextEncoder(context, DPRContextEncoderTokenizer(**file), chosen),
    )
