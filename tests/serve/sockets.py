"""A server in a thread, and raw connections to it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from tests.serve.conftest import USUAL
from tests.serve.test_service import until

from dpr.serve import running
from dpr.serve.app import create_app
from dpr.serve.engine import Engine
from dpr.serve.keys import Keys
from dpr.serve.service import Service


@contextmanager
def served(
    engine: Engine, keys: Keys | None = None, *, small: bool = False, **limits: Any
) -> Iterator[tuple[int, Service]]:
    """The port and the service of a server in a thread."""
    app = create_app(engine, replace(USUAL, **limits), keys)
    service: Service = app.state.service
    bound = running.listening("127.0.0.1", 0)
    port = bound.getsockname()[1]
    if small:  # what lies in the kernel was taken, as far as a process can tell
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    server = running.server(app)
    service.app_server = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    until(lambda: server.started and service.stage == "ready")
    try:
        yield port, service
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(20)
        assert not thread.is_alive()


def connected(port: int) -> closing[socket.socket]:
    made = socket.create_connection(("127.0.0.1", port), 5)
    return closing(made)


def closed_after(made: socket.socket, drip: bytes = b"", every: float = 0.05) -> float:
    """Seconds until the server closed the connection, over which a byte comes now and then."""
    began = time.monotonic()
    made.settimeout(every)
    for n in range(1000):
        try:
            if drip:
                made.sendall(drip[n % len(drip) : n % len(drip) + 1])
            if made.recv(65536) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


def received(made: socket.socket, what: bytes, times: int = 1) -> bytes:
    """What comes until it holds ``what`` so often."""
    got = b""
    while got.count(what) < times:
        part = made.recv(65536)
        assert part
        got += part
    return got
