"""The service on a socket, by uvicorn.

Takes an application and an address; serves until it is told to end, then finishes what was
admitted. Why uvicorn, and what is added to it: docs/decisions/0018.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import math
import os
import resource
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

from dpr.errors import SettingsError
from dpr.serve.connection import Timed
from dpr.serve.refusing import Heads
from dpr.serve.service import Service
from dpr.serve.watching import flush_lines

logger = logging.getLogger(__name__)
_LINES_SECONDS = 0.1
_BACKLOG = 2048
# The models' thread asks for the interpreter after each step of torch. By default it waits for 5 ms
# each time while the loop is busy with refusing: under overload little else would be done.
_SWITCH_SECONDS = 0.0005
_FREEING = 100  # ticks, of a tenth of a second, at least until freed memory is given back again
_WRITERS = 2  # threads that write long answers; more would wait for the interpreter
_GARBAGE = (50_000, 20, 50)  # objects made before it is looked for among the youngest, and so on


class Server(uvicorn.Server):
    """uvicorn's server, which stops admitting the moment it is told to end, and then ends well.

    Attributes:
        settles: whether it may set up the process for its work, once it is ready for it.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._closes = math.inf
        self._told = False
        self.settles = False
        self._freed = 0  # ticks ago

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="dpr-writes")
        asyncio.get_running_loop().set_default_executor(writers)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        if self.settles and self._service.stage == "ready":
            # The models and their libraries are a million objects, which stay. To look through them
            # for garbage takes a third of a second, and comes the sooner the more is asked; through
            # thousands of connections, a tenth.
            self.settles = False
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GARBAGE)
        if (
            self._closes < math.inf and not self._told
        ):  # here: a signal may come while a line is noted
            self._told = True
            waiting = self._service.door.items
            logger.info("told to end: nothing is admitted now, %d tasks are still to do", waiting)
        self._freed += 1
        if self._freed >= _FREEING and self._service.door.items == 0:
            # Not while there is work: it would take that memory anew, which costs it a fiftieth.
            self._freed = 0
            asyncio.get_running_loop().run_in_executor(None, give_back)
        # Until then it says 503 to who comes, so that those who choose between servers see it.
        self.should_exit |= time.monotonic() >= self._closes
        flush_lines()
        return self._service.failure is not None or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        writing = asyncio.create_task(_write_lines())
        try:
            await super().shutdown(sockets)
        finally:
            writing.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._service.stage == "draining" and sig == signal.SIGINT:
            self.force_exit = self.should_exit
            self.should_exit = True
        # uvicorn would raise the signal once more at the end, and so the exit status would tell
        # of a death: all was finished, and this is no death.
        self._closes = min(self._closes, time.monotonic() + self._service.settings.grace_seconds)
        self._service.drain()


def give_back() -> None:
    """Gives memory that was freed back to the system, in some milliseconds, where C's library is
    glibc: it keeps what lies between pieces in use, and batches are of so many sizes that this
    becomes more by the hour."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


async def _write_lines() -> None:
    while True:
        flush_lines()
        await asyncio.sleep(_LINES_SECONDS)


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to an address; port 0 takes a free one.

    Raises:
        SettingsError: the address cannot be had.
    """
    made = None
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except (OSError, OverflowError) as error:
        if made is not None:
            made.close()
        raise SettingsError(
            f"cannot listen on {host} port {port}: {error}; give another --host or --port"
        ) from error
    return made


def server(app: FastAPI) -> Server:
    """What serves an application of ``create_app`` within its limits."""
    service: Service = app.state.service
    limits = service.settings
    # What uvicorn says of connections that were cut off is for nobody.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=type(
            "Connection",
            (Timed,),
            {"gate": app.state.gate, "limits": limits, "heads": Heads()},
        ),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=limits.keep_alive,  # type: ignore[arg-type]
        timeout_graceful_shutdown=limits.drain_seconds - limits.grace_seconds,  # type: ignore[arg-type]
    )
    return Server(config, service)


def serve(app: FastAPI, bound: socket.socket) -> None:
    """Serves on a socket until SIGTERM or SIGINT; returns when what was admitted is done.

    Raises:
        DPRError: the service could not begin.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    if hasattr(os, "SCHED_BATCH"):  # on Linux
        # The loop, when something comes for it, does not take the core from the models at once,
        # where all cores are theirs, but some milliseconds later, for all that came meanwhile. The
        # threads that are begun from here on, the models' among them, are as patient.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection takes one
    made = server(app)
    made.settles = True
    made.run(sockets=[bound])
    failure: BaseException | None = app.state.service.failure
    if failure is not None:
        raise failure


def leave() -> NoReturn:
    """Ends the process at once. A change of documents, a version that is being opened or work that
    hangs may go on in a thread: changes are whole or not there, and who waited was answered. Taking
    an interpreter with torch apart would take seconds, and trip over threads that compute."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
