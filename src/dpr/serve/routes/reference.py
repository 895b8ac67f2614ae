"""``/docs``: the API as people read it, made here from OpenAPI, so that it loads nothing from
elsewhere and needs no script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from dpr.serve.page import HEADERS, html
from dpr.serve.reference import grouped, refusals, shapes, words


def routes(openapi: Callable[[], Mapping[str, Any]]) -> APIRouter:
    """The one operation.

    Args:
        openapi: the document.
    """
    router = APIRouter(tags=["Page"], default_response_class=HTMLResponse)

    # Kept by what people call this server: it makes lines that can be run.
    @lru_cache(maxsize=8)
    def made(address: str) -> str:
        document = openapi()
        return html(
            "reference",
            title=document["info"]["title"],
            version=document["info"]["version"],
            about=[words(one) for one in document["info"]["description"].split("\n\n")],
            groups=grouped(document, address),
            refusals=refusals(document),
            shapes=shapes(document),
        )

    # Not async: making it takes some milliseconds, which are a thread's and not the event loop's.
    @router.get("/docs")
    def reference(request: Request) -> Response:
        """This API, to read."""
        return HTMLResponse(made(str(request.base_url).rstrip("/")), headers=dict(HEADERS))

    return router
