"""The short way for what is asked most: valid requests to ``/v1/search`` and ``/v1/answer``.

Under load FastAPI's way to a route and back takes the core longer than all else that is done for a
request beside the models. A request that is exactly as the schema says is answered here, with the
same models and by the same service; whatever is not goes on to its route, which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import ValidationError
from pydantic_core import from_json
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from dpr.serve.holding import whole
from dpr.serve.routes.asking import ASKED, results
from dpr.serve.schemas import AnswerRequest, SearchRequest
from dpr.serve.service import Service

_JSON = (b"content-type", b"application/json")


class Direct:
    """Wraps an application, inside of the guard.

    Args:
        routes: of the application; the metrics and traces name a request by its route.
    """

    def __init__(self, app: ASGIApp, service: Service, routes: Iterable[BaseRoute]) -> None:
        self._app, self._service = app, service
        self._routes: Mapping[str, BaseRoute] = {
            path: one for one in routes if (path := getattr(one, "path", "")) in ASKED
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if route is None or scope["method"] != "POST" or _JSON not in scope["headers"]:
            await self._app(scope, receive, send)
            return
        given: bytes = (await receive())["body"]  # the guard gives it in one piece
        asked = read(scope["path"], given)
        if asked is None:
            await self._app(scope, whole(given, receive), send)
            return
        scope["route"] = route
        body = await results(self._service, asked, scope["dpr"].deadline)
        headers = [(b"content-length", b"%d" % len(body)), _JSON]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def read(path: str, body: bytes) -> SearchRequest | AnswerRequest | None:
    """What is asked; None where it is not as the schema says."""
    try:
        return ASKED[path].model_validate(from_json(body, cache_strings="keys"))
    except (ValidationError, ValueError):
        return None
