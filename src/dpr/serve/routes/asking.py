"""``/v1/search`` and ``/v1/answer``: this project's own API.

Takes bodies as ``schemas`` says; gives results of ``service`` as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from dpr.serve.schemas import AnswerRequest, AnswerResponse, SearchRequest, SearchResponse
from dpr.serve.service import Service


def routes(service: Service) -> APIRouter:
    """Both operations."""
    router = APIRouter(tags=["Questions"])

    @router.post("/v1/search", response_model=SearchResponse)
    async def search(body: SearchRequest, request: Request) -> Response:
        """Find the passages that belong to questions."""
        deadline = request.scope["dpr"].deadline
        return _response(await service.find(body.questions, body.how(body.k), False, deadline))

    @router.post("/v1/answer", response_model=AnswerResponse)
    async def answer(body: AnswerRequest, request: Request) -> Response:
        """Answer questions from the passages found for them, with the place of each answer."""
        deadline = request.scope["dpr"].deadline
        return _response(await service.find(body.questions, body.how(body.k), True, deadline))

    return router


def _response(results: Sequence[bytes]) -> Response:
    # The results are JSON already, perhaps from the cache.
    body = b'{"results":[' + b",".join(results) + b"]}"
    return Response(body, media_type="application/json")
