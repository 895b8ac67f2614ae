"""BM25 (Robertson & Zaragoza 2009) with Lucene's formula, over segments of word counts.

Takes word counts, masks of what is live, and questions; gives scores and rows. Knows nothing of
passages or files. For a question's words t and a row d with c(t, d) of them and |d| words:

    score = sum over t of n(t) * idf(t) * c(t, d) / (c(t, d) + k1 * (1 - b + b * |d| / mean))
    idf(t) = log(1 + (rows - df(t) + 0.5) / (df(t) + 0.5))

n(t) is how often the question has the word, and words that only ask (who, did) are not looked for;
rows, df and mean are of the live rows of all segments when the question is asked. Where pairs of
neighbouring words were counted, those of the question are added in the same way, |d| still in
words, times the weight of pairs (ordered windows of two, as in Metzler & Croft 2005). Everything is
float64 and added up in the order of the words, then of the pairs, so that a score depends on the
live rows, the settings and the question alone: not on how rows are split into segments, on k, or on
the other questions of a call.

Few rows are looked at closely. Words are taken from the rarest to the most frequent, and once those
left cannot lift a new row among the k best, they are looked up only for the rows found before
(MaxScore, Turtle & Flood 1995). What is left is then scored in the fixed order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError, SettingsError
from dpr.indexes.analysis import Analyzer, WordsSettings, pairs_of
from dpr.indexes.index import Ids, Mask, Rows, checked_allowed, checked_k
from dpr.indexes.merging import check_live
from dpr.indexes.ordering import best
from dpr.indexes.postings import Array, WordCounts
from dpr.indexes.words import count_words

Scores = npt.NDArray[np.float64]

POSTINGS = 1 << 15  # at a time: what is computed of them stays in the processor's cache
ROUNDING = 1 - 1e-9  # sums in another order differ by less


@dataclass(frozen=True, slots=True)
class BM25Settings:
    """How words are weighed.

    Attributes:
        k1: how soon a word that repeats stops counting more.
        b: how much a long text's words count less; 0 not at all, 1 in full proportion.
        pairs: what pairs of neighbouring words count, where a word counts 1; 0: nothing.
        asking: look for the words of a question that only ask (who, when, did), too; known of
            English stop words alone.
    """

    k1: float = 0.4
    b: float = 0.4
    pairs: float = 0.5
    asking: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.k1 < math.inf or not 0 <= self.b <= 1:
            raise SettingsError(f"k1={self.k1}, b={self.b}; allowed: k1 of 0 or more, b of 0 to 1")
        if not 0 <= self.pairs < math.inf:
            raise SettingsError(f"pairs={self.pairs}; give a weight of 0 or more")


LUCENE = BM25Settings(k1=0.9, pairs=0.0, asking=True)  # BM25 as it is everywhere else


@dataclass(frozen=True, slots=True)
class _Term:
    """A word of a question, or a pair, that some live row has.

    Attributes:
        weight: n * idf, of a pair times the weight of pairs; no row's part of the score exceeds it.
        places: where each segment has it; -1: nowhere.
    """

    weight: float
    places: tuple[int, ...]


def _finder(
    segments: Sequence[WordCounts], masks: Sequence[Mask | None], rows: int
) -> Callable[[str], tuple[float, tuple[int, ...]]]:
    """Gives a word's idf, 0 where no live row has it, and its place in each segment; keeps those
    of the last words. No method: kept by what it belongs to, that would be a ring, and the files
    of a version of the collection would stay open until the collector of garbage comes by."""

    @lru_cache(1 << 14)
    def find(word: str) -> tuple[float, tuple[int, ...]]:
        places = tuple(segment.find(word) for segment in segments)
        df = 0
        for segment, mask, place in zip(segments, masks, places, strict=True):
            if place >= 0:
                found, _ = segment.postings(place)
                df += len(found) if mask is None else int(np.count_nonzero(mask[found]))
        idf = math.log(1 + (rows - df + 0.5) / (df + 0.5))
        return (idf if df else 0.0), places

    return find


class BM25:
    """Segments, taken together as one in order, searched by words.

    Args:
        live: of each segment, which rows there still are (its rows,); None: all.
        words: how the segments were made; questions are analysed the same way.
        ids: gives the ids of rows; equal scores are ordered by id. None: by row.

    Raises:
        InputError: masks that do not fit the segments.
        SettingsError: see ``Analyzer``.
    """

    def __init__(
        self,
        segments: Sequence[WordCounts],
        live: Sequence[Mask | None],
        settings: BM25Settings | None = None,
        words: WordsSettings | None = None,
        ids: Ids | None = None,
    ) -> None:
        check_live(segments, live)
        self.settings = settings or BM25Settings()
        self.analyzer = Analyzer(words or WordsSettings())
        self._segments, self._masks, self._ids = list(segments), list(live), ids
        self._firsts = np.cumsum([0, *map(len, segments)], dtype=np.int64)
        self._lengths = np.concatenate([np.empty(0, np.uint32), *(one.lengths for one in segments)])
        self._live: Mask | None = None
        if any(mask is not None for mask in live):
            pairs = zip(segments, live, strict=True)
            masks = [np.ones(len(one), np.bool_) if mask is None else mask for one, mask in pairs]
            self._live = np.concatenate(masks)
        lengths = self._lengths if self._live is None else self._lengths[self._live]
        self.rows = len(lengths)
        mean = int(lengths.sum(dtype=np.int64)) / max(1, self.rows)
        k1, b = self.settings.k1, self.settings.b
        self._norm = k1 * (1 - b), k1 * b / mean if mean else 0.0
        self._found = _finder(self._segments, self._masks, self.rows)

    def __len__(self) -> int:
        """Rows, those that are not live included."""
        return int(self._firsts[-1])

    def search(
        self, questions: Sequence[str], k: int, allowed: Mask | None = None
    ) -> list[tuple[Scores, Rows]]:
        """The k live rows with the highest scores for each question.

        Args:
            k: at least 1.
            allowed: (rows,) which rows may be found; None: all that are live.

        Returns:
            For each question at most k scores, float64, best first, and their rows; only rows that
            share a word with it.

        Raises:
            SettingsError: k below 1.
            InputError: a mask of another shape.
        """
        k, mask = checked_k(k), checked_allowed(allowed, len(self))
        if mask is None:
            mask = self._live
        elif self._live is not None:
            mask = mask & self._live
        return [self._search(self._terms(question), k, mask) for question in questions]

    def scores(self, question: str, rows: Sequence[int] | Rows) -> Scores:
        """The scores of some rows, 0 where no word is shared; the same numbers as ``search`` gives.

        Raises:
            InputError: rows that there are none of.
        """
        wanted = np.asarray(rows, np.int64)
        if wanted.ndim != 1 or (len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self)):
            raise InputError(f"rows are {rows}; allowed are those from 0 to {len(self) - 1}")
        unique, which = np.unique(wanted, return_inverse=True)
        return self._exact(self._terms(question), unique)[which]

    def _terms(self, question: str) -> list[_Term]:
        """What is found of a question's words, in their order, and then of its pairs."""
        analyse = self.analyzer.words if self.settings.asking else self.analyzer.asked
        words = analyse(question)
        counted = [(word, float(count)) for word, count in sorted(Counter(words).items())]
        if self.analyzer.settings.pairs and self.settings.pairs:
            pairs = sorted(Counter(pairs_of(words)).items())
            counted += [(pair, count * self.settings.pairs) for pair, count in pairs]
        found = ((times, *self._found(term)) for term, times in counted)
        return [_Term(times * idf, places) for times, idf, places in found if idf]

    def _parts(self, term: _Term, rows: Rows, counts: Array) -> Scores:
        """What a term adds to the scores of rows that have it so often."""
        least, slope = self._norm
        parts: Scores = term.weight * (counts / (counts + (least + slope * self._lengths[rows])))
        return parts

    def _search(self, terms: Sequence[_Term], k: int, mask: Mask | None) -> tuple[Scores, Rows]:
        rarest_first = sorted(terms, key=lambda term: -term.weight)
        left = sum(term.weight for term in terms)
        floor = 0.0  # what the k-th best score is known to reach
        sums = np.zeros(len(self))
        taken = 0
        for term in rarest_first:
            if left < floor * ROUNDING:
                break
            floor = max(floor, self._add(term, sums, k, floor, mask))
            left -= term.weight
            taken += 1
        rows = self._reaching(rarest_first[:taken], sums, floor * ROUNDING - left)
        near = sums[rows]
        for term in rarest_first[taken:]:
            near += self._of_rows(term, rows)
            left -= term.weight
            if len(rows) >= k:
                floor = max(floor, float(np.partition(near, -k)[-k]))
            kept = near + left >= floor * ROUNDING
            rows, near = rows[kept], near[kept]
        scores = self._exact(terms, rows)
        first = best(np.zeros(len(rows), np.int64), rows, scores, 1, k, self._ids)
        return scores[first], rows[first]

    def _add(self, term: _Term, sums: Scores, k: int, floor: float, mask: Mask | None) -> float:
        """Adds a term's parts to the rows' sums; gives what the k-th best of them reach."""
        high = []
        for rows, counts in self._postings(term):
            if mask is not None:
                kept = mask[rows]
                rows, counts = rows[kept], counts[kept]
            sums[rows] = added = sums[rows] + self._parts(term, rows, counts)
            high.append(added[added > floor])
        return _kth(high, k)

    def _reaching(self, terms: Sequence[_Term], sums: Scores, least: float) -> Rows:
        """The rows of these terms whose sums are that high, ascending."""
        least = max(least, math.ulp(0.0))  # rows that may not be found have the sum 0
        high = [rows[sums[rows] >= least] for term in terms for rows, _ in self._postings(term)]
        rows = np.sort(np.concatenate([np.empty(0, np.int64), *high]))
        return rows[np.diff(rows, prepend=-1) > 0]

    def _exact(self, terms: Sequence[_Term], rows: Rows) -> Scores:
        """The scores of rows, ascending, added up in the order of the terms."""
        scores = np.zeros(len(rows))
        for term in terms:
            scores += self._of_rows(term, rows)
        return scores

    def _of_rows(self, term: _Term, rows: Rows) -> Scores:
        """What a term adds to the scores of rows, ascending; 0 where they do not have it."""
        parts = np.zeros(len(rows))
        borders = rows.searchsorted(self._firsts)
        for number, place in enumerate(term.places):
            first, last = int(borders[number]), int(borders[number + 1])
            if place < 0 or first == last:
                continue
            having, counts = self._segments[number].postings(place)
            # Of the type of the postings, which would else be copied as a whole.
            wanted = (rows[first:last] - self._firsts[number]).astype(having.dtype)
            at = np.minimum(having.searchsorted(wanted), len(having) - 1)
            found = (having[at] == wanted).nonzero()[0]
            parts[first + found] = self._parts(term, rows[first + found], counts[at[found]])
        return parts

    def _postings(self, term: _Term) -> Iterator[tuple[Rows, Array]]:
        """The rows that have a term, ascending, and how often, some at a time."""
        for segment, place, first in zip(self._segments, term.places, self._firsts, strict=False):
            if place >= 0:
                rows, counts = segment.postings(place)
                for at in range(0, len(rows), POSTINGS):
                    some = slice(at, at + POSTINGS)
                    yield rows[some] + first, counts[some]


