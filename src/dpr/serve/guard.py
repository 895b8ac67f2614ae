"""What every request passes before any code of a route runs: the guard at the gate, as ASGI.

It gives the request an id and a deadline; has the gate say who may pass; reads the body within its
limits of bytes and time, so that routes get it whole; answers whatever is refused, there or further
in; and notes what came of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from dpr.serve.gate import OPEN, READING, STRANGERS, Gate, Headers, always, known_as, wanted
from dpr.serve.holding import Answering, Arriving, Gone, Held, whole
from dpr.serve.problems import Refused, rendered, style
from dpr.serve.watching import access, request_id

logger = logging.getLogger(__name__)

CONNECTION = "dpr.connection"
"""The extension of ASGI by which a server brings its ``Connection``."""
_SIGNIN_BYTES = 4096  # of a form with a key


class Connection(Arriving, Protocol):
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
    """Wraps an application."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate, self._service = app, gate, gate.service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, began = wanted(scope["headers"]), time.monotonic()
        arrival = Arrival(known_as(headers), began, began + self._service.settings.deadline)
        scope["dpr"] = arrival
        request_id.set(arrival.id)
        connection: Connection | None = scope.get("extensions", {}).get(CONNECTION)
        if connection is not None:
            connection.gone = arrival.leave
        is_open = scope["path"] in OPEN
        most = _SIGNIN_BYTES if is_open else self._service.settings.body_bytes
        held = Held(self._service, most, connection, reserved=not is_open)
        answer = Answering(send, held, always(arrival.id))
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
        headers: Headers,
        held: Held,
        answer: Answering,
    ) -> None:
        """Answers a request, whatever comes of it."""
        arrival: Arrival = scope["dpr"]
        try:
            self._gate.check(scope["method"], scope["path"], headers)
            # What comes with a GET means nothing, and is not waited for.
            body = b""
            if scope["method"] not in READING:
                body = await held.read(receive, headers, arrival.deadline)
            await self._answered(scope, whole(body, receive), answer)
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

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Has the application answer; HEAD as GET, whose body the server leaves out."""
        if scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send)
        finally:
            scope["route"] = asked.get("route")

    async def _cut_off(self, scope: Scope, answer: Answering) -> None:
        """The client left, or the server ends and has waited as long as it does."""
        arrival: Arrival = scope["dpr"]
        if arrival.gone:
            arrival.status = 499
        elif not answer.status:
            # Not "draining", which is said before anything is done: a change may be made yet.
            detail = (
                "The server is ending, and this was not done in time; ask another one. If it was "
                "a change of documents, look whether it was made."
            )
            refused = Refused(503, "cut_off", detail, retry_after=1)
            await respond(refused, scope, answer.send)

    def _note(self, scope: Scope, arrival: Arrival) -> None:
        route = getattr(scope.get("route"), "path", "none")
        seconds = time.monotonic() - arrival.began
        watch = self._service.watch
        watch.request(scope["method"], route, arrival.status, seconds)
        if arrival.code:
            watch.refused(arrival.code)
        probed = scope["path"] in OPEN and arrival.status in (200, 503)
        if arrival.status in (401, 429) or arrival.code in STRANGERS or probed:
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


async def respond(refused: Refused, scope: Scope, send: Send) -> None:
    """Sends a refusal."""
    arrival: Arrival = scope["dpr"]
    arrival.code = refused.code
    query = scope["query_string"].decode("latin-1")
    looks = style(scope["method"], scope["path"])
    body, headers = rendered(refused, looks, arrival.id, query)
    raw: list[Any] = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
