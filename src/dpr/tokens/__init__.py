"""Text to token ids and back: the six DPR tokenizers, their batches, and span decoding.

Names load on first use; none of them needs torch until tensors of torch are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpr.tokens.batch import BatchEncoding as BatchEncoding
    from dpr.tokens.decoding import DPRSpanPrediction as DPRSpanPrediction
    from dpr.tokens.dpr import DPRContextEncoderTokenizer as DPRContextEncoderTokenizer
    from dpr.tokens.dpr import DPRContextEncoderTokenizerFast as DPRContextEncoderTokenizerFast
    from dpr.tokens.dpr import DPRQuestionEncoderTokenizer as DPRQuestionEncoderTokenizer
    from dpr.tokens.dpr import DPRQuestionEncoderTokenizerFast as DPRQuestionEncoderTokenizerFast
    from dpr.tokens.dpr import DPRReaderTokenizer as DPRReaderTokenizer
    from dpr.tokens.dpr import DPRReaderTokenizerFast as DPRReaderTokenizerFast
    from dpr.tokens.inputs import Window as Window
    from dpr.tokens.inputs import passage_ids as passage_ids
    from dpr.tokens.inputs import question_ids as question_ids
    from dpr.tokens.inputs import reader_windows as reader_windows
    from dpr.tokens.options import SequenceLengthWarning as SequenceLengthWarning
    from dpr.tokens.options import TruncationWarning as TruncationWarning
    from dpr.tokens.spans import best_spans as best_spans
    from dpr.tokens.tokenizer import DPRTokenizer as DPRTokenizer

_WHERE = {
    "BatchEncoding": "batch",
    "DPRContextEncoderTokenizer": "dpr",
    "DPRContextEncoderTokenizerFast": "dpr",
    "DPRQuestionEncoderTokenizer": "dpr",
    "DPRQuestionEncoderTokenizerFast": "dpr",
    "DPRReaderTokenizer": "dpr",
    "DPRReaderTokenizerFast": "dpr",
    "DPRSpanPrediction": "decoding",
    "DPRTokenizer": "tokenizer",
    "SequenceLengthWarning": "options",
    "TruncationWarning": "options",
    "Window": "inputs",
    "best_spans": "spans",
    "passage_ids": "inputs",
    "question_ids": "inputs",
    "reader_windows": "inputs",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
