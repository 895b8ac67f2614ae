"""BM25 in memory (Robertson & Zaragoza 2009), by the bm25s library: the baseline to beat.

Takes texts, gives the rows of those that share words with a question. Lucene's formula; English
stemmer and stop words; k1 0.9 and b 0.4, as is usual for short passages. Needs the extra
``evaluate`` (bm25s, PyStemmer). Knows nothing of passages or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dpr.errors import InputError, MissingExtraError, SettingsError


@dataclass(frozen=True, slots=True)
class BM25Settings:
    """How words are weighed.

    Attributes:
        k1: how soon a word that repeats stops counting more.
        b: how much a long text's words count less; 0 not at all, 1 in full proportion.
    """

    k1: float = 0.9
    b: float = 0.4

    def __post_init__(self) -> None:
        if self.k1 < 0 or not 0 <= self.b <= 1:
            raise SettingsError(f"k1={self.k1}, b={self.b}; allowed: k1 of 0 or more, b of 0 to 1")


class BM25Index:
    """An index of texts by their words.

    Raises:
        InputError: there are no texts.
        MissingExtraError: bm25s or PyStemmer is not installed.
    """

    def __init__(self, texts: Sequence[str], settings: BM25Settings | None = None) -> None:
        try:
            import bm25s
            import Stemmer
        except ImportError as error:
            raise MissingExtraError(error.name or "bm25s", "evaluate", "BM25") from None
        if not texts:
            raise InputError("there are no texts to index; give at least one")
        self.settings = settings or BM25Settings()
        self._library = bm25s
        self._stemmer = Stemmer.Stemmer("english")
        self._index = bm25s.BM25(k1=self.settings.k1, b=self.settings.b)
        self._count = len(texts)
        tokens = self._tokens(texts)
        self._empty = not any(tokens.ids)  # bm25s cannot index texts without any word
        if not self._empty:
            self._index.index(tokens, show_progress=False)

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """Of the index in memory, its vocabulary apart."""
        if self._empty:
            return 0
        return sum(int(self._index.scores[name].nbytes) for name in ("data", "indices", "indptr"))

    def _tokens(self, texts: Sequence[str]) -> Any:
        return self._library.tokenize(
            list(texts), stopwords="en", stemmer=self._stemmer, show_progress=False
        )

    def search(self, questions: Sequence[str], k: int) -> list[list[tuple[float, int]]]:
        """For each question at most k pairs (score, row), best first, equal scores by row (which
        of several equal ones the k-th is, is not defined); none for texts that share no word with
        it. Words are what spaces and punctuation set apart, of two letters or more.

        Raises:
            SettingsError: k below 1.
        """
        if k < 1:
            raise SettingsError(f"k is {k}; allowed are integers of 1 or more")
        if not questions or self._empty:
            return [[] for _ in questions]
        found, scores = self._index.retrieve(
            self._tokens(questions), k=min(k, self._count), show_progress=False
        )
        return [
            sorted(
                ((s, r) for s, r in zip(own, rows, strict=True) if s > 0),
                key=lambda pair: (-pair[0], pair[1]),
            )
            for own, rows in zip(scores.tolist(), found.tolist(), strict=True)
        ]
