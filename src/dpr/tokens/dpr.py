"""The six public tokenizer classes, named as in Transformers.

The ``...Fast`` names are the same implementation: there is no slow one.
"""

from __future__ import annotations

from dpr.tokens.tokenizer import DPRTokenizer


class DPRQuestionEncoderTokenizer(DPRTokenizer):
    """Tokenizes questions for :class:`dpr.models.DPRQuestionEncoder`."""


class DPRContextEncoderTokenizer(DPRTokenizer):
    """Tokenizes passages for :class:`dpr.models.DPRContextEncoder`."""
