"""How passages are read and answers are scored: the settings, checked when they are made.

Knows nothing of models and of where settings are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dpr.errors import CorruptionError, SettingsError

SETTINGS_NAME = "reading.json"
KEY = "reading"


@dataclass(frozen=True, slots=True)
class ReadingSettings:
    """How passages are read.

    Attributes:
        passages: hits read for a question, from the best on.
        answers: answers given for a question, at most.
        max_answer_tokens: longest span, in tokens.
        spans_per_passage: spans of a passage that compete.
        relevance_weight, retrieval_weight, rank_weight: see ``dpr.reading.answers``.
        confidence_slope, confidence_relevance, confidence_span, confidence_length,
            confidence_standing, confidence_offset: likewise.
        no_answer_below: an answer with a lower score is not given.
        max_length: tokens read at once, the question included; longer passages are read in
            windows that overlap by ``stride`` tokens.
        batch_tokens: tokens that go through the model at once.
    """

    passages: int = 10
    answers: int = 3
    max_answer_tokens: int = 20
    spans_per_passage: int = 4
    relevance_weight: float = 1.0
    retrieval_weight: float = 1.0
    no_answer_below: float = 0.02
    max_length: int = 350
    stride: int = 128
    batch_tokens: int = 2048
    rank_weight: float = 0.0
    confidence_slope: float = 1.0
    confidence_offset: float = 0.0
    confidence_relevance: float = 0.0
    confidence_span: float = 0.0
    confidence_length: float = 0.0
    confidence_standing: float = 0.0

    def __post_init__(self) -> None:
        for name in ("passages", "answers", "max_answer_tokens", "spans_per_passage", "max_length"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 1")
        if not 0 <= self.no_answer_below <= 1:
            raise SettingsError(
                f"no_answer_below={self.no_answer_below}; give a share between 0 and 1"
            )
        if not 0 < self.confidence_slope < np.inf:  # or a better answer would have a lower score
            raise SettingsError(
                f"confidence_slope={self.confidence_slope}; give a finite number above 0"
            )
        for name in ("relevance", "span", "length", "standing", "offset"):
            value = getattr(self, f"confidence_{name}")
            if not np.isfinite(value):
                raise SettingsError(f"confidence_{name}={value}; give a finite number")

    @classmethod
    def kept(cls, search: Mapping[str, Any], reader: Callable[[], str]) -> ReadingSettings | None:
        """What a collection keeps for a reader; None where it keeps nothing, or for another one.

        Args:
            search: of the collection's manifest.
            reader: gives the reader's fingerprint.

        Raises:
            CorruptionError: it is nothing that ``to_keep`` gave.
        """
        value = search.get(KEY)
        if value is None:
            return None
        try:
            return cls(**value["settings"]) if value["reader"] == reader() else None
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptionError(
                f"the collection keeps reading settings that make no sense ({error!r}): {value}; "
                "use the release that made it, or run `dpr calibrate` on it again"
            ) from error

    def to_keep(self, search: Mapping[str, Any], reader: str, questions: str) -> dict[str, Any]:
        """What the manifest is to keep, with the reader's fingerprint and what it was chosen on."""
        return {**search, KEY: {"reader": reader, "questions": questions, "settings": asdict(self)}}

    def within(self, positions: int) -> ReadingSettings:
        """The same for a model that has only so many positions."""
        if self.max_length <= positions:
            return self
        return replace(self, max_length=positions, stride=min(self.stride, positions // 4))
