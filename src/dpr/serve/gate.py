"""Who may pass, told from a request's head alone: hosts, sites, keys, and whether there is room.

Takes method, path and headers; refuses, or says nothing. The guard asks it of every request, and
our connections before they make a task for one. Knows nothing of bodies and of ASGI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from random import Random

from starlette.requests import cookie_parser

from dpr.serve.keys import Keys, Role
from dpr.serve.page import STATIC
from dpr.serve.problems import Refused
from dpr.serve.service import Service

OPEN = frozenset({"/live", "/ready", "/health", "/signin", *STATIC})
"""All routes are guarded but these: a new one is guarded without anybody thinking of it."""
STRANGERS = frozenset({"key", "host", "cross_site"})
"""Codes of what is said to anybody."""
CHANGES = "/v1/documents"
COOKIE = "dpr_session"
READING = frozenset({"GET", "HEAD"})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ids = Random()  # no secrets, and drawn in their thousands: the system's take a call each
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

Headers = Mapping[bytes, bytes]


def wanted(raw: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers that are looked at."""
    return {name: value for name, value in raw if name in _WANTED}


def known_as(headers: Headers) -> str:
    """The request's id: as it came, where that is harmless, or one that is made."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else f"{_ids.getrandbits(64):016x}"


def always(known: str) -> list[tuple[bytes, bytes]]:
    """The headers of every answer, to a request with this id."""
    return [
        (b"x-request-id", known.encode()),
        (b"x-content-type-options", b"nosniff"),
        # Nothing goes to other sites; with "no-referrer" forms of our own would have no origin.
        (b"referrer-policy", b"same-origin"),
    ]


class Gate:
    """What requests pass.

    Args:
        keys: false: everybody may ask, and nobody may change documents.
        local_only: take only requests that name this machine as their host, so that no page of
            elsewhere can have its name point here and ask.
        host: another name or address of this machine.
    """

    def __init__(self, service: Service, keys: Keys, local_only: bool, host: str = "") -> None:
        self.service, self._keys, self._local_only = service, keys, local_only
        named = f"[{host}]" if ":" in host else host
        names = "|".join(re.escape(name) for name in (*_LOCAL, named) if name)
        self._local = re.compile(rf"({names})(:[0-9]{{1,5}})?", re.IGNORECASE)

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Lets a request pass.

        Raises:
            Refused: 403, 401, 503 or 429, looked at in this order.
        """
        host = headers.get(b"host", b"").decode("latin-1")
        if self._local_only and not self._local.fullmatch(host):
            raise Refused(
                403, "host", "This server answers only requests to this machine by its own name."
            )
        linked = method == "GET" and headers.get(b"sec-fetch-mode", b"navigate") == b"navigate"
        # Where there are no keys, pages of other ports of this machine are other sites too.
        origin = headers.get(b"origin", b"").decode("latin-1").partition("://")[2]
        changing = self._local_only and method not in READING and b"origin" in headers
        elsewhere = changing and origin.lower() != host.lower()
        if elsewhere or (not linked and headers.get(b"sec-fetch-site") == b"cross-site"):
            raise Refused(403, "cross_site", "Pages of other sites may not ask here.")
        if path in OPEN:
            return
        self._check_role(path, self._role(headers))
        if method not in READING:
            self.check_room()

    def check_room(self) -> None:
        """Lets a request pass that was let pass by its head.

        Raises:
            Refused: 503 or 429, looked at in this order.
        """
        self.service.check_ready()
        self.service.check_room()

    def _role(self, headers: Headers) -> Role | None:
        if not self._keys:
            return "ask"
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() == "bearer" and (role := self._keys.role(key.strip())):
            return role
        known = not self._keys.asked or self._keys.in_session(_cookie(headers))
        return "ask" if known else None

    def _check_role(self, path: str, role: Role | None) -> None:
        if role is None:
            raise Refused(401, "key", "Send a key that is known: Authorization: Bearer KEY.")
        changing = path == CHANGES or path.startswith(CHANGES + "/")
        if changing and role != "change":
            raise Refused(
                403, "not_for_changes", "Documents are changed with a key for that, and no other."
            )


def _cookie(headers: Headers) -> str:
    # Other applications of the host have cookies here too, which may be spelled anyhow.
    return cookie_parser(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE, "")
