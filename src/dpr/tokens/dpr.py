"""The six public tokenizer classes, named as in Transformers.

The ``...Fast`` names are the same implementation: there is no slow one.
"""

from __future__ import annotations

from dpr.tokens.reader import ReaderTokenizer
from dpr.tokens.tokenizer import DPRTokenizer


class DPRQuestionEncoderTokenizer(DPRTokenizer):
    """Tokenizes questions for the question encoder: ``[CLS] question [SEP]``."""


class DPRContextEncoderTokenizer(DPRTokenizer):
    """Tokenizes passages for the context encoder.

    A call on titles and texts gives the texts segment 1, as in Transformers; DPR's models were
    trained on segment 0 throughout, which :func:`dpr.tokens.passage_ids` gives.
    """


class DPRReaderTokenizer(ReaderTokenizer):
    """Tokenizes questions with passages for the reader, and decodes its answers."""


class DPRQuestionEncoderTokenizerFast(DPRQuestionEncoderTokenizer):
    """The same as :class:`DPRQuestionEncoderTokenizer`."""


class DPRContextEncoderTokenizerFast(DPRContextEncoderTokenizer):
    """The same as :class:`DPRContextEncoderTokenizer`."""


class DPRReaderTokenizerFast(DPRReaderTokenizer):
    """The same as :class:`DPRReaderTokenizer`."""
