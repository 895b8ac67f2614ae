"""What one request holds in bytes: its body until it is answered, its answer until it was taken.

Takes ASGI's ``receive`` and ``send``; reserves at the door, refuses what is too much or too slow,
and gives all of it back. Knows nothing of keys or routes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Protocol

from starlette.types import Message, Receive, Send

from dpr.serve.problems import Refused
from dpr.serve.service import Service

_SMALL = 16_384  # bytes of a body or an answer that need no room
_LARGE = 65_536  # bytes; longer answers leave some of the room to all else
_ANSWERS = 0.75  # of the room, for these: who takes them slowly would keep out who asks


class Gone(Exception):
    """The client left before its body was there."""


class Arriving(Protocol):
    """What a server tells of a body."""

    @property
    def whole(self) -> bool:
        """Whether all of it is there, so that nothing has to be waited for."""
        ...


class Held:
    """What is held for one request.

    Args:
        most: bytes of the body that are allowed.
        arriving: None: the server does not tell.
        reserved: whether the body takes room at the door, which all share.
    """

    def __init__(
        self,
        service: Service,
        most: int,
        arriving: Arriving | None = None,
        *,
        reserved: bool = True,
    ) -> None:
        self._settings, self._door, self._arriving = service.settings, service.door, arriving
        self._most, self._reserved, self._bytes = most, reserved, 0

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes], end: float) -> bytes:
        """The whole body, if it is there before ``end`` (``time.monotonic()``).

        Raises:
            Refused: 413, 408 or 429; what was not read of it is left unread.
        """
        stated = headers.get(b"content-length", b"0")
        if not stated.isdigit() or int(stated[:20]) > self._most:
            raise self._too_long()
        seconds = min(self._settings.body_seconds, end - time.monotonic())
        parts: list[bytes] = []
        length = 0
        there = self._arriving is not None and self._arriving.whole  # mostly; saves a timer
        try:
            async with nullcontext() if there else asyncio.timeout(seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    part = message.get("body", b"")
                    length += len(part)
                    if length > self._most:
                        raise self._too_long()
                    if part:
                        if self._reserved:
                            self._reserve(min(len(part), max(0, length - _SMALL)))
                        parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise Refused(
                408, "slow_body", f"The body did not arrive within {seconds:.3g} s."
            ) from None

    def answer(self, length: int) -> None:
        """Reserves room for an answer that is about to be sent.

        Raises:
            Refused: 429, too much is held; 413, it is more than ever may be.
        """
        if length > _SMALL:
            self._reserve(length, _ANSWERS if length > _LARGE else 1.0)

    def let_go(self) -> None:
        """Gives the room back."""
        self._door.leave_bytes(self._bytes)
        self._bytes = 0

    def _reserve(self, count: int, share: float = 1.0) -> None:
        self._door.enter_bytes(count, share)
        self._bytes += count

    def _too_long(self) -> Refused:
        return Refused(
            413,
            "body_too_long",
            f"The body is longer than {self._most} bytes; send less at once.",
        )


class Answering:
    """``send``, with more headers; an answer for which there is no room is not sent.

    Attributes:
        status: of what was sent; 0 before anything was.
        refused: why the answer was not sent; None where it was.
    """

    def __init__(self, send: Send, held: Held, headers: list[tuple[bytes, bytes]]) -> None:
        self._send, self._held, self._headers = send, held, headers
        self.status = 0
        self.refused: Refused | None = None

    async def __call__(self, message: Message) -> None:
        """Sends a message of an application's answer."""
        if message["type"] == "http.response.start":
            try:
                # Here it cannot be raised: the application has begun to answer.
                self._held.answer(int(dict(message["headers"]).get(b"content-length", 0)))
            except Refused as refused:
                self.refused = refused
        if self.refused is None:
            await self.send(message)

    async def send(self, message: Message) -> None:
        """Sends a message, whatever is held."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
        await self._send(message)


def whole(body: bytes, receive: Receive) -> Receive:
    """Gives the body in one piece, and after it what the connection says."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
