"""``/v1/embeddings`` and ``/v1/models``, as OpenAI's clients know them."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from dpr.serve.bounds import Body
from dpr.serve.problems import Refused
from dpr.serve.schemas import MOST_INPUTS, Count, Input
from dpr.serve.service import Service
from dpr.serve.work import Embedded, Tower


class EmbeddingsRequest(Body):
    """Texts to make vectors of. Fields that are not listed here are allowed, and mean nothing."""

    model_config = ConfigDict(strict=True)

    input: (
        Input | Annotated[list[Input], Field(min_length=1, max_length=MOST_INPUTS, fail_fast=True)]
    ) = Field(
        description="A text or several. Not lists of token ids: those of other tokenizers would "
        "mean something else here.",
        examples=["Where does the Danube rise?"],
    )
    model: str = Field(description="The model_id of /info, whole or up to its @.")
    input_type: Tower = Field(
        "query", description="Questions and passages are encoded by towers of their own."
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = Field(
        None, description="If given, it has to be what the model has: none are cut."
    )

    @property
    def inputs(self) -> list[str]:
        """All of them."""
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding(BaseModel):
    """The vector of one text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(
        description="Numbers; or, as base64, their float32 bytes, the lowest first."
    )
    truncated: bool = Field(description="The text was longer than the model reads.")


class Usage(BaseModel):
    """Tokens that were encoded, special tokens included."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """A vector of each text, in their order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """The one that there is."""

    object: Literal["list"] = "list"
    data: list[Model]


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
