"""The reader's tokenizer: question, title and text in, answer spans out.

Takes questions with passages; gives ``[CLS] question [SEP] title [SEP] text`` and, from the
reader's logits, the best answer spans. Knows nothing of the model but the shape of its output.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack, overload

from dpr.errors import InputError
from dpr.tokens.batch import BatchEncoding
from dpr.tokens.decoding import (
    DPRSpanPrediction,
    Layout,
    Logits,
    SpanLimits,
    ranked_spans,
    rows_of_questions,
)
from dpr.tokens.options import (
    CallKeywords,
    CallOptions,
    MoreKeywords,
    PaddingValue,
    TruncationValue,
    TruncationWarning,
    refuse_unknown,
    resolve,
    tensor_kind,
)
from dpr.tokens.tokenizer import DPRTokenizer

# What a call with question, title and text takes beside its parameters.
_PASSAGE_KEYWORDS = (
    "pad_to_multiple_of",
    "padding_side",
    "return_token_type_ids",
    "return_special_tokens_mask",
    "return_offsets_mapping",
    "return_length",
    "split_special_tokens",
    "verbose",
)
_PARAMETERS = (
    "questions",
    "titles",
    "texts",
    "padding",
    "truncation",
    "max_length",
    "return_tensors",
    "return_attention_mask",
    "legacy_truncation",
)


@dataclass(slots=True)
class _Row:
    """One input: ids, the offsets of each into its own string, and where the text starts."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    special: list[int]
    text_start: int
    text_cut: int = 0

    def cut(self, max_length: int) -> None:
        """Drop the end of the row past ``max_length``."""
        self.text_cut = len(self.ids) - max(self.text_start, max_length)
        for values in (self.ids, self.offsets, self.special):
            del values[max_length:]
        self.text_start = min(self.text_start, max_length)


