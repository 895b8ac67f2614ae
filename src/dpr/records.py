"""The nouns of the project: small frozen records that every other module passes along.

Takes and gives plain values only; knows nothing of files, models or the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """A heading inside a document: ``start`` is the character at which it begins."""

    start: int
    title: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text as its source holds it, before splitting.

    Attributes:
        id: unique within a collection.
        text: the whole text; passages refer to it by character offsets.
        title: what the document is called; encoded together with each of its passages.
        source: where it came from (a path, ``file:line``, or a name), as shown to people.
        sections: headings in ascending order of ``start``.
        metadata: further facts, plain JSON values by name; what searches can be narrowed by.
    """

    id: str
    text: str
    title: str = ""
    source: str = ""
    sections: tuple[Section, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document: ``text == document.text[start:end]``, offsets in characters.

    Attributes:
        document: the id of the document; empty stands for the passage's own id.
        metadata: the document's.
    """

    id: str
    text: str
    title: str = ""
    section: str = ""
    source: str = ""
    start: int = 0
    end: int = 0
    document: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Question:
    """A question and, where known, its accepted answers.

    ``unanswerable`` says that no passage answers it, as SQuAD 2.0 marks such questions; without it,
    no answers means that none are known.
    """

    id: str
    text: str
    answers: tuple[str, ...] = ()
    unanswerable: bool = False


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Questions with what is known of their answers and of the passages that answer them.

    Attributes:
        name: what reports call it.
        judgements: question id -> id of a passage or document -> grade; above 0 is relevant.
    """

    name: str
    questions: tuple[Question, ...]
    judgements: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a question.

    Attributes:
        score: what hits are ranked by: the inner product of the two vectors, BM25's score, or what
            the two were fused to.
        dense_score, dense_rank: the inner product, and its place (from 1) in the dense list.
        bm25_score, bm25_rank: the same by words. None: not searched so, or not in that list.
    """

    passage: Passage
    score: float
    dense_score: float | None = None
    dense_rank: int | None = None
    bm25_score: float | None = None
    bm25_rank: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A span of a passage that answers a question.

    Attributes:
        text: the span, exactly as it stands in the passage: ``passage.text[start:end]``.
        score: how probably it is right, as far as it was calibrated; none is above that of an
            answer before it. See ``dpr.reading.answers`` for the rule, and for the order.
        passage_id: the passage that the span stands in.
        start, end: character offsets into the passage's text.
        document_start, document_end: character offsets into the source document.
        retrieval_score: the retriever's score of that passage.
        relevance: the reader's relevance logit of that passage.
        span_score: the reader's start logit + end logit of that span.
        support: ids of all the passages that gave the same answer, best first.
    """

    text: str
    score: float
    passage_id: str
    start: int
    end: int
    document_start: int = 0
    document_end: int = 0
    retrieval_score: float = 0.0
    relevance: float = 0.0
    span_score: float = 0.0
    support: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking gives: the question, the passages found, the answers (none: no answer).

    ``version`` is that of the collection which was asked; 0 where there was none.
    """

    question: Question
    hits: tuple[Hit, ...]
    answers: tuple[Answer, ...] = ()
    version: int = 0
