"""``create_app``: engine, settings and keys to one ASGI application.

Wires service, guard and routes together. Opens no socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from dpr import __version__
from dpr.serve.changing import Changer
from dpr.serve.description import described
from dpr.serve.direct import Direct
from dpr.serve.engine import Engine
from dpr.serve.gate import Gate
from dpr.serve.guard import Guard
from dpr.serve.keys import Keys
from dpr.serve.problems import Refused
from dpr.serve.routes import (
    asking,
    documents,
    openai,
    page,
    reference,
    rerankers,
    signin,
    state,
)
from dpr.serve.service import Service
from dpr.serve.settings import ServeSettings
from dpr.serve.watching import Watch
from dpr.serve.wrong import places

if TYPE_CHECKING:  # which needs an extra of its own
    from dpr.serve.tracing import Traces

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1  # between two looks at whether it was told to end
# Where the process has a provider of OpenTelemetry, or the environment says so, FastAPI would tell
# it of requests too, with their query: our traces leave questions out. Older ones have none.
_NONE_OF_FASTAPI: Any = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def create_app(
    engine: Engine,
    settings: ServeSettings | None = None,
    keys: Keys | None = None,
    *,
    local_only: bool = False,
    host: str = "",
    traces: Traces | None = None,
) -> FastAPI:
    """An application; it loads and warms when it starts, and is ready a little later.

    Args:
        settings: the limits.
        keys: who may ask; None or none: everybody.
        local_only, host: see ``Gate``.
        traces: to tell of requests, see ``dpr.serve.tracing``.

    Returns:
        it, with the ``Service`` as ``app.state.service`` and the ``Gate`` as ``app.state.gate``.
    """
    service = Service(engine, settings or ServeSettings(), Watch(), traces)
    app = FastAPI(
        title="Dense Passage Retrieval",
        version=__version__,
        docs_url=None,  # FastAPI's pages load their parts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # to addresses made of what the client called this host
        lifespan=_lifespan(service, traces),
        telemetry=_NONE_OF_FASTAPI,
        generate_unique_id_function=lambda route: route.name,
    )
    keys = keys or Keys()
    app.state.service, app.state.gate = service, Gate(service, keys, local_only, host)
    asked = asking.routes(service)
    app.include_router(asked)
    for module in (openai, rerankers, state):
        app.include_router(module.routes(service))
    app.include_router(documents.routes(Changer(service)))
    app.include_router(signin.routes(keys))
    app.include_router(page.routes(service, keys=keys.asked))
    app.include_router(reference.routes(lambda: app.openapi()))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    app.add_middleware(Direct, service=service, routes=asked.routes)
    app.add_middleware(Guard, gate=app.state.gate)
    if traces is not None:
        from dpr.serve.tracing import Traced

        app.add_middleware(Traced, traces=traces)
    dim = engine.pipeline.encoder.dim
    app.openapi = partial(  # type: ignore[method-assign]
        described, app, engine.model_id, dim, keys
    )
    return app


def _lifespan(service: Service, traces: Traces | None) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(service.start())
        starting.add_done_callback(partial(_started, service))
        # Alone it says that it begins; beside others that are ready it takes no connection that
        # one of those could answer.
        beside = not service.alone
        while beside and service.stage == "starting" and not starting.done():
            await asyncio.wait([starting], timeout=_LOOK_SECONDS)
        yield
        if not starting.done():
            starting.cancel()
        await service.stop()
        if traces is not None:
            await asyncio.to_thread(traces.close)

    return lifespan


def _started(service: Service, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        service.failure = error
        logger.critical("the service cannot begin", exc_info=error)


# What is raised here the guard answers, as all that is refused.


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes):  # which FastAPI leaves as it came where it is no JSON
        detail = "The body is not said to be JSON; send content-type: application/json."
        raise Refused(415, "content_type", detail)
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        at = next(one["loc"][-1] for one in found if one["type"] == "json_invalid")
        detail = f"The body is not JSON: see character {at}."
        raise Refused(400, "not_json", detail)
    wrong = [one.model_dump() for one in places(found, error.body)]
    raise Refused(422, "schema", "The request is not as the schema says.", errors=wrong)


async def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    details = {
        400: "The body cannot be read as JSON in UTF-8.",
        404: "There is nothing at this path.",
        405: "This path does not take this method.",
    }
    status, headers = error.status_code, dict(error.headers or {})
    if status == 405 and (methods := request.app.openapi()["paths"].get(request.url.path)):
        # Of all routes of the path, not of the first; and HEAD, which is answered as GET.
        allowed = [*methods, *(["head"] if "get" in methods else [])]
        headers["Allow"] = ", ".join(allowed).upper()
    raise Refused(
        status,
        codes.get(status, "request"),
        details.get(status, "The request cannot be answered."),
        headers=headers,
    )
