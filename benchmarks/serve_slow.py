"""Slow and endless clients, many at once, and those who ask beside them.

500 connections of each kind, and how long after its last sign of life each was closed:

- idle: says nothing
- head: a request's head, a byte a second
- body: a request's body of stated length, a byte a second
- after: the same, of a request that was answered without reading it
- rest: a request that is refused early, whose body then comes whole; and nothing more
- trickle: a body that is read, a byte a second, which then ends

while the time of /health is taken beside them. Then a chunked body of 10 GB, as fast as it is
taken: its status, and how much memory the server took for it.

    python benchmarks/serve_slow.py
    python benchmarks/serve_slow.py --quick --passages 300
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import resource
import socket
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import report
from serving import (
    HOST,
    Sampled,
    Server,
    arguments,
    collection,
    conditions,
    dpr_serve,
    percentile,
    pin,
    run,
    started,
    table,
    verdicts,
)

POST = "POST /v1/search HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
OTHER_SITE = POST + "sec-fetch-site: cross-site\r\nsec-fetch-mode: cors\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
LIMIT = 15.0  # seconds, for each of them to be closed


@dataclass(frozen=True)
class Kind:
    """What a connection sends: at once, a byte a second of what comes next, and then no more."""

    first: str = ""
    drip: str = ""
    whole: str = ""  # sent at once, a second later


KINDS = {
    "idle": Kind(),
    "head": Kind("GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ", "a" * 1000),
    "body": Kind(POST + "content-length: 10000\r\n\r\n", " " * 1000),
    "after": Kind(OTHER_SITE + "content-length: 10000\r\n\r\n", " " * 1000),
    "rest": Kind(OTHER_SITE + "content-length: 5\r\n\r\n", whole="12345"),
    "trickle": Kind(POST + "content-length: 5\r\n\r\n", "[1,2]"),
}


async def hang(port: int, kind: Kind, most: float) -> tuple[float, float]:
    """Seconds from the beginning, and from what was sent last of its own accord, to the close."""
    reader, writer = await asyncio.open_connection(HOST, port)
    began = last = time.monotonic()
    writer.write(kind.first.encode())
    pieces = [kind.whole] if kind.whole else list(kind.drip)
    try:
        while time.monotonic() < began + most:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while await reader.read(65536):
                        pass
                    break
            if pieces:
                writer.write(pieces.pop(0).encode())
                await writer.drain()
                last = time.monotonic()
    except OSError:
        pass
    finally:
        writer.close()
    now = time.monotonic()
    # Who drips without end is slow from the beginning; who has sent all is idle from then on.
    return now - began, now - (began if pieces else last)


async def healths(port: int, until: asyncio.Event) -> list[float]:
    """Seconds that /health took, again and again, each time on a new connection."""
    times = []
    while not until.is_set():
        began = time.monotonic()
        try:
            async with asyncio.timeout(9):
                reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(HEALTH)
                answer = await reader.read()
                writer.close()
            times.append(time.monotonic() - began if b" 200 " in answer[:20] else 9.0)
        except (OSError, TimeoutError):
            times.append(9.0)
        await asyncio.sleep(0.05)
    return times


async def held(port: int, kind: Kind, connections: int, most: float) -> tuple[Any, Any]:
    """What ``hang`` says of so many connections, and what /health took beside them."""
    done = asyncio.Event()
    beside = asyncio.create_task(healths(port, done))
    closed = await asyncio.gather(*(hang(port, kind, most) for _ in range(connections)))
    done.set()
    return np.array(closed), np.array(await beside)


async def slow(port: int, name: str, connections: int) -> dict[str, Any]:
    closed, times = await held(port, KINDS[name], connections, 3 * LIMIT)
    return {
        "kind": name,
        "connections": connections,
        "last closed, s": round(float(closed[:, 1].max()), 1),
        "since its beginning, s": round(float(closed[:, 0].max()), 1),
        "health p50, ms": percentile(times, 0.5),
        "health p99, ms": percentile(times, 0.99),
    }


def endless(server: Server, size: float, seconds: float = math.inf) -> dict[str, Any]:
    """A chunked body of so many bytes, or as much of it as is taken in so many seconds."""
    before, sent = server.memory(), 0
    piece = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    answer = b""
    began = time.monotonic()
    with Sampled(server, 0.02) as sampled, socket.create_connection((HOST, server.port)) as made:
        made.settimeout(20)
        try:
            made.sendall((POST + "transfer-encoding: chunked\r\n\r\n").encode())
            while sent < size and time.monotonic() < began + seconds:
                made.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            answer = made.recv(65536)
    most = max(sampled.memory(), default=server.memory())
    return {
        "status": answer[9:12].decode(),
        "taken_mb": round(sent / 1e6, 1),
        "seconds": round(time.monotonic() - began, 1),
        "memory_mb": round((most - before) / 1e6, 1),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--connections", type=int, help="default 500, quick 50")
    given = parser.parse_args()
    connections = given.connections or (50 if given.quick else 500)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder = collection(given.data, given.work, given.passages)
    pin(given.load_core)
    result: dict[str, Any] = conditions(given)

    def command(port: int) -> list[str]:
        return dpr_serve(folder, port, "--search-only")

    with started(command, given.work, given.server_core) as server:
        rows = [run(slow(server.port, name, connections)) for name in KINDS]
        table(rows)
        left = server.descriptors()
    with started(command, given.work, given.server_core) as server:
        run(slow(server.port, "idle", 1))  # the first connection and request take some memory
        body = endless(server, 10**9 if given.quick else 10**10)
    table([body])
    result |= {"slow": rows, "body": body, "descriptors_left": left}
    latest = max(row["last closed, s"] for row in rows)
    checks = {
        f"all closed within {LIMIT:g} s ({latest} s)": latest <= LIMIT,
        "p99 of /health under 100 ms": max(row["health p99, ms"] for row in rows) < 100,
        f"an endless body gets 413 ({body['status']})": body["status"] == "413",
        "and takes at most 16 MB": body["memory_mb"] <= 16,
    }
    result["reached"] = {goal: bool(one) for goal, one in checks.items()}
    verdicts(checks, given.quick)
    report(result, given.json)


if __name__ == "__main__":
    main()
