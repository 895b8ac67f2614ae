"""The bodies of text-embeddings-inference's and Cohere's APIs, as far as they make sense here.

Knows nothing of how texts are encoded or judged.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dpr.serve.bounds import Body
from dpr.serve.schemas import LONGEST_QUESTION, MOST_INPUTS, Count
from dpr.serve.work import Tower

Input = Annotated[str, StringConstraints(min_length=1)]
Query = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_QUESTION)]
Texts = Annotated[list[Input], Field(min_length=1, max_length=MOST_INPUTS, fail_fast=True)]


class _Request(Body):
    """Fields that are not listed are allowed, and mean nothing."""

    model_config = ConfigDict(strict=True)


class EmbedRequest(_Request):
    """Texts to make vectors of."""

    inputs: Input | Texts
    prompt_name: Tower = Field(
        "query", description="Questions and passages are encoded by towers of their own."
    )
    normalize: bool = Field(
        False,
        description="Make vectors of length 1. By default they are as the model makes them, since "
        "their lengths count in its scores.",
    )
    truncate: bool = Field(True, description="False refuses texts longer than the model reads.")


class RerankRequest(_Request):
    """Texts to order by their relevance to a question."""

    query: Query
    texts: Texts
    raw_scores: bool = Field(False, description="Logits, in place of values between 0 and 1.")
    return_text: bool = False


class Rank(BaseModel):
    """A text's place in the request and its relevance."""

    model_config = ConfigDict(extra="forbid")

    index: int
    score: float
    text: str | None = None


class CohereDocument(_Request):
    """A text to judge, as an object."""

    text: Input
    title: Annotated[str, StringConstraints(max_length=1024)] = ""


class CohereRequest(_Request):
    """Texts to order by their relevance to a question."""

    query: Query
    documents: Annotated[
        list[Input | CohereDocument], Field(min_length=1, max_length=MOST_INPUTS, fail_fast=True)
    ]
    model: str | None = Field(None, description="Taken and not looked at: there is one reader.")
    top_n: Count | None = Field(None, description="Results, at most; null: all.")
    return_documents: bool = False


class CohereText(BaseModel):
    """The text that was judged."""

    text: str


class CohereRank(BaseModel):
    """A text's place in the request and its relevance, between 0 and 1."""

    index: int
    relevance_score: float
    document: CohereText | None = None


class CohereResponse(BaseModel):
    """The texts, the most relevant first."""

    id: str
    results: list[CohereRank]
