"""What the benchmarks of the server share: a collection, questions, servers on a core, and load.

The load comes from this process, over raw sockets, so that it takes little of its own core:
HTTP/1.1 as far as our servers speak it, one request at a time on a connection. Closed: so many
connections, each of which asks again when it was answered. Open: requests at random times of a
given rate, whether or not those before them were answered, with times counted from when each was
due.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import machine
from pool import SQUAD_FILES, load_pool, paragraphs

HOST = "127.0.0.1"
FAIL = 0
"""The status of a request that was not answered."""


def arguments(description: str | None, **quick: str) -> argparse.ArgumentParser:
    """The options that the scripts share; ``quick``: what --quick changes, for its help."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--work", type=Path, default=Path("runs/serving"), help="where the collection is kept"
    )
    parser.add_argument("--passages", type=int, help="of the pool of 7,124; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="a small size, to see that the script works"
    )
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser


def collection(data: Path, work: Path, passages: int | None) -> Path:
    """The pool as a collection of dpr-mini's, made once."""
    import dpr

    folder = work / f"pool-{passages or 'all'}"
    if not (folder / "manifest.json").exists():
        work.mkdir(parents=True, exist_ok=True)
        pool = load_pool(data)
        step = max(1, len(pool) // passages) if passages else 1
        chosen = pool[::step][:passages]
        documents = [dpr.Document(f"p{n}", text, title) for n, (title, text) in enumerate(chosen)]
        print(f"encoding {len(documents)} passages into {folder}", flush=True)
        dpr.index(documents, to=folder, split="none")
    return folder


def questions(data: Path) -> Iterator[str]:
    """Real questions, each once; when all were given, the same with other letters as capitals,
    without end: other texts, which to a model that knows no capitals are as long as before."""
    texts: dict[str, None] = {}
    for name in SQUAD_FILES:
        for _, _, asked in paragraphs(data / name):
            texts |= dict.fromkeys(one["question"].strip() for one in asked)
    for split in ("train", "validation"):
        rows = (data / "fairytaleqa" / split / "queries.jsonl").open(encoding="utf-8")
        texts |= dict.fromkeys(json.loads(row)["text"].strip() for row in rows)
    found = [text for text in texts if text]
    random.Random(0).shuffle(found)
    yield from found
    for number in count(1):
        yield from (_capitals(text, number) for text in found)


def _capitals(text: str, number: int) -> str:
    """The text with capitals where the number's binary digits are 1, from its end."""
    letters = list(text.lower())
    for at in range(len(letters) - 1, -1, -1):
        if letters[at].isalpha() and letters[at].isascii():
            if number & 1:
                letters[at] = letters[at].upper()
            number >>= 1
    return "".join(letters)


def bodies(texts: Iterable[str], **more: Any) -> Iterator[bytes]:
    """Requests to /v1/search."""
    for text in texts:
        yield json.dumps({"question": text, **more}, ensure_ascii=False).encode()


# --- servers ----------------------------------------------------------------------------------


def pin(core: int) -> None:
    """Keeps this process to a core, where the system has it, whatever its parent is kept to."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})


def free_port() -> int:
    with socket.socket() as made:
        made.bind((HOST, 0))
        port: int = made.getsockname()[1]
        return port


@dataclass
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def family(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def memory(self) -> int:
        """Resident bytes of all its processes."""
        return self._sum(lambda one: one.memory_info().rss)

    def descriptors(self) -> int:
        return self._sum(lambda one: one.num_fds())

    def threads(self) -> int:
        return self._sum(lambda one: one.num_threads())

    def seconds(self) -> float:
        """Processor time that it took."""
        return self._sum(lambda one: sum(one.cpu_times()[:2]))

    def _sum(self, figure: Callable[[psutil.Process], Any]) -> Any:
        total = 0
        for one in self.family:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += figure(one)
        return total


def dpr_serve(folder: Path, port: int, *more: str) -> list[str]:
    """The command of our server."""
    return [sys.executable, "-m", "dpr", "serve", str(folder), "--port", str(port), *more]


@contextlib.contextmanager
def started(
    command: Callable[[int], list[str]], work: Path, core: int, ready: str = "/ready"
) -> Iterator[Server]:
    """A server on a core, once it is ready; killed at the end, if it has not ended itself."""
    port = free_port()
    log = work / f"server-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command(port),
            stdout=file,
            stderr=file,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            preexec_fn=lambda: pin(core),
        )
    made = Server(process, port, log)
    try:
        end = time.monotonic() + 300
        while get(port, ready) != 200:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the server did not begin:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield made
    finally:
        if process.poll() is None:
            for one in reversed(made.family):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        process.wait()
        log.unlink(missing_ok=True)


def get(port: int, path: str) -> int:
    """The status of a GET on a connection of its own; ``FAIL``: no answer."""
    try:
        with socket.create_connection((HOST, port), 5) as made:
            made.sendall(
                f"GET {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode()
            )
            return int(made.recv(4096)[9:12] or 0)
    except (OSError, ValueError):
        return FAIL


class Sampled:
    """Figures of a server, looked at again and again in a thread."""

    def __init__(self, server: Server, every: float = 0.5) -> None:
        self._server, self._every, self._done = server, every, threading.Event()
        self.rows: list[tuple[float, int, int, int]] = []
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Sampled:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        server = self._server
        while not self._done.wait(self._every):
            with contextlib.suppress(psutil.Error):
                row = (server.memory(), server.descriptors(), server.threads())
                self.rows.append((time.monotonic(), *row))

    def memory(self, since: float = 0.0, until: float = float("inf")) -> list[int]:
        return [row[1] for row in self.rows if since <= row[0] <= until]


# --- load -------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What came of requests: a place for each, in the order in which they were answered; and when
    each step of an open load began."""

    due: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    retry: list[bool] = field(default_factory=list)  # whether Retry-After came
    steps: list[float] = field(default_factory=list)

    def arrays(self) -> dict[str, Any]:
        """As arrays; ``late``: seconds from when each was due until it was answered."""
        due, sent, done = map(np.array, (self.due, self.sent, self.done))
        return {
            "due": due,
            "sent": sent,
            "done": done,
            "status": np.array(self.status, int),
            "retry": np.array(self.retry, bool),
            "late": done - due,
        }


class Connection(asyncio.Protocol):
    """A connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._whole = 0  # bytes of head and body; 0: the head is not there yet
        self.used = False
        self.answered: asyncio.Future[tuple[int, bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._answer(FAIL, b"", b"")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._whole = end + 4 + _length(self._buffer[:end].lower())
        if len(self._buffer) >= self._whole:
            head, _, body = bytes(self._buffer[: self._whole]).partition(b"\r\n\r\n")
            del self._buffer[: self._whole]
            self._whole = 0
            if b"\r\nconnection: close" in head.lower() and self.transport is not None:
                self.transport.close()
                self.transport = None
            self._answer(int(head[9:12]), head, body)

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes, bytes]]:
        """Sends it; gives status, head and body; ``FAIL`` where the connection ended before."""
        self.answered, self.used = asyncio.get_running_loop().create_future(), True
        if self.transport is None:
            self._answer(FAIL, b"", b"")
        else:
            self.transport.write(request)
        return self.answered

    def _answer(self, status: int, head: bytes, body: bytes) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_result((status, head, body))


def _length(head: bytes) -> int:
    at = head.find(b"content-length:")
    return int(head[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0


def request(body: bytes, path: str = "/v1/search", more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n{more}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def connected(port: int) -> Connection:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(Connection, HOST, port)
    return made


Seen = Callable[[int, bytes, bytes, bytes], None]
"""Called with request, status, head and body of each answer."""


class Load:
    """Requests to a server, and what came of them."""

    def __init__(self, port: int, requests: Iterator[bytes], seen: Seen | None = None) -> None:
        self.port, self._requests, self._seen = port, requests, seen
        self.outcome = Outcome()
        self._idle: list[Connection] = []

    async def closed(self, connections: int, seconds: float) -> Outcome:
        """So many connections, each asking as soon as it was answered."""
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._asking(end) for _ in range(connections)))
        return self.outcome

    async def _asking(self, end: float) -> None:
        made: Connection | None = None
        while (now := time.monotonic()) < end:
            if made is None or made.transport is None:
                try:
                    made = await connected(self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
            await self._one(made, now)
            if self.outcome.status[-1] in (429, 503):
                await asyncio.sleep(0.05)
        if made is not None and made.transport is not None:
            made.transport.close()

    async def open(self, *steps: tuple[float, float], most: int = 4000) -> Outcome:
        """At random times so many requests a second for so many seconds, then the next step's,
        whatever is not yet answered; ``most``: that wait for answers at once."""
        chance, tasks = random.Random(1), set[asyncio.Task[None]]()
        for rate, seconds in steps:
            due = time.monotonic()
            self.outcome.steps.append(due)
            end = due + seconds
            while due < end:
                due += chance.expovariate(rate)
                if (ahead := due - time.monotonic()) > 0:
                    await asyncio.sleep(ahead)
                elif len(tasks) % 64 == 0:
                    await asyncio.sleep(0)  # who is late still reads answers
                if len(tasks) >= most:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                task = asyncio.create_task(self._lent(due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks, timeout=30)
        for one in self._idle:
            if one.transport is not None:
                one.transport.close()
        return self.outcome

    async def _lent(self, due: float) -> None:
        made = None
        while self._idle and (made is None or made.transport is None):
            made = self._idle.pop()
        if made is None or made.transport is None:
            try:
                made = await connected(self.port)
            except OSError:
                self._note(due, time.monotonic(), FAIL, b"")
                return
        await self._one(made, due)
        if made.transport is not None:
            self._idle.append(made)

    async def _one(self, made: Connection, due: float) -> None:
        sending, sent, used = next(self._requests), time.monotonic(), made.used
        status, head, body = await made.ask(sending)
        if status == FAIL and used:
            # The server closed an idle connection just now: clients send it again on a new one.
            with contextlib.suppress(OSError):
                fresh = await connected(self.port)
                status, head, body = await fresh.ask(sending)
                if fresh.transport is not None:
                    fresh.transport.close()
        self._note(due, sent, status, head)
        if self._seen is not None:
            self._seen(status, sending, head, body)

    def _note(self, due: float, sent: float, status: int, head: bytes) -> None:
        kept = self.outcome
        kept.due.append(due)
        kept.sent.append(sent)
        kept.done.append(time.monotonic())
        kept.status.append(status)
        kept.retry.append(status in (429, 503) and b"\r\nretry-after:" in head.lower())


def run(main: Any) -> Any:
    """Runs a coroutine, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


# --- figures ----------------------------------------------------------------------------------


def percentile(values: Any, share: float) -> float:
    """In milliseconds; not a number where there are none."""
    return round(1e3 * float(np.quantile(values, share)), 2) if len(values) else float("nan")


def summary(outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Rate and times of the answers, and how many others there were."""
    a = outcome.arrays()
    good = a["status"] == 200
    counts = {str(one): n for one, n in sorted(Counter(outcome.status).items())}
    return {
        "answers_per_s": round(float(good.sum()) / seconds, 1),
        "p50_ms": percentile(a["late"][good], 0.5),
        "p99_ms": percentile(a["late"][good], 0.99),
        "statuses": counts,
    }


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Prints figures as a table of Markdown."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([str(row[name]) for name in names] for row in rows)]
    for line in lines:
        print("| " + " | ".join(line) + " |", flush=True)


def verdicts(checks: dict[str, bool], quick: bool) -> bool:
    """Prints whether each goal was reached; gives whether all were."""
    for goal, reached in checks.items():
        print(f"{'reached' if reached else 'NOT reached'}: {goal}", flush=True)
    if quick:
        print("a quick run: its figures mean nothing", flush=True)
    return all(checks.values())


def conditions(given: argparse.Namespace) -> dict[str, Any]:
    """What the figures were made with."""
    kept = {name: str(one) for name, one in vars(given).items() if name != "json"}
    return {"machine": machine(), "load": os.getloadavg(), "options": kept}
