"""What HTTP servers do with clients that are slow or endless: ours, uvicorn, hypercorn and granian.

Each server runs in a process of its own; the peers serve a small ASGI application that reads a body
of at most 2 MB, in their default settings and, where they have any, with their time limits. Against
each, for so many seconds:

- idle: connections that say nothing
- head: a request's head, a byte a second
- body: a request's body of stated length, a byte a second
- after: a body, a byte a second, of a request that is answered without reading it
- endless: one chunked body as fast as it is taken, without end

and while the slow ones hang on, the time that /health takes. Told of each: how many connections are
open at the end, and of the endless body how much was taken, whether 413 came, and how much memory
the server took for it.

    python benchmarks/slow_clients.py --peers .venv-peers-http/bin/python --connections 200
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import machine, report
from serve_slow import KINDS, Kind, endless, held
from serving import HOST, dpr_serve, percentile, run, started

AFTER = "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 10000\r\n\r\n"
ANY_CORE = -1
SLOW = {name: KINDS[name] for name in ("idle", "head", "body")} | {"after": Kind(AFTER, " " * 1000)}
APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    status, length, more = 200, 0, scope["path"] != "/health"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
        if length > 2_000_000:
            status, more = 413, False
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(sys.executable),
        help="a Python with uvicorn, hypercorn and granian; those it has not are left out",
    )
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--only", nargs="*", help="servers, by the names that are printed")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def commands(peers: Path, collection: Path) -> dict[str, Callable[[int], list[str]]]:
    """How each server is started at a port."""

    def peer(*words: str) -> Callable[[int], list[str]]:
        return lambda port: [str(peers), "-m", *(word.format(port=port) for word in words)]

    return {
        "dpr serve": lambda port: dpr_serve(collection, port, "--search-only"),
        "uvicorn": peer("uvicorn", "app:app", "--port", "{port}", "--no-access-log"),
        "hypercorn, read_timeout 5": peer(
            *("hypercorn", "app:app", "--bind", f"{HOST}:{{port}}", "--read-timeout", "5")
        ),
        "granian, header read timeout 5": peer(
            *("granian", "app:app", "--interface", "asgi", "--host", HOST),
            *("--port", "{port}", "--http1-header-read-timeout", "5000"),
        ),
    }


def figures(
    command: Callable[[int], list[str]], work: Path, given: argparse.Namespace
) -> dict[str, Any]:
    """What a server does; started anew for each kind."""
    found: dict[str, Any] = {}
    try:
        for name, kind in SLOW.items():
            with started(command, work, ANY_CORE, "/health") as server:
                closed, times = run(held(server.port, kind, given.connections, given.seconds))
            left = int((closed[:, 0] >= given.seconds).sum())
            found[name] = {"open": left, "health_p98_ms": percentile(times, 0.98)}
        with started(command, work, ANY_CORE, "/health") as server:
            found["endless"] = endless(server, math.inf, given.seconds)
    except SystemExit as error:
        found["left out"] = str(error)
    return found


def main() -> None:
    given = arguments()
    result: dict[str, Any] = {"machine": machine(), "servers": {}}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "app.py").write_text(APP)
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, (name, os.environ.get("PYTHONPATH")))
        )
        import dpr

        documents = [dpr.Document(f"d{n}", f"The king of city {n} sleeps.") for n in range(20)]
        dpr.index(documents, to=work / "kings")
        for server, command in commands(given.peers, work / "kings").items():
            if given.only and server not in given.only:
                continue
            result["servers"][server] = figures(command, work, given)
            print(server, json.dumps(result["servers"][server]), flush=True)
    report(result, given.json)


if __name__ == "__main__":
    main()
