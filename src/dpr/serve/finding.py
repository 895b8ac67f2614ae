"""Questions of one round to hits and answers, as JSON: encoded together, searched by groups that
search alike, read together.

Takes questions that may differ in how they search; gives bytes or an error for each. Knows nothing
of requests or threads.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic_core import to_json

from dpr.encoding import QuestionEncoder
from dpr.interchange.hits import hit_shape
from dpr.pipeline.asking import Opened
from dpr.records import Answer, Hit
from dpr.serve.batching import Check, TooLate
from dpr.serve.steps import step
from dpr.serve.work import Find, Found, How

logger = logging.getLogger(__name__)
_DEEPEST = 10_000  # passages that are looked through for hits of enough documents
T = TypeVar("T")
Results = dict[int, T | Exception]


class Finding:
    """The questions of a round, on their way."""

    def __init__(
        self,
        finds: Sequence[Find],
        opened: Opened,
        encoder: QuestionEncoder,
        check: Check = lambda *_: None,
    ) -> None:
        self._finds, self._opened, self._encoder = finds, opened, encoder
        self._check = check
        usual = opened.searcher.mode
        self._modes = [usual if one.how.mode == "auto" else one.how.mode for one in finds]

    def run(self, model_id: str, number: int = 0) -> list[Found | Exception]:
        """What came of each question; ``number``: of what is open, see ``Found``."""
        vectors, cut = self._encoded()
        hits = self._searched(vectors)
        answers = self._answered(hits)
        version = self._opened.searcher.collection.version
        found: list[Found | Exception] = []
        for n, one in enumerate(self._finds):
            shape: dict[str, Any] = {
                "index_version": version,
                "model_id": model_id,
                "mode": self._modes[n],
                "truncated": cut[one.question],
            }
            failed = next((r[n] for r in (hits, answers) if isinstance(r.get(n), Exception)), None)
            if isinstance(failed, Exception):
                found.append(failed)
                continue
            if one.read:
                shape["answers"] = [asdict(answer) for answer in answers[n]]  # type: ignore[union-attr]
            shape["hits"] = [hit_shape(hit) for hit in hits[n]]  # type: ignore[union-attr]
            found.append(Found(to_json(shape), number, cut[one.question]))
        return found

    @step("encoding", Find)
    def _encoded(self) -> tuple[dict[str, npt.NDArray[np.float32]], dict[str, bool]]:
        """Of each text its vector, where any question needs one, and whether it was cut."""
        needed: dict[str, bool] = defaultdict(bool)
        for one, mode in zip(self._finds, self._modes, strict=True):
            # As Pipeline does: BM25 alone needs no vector, but weighs its hits' for the reader.
            needed[one.question] |= mode != "bm25" or one.read
        texts = list(needed)
        tokens = self._encoder.tokens(texts)
        which = [n for n, text in enumerate(texts) if needed[text]]
        vectors = self._encoder.encode_ids([tokens.ids[n] for n in which], self._check)
        return (
            dict(zip((texts[n] for n in which), vectors, strict=True)),
            dict(zip(texts, tokens.cut, strict=True)),
        )

    @step("searching", Find)
    def _searched(self, vectors: dict[str, npt.NDArray[np.float32]]) -> Results[list[Hit]]:
        groups: dict[tuple[How, bool], list[int]] = defaultdict(list)
        for n, (one, mode) in enumerate(zip(self._finds, self._modes, strict=True)):
            groups[one.how, mode != "bm25" or one.read].append(n)
        hits: Results[list[Hit]] = {}
        for (how, by_vector), which in groups.items():
            texts = {n: self._finds[n].question for n in which}

            def search(
                some: Sequence[int],
                texts: dict[int, str] = texts,
                how: How = how,
                by_vector: bool = by_vector,
            ) -> list[list[Hit]]:
                self._check()
                given = np.stack([vectors[texts[n]] for n in some]) if by_vector else None
                return self._opened.searcher.search(
                    [texts[n] for n in some],
                    given,
                    how.k,
                    mode=how.mode,
                    where=how.where,
                    per_document=how.per_document,
                    deepest=deepest(how),
                    progress=self._check,
                )

            hits |= apart(which, search)
        return hits

    @step("reading", Find)
    def _answered(self, hits: Results[list[Hit]]) -> Results[tuple[Answer, ...]]:
        which = [n for n, one in enumerate(self._finds) if one.read and isinstance(hits[n], list)]
        reader = self._opened.reader

        def read(some: Sequence[int]) -> list[tuple[Answer, ...]]:
            assert reader is not None  # no route reads without one
            questions = [self._finds[n].question for n in some]
            found: list[list[Hit]] = [hits[n] for n in some]  # type: ignore[misc]
            return reader.answer_many(questions, found, self._check)

        return apart(which, read) if which else {}


def deepest(how: How) -> int:
    """Passages that are looked through at most, so that there are hits of enough documents: in the
    models' thread, where all others wait for it."""
    return max(4 * how.k, _DEEPEST)


def apart(which: Sequence[int], done: Callable[[Sequence[int]], Sequence[T]]) -> Results[T]:
    """What a function gives for some tasks: for all together or, where that fails, for each alone,
    so that an error is of its task and touches no others."""
    try:
        return dict(zip(which, done(which), strict=True))
    except TooLate:
        raise
    except Exception as error:
        if len(which) == 1:
            return {which[0]: error}
        logger.warning("%d tasks together failed; each is tried alone: %r", len(which), error)
    found: Results[T] = {}
    for one in which:
        found |= apart([one], done)
    return found
