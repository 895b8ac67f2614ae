"""What teaches a retriever about every passage of a batch: BM25, and the model that it starts from.

Takes questions and passages of the training samples, with the start's vectors of them; gives
scores and weighted sums of them, in-batch negatives included. A dense model learns from BM25 to
look at words (Chen et al. 2021, SPAR, §3), and from its start not to forget (Li & Hoiem 2016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dpr.indexes.bm25 import BM25Index, BM25Settings
from dpr.training.losses import similarity
from dpr.training.sampling import Key


class WordScores:
    """BM25's scores, as collections are searched by default.

    Args:
        questions: of all samples.
        passages: (title, text) of all that may stand in a batch.
    """

    def __init__(self, questions: Sequence[str], passages: Sequence[Key]) -> None:
        self._questions = questions
        self._rows = {key: row for row, key in enumerate(passages)}
        self._bm25 = BM25Index([f"{title} {text}" for title, text in passages], BM25Settings())

    def scores(self, questions: Sequence[int], passages: Sequence[Key]) -> Tensor:
        """(questions, passages) of a batch, float32; questions by their numbers."""
        rows = [self._rows[key] for key in passages]
        found = [self._bm25.scores(self._questions[one], rows) for one in questions]
        return torch.tensor(found, dtype=torch.float32).reshape(len(questions), len(rows))


class Teachers:
    """The weighted sum of their scores.

    Args:
        weights: of "bm25", "start" or both.
        passages: (title, text) of all that may stand in a batch.
        words: where "bm25" has a weight.
        vectors: the start's, (questions, dim) and (passages, dim), where it has a weight.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        passages: Sequence[Key],
        words: WordScores | None,
        vectors: tuple[Tensor, Tensor] | None,
    ) -> None:
        self._weights, self._words, self._vectors = weights, words, vectors
        self._rows = {key: row for row, key in enumerate(passages)}

    def scores(self, questions: Sequence[int], passages: Sequence[Key]) -> Tensor:
        """(questions, passages) of a batch, float32; questions by their numbers."""
        rows = [self._rows[key] for key in passages]
        total = torch.zeros(len(questions), len(rows))
        if self._words is not None:
            total += self._weights["bm25"] * self._words.scores(questions, passages)
        if self._vectors is not None:
            asked, read = self._vectors
            total += self._weights["start"] * similarity(asked[list(questions)], read[rows])
        return total