def _kth(values: Sequence[Scores], k: int) -> float:
    """The k-th highest of all; 0 where there are fewer."""
    if sum(map(len, values)) < k:
        return 0.0
    return float(np.partition(np.concatenate(values), -k)[-k])


class BM25Index:
    """Texts in memory, searched by words.

    Args:
        settings: by default ``LUCENE``, the baseline that others report.

    Raises:
        InputError: there are no texts.
    """

    def __init__(self, texts: Sequence[str], settings: BM25Settings = LUCENE) -> None:
        if not texts:
            raise InputError("there are no texts to index; give at least one")
        words = WordsSettings(title=0, pairs=settings.pairs > 0)
        counts = count_words((("", text) for text in texts), words)
        self._bm25 = BM25([counts], [None], settings, words)
        self.settings = self._bm25.settings
        self.bytes = counts.bytes

    def __len__(self) -> int:
        return len(self._bm25)

    def search(self, questions: Sequence[str], k: int) -> list[list[tuple[float, int]]]:
        """For each question at most k pairs (score, row), best first, equal scores by row; none for
        texts that share no word with it.

        Raises:
            SettingsError: k below 1.
        """
        return [
            list(zip(scores.tolist(), rows.tolist(), strict=True))
            for scores, rows in self._bm25.search(questions, k)
        ]

    def scores(self, question: str, rows: Sequence[int]) -> list[float]:
        """The scores of some rows, 0 where no word is shared; the same numbers as ``search`` gives.

        Raises:
            InputError: rows that there are none of.
        """
        scores: list[float] = self._bm25.scores(question, rows).tolist()
        return scores
