"""Text to vectors, in bulk and one at a time: a tokenizer, a model and their settings as one thing.

Takes strings or passages, gives float32 arrays. Sorts by length, packs by token budget and spends
no operation on padding. Knows nothing of collections or indexes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from dpr.errors import SettingsError
from dpr.models.checkpoint import weights_fingerprint
from dpr.models.dpr import DPRContextEncoder, DPRQuestionEncoder, pack
from dpr.records import Passage
from dpr.settings import load_settings
from dpr.tokens import (
    DPRContextEncoderTokenizer,
    DPRQuestionEncoderTokenizer,
    DPRTokenizer,
    passage_ids,
    question_ids,
)
from dpr.tokens.batching import token_batches

SETTINGS_NAME = "encoding.json"
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncodingSettings:
    """How text becomes vectors.

    Attributes:
        max_length: tokens of a text that are encoded, special tokens included; the rest is cut.
        batch_tokens: tokens encoded at once. Small batches stay in a CPU's caches.
    """

    max_length: int = 256
    batch_tokens: int = 1536

    def __post_init__(self) -> None:
        if self.max_length < 8:
            raise SettingsError(f"max_length={self.max_length}; give at least 8 tokens")
        if self.batch_tokens < 1:
            raise SettingsError(f"batch_tokens={self.batch_tokens}; give at least 1")


class _Encoder:
    """What both towers share.

    Attributes:
        linears: on what the model's linears run, and why; see ``dpr.models.inference``.
    """

    tower: ClassVar[str]
    model_class: ClassVar[type[DPRQuestionEncoder | DPRContextEncoder]]
    tokenizer_class: ClassVar[type[DPRTokenizer]]
    bulk: ClassVar[bool]

    def __init__(
        self,
        model: DPRQuestionEncoder | DPRContextEncoder,
        tokenizer: DPRTokenizer,
        settings: EncodingSettings | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        limit = model.config.max_position_embeddings
        usual = EncodingSettings()
        self._settings = settings or replace(usual, max_length=min(usual.max_length, limit))
        if self._settings.max_length > limit:
            raise SettingsError(
                f"max_length={self._settings.max_length}; the model has {limit} positions"
            )
        self._fingerprint = ""
        self.linears = "plain: as given"

    @classmethod
    def from_pretrained(
        cls, place: str | os.PathLike[str], settings: EncodingSettings | None = None
    ) -> Self:
        """Loads model and tokenizer, and the settings kept beside them where none are given.

        The model is prepared for inference; give one to the class itself to have it left as it is.

        Raises:
            CheckpointError: the model or its tokenizer cannot be loaded.
        """
        if settings is None:
            settings = load_settings(EncodingSettings, Path(place) / SETTINGS_NAME)
        model = cls.model_class.from_pretrained(place, dtype=torch.float32)
        encoder = cls(model, cls.tokenizer_class.from_pretrained(place), settings)
        encoder.linears = model.prepare_for_inference(bulk=cls.bulk)
        return encoder

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self.model.embeddings_size

    @property
    def settings(self) -> dict[str, Any]:
        """What, beside weights and vocabulary, decides the vectors; JSON, for people to read."""
        return {
            "tower": self.tower,
            "max_length": self._settings.max_length,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "dim": self.dim,
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, tokenizer and settings: equal fingerprints, equal vectors."""
        if not self._fingerprint:
            parts = {
                "weights": weights_fingerprint(self.model.state_dict()),
                "config": self.model.config.hidden_act,
                "heads": self.model.config.num_attention_heads,
                "epsilon": self.model.config.layer_norm_eps,
                "tokenizer": tokenizer_fingerprint(self.tokenizer),
                **self.settings,
            }
            text = json.dumps(parts, sort_keys=True)
            self._fingerprint = hashlib.sha256(text.encode()).hexdigest()
        return self._fingerprint

    def encode_ids(
        self, ids: Sequence[Sequence[int]], progress: Callable[[int], None] | None = None
    ) -> Vectors:
        """Vectors (n, dim) of token id sequences, in the order given."""
        vectors = np.empty((len(ids), self.dim), dtype=np.float32)
        with torch.inference_mode():
            for batch in token_batches([len(one) for one in ids], self._settings.batch_tokens):
                out = self.model.encode_packed(*pack([ids[i] for i in batch], self.model.device))
                vectors[batch] = out.float().cpu().numpy()
                if progress is not None:
                    progress(len(batch))
        return vectors


class QuestionEncoder(_Encoder):
    """Questions to vectors."""

    tower = "question"
    model_class = DPRQuestionEncoder
    tokenizer_class = DPRQuestionEncoderTokenizer
    bulk = False

    def encode(self, questions: Sequence[str]) -> Vectors:
        """Vectors (n, dim), in the order given."""
        return self.encode_ids(question_ids(self.tokenizer, questions, self._settings.max_length))


class ContextEncoder(_Encoder):
    """Passages to vectors, each encoded with its title."""

    tower = "context"
    model_class = DPRContextEncoder
    tokenizer_class = DPRContextEncoderTokenizer
    bulk = True
    truncated = 0

    def encode(
        self, passages: Sequence[Passage], progress: Callable[[int], None] | None = None
    ) -> Vectors:
        """Vectors (n, dim), in the order given; ``truncated`` counts the texts that were cut."""
        ids, truncated = passage_ids(
            self.tokenizer,
            [passage.title for passage in passages],
            [passage.text for passage in passages],
            self._settings.max_length,
        )
        self.truncated += truncated
        return self.encode_ids(ids, progress)


def tokenizer_fingerprint(tokenizer: DPRTokenizer) -> str:
    """SHA-256 of all that decides a tokenizer's ids: vocabulary, normalisation, special tokens."""
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    for state in ("truncation", "padding"):  # of the last call, not of the tokenizer
        parts.pop(state, None)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
