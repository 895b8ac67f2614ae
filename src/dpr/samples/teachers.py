"""Teachers: models whose scores of questions and passages a retriever learns from.

Takes questions, titles and texts, as many of each; gives a score for each triple. Knows nothing of
samples or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpr.errors import CheckpointError, InputError, MissingExtraError, SettingsError
from dpr.models.checkpoint import weights_fingerprint
from dpr.reading import Reader
from dpr.samples.negatives import Pool
from dpr.samples.searchers import BM25Searcher


class ReaderTeacher:
    """A reader's relevance logit; of a long passage that of its most relevant window.

    Attributes:
        identity: what tells the teacher from others.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.identity = f"reader {weights_fingerprint(reader.model.state_dict())}"

    def __call__(
        self, questions: Sequence[str], titles: Sequence[str], texts: Sequence[str]
    ) -> list[float]:
        scores = [float("-inf")] * len(questions)
        for one in self._reader.read(questions, titles, texts):
            scores[one.item] = max(scores[one.item], one.relevance)
        return scores


class CrossEncoderTeacher:
    """A cross-encoder of sentence-transformers: its logit of (question, title and text).

    Args:
        place: a folder or hub id, with its weights as safetensors.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        CheckpointError: the model cannot be loaded.
        SettingsError: it gives more than one number.
    """

    def __init__(self, place: str) -> None:
        try:
            from sentence_transformers import CrossEncoder
        except ImportError:
            raise MissingExtraError(
                "sentence-transformers", "teacher", "a cross-encoder as teacher"
            ) from None
        try:
            # Other files of weights are pickles.
            self._model: Any = CrossEncoder(place, model_kwargs={"use_safetensors": True})
        except (OSError, ValueError) as error:
            # What follows the first line are the names of all architectures that there are.
            reason = str(error).partition("\n")[0][:300]
            raise CheckpointError(
                f"{place}: cannot be loaded as a cross-encoder: {reason}; give a folder or hub id "
                "of one for sentence-transformers, with safetensors"
            ) from error
        if self._model.num_labels != 1:
            raise SettingsError(
                f"{place}: gives {self._model.num_labels} numbers for a pair; a teacher gives one"
            )
        self.identity = f"cross-encoder {weights_fingerprint(self._model.state_dict())}"

    def __call__(
        self, questions: Sequence[str], titles: Sequence[str], texts: Sequence[str]
    ) -> list[float]:
        import torch

        passages = [f"{a} {b}" if a else b for a, b in zip(titles, texts, strict=True)]
        pairs = list(zip(questions, passages, strict=True))
        # Logits: what a sigmoid makes of them is nearly the same for all that is relevant.
        scores = self._model.predict(
            pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False
        )
        return [float(one) for one in scores]


class BM25Teacher:
    """BM25 over the pool, as its searcher has it.

    Raises:
        InputError: when asked for a passage that is not in the pool.
    """

    identity = "bm25"

    def __init__(self, searcher: BM25Searcher, pool: Pool) -> None:
        self._searcher, self._rows = searcher, pool.rows

    def __call__(
        self, questions: Sequence[str], titles: Sequence[str], texts: Sequence[str]
    ) -> list[float]:
        keys = list(zip(titles, texts, strict=True))
        missing = next((text for title, text in keys if (title, text) not in self._rows), None)
        if missing is not None:
            raise InputError(
                f"the passage {missing[:60]!r} is not in the pool, so that BM25 has no score for "
                "it; add it"
            )
        own: dict[str, list[int]] = {}
        for question, key in zip(questions, keys, strict=True):
            own.setdefault(question, []).append(self._rows[key])
        scores = self._searcher.scores(list(own), list(own.values()))
        left = dict(zip(own, map(iter, scores), strict=True))
        return [next(left[question]) for question in questions]
