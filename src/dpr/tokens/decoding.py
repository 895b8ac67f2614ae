"""From the reader's logits to answers: which tokens are text, and which spans are best.

Takes the reader's input (ids, mask and what the tokenizer noted of the layout) and its logits;
gives spans of token indices, passages in the order of relevance. Knows nothing of how tokens
become text: ``dpr.tokens.reader`` does that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpr.errors import InputError, SettingsError
from dpr.tokens.batch import BatchEncoding
from dpr.tokens.spans import best_spans


class DPRSpanPrediction(NamedTuple):
    """An answer.

    Attributes:
        span_score: start logit + end logit.
        relevance_score: the relevance logit of its passage.
        doc_id: the row of its passage in the batch.
        start_index, end_index: its first and last token (both in) in the row, padding counted.
        text: its decoded tokens.
    """

    span_score: float
    relevance_score: float
    doc_id: int
    start_index: int
    end_index: int
    text: str


class FoundSpan(NamedTuple):
    """A span before decoding; fields as in :class:`DPRSpanPrediction`."""

    span_score: float
    relevance_score: float
    doc_id: int
    start_index: int
    end_index: int


@dataclass(frozen=True, slots=True)
class Logits:
    """What a reader gives: start and end (passages, length), relevance (passages,)."""

    start: NDArray[Any]
    end: NDArray[Any]
    relevance: NDArray[Any]

    @classmethod
    def of(cls, output: Any, passages: int) -> Logits:
        """From a reader's output: by field names, else the first three of a tuple.

        Raises:
            InputError: another number of passages than the input has, shapes that do not
                belong together, or a relevance that is NaN.
        """
        if hasattr(output, "relevance_logits"):
            parts = (output.start_logits, output.end_logits, output.relevance_logits)
        else:
            parts = tuple(output[:3])
        start, end, relevance = (_array(part) for part in parts)
        if start.ndim != 2 or start.shape != end.shape or relevance.shape != start.shape[:1]:
            raise InputError(
                f"start, end and relevance logits have shapes {start.shape}, {end.shape} and "
                f"{relevance.shape}; a reader gives (passages, length) twice and (passages,)"
            )
        if len(start) != passages:
            raise InputError(
                f"the output is of {len(start)} passages, the input of {passages}; pass the "
                "input that the output was computed from"
            )
        if bool(np.isnan(relevance).any()):
            raise InputError("relevance logits hold NaN; the model's numbers overflowed")
        return cls(start, end, relevance)


@dataclass(frozen=True, slots=True)
class SpanLimits:
    """How many spans are wanted: in all, of a passage, and of how many tokens."""

    num_spans: int
    max_answer_length: int
    num_spans_per_passage: int

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)} must be at least 1")


def ranked_spans(
    logits: Logits,
    ranges: Sequence[tuple[int, int]],
    rows: Sequence[int],
    limits: SpanLimits,
) -> list[FoundSpan]:
    """The best spans of some rows: rows by relevance, descending, then spans by score.

    Rows of equal relevance stay in the order given.
    """
    order = np.argsort(-logits.relevance[list(rows)], kind="stable")
    found: list[FoundSpan] = []
    for row in (rows[int(i)] for i in order):
        spans = best_spans(
            logits.start[row],
            logits.end[row],
            ranges[row],
            limits.max_answer_length,
            limits.num_spans_per_passage,
        )
        relevance = np.float64(logits.relevance[row])
        # np.float64 is a float that also answers .item(), as users of tensors write.
        found += [FoundSpan(np.float64(score), relevance, row, s, e) for s, e, score in spans]
        if len(found) >= limits.num_spans:
            break
    return found[: limits.num_spans]


def rows_of_questions(questions_of_passages: Sequence[int], passages: int) -> list[list[int]]:
    """For each question number, from 0, the rows of its passages.

    Raises:
        InputError: not one number a passage, or a negative one.
    """
    numbers = [int(number) for number in questions_of_passages]
    if len(numbers) != passages or min(numbers, default=0) < 0:
        raise InputError(
            f"questions_of_passages has {len(numbers)} numbers for {passages} passages; give the "
            "number of its question, from 0, for each passage"
        )
    groups: list[list[int]] = [[] for _ in range(max(numbers, default=-1) + 1)]
    for row, number in enumerate(numbers):
        groups[number].append(row)
    return groups


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the text stands in each row of a reader's input.

    Attributes:
        ids: the rows.
        bounds: (first, last + 1) of what is not padding in each row.
        sep: the id of ``[SEP]``.
    """

    ids: list[list[int]]
    bounds: list[tuple[int, int]]
    sep: int

    @classmethod
    def of(cls, reader_input: Mapping[str, Any], sep: int, pad: int) -> Layout:
        """Read the rows and what of them is padding: by the attention mask where there is one."""
        ids = [[int(i) for i in row] for row in _lists(reader_input["input_ids"])]
        mask = reader_input.get("attention_mask")
        shown = [[i != pad for i in row] for row in ids] if mask is None else _lists(mask)
        return cls(ids, [_bounds(row) for row in shown], sep)

    def ranges(
        self,
        reader_input: Mapping[str, Any],
        passage_offsets: Sequence[int] | None,
        legacy: bool,
    ) -> list[tuple[int, int]]:
        """(first, last + 1) of the text in each row, an empty range where there is none.

        By ``passage_offsets`` where given; else as the tokenizer noted when it built the input;
        else, for plain dictionaries, from after the second ``[SEP]``.

        Raises:
            InputError: the text of a row cannot be told from the rest.
        """
        if passage_offsets is not None:
            if len(passage_offsets) != len(self.ids):
                raise InputError(
                    f"got {len(passage_offsets)} passage_offsets for {len(self.ids)} passages"
                )
            pairs = zip(passage_offsets, self.bounds, strict=True)
            return [(int(offset), stop) for offset, (_, stop) in pairs]
        if legacy:
            return [self._after_first_sep(row) for row in range(len(self.ids))]
        noted = _noted_spans(reader_input)
        if noted is not None and self._agrees(noted):
            moved = zip(noted, self.bounds, strict=True)
            return [(a + first, min(b + first, stop)) for (a, b), (first, stop) in moved]
        return self._after_second_sep()

    def _after_first_sep(self, row: int) -> tuple[int, int]:
        first, stop = self.bounds[row]
        # From the third token on: the question's [SEP], unless the question is empty.
        for index in range(first + 2, stop):
            if self.ids[row][index] == self.sep:
                return index + 1, stop
        raise InputError(
            f"passage {row} (from 0) has no [SEP] after its question: the question fills the "
            "sequence; tokenize with a greater max_length"
        )

    def _after_second_sep(self) -> list[tuple[int, int]]:
        ranges = []
        for row, (first, stop) in enumerate(self.bounds):
            seps = (i for i in range(first, stop) if self.ids[row][i] == self.sep)
            next(seps, None)
            second = next(seps, None)
            if second is None:
                raise InputError(
                    f"passage {row} (from 0) has no second [SEP], so where its text starts is "
                    "unknown; pass the tokenizer's own BatchEncoding, or passage_offsets="
                )
            ranges.append((second + 1, stop))
        if ranges and all(start >= stop for start, stop in ranges):
            raise InputError(
                "in every passage the second [SEP] is the last token: either all texts are "
                "empty, or titles and texts were not both given; pass the tokenizer's own "
                "BatchEncoding, or passage_offsets="
            )
        return ranges

    def _agrees(self, noted: Sequence[tuple[int, int]]) -> bool:
        """Whether the note belongs to these rows, which the caller may have exchanged."""
        if len(noted) != len(self.ids):
            return False
        for (start, end), (first, stop), ids in zip(noted, self.bounds, self.ids, strict=True):
            if start < end and (first + end > stop or ids[first + start - 1] != self.sep):
                return False
        return True


def _noted_spans(reader_input: Mapping[str, Any]) -> list[tuple[int, int]] | None:
    if not isinstance(reader_input, BatchEncoding):
        return None
    if reader_input.text_spans is not None or reader_input.encodings is None:
        return reader_input.text_spans
    spans = []
    for row in reader_input.encodings:
        padding = _bounds(row.attention_mask)[0]
        second = [i for i, sequence in enumerate(row.sequence_ids) if sequence == 1]
        spans.append((second[0] - padding, second[-1] + 1 - padding) if second else (0, 0))
    return spans


def _bounds(mask: Sequence[int]) -> tuple[int, int]:
    shown: Iterator[int] = (i for i, value in enumerate(mask) if value)
    first = next(shown, None)
    if first is None:
        return 0, 0
    last = next(i for i in range(len(mask) - 1, -1, -1) if mask[i])
    return first, last + 1


def _array(values: Any) -> NDArray[Any]:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        values = (values.float() if values.dtype.itemsize < 4 else values).numpy()
    return np.asarray(values)


def _lists(values: Any) -> Any:
    if hasattr(values, "tolist"):
        return values.tolist()
    return [row.tolist() if hasattr(row, "tolist") else list(row) for row in values]
