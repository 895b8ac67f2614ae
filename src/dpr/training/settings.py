"""Settings of training: plain values, checked when they are made.

Takes what a person chose; gives frozen records. Knows nothing of models, and does not import torch,
so that a command line can show the defaults without loading it.
"""

from __future__ import annotations

from dataclasses import dataclass

from dpr.errors import SettingsError


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How to train; the defaults are the paper's (Karpukhin et al. 2020, §5).

    Attributes:
        epochs: passes over the samples.
        learning_rate: at the end of the warm-up; falls linearly to zero at the end.
        warmup_steps: steps of linear rise; at most a tenth of all steps is used.
        clip_norm: gradients are scaled down to this Euclidean norm.
        weight_decay: of AdamW, on matrices only.
        seed: of sample order and dropout.
        freeze_embeddings: leave the word embeddings as they are (half of a small model's weights).
        checkpoint_seconds: at most this much work is lost by a kill.
        evaluations: evaluations on the dev set in each epoch.
        log_steps: steps between lines of the log.
    """

    epochs: int = 40
    learning_rate: float = 1e-5
    warmup_steps: int = 1237
    clip_norm: float = 2.0
    weight_decay: float = 0.0
    seed: int = 0
    freeze_embeddings: bool = False
    checkpoint_seconds: float = 300.0
    evaluations: int = 1
    log_steps: int = 10

    def __post_init__(self) -> None:
        for name in ("epochs", "evaluations", "log_steps"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 1")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name}={getattr(self, name)}; give a number above 0")
        for name in ("warmup_steps", "weight_decay", "checkpoint_seconds"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name}={getattr(self, name)}; give 0 or more")


@dataclass(frozen=True, slots=True)
class RetrieverSettings:
    """What a step of retriever training sees.

    Attributes:
        batch_size: questions a step.
        hard_negatives: of each question, or, where ``batching`` is "neighbours", of each positive
            passage; drawn anew every epoch.
        batching: "random", the paper's; or "neighbours": questions of the same passage together
            and passages of the same title near each other, which costs a fraction (each passage
            is encoded once for all its questions) and makes in-batch negatives harder.
        neighbours: passages of one title that go into a batch together at most.
        question_length, passage_length: tokens, special tokens included; 8 at least.
        pack_tokens: tokens that go through the model at once.
    """

    batch_size: int = 128
    hard_negatives: int = 1
    batching: str = "random"
    neighbours: int = 4
    question_length: int = 64
    passage_length: int = 256
    pack_tokens: int = 4096

    def __post_init__(self) -> None:
        if self.batching not in ("random", "neighbours"):
            raise SettingsError(
                f"batching={self.batching!r}; allowed are 'random' and 'neighbours'"
            )
        for name in ("batch_size", "neighbours", "pack_tokens"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 1")
        for name in ("question_length", "passage_length"):
            if getattr(self, name) < 8:  # what encoding asks for as well
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 8 tokens")
        if self.hard_negatives < 0:
            raise SettingsError(f"hard_negatives={self.hard_negatives}; give 0 or more")


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """What a step of reader training sees.

    Attributes:
        batch_size: questions a step.
        passages: passages of a question in a step, the positive one included; 24 in the paper.
            Fewer where a sample has fewer negatives; none at all and it trains spans only.
        max_length: tokens of question, title and text together; a longer text is cut into windows.
        stride: tokens by which windows overlap.
        pack_tokens: tokens that go through the model at once.
    """

    batch_size: int = 16
    passages: int = 24
    max_length: int = 350
    stride: int = 128
    pack_tokens: int = 4096

    def __post_init__(self) -> None:
        for name in ("batch_size", "passages", "pack_tokens"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 1")
        if not 0 <= self.stride < self.max_length:
            raise SettingsError(
                f"stride={self.stride}; give 0 or more, and less than max_length={self.max_length}"
            )
