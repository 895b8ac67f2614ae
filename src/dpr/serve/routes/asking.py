"""``/v1/search`` and ``/v1/answer``: this project's own API.

Takes bodies as ``schemas`` says; gives results of ``service`` as they are. ``direct`` answers most
of what comes for them.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from dpr.serve.schemas import AnswerRequest, AnswerResponse, SearchRequest, SearchResponse
from dpr.serve.service import Service

ASKED: Mapping[str, type[SearchRequest] | type[AnswerRequest]] = {
    "/v1/search": SearchRequest,
    "/v1/answer": AnswerRequest,
}


def routes(service: Service) -> APIRouter:
    """Both operations."""
    router = APIRouter(tags=["Questions"])

    @router.post("/v1/search", response_model=SearchResponse)
    async def search(body: SearchRequest, request: Request) -> Response:
        """Find the passages that belong to questions."""
        return await _response(service, body, request)

    @router.post("/v1/answer", response_model=AnswerResponse)
    async def answer(body: AnswerRequest, request: Request) -> Response:
        """Answer questions from the passages found for them, with the place of each answer."""
        return await _response(service, body, request)

    return router


async def results(service: Service, asked: SearchRequest | AnswerRequest, deadline: float) -> bytes:
    """The response's body; ``deadline``: by ``time.monotonic()``."""
    read = isinstance(asked, AnswerRequest)
    found = await service.find(asked.questions, asked.how(asked.k), read, deadline)
    # The results are JSON already, perhaps from the cache.
    return b'{"results":[' + b",".join(found) + b"]}"


async def _response(
    service: Service, asked: SearchRequest | AnswerRequest, request: Request
) -> Response:
    body = await results(service, asked, request.scope["dpr"].deadline)
    return Response(body, media_type="application/json")
