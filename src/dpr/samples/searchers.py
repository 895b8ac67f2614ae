"""What ranks the passages of a pool for mining: BM25, and a retriever's vectors searched exactly.

Takes passages, or their vectors as they are stored; gives scores and rows, the same ones however
questions are portioned. Knows nothing of negatives or of files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dpr.encoding import ContextEncoder, QuestionEncoder, Vectors
from dpr.errors import InputError
from dpr.indexes.bm25 import BM25Index
from dpr.indexes.flat import FlatIndex
from dpr.indexes.index import Rows
from dpr.indexes.ordering import best
from dpr.indexes.stored import StoredVectors
from dpr.records import Passage
from dpr.samples.negatives import Pool


class BM25Searcher:
    """BM25 over titles and texts.

    Raises:
        InputError: the pool is empty.
    """

    name = "bm25"

    def __init__(self, pool: Pool) -> None:
        self._index = BM25Index([f"{one.title} {one.text}" for one in pool])

    def search(self, questions: Sequence[str], k: int) -> list[list[tuple[float, int]]]:
        """See ``dpr.samples.mining.Searcher``; only passages that share a word."""
        return self._index.search(questions, k)

    def scores(self, questions: Sequence[str], rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """See ``dpr.samples.mining.Searcher``."""
        return [
            self._index.scores(question, some) if len(some) else []
            for question, some in zip(questions, rows, strict=True)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class PoolVectors:
    """Vectors of some of a pool's passages.

    Attributes:
        vectors: searched exactly, chunk by chunk.
        rows: (n,) the pool's row of each; -1: not to be found.
    """

    vectors: StoredVectors
    rows: Rows


class DenseSearcher:
    """A retriever's inner products: exact, in memory that does not grow with the pool.

    Args:
        encoder: of questions.
        parts: vectors of all passages of the pool, each in one part.
        size: passages of the pool.

    Raises:
        InputError: a passage without a vector, or with several.
    """

    name = "dense"

    def __init__(self, encoder: QuestionEncoder, parts: Sequence[PoolVectors], size: int) -> None:
        self._encoder, self._size = encoder, size
        self._parts = [(one, FlatIndex(one.vectors), one.rows >= 0) for one in parts]
        self._last: tuple[tuple[str, ...], Vectors] | None = None
        self._places = np.full((len(parts), size), -1, np.int64)  # of each pool row in each part
        for places, (one, _, found) in zip(self._places, self._parts, strict=True):
            places[one.rows[found]] = np.flatnonzero(found)
        held = sum(int(np.count_nonzero(found)) for _, _, found in self._parts)
        if held != size or not (self._places >= 0).any(axis=0).all():
            raise InputError(
                f"there are vectors for {held:,} passages, and {size:,} passages in the pool; give "
                "one for each"
            )

    @classmethod
    def encoded(
        cls,
        pool: Pool,
        questions: QuestionEncoder,
        contexts: ContextEncoder,
        progress: Callable[[int], None] | None = None,
    ) -> DenseSearcher:
        """Encodes the pool, and keeps its vectors in memory: 4 bytes a number.

        Args:
            progress: called with the number of passages encoded in each batch.
        """
        passages = [Passage("", one.text, one.title) for one in pool]
        vectors = contexts.encode(passages, progress)
        stored = StoredVectors([vectors])
        return cls(questions, [PoolVectors(stored, np.arange(len(pool)))], len(pool))

    def search(self, questions: Sequence[str], k: int) -> list[list[tuple[float, int]]]:
        """See ``dpr.samples.mining.Searcher``; equal scores by row."""
        queries = self._encode(questions)
        scores, rows = [], []
        for one, index, found in self._parts:
            own, places = index.search(queries, k, found)
            scores.append(own)
            rows.append(one.rows[places])
        return _lists(np.concatenate(scores, axis=1), np.concatenate(rows, axis=1), k)

    def scores(self, questions: Sequence[str], rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """See ``dpr.samples.mining.Searcher``."""
        queries = self._encode(questions)
        counts = [len(some) for some in rows]
        which = np.repeat(np.arange(len(counts)), counts)
        wanted = np.fromiter((row for some in rows for row in some), np.int64, len(which))
        found = np.empty(len(which), np.float32)
        for places, (one, _, _) in zip(self._places, self._parts, strict=True):
            here = np.flatnonzero(places[wanted] >= 0)
            found[here] = one.vectors.exact(queries, which[here], places[wanted[here]])
        ends = np.cumsum([0, *counts])
        return [found[first:last].tolist() for first, last in pairwise(ends.tolist())]

    def _encode(self, questions: Sequence[str]) -> Vectors:
        """The vectors of questions; those asked for last are kept, as the next call has them."""
        key = tuple(questions)
        if self._last is None or self._last[0] != key:
            self._last = key, self._encoder.encode(key)
        return self._last[1]


def _lists(
    scores: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], k: int
) -> list[list[tuple[float, int]]]:
    """The k best pairs of each line, of what the parts gave."""
    count, width = scores.shape
    which = np.repeat(np.arange(count), width)
    places = best(which, rows.ravel(), scores.ravel(), count, k, None)
    own = min(k, width)
    ordered = scores.ravel()[places].reshape(count, own).tolist()
    found = rows.ravel()[places].reshape(count, own).tolist()
    return [list(zip(*pair, strict=True)) for pair in zip(ordered, found, strict=True)]
