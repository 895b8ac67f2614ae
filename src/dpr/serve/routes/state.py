"""``/live``, ``/ready``, ``/health``, ``/info``, ``/metrics``: what the service says of itself."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from dpr import __version__
from dpr.serve.problems import Refused
from dpr.serve.schemas import MOST_INPUTS, Info, State
from dpr.serve.service import Service


def routes(service: Service) -> APIRouter:
    """All five operations."""
    router = APIRouter(tags=["State"])

    @router.get("/live", response_model=State)
    async def live() -> State:
        """Whether the process lives; if not, it is to be started anew."""
        if not service.alive:
            raise Refused(503, "dead", "Nothing is worked on any more.", retry_after=5)
        return State(status="alive")

    @router.get("/ready", response_model=State)
    async def ready() -> State:
        """Whether questions are admitted now."""
        service.check_well()
        return State(status="ready")

    @router.get("/health", response_class=Response)
    async def health() -> Response:
        """As /ready, the way text-embeddings-inference says it."""
        service.check_well()
        return Response()

    @router.get("/info", response_model=Info)
    async def info() -> Info:
        """What is served, and its limits."""
        return _info(service)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.watch.text(), media_type="text/plain; version=0.0.4")

    return router


def _info(service: Service) -> Info:
    engine, settings = service.engine, service.settings
    encoder, collection = engine.pipeline.encoder, engine.opened.searcher.collection
    return Info(
        model_id=engine.model_id,
        model_sha=encoder.fingerprint,
        model_dtype=str(encoder.settings["dtype"]),
        model_type={"embedding": {"pooling": encoder.encoding.pooling}},
        max_concurrent_requests=settings.waiting_items,
        max_input_length=encoder.encoding.max_length,
        max_batch_tokens=settings.round_tokens,
        max_client_batch_size=min(MOST_INPUTS, settings.waiting_items),
        auto_truncate=True,
        tokenization_workers=1,
        version=__version__,
        index_version=collection.version,
        passages=len(collection),
        dim=encoder.dim,
        modes=engine.modes,
        answers=service.answers,
    )
