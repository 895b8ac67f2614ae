"""What reading a text gives, as frozen records.

Knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A span of one text: character offsets, log P(start)·P(end), and the sum of its logits."""

    start: int
    end: int
    log_probability: float
    logits: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one window of a text gives: its relevance logit and best spans, best first."""

    item: int
    relevance: float
    spans: tuple[Span, ...]
