"""``/embed`` and ``/rerank`` of text-embeddings-inference, and Cohere's ``/v1/rerank``.

Relevance is the reader's: a logit for each passage, or its sigmoid.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from dpr.serve.problems import Refused
from dpr.serve.rerankers import (
    CohereDocument,
    CohereRank,
    CohereRequest,
    CohereResponse,
    CohereText,
    EmbedRequest,
    Rank,
    RerankRequest,
)
from dpr.serve.service import Service
from dpr.serve.work import Embedded


def routes(service: Service) -> APIRouter:
    """Three operations."""
    router = APIRouter()
    router.include_router(_tei(service))
    router.include_router(_cohere(service))
    return router


def _tei(service: Service) -> APIRouter:
    router = APIRouter(tags=["TEI"])

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
