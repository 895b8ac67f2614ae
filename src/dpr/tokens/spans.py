"""The best answer spans of one passage, from the reader's start and end logits.

Takes two arrays of logits and the range of tokens that may answer; gives spans. Knows nothing of
tokens, text or questions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dpr.errors import InputError, SettingsError


def best_spans(
    start: Any,
    end: Any,
    valid_range: tuple[int, int],
    max_answer_length: int,
    num_spans: int,
) -> list[tuple[int, int, float]]:
    """Spans by descending start + end logit, none nested in a better one.

    Candidates are the spans (s, e) within ``valid_range`` of at most ``max_answer_length``
    tokens. The best comes first; among equals the one that starts earlier, then the shorter.
    Spans that contain a chosen one, or lie within it, are passed over; partial overlaps stay.

    Args:
        start, end: logits of a sequence, shape (length,), as arrays, lists or CPU tensors.
        valid_range: (first, last + 1) of the tokens that may be in a span.
        max_answer_length: tokens of a span at most.
        num_spans: spans at most.

    Returns:
        (first token, last token, score) of each span; indices are those of ``start`` and count
        both ends in. Fewer than ``num_spans`` where there are no more; a span with a logit of
        minus infinity is none.

    Raises:
        InputError: NaN or plus infinity among the logits, or two lengths.
        SettingsError: ``max_answer_length`` or ``num_spans`` below 1.
    """
    if max_answer_length < 1 or num_spans < 1:
        raise SettingsError(
            f"max_answer_length={max_answer_length} and num_spans={num_spans} must be at least 1"
        )
    starts, ends = _logits(start), _logits(end)
    if starts.shape != ends.shape or starts.ndim != 1:
        raise InputError(
            f"start and end logits have shapes {starts.shape} and {ends.shape}; "
            "give one number a token in both"
        )
    first, stop = max(valid_range[0], 0), min(valid_range[1], len(starts))
    if first >= stop:
        return []
    scores = _scores(starts[first:stop], ends[first:stop], max_answer_length)
    width = scores.shape[1]
    chosen: list[tuple[int, int, float]] = []
    while len(chosen) < num_spans:
        # The first maximum in row order is the earliest start, then the shortest span.
        s, extra = divmod(int(scores.argmax()), width)
        e = s + extra
        if scores[s, extra] == -np.inf:
            break
        chosen.append((first + s, first + e, float(scores[s, extra])))
        _drop_nested(scores, s, e)
    return chosen


def _scores(starts: NDArray[Any], ends: NDArray[Any], max_answer_length: int) -> NDArray[Any]:
    """Score of the span from s over d further tokens at [s, d]; minus infinity past the end."""
    width = min(max_answer_length, len(starts))
    padded = np.concatenate([ends, np.full(width - 1, -np.inf, dtype=ends.dtype)])
    scores: NDArray[Any] = starts[:, None] + sliding_window_view(padded, width)
    return scores


def _drop_nested(scores: NDArray[Any], s: int, e: int) -> None:
    """Strike out every span that contains s..e or lies within it."""
    width = scores.shape[1]
    low = max(e - width + 1, 0)  # an earlier start cannot reach e
    rows = np.arange(low, e + 1)[:, None]
    last = rows + np.arange(width)
    nested = ((rows <= s) & (last >= e)) | ((rows >= s) & (last <= e))
    scores[low : e + 1][nested] = -np.inf


def _logits(values: Any) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(values)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    elif not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64)
    # One comparison finds both: NaN is not below infinity either.
    if not bool((array < np.inf).all()):
        raise InputError("the logits hold NaN or plus infinity; the model's numbers overflowed")
    return array
