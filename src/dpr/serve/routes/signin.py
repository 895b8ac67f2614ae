"""``/signin`` and ``/signout``: a key typed into a form becomes a cookie that scripts cannot read.

The cookie holds a session and not the key; see ``dpr.serve.keys``. Works without script.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from dpr.serve.gate import COOKIE
from dpr.serve.keys import SESSION_SECONDS, Keys
from dpr.serve.page import HEADERS, back, message

_MOST_FIELDS = 8


def routes(keys: Keys) -> APIRouter:
    """Three operations."""
    router = APIRouter(tags=["Signing in"], default_response_class=HTMLResponse)

    @router.get("/signin")
    async def form(request: Request) -> Response:
        """The form."""
        return _page(request)

    @router.post(
        "/signin",
        status_code=303,
        response_class=RedirectResponse,
    )
    async def sign_in(request: Request) -> Response:
        """Begins a session, which a cookie holds, and goes to the page."""
        try:
            fields = parse_qs((await request.body()).decode(), max_num_fields=_MOST_FIELDS)
        except ValueError:
            fields = {}
        session = keys.session(fields.get("key", [""])[0].strip()) if keys.asked else ""
        if session is None:
            return _page(request, wrong=True)
        # To a page of this server and nowhere else: where the key was asked for.
        response = RedirectResponse(back(request.url.query), 303)
        if session:
            response.set_cookie(
                COOKIE,
                session,
                max_age=SESSION_SECONDS,
                httponly=True,
                samesite="lax",
                # A proxy in front has the TLS; browsers say how they see the form's page.
                secure=request.headers.get("origin", "").startswith("https://"),
            )
        return response

    @router.post(
        "/signout",
        status_code=303,
        response_class=RedirectResponse,
    )
    async def sign_out(request: Request) -> Response:
        """Has this browser forget its session, which else lasts its 12 hours."""
        response = RedirectResponse("/signin", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="lax")
        return response

    return router


def _page(request: Request, wrong: bool = False) -> Response:
    text = message(
        "Sign in",
        "This key is not known." if wrong else "",
        sign_in=request.url.query,
        wrong=wrong,
    )
    return HTMLResponse(text, 401 if wrong else 200, dict(HEADERS))
