"""Training samples in tokens: which questions and passages are cut at the model's lengths.

Takes samples and a tokenizer; gives hits and counts. Knows nothing of anything else that may be
wrong with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from dpr.samples.checks import Hit, contexts
from dpr.samples.files import TrainingSample
from dpr.samples.findings import Lengths, excerpt
from dpr.tokens.inputs import passage_ids, question_ids

if TYPE_CHECKING:
    from dpr.tokens import DPRTokenizer

_REMEMBERED = 1 << 18
_AT_ONCE = 10_000  # what the tokenizer gives is bulky


class TokenCounts:
    """Counts what is cut. Passages that come again are counted again, and encoded once."""

    def __init__(self, tokenizer: DPRTokenizer, question_length: int, passage_length: int) -> None:
        self._tokenizer = tokenizer
        self._question_length, self._passage_length = question_length, passage_length
        self._questions = self._questions_cut = 0
        self._passages = self._passages_cut = 0
        self._known: dict[int, bool] = {}

    def check(self, sample: TrainingSample) -> Iterator[Hit]:
        """The question and passages of a sample that are cut."""
        self._questions += 1
        (ids,) = question_ids(
            self._tokenizer, [_characters(sample.question)], self._question_length + 1
        )
        if len(ids) > self._question_length:
            self._questions_cut += 1
            what = f"is cut at {self._question_length} tokens"
            yield Hit("long-question", what, (excerpt(sample.question),))
        some = list(contexts(sample))
        pairs = [(_characters(one.title), _characters(one.text)) for _, _, one in some]
        cut = self._cut(pairs)
        self._passages += len(some)
        self._passages_cut += sum(cut)
        for is_cut, (key, at, one) in zip(cut, some, strict=True):
            if is_cut:
                what = f"is cut at {self._passage_length} tokens"
                yield Hit("long-passage", what, (excerpt(one.text),), key, at)

    def _cut(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        keys = [hash(pair) for pair in pairs]
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self._known}
        if new:
            titles, texts = zip(*new.values(), strict=True)
            # One more than fits: what is longer was cut.
            ids, _ = passage_ids(self._tokenizer, titles, texts, self._passage_length + 1)
            for key, one in zip(new, ids, strict=True):
                self._known[key] = len(one) > self._passage_length
        return [self._known[key] for key in keys]

    def lengths(self) -> Lengths:
        """How many were cut so far, of how many."""
        return Lengths(
            self._question_length,
            self._passage_length,
            self._questions,
            self._questions_cut,
            self._passages,
            self._passages_cut,
        )


def count_cut(tokenizer: DPRTokenizer, passages: Iterable[tuple[str, str]], length: int) -> int:
    """How many of the passages (title, text) are longer than so many tokens."""
    waiting, count = iter(passages), 0
    while some := list(islice(waiting, _AT_ONCE)):
        titles, texts = zip(*some, strict=True)
        count += passage_ids(tokenizer, titles, texts, length)[1]
    return count


def _characters(text: str) -> str:
    """Without halves of surrogate pairs, which no tokenizer takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
