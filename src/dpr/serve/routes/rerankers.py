"""``/embed`` (and ``/``), ``/rerank`` of text-embeddings-inference, and Cohere's ``/v1/rerank``.

Relevance is the reader's: a logit for each passage, or its sigmoid.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import to_json

from dpr.serve.bounds import Body
from dpr.serve.problems import Refused
from dpr.serve.schemas import LONGEST_QUESTION, MOST_INPUTS, Count, Input
from dpr.serve.service import Service
from dpr.serve.work import Embedded, Tower

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


def routes(service: Service) -> APIRouter:
    """Three operations."""
    router = APIRouter()
    router.include_router(_tei(service))
    router.include_router(_cohere(service))
    return router


def _tei(service: Service) -> APIRouter:
    router = APIRouter(tags=["TEI"])

    # InferenceClient of huggingface_hub posts to the address that it was given, and to no path.
    @router.post("/", response_model=list[list[float]], name="embed_here")
    @router.post("/embed", response_model=list[list[float]])
    async def embed(body: EmbedRequest, request: Request) -> Response:
        """Make vectors of texts."""
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        made = await service.embed(texts, body.prompt_name, request.scope["dpr"].deadline)
        if not body.truncate and any(one.truncated for one in made):
            most = service.engine.pipeline.encoder.encoding.max_length
            raise Refused(413, "too_long", f"A text has more than {most} tokens; send truncate.")
        content = await asyncio.to_thread(_vectors, made, body.normalize)
        return Response(content, media_type="application/json")

    @router.post("/rerank", response_model=list[Rank], response_model_exclude_none=True)
    async def rerank(body: RerankRequest, request: Request) -> Response:
        """Order texts by their relevance to a question."""
        texts = [("", text) for text in body.texts]
        logits = await service.judge(body.query, texts, request.scope["dpr"].deadline)
        ranks = [
            {
                "index": n,
                "score": logits[n] if body.raw_scores else _sigmoid(logits[n]),
                **({"text": body.texts[n]} if body.return_text else {}),
            }
            for n in _best(logits)
        ]
        return Response(to_json(ranks), media_type="application/json")

    return router


def _cohere(service: Service) -> APIRouter:
    router = APIRouter(tags=["Cohere"])

    @router.post("/v1/rerank", response_model=CohereResponse, response_model_exclude_none=True)
    async def cohere_rerank(body: CohereRequest, request: Request) -> CohereResponse:
        """Order texts by their relevance to a question."""
        arrival = request.scope["dpr"]
        texts = [
            (one.title, one.text) if isinstance(one, CohereDocument) else ("", one)
            for one in body.documents
        ]
        logits = await service.judge(body.query, texts, arrival.deadline)
        ranks = [
            CohereRank(
                index=n,
                relevance_score=_sigmoid(logits[n]),
                document=CohereText(text=texts[n][1]) if body.return_documents else None,
            )
            for n in _best(logits)[: body.top_n]
        ]
        return CohereResponse(id=arrival.id, results=ranks)

    return router


def _vectors(made: Sequence[Embedded], normalize: bool) -> bytes:
    """As JSON; with many it takes a while, and so not in the event loop."""
    vectors = np.stack([one.vector for one in made])
    if normalize:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, np.float32(1))
    return to_json(vectors.tolist())


def _best(logits: list[float]) -> list[int]:
    """Places, the greatest first; of equal ones the earlier."""
    return sorted(range(len(logits)), key=lambda n: -logits[n])


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
