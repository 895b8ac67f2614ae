"""Questions and passages as token ids, the way DPR's models were trained to read them.

Takes any tokenizer of this package and plain strings; gives lists of ids, unpadded. The ways of
encoding, training and reading all build their inputs here, so that they cannot differ. Knows
nothing of tensors, padding, models or files.

Special tokens written out in a text ("[SEP]") are read as the characters they are: no text can
forge the structure of an input. All segment ids (``token_type_ids``) are zero, as in the original
DPR; they are therefore not returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpr.errors import InputError, SettingsError
from dpr.tokens.tokenizer import DPRTokenizer

MIN_TEXT = 64
"""Tokens of text that :func:`reader_windows` keeps room for before it leaves a title whole."""


@dataclass(frozen=True, slots=True)
class Window:
    """One input of the reader: a question, a title and a stretch of a passage's text.

    Attributes:
        item: which of the inputs it is part of, from 0.
        ids: ``[CLS] question [SEP] title [SEP] text``, without a final ``[SEP]``.
        text_start: index in ``ids`` of the first token of the text.
        offsets: for each token from ``text_start`` on, the characters of the text it stands for,
            as (start, end).
    """

    item: int
    ids: list[int]
    text_start: int
    offsets: list[tuple[int, int]]


def question_ids(
    tokenizer: DPRTokenizer, questions: Sequence[str], max_length: int = 256
) -> list[list[int]]:
    """``[CLS] question [SEP]`` for each question, its end cut off to fit ``max_length`` tokens.

    A typographic apostrophe (’) is read as a plain one, as in the original.

    Raises:
        InputError: a question that is not a string.
        SettingsError: ``max_length`` below 3.
    """
    _check_length(max_length, 3)
    cls, sep = _ends(tokenizer)
    return [[cls, *ids[: max_length - 2], sep] for ids in _ids(tokenizer, _apostrophes(questions))]


def passage_ids(
    tokenizer: DPRTokenizer, titles: Sequence[str], texts: Sequence[str], max_length: int = 256
) -> tuple[list[list[int]], int]:
    """``[CLS] title [SEP] text [SEP]`` for each passage, or ``[CLS] text [SEP]`` without a title.

    What is longer than ``max_length`` tokens is cut there, its last token again ``[SEP]``: the
    text loses its end, and only a title that alone does not fit is cut too.

    Returns:
        The ids of each passage, and how many passages were cut.

    Raises:
        InputError: lists of unequal length, or an item that is not a string.
        SettingsError: ``max_length`` below 3.
    """
    _check_length(max_length, 3)
    _check_equal(titles=titles, texts=texts)
    cls, sep = _ends(tokenizer)
    passages: list[list[int]] = []
    truncated = 0
    for title, text in zip(_ids(tokenizer, titles), _ids(tokenizer, texts), strict=True):
        ids = [cls, *title, sep, *text] if title else [cls, *text]
        if len(ids) >= max_length:
            truncated += 1
            del ids[max_length - 1 :]
        passages.append([*ids, sep])
    return passages, truncated


def reader_windows(
    tokenizer: DPRTokenizer,
    questions: Sequence[str],
    titles: Sequence[str],
    texts: Sequence[str],
    max_length: int = 350,
    stride: int = 128,
) -> list[Window]:
    """``[CLS] question [SEP] title [SEP] text`` for each passage, long texts in several windows.

    Every token of a text is in at least one window; consecutive windows share ``stride`` tokens
    (half the room for text where that is less than twice as much). Each passage has at least one
    window, also with an empty text. Where question and title leave fewer than 64 tokens for a
    text that has them, first the title's end is cut, then the question's, until there is room
    for 64 (at most half of ``max_length``).

    Args:
        tokenizer: any tokenizer of this package.
        questions, titles, texts: one of each a passage; a title may be empty.
        max_length: tokens of a window at most.
        stride: tokens that consecutive windows share.

    Returns:
        The windows in the order of the passages, then of the text.

    Raises:
        InputError: lists of unequal length, or an item that is not a string.
        SettingsError: ``max_length`` below 8, or a negative ``stride``.
    """
    _check_length(max_length, 8)
    if stride < 0:
        raise SettingsError(f"stride={stride} is negative; it counts tokens shared by windows")
    _check_equal(questions=questions, titles=titles, texts=texts)
    cls, sep = _ends(tokenizer)
    question_tokens = _ids(tokenizer, _apostrophes(questions))
    title_tokens = _ids(tokenizer, titles)
    windows: list[Window] = []
    for item, encoding in enumerate(tokenizer.text_encodings(texts, offsets=True)):
        text, spans = encoding.ids, encoding.offsets
        question, title = _cut_heads(
            question_tokens[item], title_tokens[item], len(text), max_length
        )
        head = [cls, *question, sep, *title, sep]
        room = max_length - len(head)
        step = room - min(stride, room // 2)
        start = 0
        while True:
            end = start + room
            windows.append(Window(item, head + text[start:end], len(head), spans[start:end]))
            if end >= len(text):
                break
            start += step
    return windows


def _cut_heads(
    question: list[int], title: list[int], text_length: int, max_length: int
) -> tuple[list[int], list[int]]:
    wanted = max(1, min(MIN_TEXT, text_length, max_length // 2))
    excess = len(question) + len(title) + 3 + wanted - max_length
    if excess > 0:
        kept = max(len(title) - excess, 0)
        excess -= len(title) - kept
        title = title[:kept]
        question = question[: len(question) - max(excess, 0)]
    return question, title


def _ids(tokenizer: DPRTokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text; a text that comes several times is tokenized once."""
    unique = list(dict.fromkeys(texts)) if all(isinstance(t, str) for t in texts) else list(texts)
    encoded = [encoding.ids for encoding in tokenizer.text_encodings(unique)]
    if len(unique) == len(texts):
        return encoded
    known = dict(zip(unique, encoded, strict=True))
    return [known[text] for text in texts]


def _apostrophes(questions: Sequence[str]) -> list[str]:
    return [q.replace("’", "'") if isinstance(q, str) else q for q in questions]


def _ends(tokenizer: DPRTokenizer) -> tuple[int, int]:
    return tokenizer.cls_token_id, tokenizer.sep_token_id


def _check_length(max_length: int, least: int) -> None:
    if max_length < least:
        raise SettingsError(f"max_length={max_length} leaves no room; use at least {least}")


def _check_equal(**lists: Sequence[str]) -> None:
    for name, values in lists.items():
        if isinstance(values, str):
            raise InputError(f"{name} is one string; give a list, with one item a passage")
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise InputError(f"got {counts}; give one of each a passage")
