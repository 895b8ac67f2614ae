"""One connection of uvicorn's, with limits of time and size for slow and endless clients, which
refuses by itself where there is no room.

Takes bytes; gives requests to the application, and refusals to the client. Why uvicorn, and what is
added to it: docs/decisions/0018.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from dpr.serve.gate import READING, Gate, known_as, wanted
from dpr.serve.guard import CONNECTION
from dpr.serve.problems import Refused, Style, style
from dpr.serve.refusing import Heads, on_the_wire
from dpr.serve.settings import ServeSettings

_REST_SECONDS = 2.0  # for the rest of a body that nobody reads any more
_REST_BYTES = 1_000_000
_TAKEN = 8  # a client takes at least this part of what it was sent, in the time that it has


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
    heads: Heads

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf  # when the connection is cut off, by the loop's time
        self._writing: asyncio.TimerHandle | None = None
        self._working: RequestResponseCycle | None = None
        self._in_head = True
        self._data = b""  # what comes just now, where a request begins with it
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

    @property
    def whole(self) -> bool:
        """Whether all came of the request that came last, and so of those before it."""
        return not self._unread

    async def taken(self) -> None:
        """Waits until the client took the answer, or left."""
        await self.flow.drain()

    def data_received(self, data: bytes) -> None:
        if not self._in_head and self._idle:
            if self._refused_as_before(data):
                return
            # Counted from the first byte, whether or not it begins a request: blank lines do not.
            self._begin_head()
            self._data = data
        if self._answered_early:
            self._rest += len(data)
            if self._rest > _REST_BYTES:
                # Who sends has to wait, and so may look at the answer, until the time is over.
                self.flow.pause_reading()
                return
        self._came = len(data)
        super().data_received(data)
        self._data = b""
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
            self._data = b""
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
        if method in READING or earlier or self.flow.write_paused or self._room():
            return False
        began = time.monotonic()
        path = unquote(httptools.parse_url(self.url).path.decode("ascii"))
        headers, looks = wanted(self.headers), style(method, path)
        try:
            self.gate.check(method, path, headers)  # first who may not ask at all
        except Refused as refused:
            if refused.status != 429:
                return False
            close = self.parser.get_http_version() == "1.0" or not self.parser.should_keep_alive()
            self._answer(refused, looks, known_as(headers), close=close)
            self.cycle = _ANSWERED
            self.on_response_complete()
            self._note(method, refused, began)
            if method == "POST" and not close:
                self.heads.keep(self._data, self.headers, looks)
            return True
        return False

    def _room(self) -> bool:
        """Whether this is not the time to refuse for want of room: then nothing else of a request
        has to be looked at here."""
        try:
            self.gate.check_room()
        except Refused as refused:
            return refused.status != 429
        return True

    def _refused_as_before(self, data: bytes) -> bool:
        """Whether this was a request with a head that passed before, for which there is no room
        either; it was told so, and the parser has not seen it."""
        looks = self.heads.find(data)
        if looks is None or self.flow.write_paused or self.transport.is_closing():
            return False
        began = time.monotonic()
        try:
            self.gate.check_room()
        except Refused as refused:
            if refused.status != 429:
                return False
            self._answer(refused, looks, known_as({}), close=False)
            self._note("POST", refused, began)
            self._unset_keepalive_if_required()  # which would not know of this request
            self._within(self.limits.keep_alive)
            return True
        return False

    def _note(self, method: str, refused: Refused, began: float) -> None:
        watch = self.gate.service.watch
        watch.request(method, "none", refused.status, time.monotonic() - began)
        watch.refused(refused.code)

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
        headers = self.server_state.default_headers
        self.transport.write(on_the_wire(refused, looks, known, headers, close=close))
        if close:
            self.transport.close()


_ANSWERED: Any = _Answered()
