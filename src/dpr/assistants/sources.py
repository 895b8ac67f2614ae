"""What assistants are given of a collection: texts, each with what it takes to cite it.

Takes a pipeline and what was asked; gives frozen records of plain values. Every answer is of one
version of the collection, and says which. Knows nothing of the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpr.errors import InputError
from dpr.filters import Filters
from dpr.pipeline import Pipeline
from dpr.records import Answer, Hit, Passage
from dpr.search.settings import Mode


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a text stands: enough to find it again, in this version of the collection.

    Attributes:
        start, end: of the text in its document, in characters (Unicode code points).
    """

    passage_id: str
    document: str
    title: str
    section: str
    source: str
    start: int
    end: int
    collection: str
    version: int


@dataclass(frozen=True, slots=True)
class CitedPassage:
    """A passage.

    Attributes:
        score: what hits are ranked by; None where nothing was searched for.
    """

    text: str
    citation: Citation
    metadata: dict[str, Any]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class CitedAnswer:
    """An answer, word for word as it stands in its source.

    Attributes:
        score: how probable it is that the answer is right, from 0 to 1.
        citation: of the answer itself; its passage is among ``passages``.
        support: ids of the passages that gave the same answer.
    """

    text: str
    score: float
    citation: Citation
    support: list[str]


# Without slots: ``mcp`` would take a slot for the field's default, and give no schema.


@dataclass(frozen=True)
class SearchGiven:
    """Passages, best first."""

    collection: str
    version: int
    passages: list[CitedPassage]


@dataclass(frozen=True)
class AnswerGiven:
    """Answers, best first, and the passages that they stand in; none where nothing convinces."""

    collection: str
    version: int
    answers: list[CitedAnswer]
    passages: list[CitedPassage]


@dataclass(frozen=True)
class ReadGiven:
    """A passage, between those before and after it in its document, where they were asked for."""

    collection: str
    version: int
    before: list[CitedPassage]
    passage: CitedPassage
    after: list[CitedPassage]


class Sources:
    """A collection that assistants may ask; safe to share between threads."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.name = pipeline.collection.path.resolve().name

    @property
    def answers(self) -> bool:
        """Whether there is a reader."""
        return self._pipeline.reader is not None

    def search(
        self, question: str, k: int, mode: Mode, where: Mapping[str, Any] | None
    ) -> SearchGiven:
        """The k best passages; raises as ``Pipeline.search``."""
        searcher = self._pipeline.searcher
        chosen = searcher.mode if mode == "auto" else mode
        vectors = None if chosen == "bm25" else self._pipeline.encoder.encode([question])
        filters = Filters.from_mapping(where or {})
        [hits] = searcher.search([question], vectors, k, mode=chosen, where=filters)
        version = searcher.collection.version
        return SearchGiven(self.name, version, [self._hit(one, version) for one in hits])

    def answer(
        self, question: str, k: int, mode: Mode, where: Mapping[str, Any] | None
    ) -> AnswerGiven:
        """Answers read in the k best passages; raises as ``Pipeline.ask``."""
        asked = self._pipeline.ask(question, k, mode=mode, where=where or {})
        hits = {hit.passage.id: hit for hit in asked.hits}
        answers = [
            self._answer(one, hits[one.passage_id].passage, asked.version) for one in asked.answers
        ]
        read = dict.fromkeys(one.passage_id for one in asked.answers)
        passages = [self._hit(hits[one], asked.version) for one in read]
        return AnswerGiven(self.name, asked.version, answers, passages)

    def read(self, passage_id: str, around: int) -> ReadGiven:
        """A passage, and up to so many on either side of it.

        Raises:
            InputError: the newest version has none with this id.
        """
        collection = self._pipeline.newest.searcher.collection
        try:
            row = collection.row_of(passage_id)
        except InputError:
            raise InputError(
                f"version {collection.version} of {self.name} has no passage with the id "
                f"{passage_id!a}; ids are those that searching gives, and go when documents change"
            ) from None
        passage = collection.passage(row)
        # What was imported may be of no document.
        rows = collection.document_rows(row) if passage.document else [row]
        live = [one for one in rows if collection.live is None or collection.live[one]]
        at, version = live.index(row), collection.version
        before = collection.passages(live[max(0, at - around) : at])
        after = collection.passages(live[at + 1 : at + 1 + around])
        return ReadGiven(
            self.name,
            version,
            [self._passage(one, version) for one in before],
            self._passage(passage, version),
            [self._passage(one, version) for one in after],
        )

    def _hit(self, hit: Hit, version: int) -> CitedPassage:
        return self._passage(hit.passage, version, hit.score)

    def _passage(self, passage: Passage, version: int, score: float | None = None) -> CitedPassage:
        citation = self._citation(passage, passage.start, passage.end, version)
        return CitedPassage(passage.text, citation, dict(passage.metadata), score)

    def _answer(self, answer: Answer, passage: Passage, version: int) -> CitedAnswer:
        citation = self._citation(passage, answer.document_start, answer.document_end, version)
        return CitedAnswer(answer.text, answer.score, citation, list(answer.support))

    def _citation(self, passage: Passage, start: int, end: int, version: int) -> Citation:
        return Citation(
            passage_id=passage.id,
            document=passage.document or passage.id,
            title=passage.title,
            section=passage.section,
            source=passage.source,
            start=start,
            end=end,
            collection=self.name,
            version=version,
        )
