"""Several processes on one socket, each with its models, all with the same collection in memory.

Takes what to open and a bound socket; starts workers and starts those anew that die, until it is
told to end; then all of them finish what they admitted. Workers share the page's sessions (the
secret of ``Keys``), the metrics (files of ``prometheus_client``) and the versions they ask; who
changes documents holds the collection's lock. Knows nothing of requests.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

import torch
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead

from dpr.errors import CollectionError, DPRError
from dpr.pipeline.models import Model
from dpr.serve.app import create_app
from dpr.serve.engine import Engine
from dpr.serve.keys import Keys
from dpr.serve.running import leave, serve
from dpr.serve.service import NOBODY
from dpr.serve.settings import ServeSettings
from dpr.serve.watching import METRICS, log_lines

if TYPE_CHECKING:  # which needs an extra of its own
    from dpr.serve.tracing import Traces

logger = logging.getLogger(__name__)
_CANNOT = 3  # exit status of a worker that could not begin
_LOOK_SECONDS = 0.2  # between two looks at whether it is to end
_AGAIN_SECONDS = 1.0  # until one that died is started anew
_BESIDES = 3.0  # seconds that an end may take beside draining


@dataclass(frozen=True)
class Opening:
    """What a server opens, as plain values: it goes to other processes.

    Attributes:
        read: whether there is a reader.
        local_only, host: see ``Gate``.
        traces: whether to tell of requests, see ``dpr.serve.tracing``.
        versions: that the workers ask, each at its place; None where there is one server alone.
        place: of this worker.
    """

    collection: str
    limits: ServeSettings
    keys: Keys
    model: Model | None = None
    reader: str | None = None
    read: bool = True
    local_only: bool = False
    host: str = ""
    traces: bool = False
    versions: MutableSequence[int] | None = None
    place: int = 0

    def app(self) -> FastAPI:
        """The application; raises as ``Engine.open``."""
        engine = Engine.open(self.collection, model=self.model, reader=self.reader, read=self.read)
        app = create_app(
            engine,
            self.limits,
            self.keys,
            local_only=self.local_only,
            host=self.host,
            traces=_traces() if self.traces else None,
        )
        if self.versions is not None:
            app.state.service.share(self.versions, self.place)
        return app


def _traces() -> Traces:
    from dpr.serve.tracing import Traces

    return Traces.from_environment()


def serve_all(opening: Opening, bound: socket.socket, count: int) -> None:
    """Serves with so many workers until SIGTERM or SIGINT; returns when all have ended.

    Raises:
        DPRError: a worker could not begin.
    """
    bound.listen(2048)  # who comes before the first worker is there waits
    with tempfile.TemporaryDirectory(prefix="dpr-metrics-") as metrics:
        os.environ[METRICS] = metrics  # read where prometheus_client is imported
        _Workers(opening, bound, count, metrics).run()


class _Workers:
    """The processes, as the one that started them sees them."""

    def __init__(self, opening: Opening, bound: socket.socket, count: int, metrics: str) -> None:
        self._context = multiprocessing.get_context("spawn")  # torch does not outlive a fork
        # Without a lock, which one that is killed would keep: a number is written whole anyway.
        versions: Any = self._context.Array("q", [NOBODY] * count, lock=False)
        self._opening = replace(opening, versions=versions)
        self._versions, self._bound, self._metrics = versions, bound, metrics
        self._ending = False
        self._all: list[BaseProcess] = []

    def run(self) -> None:
        with self._told():
            for place in range(len(self._versions)):
                if not self._ending:
                    self._all.append(self._started(place))
            first = set(self._all)
            while True:
                wait([one.sentinel for one in self._all], timeout=_LOOK_SECONDS)
                dead = [one for one in self._all if not one.is_alive()]
                if self._ending:
                    break
                if any(one.exitcode == _CANNOT and one in first for one in dead):
                    self._end()
                    raise CollectionError("a worker could not begin; the log says why")
                for one in dead:
                    self._start_anew(one)
            self._end()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Ends when a signal says so."""
        told = (signal.SIGTERM, signal.SIGINT)
        before = {one: signal.signal(one, self._tell) for one in told}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _tell(self, *_: object) -> None:
        """Notes a signal, and does nothing else in the middle of whatever is done: of starting one,
        which needs the socket, or of what holds a lock."""
        self._ending = True

    def _started(self, place: int) -> BaseProcess:
        opening = replace(self._opening, place=place)
        process = self._context.Process(
            target=_work, args=(opening, self._bound, len(self._versions)), name=f"dpr-{place}"
        )
        process.start()
        return process

    def _start_anew(self, dead: BaseProcess) -> None:
        place = self._all.index(dead)
        self._versions[place] = NOBODY
        mark_process_dead(dead.pid, self._metrics)  # type: ignore[no-untyped-call]
        logger.error("worker %d ended with %s and is started anew", place, dead.exitcode)
        time.sleep(_AGAIN_SECONDS)
        if not self._ending:
            self._all[place] = self._started(place)

    def _end(self) -> None:
        """Tells all that were started, and waits for them."""
        for one in self._all:
            one.terminate()
        self._bound.close()  # or who comes late would wait for nobody
        end = time.monotonic() + self._opening.limits.drain_seconds + _BESIDES
        for one in self._all:
            one.join(max(0.0, end - time.monotonic()))
            if one.is_alive():
                logger.error("worker %s does not end and is killed", one.name)
                one.kill()
                one.join()


def _work(opening: Opening, bound: socket.socket, count: int) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it is told, and tells it
    log_lines()
    threading.Thread(target=_end_with, daemon=True).start()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(max(1, min(torch.get_num_threads(), (cores or 1) // count)))
    try:
        serve(opening.app(), bound)
    except DPRError as error:
        logger.critical("a worker cannot begin: %s", error)
        sys.exit(_CANNOT)
    except Exception:
        logger.critical("a worker cannot begin", exc_info=True)
        sys.exit(_CANNOT)
    leave()


def _end_with() -> None:
    """Ends well when who started this worker is gone, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
