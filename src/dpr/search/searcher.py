"""One version of a collection, ready to be searched: by vectors, by words, or by both.

Takes an open collection and settings; gives hits for questions and their vectors. Knows nothing of
models. What a search needs (indexes, words, masks) is loaded when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property, partial
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.collection import Collection
from dpr.errors import SettingsError
from dpr.filters import Filters
from dpr.fusion import Ranked, fuse, gather
from dpr.indexes.bm25 import BM25
from dpr.indexes.index import Mask
from dpr.records import Hit
from dpr.search.dense import DenseIndex
from dpr.search.masks import Masks
from dpr.search.parts import open_words, words_settings
from dpr.search.settings import Mode, SearchSettings

_DEEPER = 4


@dataclass(frozen=True, slots=True)
class Found:
    """A row found for a question; see ``dpr.records.Hit``."""

    row: int
    score: float
    dense_score: float | None = None
    dense_rank: int | None = None
    bm25_score: float | None = None
    bm25_rank: int | None = None


class Searcher:
    """Searches one version of a collection; safe to share between threads.

    Args:
        settings: how to search where a call does not say; None: as the collection keeps it.

    Attributes:
        collection: the version.
        masks: the rows that filters leave; those that are asked for there, in whatever thread, are
            no work for ``search`` any more.
        mode: what ``auto`` stands for here.
    """

    def __init__(self, collection: Collection, settings: SearchSettings | None = None) -> None:
        self.collection = collection
        kept = SearchSettings.kept(collection.manifest.search)
        self.settings = settings or kept
        if self.settings.effort is None:
            self.settings = replace(self.settings, effort=kept.effort)
        self.masks = Masks(collection)
        self._lock = RLock()

    @property
    def mode(self) -> Mode:
        """How questions are searched for unless a call says otherwise."""
        if self.settings.mode != "auto":
            return self.settings.mode
        return "hybrid" if words_settings(self.collection) else "dense"

    @property
    def dense(self) -> DenseIndex:
        """The vectors."""
        with self._lock:
            return self._dense

    @cached_property
    def _dense(self) -> DenseIndex:
        return DenseIndex(self.collection, self.settings.effort)

    @property
    def words(self) -> BM25:
        """The words; raises as ``dpr.search.parts.open_words``."""
        with self._lock:
            return self._words

    @cached_property
    def _words(self) -> BM25:
        return open_words(self.collection, self.settings.bm25)

    def search(
        self,
        texts: Sequence[str],
        vectors: npt.NDArray[np.float32] | None,
        k: int,
        *,
        mode: Mode | None = None,
        where: Filters | None = None,
        per_document: int | None = None,
        deepest: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[list[Hit]]:
        """The hits of each question, best first.

        Args:
            texts: the questions.
            vectors: (questions, dim) of them; where words alone are searched, they are only
                what the hits' inner products are made of, and may be left out.
            k: how many hits at most.
            mode: ``dense``, ``bm25`` or ``hybrid``; None: as the settings say.
            where: only passages that satisfy these filters.
            per_document: at most so many hits of one document; None: any number.
            deepest: how many passages are looked through for these at most: where the best ones are
                of few documents, there may be fewer than k hits; None: as many as it takes.
            progress: called with the number of passages that were looked through, again and again.

        Raises:
            SettingsError: k or per_document below 1, another mode.
            CollectionError: the mode needs what the collection does not have.
            CorruptionError: something that was read was altered.
        """
        chosen = self.mode if mode in (None, "auto") else mode
        allowed = self.masks.allowed(where or Filters())
        if per_document is None:
            found = self._found(texts, vectors, k, chosen, allowed)
        else:
            most = max(k, deepest or len(self.collection))
            found = self._spread(texts, vectors, k, chosen, allowed, per_document, most, progress)
        return [self._hits(one) for one in found]

    def _found(
        self,
        texts: Sequence[str],
        vectors: npt.NDArray[np.float32] | None,
        k: int,
        mode: Any,
        allowed: Mask | None,
    ) -> list[list[Found]]:
        if mode == "bm25":
            return self._by_words(texts, vectors, k, allowed)
        if vectors is None or mode not in ("dense", "hybrid"):
            raise SettingsError(
                f"mode is {mode!r}; allowed are 'dense', 'bm25', 'hybrid' and 'auto', all but bm25 "
                "with the vectors of the questions"
            )
        if mode == "dense":
            scores, rows = self.dense.search(vectors, k, allowed)
            return [
                [Found(*pair, dense_score=pair[1], dense_rank=rank) for rank, pair in _ranked(*one)]
                for one in zip(scores, rows, strict=True)
            ]
        return self._fused(texts, vectors, k, allowed)

    def _by_words(
        self,
        texts: Sequence[str],
        vectors: npt.NDArray[np.float32] | None,
        k: int,
        allowed: Mask | None,
    ) -> list[list[Found]]:
        found = []
        for number, (scores, rows) in enumerate(self.words.search(texts, k, allowed)):
            dense: Any = [None] * len(rows)
            if vectors is not None:
                dense = self.dense.scores(vectors[number], rows).tolist()
            found.append(
                [
                    Found(row, score, inner, None, score, rank)
                    for (rank, (row, score)), inner in zip(
                        _ranked(scores, rows), dense, strict=True
                    )
                ]
            )
        return found

    def _fused(
        self,
        texts: Sequence[str],
        vectors: npt.NDArray[np.float32],
        k: int,
        allowed: Mask | None,
    ) -> list[list[Found]]:
        """The paper's way: the union of both lists, both scores of every candidate."""
        words, fusion = self.words, self.settings.fusion
        depth = max(k, fusion.depth)
        by_vectors = zip(*self.dense.search(vectors, depth, allowed), strict=True)
        by_words = words.search(texts, depth, allowed)
        found = []
        for text, vector, (scores, rows), other in zip(
            texts, vectors, by_vectors, by_words, strict=True
        ):
            candidates = gather(
                Ranked(rows, scores),
                Ranked(other[1], other[0]),
                partial(self.dense.scores, vector),
                partial(words.scores, text),
                depth,
            )
            fused = fuse(candidates, fusion, k, self.collection.ids)
            found.append([Found(*astuple(one)) for one in fused])
        return found

    def _spread(
        self,
        texts: Sequence[str],
        vectors: npt.NDArray[np.float32] | None,
        k: int,
        mode: Any,
        allowed: Mask | None,
        per_document: int,
        deepest: int,
        progress: Callable[[int], None] | None,
    ) -> list[list[Found]]:
        """As many hits of different documents, searching deeper until there are enough."""
        if per_document < 1:
            raise SettingsError(
                f"per_document is {per_document}; allowed are integers of 1 or more"
            )
        done: dict[int, list[Found]] = {}
        waiting, depth = list(range(len(texts))), min(k * _DEEPER, deepest)
        while waiting:
            some = None if vectors is None else vectors[waiting]
            found = self._found([texts[n] for n in waiting], some, depth, mode, allowed)
            left = []
            for number, one in zip(waiting, found, strict=True):
                spread = self._thinned(one, per_document)[:k]
                if progress is not None:
                    progress(len(one))
                if len(spread) == k or len(one) < depth or depth == deepest:
                    done[number] = spread
                else:
                    left.append(number)
            waiting, depth = left, min(depth * _DEEPER, deepest)
        return [done[number] for number in range(len(texts))]

    def _thinned(self, found: Sequence[Found], per_document: int) -> list[Found]:
        passages = self.collection.passages([one.row for one in found])
        counts: dict[str, int] = {}
        kept = []
        for one, passage in zip(found, passages, strict=True):
            document = passage.document or passage.id
            counts[document] = counts.get(document, 0) + 1
            if counts[document] <= per_document:
                kept.append(one)
        return kept

    def _hits(self, found: Sequence[Found]) -> list[Hit]:
        passages = self.collection.passages([one.row for one in found])
        return [
            Hit(passage, one.score, one.dense_score, one.dense_rank, one.bm25_score, one.bm25_rank)
            for passage, one in zip(passages, found, strict=True)
        ]


def _ranked(scores: Any, rows: Any) -> list[tuple[int, tuple[int, float]]]:
    pairs = zip(rows.tolist(), scores.tolist(), strict=True)
    return list(enumerate(pairs, 1))
