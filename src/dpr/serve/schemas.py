"""The bodies of this project's own routes, as pydantic models: what OpenAPI shows, checked exactly;
and what the routes of other APIs share with them.

Knows nothing of how a request is answered.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from dpr.errors import SettingsError
from dpr.filters import Filters, parse_filters
from dpr.serve.bounds import SAYS, Body, small
from dpr.serve.work import How

MOST_QUESTIONS = 64
MOST_HITS = 1000
MOST_READ_HITS = 100
LONGEST_QUESTION = 8192
MOST_INPUTS = 1024  # as many as may wait, by default; LangChain sends up to 1,000 at once

Input = Annotated[str, StringConstraints(min_length=1)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_QUESTION, pattern=SAYS)]
Scalar = str | bool | int | Annotated[float, Field(allow_inf_nan=False)]
Values = Scalar | Annotated[list[Scalar], Field(min_length=1, max_length=100)]
Conditions = dict[
    Literal["=", "!=", "<", "<=", ">", ">=", "~", "!~"],
    Values,
]


def _filters(given: dict[str, Any]) -> dict[str, Any]:
    try:
        Filters.from_mapping(given)
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return given


def _condition(text: str) -> str:
    try:
        parse_filters([text])
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return text


def _whole(given: object) -> object:
    return int(given) if isinstance(given, float) and given.is_integer() else given


# JSON knows one kind of number: 10.0 is 10.
Count = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Hits = Annotated[int, Field(ge=1, le=MOST_HITS), BeforeValidator(_whole)]
ReadHits = Annotated[int, Field(ge=1, le=MOST_READ_HITS), BeforeValidator(_whole)]

Condition = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Where = Annotated[
    dict[str, Values | Annotated[Conditions, Field(min_length=1)]],
    Field(
        max_length=32,
        description="Only passages that satisfy all of it. By name of a field (source, section, "
        "document, title, or of metadata) a value, a list of which one is enough, or an object "
        'from operators to either, such as {"year": {">=": 1990}}. < and its like take one value.',
        examples=[{"year": {">=": 1990}}],
    ),
    AfterValidator(_filters),
    BeforeValidator(small),
]
Mode = Literal["auto", "dense", "bm25", "hybrid"]


class Asking(Body):
    """What searching and answering have in common."""

    model_config = ConfigDict(strict=True, extra="forbid")

    question: (
        Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_QUESTIONS, fail_fast=True)]
    ) = Field(description="A question, or several.", examples=["Where does the Danube rise?"])
    mode: Mode = Field(
        "auto",
        description="By vectors (dense), by words (bm25), or by both (hybrid); auto: as the "
        "collection is searched.",
    )
    where: Where = Field({})
    filters: list[Annotated[Condition, AfterValidator(_condition)]] = Field(
        [],
        max_length=32,
        fail_fast=True,
        description="More conditions, each as text, as the command line takes them.",
        examples=[["year>=1990", "lang=en|de"]],
    )
    per_document: Hits | None = Field(None, description="At most so many hits of one document.")

    @property
    def questions(self) -> list[str]:
        """All of them."""
        return [self.question] if isinstance(self.question, str) else self.question

    def how(self, k: int) -> How:
        """How to search."""
        if not (self.where or self.filters):
            return How(k, self.mode, per_document=self.per_document)
        named, spelled = Filters.from_mapping(self.where), parse_filters(self.filters)
        both = Filters((*named.filters, *spelled.filters))
        return How(k, self.mode, both, self.per_document)


class SearchRequest(Asking):
    """Questions to search for."""

    k: Hits = Field(10, description="Hits of each question, at most.")


class AnswerRequest(Asking):
    """Questions to answer."""

    k: ReadHits = Field(
        10,
        description="Hits of each question, at most; of these, the reader reads the first, as many "
        "as its settings say.",
    )


class SearchHit(BaseModel):
    """A passage that was found. Offsets are in characters (Unicode code points)."""

    model_config = ConfigDict(extra="forbid")

    id: str
    document: str
    title: str
    section: str
    text: str
    source: str = Field(description="Where the document came from.")
    start: int = Field(description="Offset of the passage in its document.")
    end: int
    metadata: dict[str, Any]
    score: float = Field(description="What hits are ranked by.")
    dense_score: float | None = Field(description="The inner product of question and passage.")
    dense_rank: int | None = Field(description="Place in the list by vectors; null: not in it.")
    bm25_score: float | None
    bm25_rank: int | None


class Result(BaseModel):
    """What each question's result says."""

    model_config = ConfigDict(extra="forbid")

    index_version: int = Field(description="Of the collection, that was asked.")
    model_id: str
    mode: Literal["dense", "bm25", "hybrid"] = Field(description="How it was searched.")
    truncated: bool = Field(description="The question was longer than the model reads.")


class SearchResult(Result):
    """The hits of one question, best first."""

    hits: list[SearchHit]


class SearchResponse(BaseModel):
    """A result of each question, in their order."""

    model_config = ConfigDict(extra="forbid")

    results: list[SearchResult]


class AnswerSpan(BaseModel):
    """A span of a passage that answers. Offsets are in characters (Unicode code points)."""

    model_config = ConfigDict(extra="forbid")

    text: str
    score: float = Field(description="How probable it is that the answer is right.", ge=0, le=1)
    passage_id: str
    start: int = Field(description="Offset in the passage's text.")
    end: int
    document_start: int = Field(description="Offset in the document.")
    document_end: int
    retrieval_score: float = Field(description="The retriever's, of the passage.")
    relevance: float = Field(description="The reader's, of the passage.")
    span_score: float = Field(description="The reader's, of the span.")
    support: list[str] = Field(description="Passages that gave the same answer, best first.")


class AnswerResult(Result):
    """The answers to one question, best first; none where nothing convinces. And its hits."""

    answers: list[AnswerSpan]
    hits: list[SearchHit]


class AnswerResponse(BaseModel):
    """A result of each question, in their order."""

    model_config = ConfigDict(extra="forbid")

    results: list[AnswerResult]


class State(BaseModel):
    """Whether the service does what was asked."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["alive", "ready"]


class Info(BaseModel):
    """What is served. The first names are those of text-embeddings-inference."""

    model_config = ConfigDict(extra="forbid")

    model_id: str
    model_sha: str = Field(description="Fingerprint of weights, tokenizer and settings.")
    model_dtype: str
    model_type: dict[str, dict[str, str]]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    index_version: int
    passages: int
    dim: int
    modes: list[Literal["dense", "bm25", "hybrid"]]
    answers: bool = Field(description="Whether there is a reader.")