class ReaderTokenizer(DPRTokenizer):
    """Tokenizes questions with passages for a reader, and decodes what it answers."""

    default_input_names = ("input_ids", "attention_mask")

    def __call__(
        self,
        questions: Any,
        titles: Any = None,
        texts: Any = None,
        padding: PaddingValue = False,
        truncation: TruncationValue = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        return_attention_mask: bool | None = None,
        *,
        legacy_truncation: bool = False,
        **keywords: Unpack[MoreKeywords],
    ) -> BatchEncoding:
        """``[CLS] question [SEP] title [SEP] text`` for each passage, without a final ``[SEP]``.

        With ``titles`` or ``texts`` alone, ``[CLS] question [SEP] text [SEP]``; with neither,
        the questions alone. One question as a string is asked of every passage.

        Truncation cuts the end of the text only, whatever strategy is named, and never the
        question or the title: the result's ``truncated`` says how many tokens each text lost,
        and a :class:`TruncationWarning` says when a text is lost whole.

        Args:
            questions: a string, or one string a passage.
            titles, texts: a string or a list of strings.
            padding, truncation, max_length, return_tensors, return_attention_mask: as in
                :class:`dpr.tokens.options.CallKeywords`; ``max_length`` is the model's where
                truncation is asked for without it.
            legacy_truncation: cut the whole sequence at ``max_length``, question and title
                included, as Transformers does.
            keywords: more of :class:`dpr.tokens.options.MoreKeywords`.

        Raises:
            InputError: lists of unequal length, or a question and title that alone are longer
                than ``max_length``.
            TypeError: an unknown keyword, or one that has no meaning with three texts.
        """
        asked: CallKeywords = {
            **keywords,
            "padding": padding,
            "truncation": truncation,
            "max_length": max_length,
            "return_tensors": return_tensors,
            "return_attention_mask": return_attention_mask,
        }
        if titles is not None and texts is not None:
            return self._passages(questions, titles, texts, asked, legacy_truncation)
        passages = titles if texts is None else texts
        if isinstance(questions, str) and isinstance(passages, (list, tuple)):
            questions = [questions] * len(passages)
        return self._batch(questions, passages, asked)

    @overload
    def decode_best_spans(
        self,
        reader_input: Any,
        reader_output: Any,
        num_spans: int = ...,
        max_answer_length: int = ...,
        num_spans_per_passage: int = ...,
        *,
        questions_of_passages: None = ...,
        passage_offsets: Sequence[int] | None = ...,
        legacy_passage_offset: bool = ...,
    ) -> list[DPRSpanPrediction]: ...
    @overload
    def decode_best_spans(
        self,
        reader_input: Any,
        reader_output: Any,
        num_spans: int = ...,
        max_answer_length: int = ...,
        num_spans_per_passage: int = ...,
        *,
        questions_of_passages: Sequence[int],
        passage_offsets: Sequence[int] | None = ...,
        legacy_passage_offset: bool = ...,
    ) -> list[list[DPRSpanPrediction]]: ...
    def decode_best_spans(
        self,
        reader_input: Any,
        reader_output: Any,
        num_spans: int = 16,
        max_answer_length: int = 64,
        num_spans_per_passage: int = 4,
        *,
        questions_of_passages: Sequence[int] | None = None,
        passage_offsets: Sequence[int] | None = None,
        legacy_passage_offset: bool = False,
    ) -> list[DPRSpanPrediction] | list[list[DPRSpanPrediction]]:
        """The best answers: passages by relevance, descending, in each its best spans.

        Args:
            reader_input: what this tokenizer gave for the reader, or a mapping with its
                ``input_ids`` (passages, length) and ``attention_mask``.
            reader_output: start and end logits (passages, length) and relevance logits
                (passages,), as fields or the first three of a tuple.
            num_spans: answers at most, of each question.
            max_answer_length: tokens of an answer at most.
            num_spans_per_passage: answers at most of one passage.
            questions_of_passages: where the passages are those of several questions, the number
                of its question, from 0, for each passage; the result is then one list a question.
            passage_offsets: index of the first token of each text, where ``reader_input`` was
                not made by this tokenizer.
            legacy_passage_offset: let answers start after the question, in the title, as
                Transformers does.

        Raises:
            InputError: logits or offsets that do not belong to the input, or an input whose
                texts cannot be told from the rest.
            SettingsError: a number below 1.
        """
        limits = SpanLimits(num_spans, max_answer_length, num_spans_per_passage)
        layout = Layout.of(reader_input, self.sep_token_id, self.pad_token_id)
        logits = Logits.of(reader_output, passages=len(layout.ids))
        ranges = layout.ranges(reader_input, passage_offsets, legacy_passage_offset)

        def decoded(rows: Sequence[int]) -> list[DPRSpanPrediction]:
            return [
                DPRSpanPrediction(
                    *span, self.decode(layout.ids[span.doc_id][span.start_index : span[4] + 1])
                )
                for span in ranked_spans(logits, ranges, rows, limits)
            ]

        if questions_of_passages is None:
            return decoded(range(len(layout.ids)))
        groups = rows_of_questions(questions_of_passages, len(layout.ids))
        return [decoded(rows) for rows in groups]

    def _passages(
        self, questions: Any, titles: Any, texts: Any, asked: CallKeywords, legacy: bool
    ) -> BatchEncoding:
        extra = [name for name in asked if name not in _PARAMETERS]
        refuse_unknown(type(self).__name__, extra, (*_PARAMETERS, *_PASSAGE_KEYWORDS))
        multiple = asked.get("pad_to_multiple_of")
        truncation = asked["truncation"]
        options = resolve(
            asked["padding"],
            False if truncation is None else truncation,
            asked["max_length"],
            0,
            multiple,
            self.model_max_length,
        )
        split = asked.get("split_special_tokens")
        rows = self._rows(
            *_matched(questions, titles, texts),
            self.split_special_tokens if split is None else split,
        )
        if options.truncates and options.max_length is not None:
            _truncate(rows, options.max_length, legacy)
        keys = self._keys(
            token_type_ids=asked.get("return_token_type_ids"),
            special_tokens_mask=asked.get("return_special_tokens_mask", False),
            offset_mapping=asked.get("return_offsets_mapping", False),
            length=asked.get("return_length", False),
        )
        data = _columns(rows, keys)
        if options.max_length is None and asked.get("verbose", True):
            self._warn_of_length(data["input_ids"])
        padder = self._padder(options, asked.get("padding_side"), asked["return_attention_mask"])
        padded = padder.batch(data)
        if "length" in keys:
            padded["length"] = [len(ids) for ids in padded["input_ids"]]
        batch = BatchEncoding(padded, tensor_type=tensor_kind(asked["return_tensors"]))
        batch.truncated = [row.text_cut for row in rows]
        batch.text_spans = [(row.text_start, len(row.ids)) for row in rows]
        return batch

    def _rows(
        self, questions: list[str], titles: list[str], texts: list[str], split: bool
    ) -> list[_Row]:
        plain = CallOptions("do_not_pad", "do_not_truncate", None)

        def encoded(strings: list[str]) -> list[Any]:
            return self._encode_all(
                strings, plain, add_special_tokens=False, split_special_tokens=split
            )

        distinct = list(dict.fromkeys(questions))
        of_question = dict(zip(distinct, encoded(distinct), strict=True))
        cls, sep = self.cls_token_id, self.sep_token_id
        rows = []
        for question, title, text in zip(questions, encoded(titles), encoded(texts), strict=True):
            q = of_question[question]
            none = (0, 0)
            rows.append(
                _Row(
                    [cls, *q.ids, sep, *title.ids, sep, *text.ids],
                    [none, *q.offsets, none, *title.offsets, none, *text.offsets],
                    [1, *([0] * len(q)), 1, *([0] * len(title)), 1, *([0] * len(text))],
                    len(q) + len(title) + 3,
                )
            )
        return rows


