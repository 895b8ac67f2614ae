"""What every request passes before any code of a route runs: the guard at the gate, as ASGI.

It gives the request an id and a deadline; refuses hosts, strangers without a key, and what comes
when there is no room; reads the body within its limits of bytes and time, so that routes get it
whole; and notes what came of it. All routes are guarded but those of ``OPEN``: a new route is
guarded without anybody thinking of it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dpr.serve.keys import Keys, Role
from dpr.serve.page import STATIC
from dpr.serve.problems import Refused, rendered
from dpr.serve.service import Service
from dpr.serve.watching import access

OPEN = frozenset({"/live", "/ready", "/health", "/signin", *STATIC})
CHANGES = "/v1/documents"
COOKIE = "dpr_session"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_WANTED = {
    b"authorization",
    b"content-length",
    b"cookie",
    b"host",
    b"sec-fetch-mode",
    b"sec-fetch-site",
    b"x-request-id",
}


@dataclass(slots=True)
class Arrival:
    """A request as it came: ``scope["dpr"]``.

    Attributes:
        began, deadline: by ``time.monotonic()``.
        status: of the answer; 0 before there is one.
        code: why it was refused; empty where it was not.
    """

    id: str
    began: float
    deadline: float
    role: Role | None = None
    status: int = 0
    code: str = ""


class Guard:
    """Wraps an application.

    Args:
        keys: false: everybody may ask, and nobody may change documents.
        local_only: take only requests that name this machine as their host, so that no page of
            elsewhere can have its name point here and ask.
    """

    def __init__(self, app: ASGIApp, service: Service, keys: Keys, local_only: bool) -> None:
        self._app, self._service, self._keys = app, service, keys
        self._local_only = local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in _WANTED}
        began, given = time.monotonic(), headers.get(b"x-request-id", b"")
        known = given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        arrival = Arrival(known, began, began + self._service.settings.deadline)
        scope["dpr"] = arrival
        answer = _noting(arrival, send)
        held = _Held(self._service)
        try:
            self._admit(scope, headers, arrival)
            body = await held.read(receive, headers)
            await self._app(scope, _whole(body, receive), answer)
        except Refused as refused:
            await respond(refused, scope, answer)
        except _Gone:
            arrival.status = 499
        except Exception:
            arrival.status = 500  # which is answered, and logged, further out
            raise
        finally:
            held.let_go()
            self._note(scope, arrival)

    def _admit(self, scope: Scope, headers: Mapping[bytes, bytes], arrival: Arrival) -> None:
        if self._local_only and not _LOCAL.fullmatch(headers.get(b"host", b"").decode("latin-1")):
            raise Refused(
                403, "host", "This server answers only requests to this machine by its own name."
            )
        path, method = scope["path"], scope["method"]
        linked = method == "GET" and headers.get(b"sec-fetch-mode", b"navigate") == b"navigate"
        if not linked and headers.get(b"sec-fetch-site") == b"cross-site":
            raise Refused(403, "cross_site", "Pages of other sites may not ask here.")
        if path in OPEN and method in ("GET", "HEAD"):
            return
        arrival.role = self._role(headers)
        if path not in OPEN:
            self._check_role(path, arrival.role)
        if method == "POST" and path not in OPEN:
            self._service.check_ready()
            if self._service.door.full:
                raise self._service.door.refusal()

    def _role(self, headers: Mapping[bytes, bytes]) -> Role | None:
        if not self._keys:
            return "ask"
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() == "bearer" and (role := self._keys.role(key.strip())):
            return role
        return "ask" if self._keys.in_session(_cookie(headers)) else None

    def _check_role(self, path: str, role: Role | None) -> None:
        if role is None:
            raise Refused(401, "key", "Send a key that is known: Authorization: Bearer KEY.")
        changing = path == CHANGES or path.startswith(CHANGES + "/")
        if changing and role != "change":
            raise Refused(
                403, "not_for_changes", "Documents are changed with a key for that, and no other."
            )

    def _note(self, scope: Scope, arrival: Arrival) -> None:
        route = getattr(scope.get("route"), "path", "none")
        seconds = time.monotonic() - arrival.began
        watch = self._service.watch
        watch.request(scope["method"], route, arrival.status, seconds)
        if arrival.code:
            watch.refused(arrival.code)
        if arrival.status == 429 or (route == "none" and scope["path"] in OPEN):
            return  # in their thousands; the metrics count them
        facts = {
            "request_id": arrival.id,
            "method": scope["method"],
            "route": route,
            "status": arrival.status,
            "ms": round(1e3 * seconds, 1),
        }
        if arrival.code:
            facts["code"] = arrival.code
        access.info("request", extra={"facts": facts})


class _Gone(Exception):
    """The client left before its body was there."""


class _Held:
    """What is held of one request's body."""

    def __init__(self, service: Service) -> None:
        self._settings, self._door, self._bytes = service.settings, service.door, 0

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        """The whole body.

        Raises:
            Refused: 413, 408 or 429; what was not read of it is left unread.
        """
        most = self._settings.body_bytes
        stated = headers.get(b"content-length", b"0")
        if not stated.isdigit() or int(stated[:20]) > most:
            raise self._too_long()
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    part = message.get("body", b"")
                    if self._bytes + len(part) > most:
                        raise self._too_long()
                    if part:
                        self._door.enter_bytes(len(part))
                        self._bytes += len(part)
                        parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise Refused(
                408,
                "slow_body",
                f"The body did not arrive within {self._settings.body_seconds:g} s.",
            ) from None

    def let_go(self) -> None:
        """Gives the room back."""
        self._door.leave_bytes(self._bytes)
        self._bytes = 0

    def _too_long(self) -> Refused:
        return Refused(
            413,
            "body_too_long",
            f"The body is longer than {self._settings.body_bytes} bytes; send less at once.",
        )


def _whole(body: bytes, receive: Receive) -> Receive:
    """Gives the body in one piece, and after it what the connection says."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


def _noting(arrival: Arrival, send: Send) -> Send:
    """Sends on, with the request's id; notes the status."""
    more = [
        (b"x-request-id", arrival.id.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            arrival.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return sending


async def respond(refused: Refused, scope: Scope, send: Send) -> None:
    """Sends a refusal."""
    arrival: Arrival = scope["dpr"]
    arrival.code = refused.code
    query = scope["query_string"].decode("latin-1")
    body, headers = rendered(refused, scope["path"], arrival.id, query)
    raw: list[Any] = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _cookie(headers: Mapping[bytes, bytes]) -> str:
    if b"cookie" not in headers:
        return ""
    try:
        found = SimpleCookie(headers[b"cookie"].decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
