"""The words that tell a passage from others, by the weights that BM25 gives them.

Takes texts, first all of them to be counted, then each for the weights of its words. Knows nothing
of passages, samples or how questions are made of words.

A word's weight is what it adds to BM25's score of the text when it is asked for: see
``dpr.indexes.bm25``, whose formula this is, for one text at a time and without an index.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence

from dpr.indexes.analysis import Analyzer, WordsSettings


class WordWeights:
    """In how many texts each word stands, and how long texts are. Memory grows with the number of
    different words, not with that of texts.

    Args:
        texts: all of them; read once.
        words: which words there are.
        k1, b: BM25's settings.

    Raises:
        SettingsError: see ``Analyzer``.
    """

    def __init__(
        self,
        texts: Iterable[str],
        words: WordsSettings | None = None,
        k1: float = 0.9,
        b: float = 0.4,
    ) -> None:
        self._analyzer = Analyzer(words or WordsSettings())
        self._stems: dict[str, str] = {}
        self._k1, self._b = k1, b
        self._texts: Counter[str] = Counter()
        self.rows = total = 0
        for text in texts:
            stems = [stem for _, stem in self._words(text)]
            self._texts.update(set(stems))
            self.rows += 1
            total += len(stems)
        self._mean = total / max(1, self.rows)

    def _words(self, text: str) -> list[tuple[str, str]]:
        """The words of a text as they stand there, lowered, and what each is counted as."""
        found = []
        for word in self._analyzer.split(text):
            stem = self._stems.get(word)
            if stem is None:
                stem = self._stems[word] = self._analyzer.stem(word)
            if stem:
                found.append((word, stem))
        return found

    def weigh(self, text: str) -> list[tuple[str, float]]:
        """The different words of a text, in its order and as it first spells them, and their
        weights, which are above 0."""
        words = self._words(text)
        counts = Counter(stem for _, stem in words)
        norm = self._k1 * (1 - self._b + self._b * len(words) / (self._mean or 1))
        first: dict[str, str] = {}
        for word, stem in words:
            first.setdefault(stem, word)
        return [
            (word, self._idf(stem) * counts[stem] / (counts[stem] + norm))
            for stem, word in first.items()
        ]

    def _idf(self, stem: str) -> float:
        texts = self._texts[stem]
        return math.log(1 + (self.rows - texts + 0.5) / (texts + 0.5))


def draw_words(
    weighed: Sequence[tuple[str, float]], count: int, chance: random.Random
) -> list[str]:
    """``count`` of these words, in their order: drawn one after the other without putting back,
    each with a probability in proportion to its weight among those left (by the keys of Efraimidis
    & Spirakis 2006); all where there are no more."""
    keys = [(math.log(1 - chance.random()) / weight, at) for at, (_, weight) in enumerate(weighed)]
    return [weighed[at][0] for at in sorted(at for _, at in sorted(keys)[-count:])]
