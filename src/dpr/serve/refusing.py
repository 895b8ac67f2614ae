"""Refusing thousands a second beside models that need the core: heads that are looked at once, and
answers that are made once.

Takes bytes of requests and refusals; gives the bytes of answers over HTTP/1.1. Knows nothing of
connections and of why.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from dpr.serve.gate import always
from dpr.serve.problems import Refused, Style, rendered

_MOST, _LONGEST = 1024, 2048  # heads that are kept, and bytes of each
# What makes a request another one each time, or more than one message.
_SPECIAL = {b"connection", b"cookie", b"expect", b"transfer-encoding", b"upgrade", b"x-request-id"}
_ID = "0-request--id--0"  # as long as those that are made here, and none of them


class Heads:
    """Heads of requests that passed all checks but that for room: the same bytes pass them again,
    without being looked at, as long as keys and hosts are what they are. Kept is only what came
    with its body, as small requests mostly do, and has nothing in it that makes it special.
    """

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[int, Style]] = {}

    def keep(self, data: bytes, headers: Iterable[tuple[bytes, bytes]], looks: Style) -> None:
        """Keeps the head of a request, where ``data`` is that request alone, and whole."""
        given = dict(headers)
        head, end, body = data.partition(b"\r\n\r\n")
        simple = end and head.startswith(b"POST ") and len(head) <= _LONGEST
        if not simple or _SPECIAL.intersection(given):
            return
        if given.get(b"content-length", b"") == b"%d" % len(body):
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[head] = len(data), looks

    def find(self, data: bytes) -> Style | None:
        """How errors of a request look whose head is kept; None: it is not, or more or less than
        that request came."""
        head, _, _ = data.partition(b"\r\n\r\n")
        length, looks = self._kept.get(head, (0, None))
        return looks if length == len(data) else None


def on_the_wire(
    refused: Refused,
    looks: Style,
    known: str,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    close: bool,
) -> bytes:
    """An answer with what is said of any refusal: with no places, and no headers of its own.

    Args:
        known: the request's id, if it has one.
        headers: of the server, which come first.
        close: the connection ends with it.
    """
    said = (refused.status, refused.code, refused.detail, refused.retry_after, looks, close)
    if len(known) == len(_ID):
        rest = _usual(*said).replace(_ID.encode(), known.encode())
    else:
        rest = _made(*said, known)
    return STATUS_LINE[refused.status] + _lines(headers) + rest


def _made(
    status: int,
    code: str,
    detail: str,
    retry_after: int | None,
    looks: Style,
    close: bool,
    known: str = _ID,
) -> bytes:
    refused = Refused(status, code, detail, retry_after=retry_after)
    body, headers = rendered(refused, looks, known)
    fields = [
        *(always(known) if known else ()),
        *((name.encode(), value.encode()) for name, value in headers.items()),
        (b"content-length", b"%d" % len(body)),
        *([(b"connection", b"close")] if close else ()),
    ]
    return _lines(fields) + b"\r\n" + body


_usual = lru_cache(maxsize=256)(_made)


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % one for one in headers])
