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
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from common import machine, report

HOST = "127.0.0.1"
HEAD = "POST /v1/search HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
SLOW = {
    "idle": ("", b""),
    "head": ("GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ", b"a"),
    "body": (HEAD + "content-length: 10000\r\n\r\n", b" "),
    "after": ("GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 10000\r\n\r\n", b" "),
}
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


def commands(peers: Path, collection: Path, port: int) -> dict[str, list[str]]:
    """How each server is started."""
    run, place = [str(peers), "-m"], f"{HOST}:{port}"
    return {
        "dpr serve": [
            *(sys.executable, "-m", "dpr", "serve", str(collection)),
            *("--port", str(port), "--search-only"),
        ],
        "uvicorn": [*run, "uvicorn", "app:app", "--port", str(port), "--no-access-log"],
        "hypercorn, read_timeout 5": [
            *(*run, "hypercorn", "app:app", "--bind", place, "--read-timeout", "5"),
        ],
        "granian, header read timeout 5": [
            *(*run, "granian", "app:app", "--interface", "asgi", "--host", HOST, "--port"),
            *(str(port), "--http1-header-read-timeout", "5000"),
        ],
    }


@contextlib.contextmanager
def started(command: list[str], folder: Path, port: int) -> Iterator[psutil.Process]:
    """A server that answers; one that cannot be started raises."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    try:
        end = time.monotonic() + 60
        while asyncio.run(health(port, 1))[0] > 5:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((folder / "log").read_text()[-300:])
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        for one in [process, *children]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


async def health(port: int, count: int, every: float = 0.0) -> list[float]:
    """Seconds that /health took each time; 9 where it did not answer."""
    times = []
    for _ in range(count):
        began = time.monotonic()
        try:
            async with asyncio.timeout(9):
                reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(
                    b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
                )
                answer = await reader.read()
                writer.close()
            times.append(time.monotonic() - began if b" 200 " in answer else 9.0)
        except (OSError, TimeoutError):
            times.append(9.0)
        await asyncio.sleep(every)
    return times


async def hang(port: int, first: str, drip: bytes, seconds: float) -> bool:
    """One slow connection; whether it is open at the end."""
    reader, writer = await asyncio.open_connection(HOST, port)
    end = time.monotonic() + seconds
    try:
        writer.write(first.encode())
        while time.monotonic() < end:
            if drip:
                writer.write(drip)
                await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    if await reader.read(65536) == b"":
                        return False
                    await asyncio.sleep(1)
    except OSError:
        return False
    finally:
        writer.close()
    return True


async def slow(port: int, kind: str, count: int, seconds: float) -> dict[str, Any]:
    """Many slow connections, and the health of the server beside them."""
    first, drip = SLOW[kind]
    hanging = [asyncio.create_task(hang(port, first, drip, seconds)) for _ in range(count)]
    await asyncio.sleep(2)
    times = sorted(await health(port, 50, 0.05))
    open_ = sum(await asyncio.gather(*hanging))
    return {"open": open_, "health_p98_ms": round(1e3 * times[-2], 1)}


async def endless(port: int, process: psutil.Process, seconds: float) -> dict[str, Any]:
    """A chunked body without end."""

    def memory() -> int:
        return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])

    before = most = memory()
    sent, status, chunk = 0, "", b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    reader, writer = await asyncio.open_connection(HOST, port)
    reading = asyncio.create_task(reader.read(65536))
    began = time.monotonic()
    try:
        writer.write((HEAD + "transfer-encoding: chunked\r\n\r\n").encode())
        while time.monotonic() < began + seconds:
            writer.write(chunk)
            async with asyncio.timeout(seconds):
                await writer.drain()
            sent += len(chunk)
            if sent % (64 * len(chunk)) == 0:
                most = max(most, memory())
    except (OSError, TimeoutError):
        pass
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            status = (await reading).partition(b"\r\n")[0].decode()
    writer.close()
    return {
        "taken_mb": round(sent / 1e6, 1),
        "seconds": round(time.monotonic() - began, 1),
        "status": status,
        "memory_mb": round((max(most, memory()) - before) / 1e6, 1),
    }


def main() -> None:
    given = arguments()
    result: dict[str, Any] = {"machine": machine(), "servers": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        import dpr

        documents = [dpr.Document(f"d{n}", f"The king of city {n} sleeps.") for n in range(20)]
        dpr.index(documents, to=folder / "kings")
        for number, server in enumerate(commands(given.peers, folder, 0)):
            if given.only and server not in given.only:
                continue
            port = 18_100 + number
            command = commands(given.peers, folder / "kings", port)[server]
            figures: dict[str, Any] = {}
            try:
                for kind in SLOW:
                    with started(command, folder, port):
                        one = slow(port, kind, given.connections, given.seconds)
                        figures[kind] = asyncio.run(one)
                with started(command, folder, port) as process:
                    figures["endless"] = asyncio.run(endless(port, process, given.seconds))
            except RuntimeError as error:
                figures["left out"] = str(error)
            result["servers"][server] = figures
            print(server, json.dumps(figures), flush=True)
    report(result, given.json)


if __name__ == "__main__":
    main()
