"""The service on a socket: uvicorn, with limits of time and size for slow and endless clients.

Takes an application and an address; serves until it is told to end, then finishes what was
admitted. Why uvicorn, and what is added to it: docs/decisions/0018.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import unquote

import httptools
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from dpr.errors import SettingsError
from dpr.serve.gate import READING, Gate, always, known_as, wanted
from dpr.serve.guard import CONNECTION
from dpr.serve.problems import Refused, Style, rendered, style
from dpr.serve.service import Service
from dpr.serve.settings import ServeSettings

_REST_SECONDS = 2.0  # for the rest of a body that nobody reads any more
_REST_BYTES = 1_000_000
_TAKEN = 8  # a client takes at least this part of what it was sent, in the time that it has
_BACKLOG = 2048
# The models' thread asks for the interpreter after each step of torch. By default it waits for 5 ms
# each time while the loop is busy with refusing: under overload little else would be done.
_SWITCH_SECONDS = 0.0005
_GARBAGE = (10_000, 10, 50)  # objects made before it is looked for among the youngest, and so on


class _Answered:
    """What uvicorn sees in place of a request that was refused before it made one: an answer is
    there, and what still comes of the body is nobody's."""

    response_complete = True
    message_event = asyncio.Event()  # that nobody waits for


class Timed(HttpToolsProtocol):
    """uvicorn's connection, which may take as long as the settings say, in each of its phases.

    uvicorn limits none of these: the wait for a first request, the time and size of a head, a body
    that goes on after it was answered, an answer that is not taken. The body before the answer is
    the guard's. Where there is no room, requests are refused here: under overload most are, and on
    their way through the application each would take from the models what it costs to make a task,
    pass the guard and send an answer.
    """

    gate: Gate  # of the subclass that ``server`` makes
    limits: ServeSettings

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf  # when the connection is cut off, by the loop's time
        self._writing: asyncio.TimerHandle | None = None
        self._working: RequestResponseCycle | None = None
        self._in_head = True
        self._unread = False  # part of a body is still to come
        self._head = self._came = self._fields = self._rest = self._unsent = self._share = 0
        self.gone: Callable[[], object] | None = None  # see ``guard.Connection``

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
        else:
            self._within(self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._within(None)
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            self._writing.cancel()
        if self._working is not None:
            # uvicorn tells the last request alone; one before it would be answered, to nobody.
            self._working.disconnected = True
        super().connection_lost(exc)
        if self.gone is not None:
            self.gone()

    async def taken(self) -> None:
        """Waits until the client took the answer, or left."""
        await self.flow.drain()

    def data_received(self, data: bytes) -> None:
        if not self._in_head and self._idle:
            # Counted from the first byte, whether or not it begins a request: blank lines do not.
            self._begin_head()
        if self._answered_early:
            self._rest += len(data)
            if self._rest > _REST_BYTES:
                # Who sends has to wait, and so may look at the answer, until the time is over.
                self.flow.pause_reading()
                return
        self._came = len(data)
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head += len(data)  # of a head that has not ended yet
            if self._head > self.limits.head_bytes:
                self._refuse_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._fields += len(name) + len(value)
        if self._fields > self.limits.head_bytes:
            self._count(0)

    def _count(self, more: int) -> None:
        self._fields += more
        if self._fields > self.limits.head_bytes:
            raise ValueError("more than a head may have")  # the parser ends with it

    def send_400_response(self, msg: str) -> None:
        if self._fields > self.limits.head_bytes:
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {CONNECTION: self}  # type: ignore[dict-item]
        if not self._in_head:  # sent before the one before it was answered
            self._begin_head()
            self._head = -self._came  # most of which may be of those before

    def on_headers_complete(self) -> None:
        self._in_head, self._unread = False, True
        self._within(None)
        if not self._refused():
            super().on_headers_complete()
            if not self.pipeline:  # or it comes after others
                self._working = self.cycle

    def _refused(self) -> bool:
        """Whether there was no room for this request, which was told so; all else that may be said
        of it is said further in."""
        method = self.parser.get_method().decode("ascii")
        earlier = self.cycle is not None and not self.cycle.response_complete  # they come first
        # Who takes no answers waits further in, where nothing more is read of them meanwhile.
        if method in READING or earlier or self.flow.write_paused:
            return False
        path = unquote(httptools.parse_url(self.url).path.decode("ascii"))
        headers, began = wanted(self.headers), time.monotonic()
        try:
            self.gate.check(method, path, headers)
        except Refused as refused:
            if refused.status != 429:
                return False
            close = self.parser.get_http_version() == "1.0" or not self.parser.should_keep_alive()
            self._answer(refused, style(method, path), known_as(headers), close=close)
            self.cycle = _ANSWERED
            self.on_response_complete()
            watch = self.gate.service.watch
            watch.request(method, "none", refused.status, time.monotonic() - began)
            watch.refused(refused.code)
            return True
        return False

    def on_message_complete(self) -> None:
        if self._answered_early:
            # uvicorn's own timer for this ended with the first byte of the rest.
            self._within(self.limits.keep_alive)
        self._unread = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._working = self.pipeline[-1][0]
        super().on_response_complete()
        if self._answered_early and not self.transport.is_closing():
            # Closed at once, the answer might be lost to who still sends; not closed, the rest of
            # the body would go on for ever.
            self._rest = 0
            self._within(_REST_SECONDS)

    @property
    def _answered_early(self) -> bool:
        cycle = self.cycle
        return cycle is not None and cycle.response_complete and self._unread

    @property
    def _idle(self) -> bool:
        cycle = self.cycle
        return cycle is not None and cycle.response_complete and not self._unread

    def _begin_head(self) -> None:
        self._in_head, self._head, self._fields = True, 0, 0
        self._within(self.limits.head_seconds)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._writing is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._share = self._unsent // _TAKEN
            self._writing = self.loop.call_later(self.limits.write_seconds, self._look)

    def _look(self) -> None:
        """Who took too little since the last look is cut off."""
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        if before - self._unsent < self._share:
            self.transport.abort()
        else:
            self._writing = self.loop.call_later(self.limits.write_seconds, self._look)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _within(self, seconds: float | None) -> None:
        """Cuts the connection off after so long, unless another time is told before; None: never.

        Told several times a request, so a timer that is too early stays, and looks again.
        """
        self._due = math.inf if seconds is None else self.loop.time() + seconds
        timer = self._timer
        if seconds is not None and (timer is None or self._due < timer.when()):
            if timer is not None:
                timer.cancel()
            self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        left = self._due - self.loop.time()
        if left <= 0:
            self._timer = None
            self.transport.abort()
        else:
            later = self.loop.call_later
            self._timer = None if math.isinf(left) else later(left, self._late)

    def _refuse_head(self) -> None:
        detail = f"The head is longer than {self.limits.head_bytes} bytes."
        self._answer(Refused(431, "head_too_long", detail), "problem", "", close=True)

    def _answer(self, refused: Refused, looks: Style, known: str, *, close: bool) -> None:
        """Sends a refusal past uvicorn; ``known``: the request's id, if it has one."""
        body, headers = rendered(refused, looks, known)
        fields = [
            *self.server_state.default_headers,
            *(always(known) if known else ()),
            *((name.encode(), value.encode()) for name, value in headers.items()),
            (b"content-length", b"%d" % len(body)),
            *([(b"connection", b"close")] if close else ()),
        ]
        lines = b"".join([b"%b: %b\r\n" % one for one in fields])
        self.transport.write(STATUS_LINE[refused.status] + lines + b"\r\n" + body)
        if close:
            self.transport.close()


_ANSWERED: Any = _Answered()


class Server(uvicorn.Server):
    """uvicorn's server, which stops admitting the moment it is told to end, and then ends well.

    Attributes:
        settles: whether it may set up the process for its work, once it is ready for it.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._closes = math.inf
        self.settles = False

    async def on_tick(self, counter: int) -> bool:
        if self.settles and self._service.stage == "ready":
            # The models and their libraries are a million objects, which stay. To look through them
            # for garbage takes a third of a second, and comes the sooner the more is asked; through
            # thousands of connections, a tenth.
            self.settles = False
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GARBAGE)
        # Until then it says 503 to who comes, so that those who choose between servers see it.
        self.should_exit |= time.monotonic() >= self._closes
        return self._service.failure is not None or await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._service.stage == "draining" and sig == signal.SIGINT:
            self.force_exit = self.should_exit
            self.should_exit = True
        # uvicorn would raise the signal once more at the end, and so the exit status would tell
        # of a death: all was finished, and this is no death.
        self._closes = min(self._closes, time.monotonic() + self._service.settings.grace_seconds)
        self._service.drain()


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to an address; port 0 takes a free one.

    Raises:
        SettingsError: the address cannot be had.
    """
    made = None
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except (OSError, OverflowError) as error:
        if made is not None:
            made.close()
        raise SettingsError(
            f"cannot listen on {host} port {port}: {error}; give another --host or --port"
        ) from error
    return made


def server(app: FastAPI) -> Server:
    """What serves an application of ``create_app`` within its limits."""
    service: Service = app.state.service
    limits = service.settings
    # What uvicorn says of connections that were cut off is for nobody.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=type("Connection", (Timed,), {"gate": app.state.gate, "limits": limits}),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=limits.keep_alive,  # type: ignore[arg-type]
        timeout_graceful_shutdown=limits.drain_seconds - limits.grace_seconds,  # type: ignore[arg-type]
    )
    return Server(config, service)


def serve(app: FastAPI, bound: socket.socket) -> None:
    """Serves on a socket until SIGTERM or SIGINT; returns when what was admitted is done.

    Raises:
        DPRError: the service could not begin.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection takes one
    made = server(app)
    made.settles = True
    made.run(sockets=[bound])
    failure: BaseException | None = app.state.service.failure
    if failure is not None:
        raise failure


def leave() -> NoReturn:
    """Ends the process at once. A change of documents, a version that is being opened or work that
    hangs may go on in a thread: changes are whole or not there, and who waited was answered. Taking
    an interpreter with torch apart would take seconds, and trip over threads that compute."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
