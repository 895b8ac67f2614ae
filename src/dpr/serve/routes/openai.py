"""``/v1/embeddings`` and ``/v1/models``, as OpenAI's clients know them."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from dpr.serve.embeddings import EmbeddingsRequest, EmbeddingsResponse, Model, ModelList
from dpr.serve.problems import Refused
from dpr.serve.service import Service
from dpr.serve.work import Embedded


def routes(service: Service) -> APIRouter:
    """Both operations."""
    router = APIRouter(tags=["OpenAI"])

    @router.post("/v1/embeddings", response_model=EmbeddingsResponse)
    async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
        """Make vectors of texts. Their inner products are what passages are ranked by."""
        _check(body, service)
        deadline = request.scope["dpr"].deadline
        name = service.engine.model_id
        made = await service.embed(body.inputs, body.input_type, deadline)
        content = await asyncio.to_thread(_json, made, body.encoding_format, name)
        return Response(content, media_type="application/json")

    @router.get("/v1/models", response_model=ModelList)
    async def models() -> ModelList:
        """The model that is served."""
        name = service.engine.model_id
        return ModelList(data=[Model(id=name, created=0, owned_by="dense-passage-retrieval")])

    return router


def _check(body: EmbeddingsRequest, service: Service) -> None:
    name, dim = service.engine.model_id, service.engine.pipeline.encoder.dim
    if body.model not in (name, name.partition("@")[0]):
        # Vectors of another model than was meant would be compared in silence.
        raise Refused(
            404, "model_not_found", f"This server has one model, {name!r}, and not the one asked."
        )
    if body.dimensions not in (None, dim):
        raise Refused(
            400, "dimensions", f"dimensions={body.dimensions}; vectors of this model have {dim}."
        )


def _json(made: Sequence[Embedded], encoding: str, name: str) -> bytes:
    """The answer; with many vectors it takes a while, and so not in the event loop."""
    tokens = sum(one.tokens for one in made)
    return to_json(
        {
            "object": "list",
            "data": [_shape(n, one, encoding) for n, one in enumerate(made)],
            "model": name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _shape(number: int, made: Embedded, encoding: str) -> dict[str, Any]:
    vector: Any = (
        b64encode(made.vector.astype("<f4").tobytes()).decode()
        if encoding == "base64"
        else made.vector.tolist()
    )
    return {
        "object": "embedding",
        "index": number,
        "embedding": vector,
        "truncated": made.truncated,
    }
