"""What every request passes before any code of a route runs: the guard at the gate, as ASGI.

It gives the request an id and a deadline; refuses hosts, strangers without a key, and what comes
when there is no room; reads the body within its limits of bytes and time, so that routes get it
whole; and notes what came of it. All routes are guarded but those of ``OPEN``: a new route is
guarded without anybody thinking of it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from dpr.serve.holding import Answering, Gone, Held, whole
from dpr.serve.keys import Keys, Role
from dpr.serve.page import STATIC
from dpr.serve.problems import Refused, rendered
from dpr.serve.service import Service
from dpr.serve.watching import access, request_id

logger = logging.getLogger(__name__)

OPEN = frozenset({"/live", "/ready", "/health", "/signin", *STATIC})
CHANGES = "/v1/documents"
COOKIE = "dpr_session"
CONNECTION = "dpr.connection"
"""The extension of ASGI by which a server brings its ``Connection``."""
_READING = frozenset({"GET", "HEAD"})
_SIGNIN_BYTES = 4096  # of a form with a key
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_WANTED = {
    b"authorization",
    b"content-length",
    b"cookie",
    b"host",
    b"origin",
    b"sec-fetch-mode",
    b"sec-fetch-site",
    b"x-request-id",
}


class Connection(Protocol):
    """What a server tells of a connection: ``running`` has one, other servers need none.

    Attributes:
        gone: called when the client left; the guard sets it for each request.
    """

    gone: Callable[[], object] | None

    def taken(self) -> Awaitable[None]:
        """Waits until the client took the answer, or left."""
        ...


@dataclass(slots=True)
class Arrival:
    """A request as it came: ``scope["dpr"]``.

    Attributes:
        began, deadline: by ``time.monotonic()``.
        status: of the answer; 0 before there is one.
        code: why it was refused; empty where it was not.
        gone: the client left, and nobody is to be answered.
    """

    id: str
    began: float
    deadline: float
    role: Role | None = None
    status: int = 0
    code: str = ""
    gone: bool = False
    _task: asyncio.Task[Any] | None = field(default_factory=asyncio.current_task)

    def leave(self) -> None:
        """Ends the work for a client that left."""
        self.gone = True
        if self._task is not None:
            self._task.cancel()


class Guard:
    """Wraps an application.

    Args:
        keys: false: everybody may ask, and nobody may change documents.
        local_only: take only requests that name this machine as their host, so that no page of
            elsewhere can have its name point here and ask.
        host: another name or address of this machine.
    """

    def __init__(
        self, app: ASGIApp, service: Service, keys: Keys, local_only: bool, host: str = ""
    ) -> None:
        self._app, self._service, self._keys = app, service, keys
        named = f"[{host}]" if ":" in host else host
        names = "|".join(re.escape(name) for name in (*_LOCAL, named) if name)
        self._local = re.compile(rf"({names})(:[0-9]{{1,5}})?", re.IGNORECASE)
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
        request_id.set(arrival.id)
        connection: Connection | None = scope.get("extensions", {}).get(CONNECTION)
        if connection is not None:
            connection.gone = arrival.leave
        is_open = scope["path"] in OPEN
        most = _SIGNIN_BYTES if is_open else self._service.settings.body_bytes
        held = Held(self._service, most, reserved=not is_open)
        answer = Answering(send, held, _headers(arrival))
        try:
            await self._answer(scope, receive, headers, held, answer)
            if connection is not None:
                await connection.taken()
        except asyncio.CancelledError:
            await self._cut_off(scope, answer)
        finally:
            held.let_go()
            arrival.status = answer.status or arrival.status
            self._note(scope, arrival)

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        headers: Mapping[bytes, bytes],
        held: Held,
        answer: Answering,
    ) -> None:
        """Answers a request, whatever comes of it."""
        arrival: Arrival = scope["dpr"]
        try:
            self._admit(scope, headers, arrival)
            # What comes with a GET means nothing, and is not waited for.
            body = b""
            if scope["method"] not in _READING:
                body = await held.read(receive, headers, arrival.deadline)
            await self._app(scope, whole(body, receive), answer)
            if answer.refused is not None:
                raise answer.refused
        except Refused as refused:
            await respond(refused, scope, answer.send)
        except Gone:
            arrival.status = 499
        except Exception:
            logger.exception("a request failed")
            if answer.status:
                raise  # the answer has begun; what is missing of it shows
            detail = "The server failed; its log has the request's id."
            await respond(Refused(500, "fault", detail), scope, answer.send)

    async def _cut_off(self, scope: Scope, answer: Answering) -> None:
        """The client left, or the server ends and has waited as long as it does."""
        arrival: Arrival = scope["dpr"]
        if arrival.gone:
            arrival.status = 499
        elif not answer.status:
            detail = "The server is ending, and this was not done in time; ask another one."
            refused = Refused(503, "draining", detail, retry_after=1)
            await respond(refused, scope, answer.send)

    def _admit(self, scope: Scope, headers: Mapping[bytes, bytes], arrival: Arrival) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._local_only and not self._local.fullmatch(host):
            raise Refused(
                403, "host", "This server answers only requests to this machine by its own name."
            )
        path, method = scope["path"], scope["method"]
        linked = method == "GET" and headers.get(b"sec-fetch-mode", b"navigate") == b"navigate"
        # Where there are no keys, pages of other ports of this machine are other sites too.
        origin = headers.get(b"origin", b"").decode("latin-1").partition("://")[2]
        changing = self._local_only and method not in _READING and b"origin" in headers
        elsewhere = changing and origin.lower() != host.lower()
        if elsewhere or (not linked and headers.get(b"sec-fetch-site") == b"cross-site"):
            raise Refused(403, "cross_site", "Pages of other sites may not ask here.")
        if path in OPEN and method in _READING:
            return
        arrival.role = self._role(headers)
        if path in OPEN:
            return
        self._check_role(path, arrival.role)
        if method not in _READING:
            self._service.check_ready()
            self._service.check_room()

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
        probed = scope["path"] in OPEN and arrival.status in (200, 503)
        stranger = arrival.role is None and arrival.status in (401, 403)
        if arrival.status == 429 or stranger or probed:
            return  # in their thousands, and anybody can send them; the metrics count them
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


def _headers(arrival: Arrival) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-request-id", arrival.id.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]


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
    # Other applications of the host have cookies here too, which may be spelled anyhow.
    return cookie_parser(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE, "")