def _matched(questions: Any, titles: Any, texts: Any) -> tuple[list[str], list[str], list[str]]:
    titles = [titles] if isinstance(titles, str) else list(titles)
    texts = [texts] if isinstance(texts, str) else list(texts)
    asked = [questions] * len(titles) if isinstance(questions, str) else list(questions)
    if not len(asked) == len(titles) == len(texts):
        raise InputError(
            f"got {len(asked)} questions, {len(titles)} titles and {len(texts)} texts; give one "
            "of each a passage, or one question as a string for all passages"
        )
    return asked, titles, texts


def _truncate(rows: Sequence[_Row], max_length: int, legacy: bool) -> None:
    lost = []
    for number, row in enumerate(rows):
        if len(row.ids) <= max_length:
            continue
        if row.text_start > max_length and not legacy:
            raise InputError(
                f"question and title of passage {number} (from 0) take {row.text_start} tokens, "
                f"more than max_length={max_length}, and only texts are cut; shorten them, raise "
                "max_length, or pass legacy_truncation=True to cut them"
            )
        row.cut(max_length)
        if row.text_cut and row.text_start >= len(row.ids):
            lost.append(number)
    if lost:
        warnings.warn(
            f"nothing of the text is left of {len(lost)} of {len(rows)} passages (the first is "
            f"number {lost[0]}, from 0): question and title fill max_length={max_length}",
            TruncationWarning,
            stacklevel=4,
        )


def _columns(rows: Sequence[_Row], keys: Sequence[str]) -> dict[str, Any]:
    data: dict[str, Any] = {"input_ids": [row.ids for row in rows]}
    for key in keys:
        if key == "token_type_ids":
            data[key] = [[0] * len(row.ids) for row in rows]
        elif key == "special_tokens_mask":
            data[key] = [row.special for row in rows]
        elif key == "offset_mapping":
            data[key] = [row.offsets for row in rows]
        else:
            data[key] = [len(row.ids) for row in rows]
    return data
