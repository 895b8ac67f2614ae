"""What the service tells of itself: Prometheus metrics, and log lines as JSON.

Takes counts and times; gives text. No question and no passage is in any label or line.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from dpr.serve.batching import Round

access = logging.getLogger("dpr.serve.access")
request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that is answered; every line that is logged meanwhile says it."""

METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""In the environment: where ``prometheus_client`` keeps the figures of several processes."""
Over = Literal["sum", "min", "max"]

# OpenTelemetry's, for http.server.request.duration.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536)


class Watch:
    """The metrics of one application; where ``METRICS`` names a folder, those of all processes that
    have it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._shared = bool(os.environ.get(METRICS))
        self._gauges: list[tuple[Gauge, Callable[[], float]]] = []
        if not self._shared:
            ProcessCollector(registry=self.registry)  # memory and descriptors
        made: dict[str, Any] = {"registry": self.registry}
        self._requests = Histogram(
            "http_server_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            **made,
        )
        self._refusals = Counter("dpr_refusals", "Requests refused, by reason.", ("code",), **made)
        # By their labels: to find them costs more than to count.
        self._answered: dict[tuple[str, str, int], Histogram] = {}
        self._refused: dict[str, Counter] = {}
        self._waits = Histogram(
            "dpr_queue_wait_seconds", "Time of a task in the queue.", buckets=_SECONDS, **made
        )
        self._rounds = Histogram(
            "dpr_round_seconds", "Time of a round of work.", buckets=_SECONDS, **made
        )
        self._items = Histogram("dpr_round_items", "Tasks of a round.", buckets=_COUNTS, **made)
        self._tokens = Histogram(
            "dpr_round_tokens", "Tokens reserved for a round.", buckets=_TOKENS, **made
        )
        self._cached = Counter(
            "dpr_cache_lookups", "Questions looked up in the cache.", ("found",), **made
        )
        self._truncated = Counter("dpr_truncated", "Texts longer than the model reads.", **made)
        self._reloads = Counter("dpr_reloads", "Newer versions put in place.", **made)

    def gauge(self, name: str, text: str, value: Callable[[], float], over: Over = "sum") -> None:
        """A figure that is asked for when the metrics are; ``over``: all processes."""
        mode: Any = f"live{over}"
        made = Gauge(name, text, registry=self.registry, multiprocess_mode=mode)
        if self._shared:
            self._gauges.append((made, value))
        else:
            made.set_function(value)

    def text(self) -> bytes:
        """All of it, in Prometheus's format."""
        self.look()
        if not self._shared:
            return generate_latest(self.registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)

    def look(self) -> None:
        """Notes the gauges, for who asks another process."""
        for made, value in self._gauges:
            made.set(value())

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        labels = method, route, status
        if (made := self._answered.get(labels)) is None:
            made = self._answered[labels] = self._requests.labels(method, route, str(status))
        made.observe(seconds)

    def refused(self, code: str) -> None:
        """A request was refused."""
        if (made := self._refused.get(code)) is None:
            made = self._refused[code] = self._refusals.labels(code)
        made.inc()

    def round(self, done: Round) -> None:
        """A round was worked on."""
        self.look()
        self._rounds.observe(done.seconds)
        self._items.observe(done.items)
        self._tokens.observe(done.tokens)
        for wait in done.waits:
            self._waits.observe(wait)

    def cached(self, found: int, missing: int) -> None:
        """Questions were looked up."""
        self._cached.labels("yes").inc(found)
        self._cached.labels("no").inc(missing)

    def truncated(self, count: int) -> None:
        """Texts lost their ends."""
        if count:
            self._truncated.inc(count)

    def reloaded(self) -> None:
        """A newer version is asked from now on."""
        self.look()
        self._reloads.inc()


class Lines(logging.Handler):
    """Makes and writes lines together: a write of its own for each lets go of the interpreter, and
    waits for it again behind the models. What is more than information is written at once.

    Where nobody takes them lines are dropped: the service goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Notes a line."""
        record.request_id = request_id.get()  # another's, when the line is made
        self._records.append(record)
        if record.levelno > logging.INFO:
            self.write_out()

    def write_out(self) -> None:
        """Writes what was noted."""
        with self.lock or nullcontext():
            records, self._records = self._records, []
            stream = sys.stderr
            with suppress(OSError, ValueError):
                for some in _together(self._made(records)) if stream is not None else ():
                    stream.write(some)
                    stream.flush()

    def _made(self, records: Iterable[logging.LogRecord]) -> Iterator[str]:
        for one in records:
            try:
                yield self.format(one) + "\n"
            except Exception:
                self.handleError(one)

    def close(self) -> None:
        """Writes what was noted."""
        self.write_out()
        super().close()


def _known(record: logging.LogRecord) -> str:
    noted: str | None = getattr(record, "request_id", None)
    return request_id.get() if noted is None else noted


def _together(lines: Iterable[str]) -> Iterator[str]:
    """Whole lines, in pieces that a pipe takes at once, so that those of several processes stay
    apart."""
    piece = ""
    for line in lines:
        if piece and len(piece) + len(line) > _AT_ONCE:
            yield piece
            piece = ""
        piece += line
    if piece:
        yield piece


def flush_lines() -> None:
    """Writes the lines that were noted; to be called some times a second."""
    for handler in logging.getLogger("dpr.serve").handlers:
        if isinstance(handler, Lines):
            handler.write_out()


def log_lines() -> None:
    """Has the service log as JSON on stderr."""
    handler = Lines()
    handler.setFormatter(JsonLines())
    for name, level in (("dpr.serve", logging.INFO), ("uvicorn", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


_AT_ONCE = 4096
_encoded = json.JSONEncoder(ensure_ascii=False, default=str).encode


class JsonLines(logging.Formatter):
    """A log record as one JSON object; what stands in ``extra={"facts": ...}`` becomes its keys."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **({"request_id": known} if (known := _known(record)) else {}),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encoded(line)
