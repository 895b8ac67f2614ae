"""Work of many requests, done together in the one thread that owns the models.

Takes tasks from the event loop; hands them to a function, as many at once as a budget of tokens
allows, and brings each outcome back to who waits for it. While a round is worked on, the next one
gathers: no time is spent waiting for company. Work whose deadline has passed, or for which nobody
waits any more, is not begun. Knows nothing of models or HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")


class TooLate(Exception):
    """The deadline passed before the work was begun."""


@dataclass(slots=True, eq=False)
class Job(Generic[T]):
    """A task on its way.

    Attributes:
        deadline: by ``time.monotonic()``.
        future: of the event loop; who no longer waits cancels it.
        since: when it was handed in.
    """

    task: T
    tokens: int
    deadline: float
    future: asyncio.Future[Any]
    since: float


@dataclass(frozen=True, slots=True)
class Round:
    """What was worked on together: how much of it, and how long it took and waited."""

    items: int
    tokens: int
    seconds: float
    waits: Sequence[float]


class Batcher(Generic[T]):
    """A queue and its thread.

    Args:
        run: gives an outcome or an error for each task; called in the thread.
        left: called in the event loop with items and tokens that were done or dropped.
        worked: called in the event loop after each round.
    """

    def __init__(
        self,
        run: Callable[[list[T]], Sequence[Any]],
        round_tokens: int,
        left: Callable[[int, int], None],
        worked: Callable[[Round], None],
    ) -> None:
        self._run, self._round_tokens = run, round_tokens
        self._left, self._worked = left, worked
        self._jobs: deque[Job[T]] = deque()
        self._some = threading.Condition()
        self._ending = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work, name="dpr-models", daemon=True)

    def start(self) -> None:
        """Begins to work; called in the event loop that outcomes go to."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Ends when all that was handed in is done."""
        with self._some:
            self._ending = True
            self._some.notify()
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # what the thread brought back last is handed over

    def submit(
        self, tasks: Sequence[T], tokens: Sequence[int], deadline: float
    ) -> list[asyncio.Future[Any]]:
        """Hands in tasks; room for them has been reserved."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        jobs = [
            Job(task, count, deadline, loop.create_future(), now)
            for task, count in zip(tasks, tokens, strict=True)
        ]
        with self._some:
            self._jobs.extend(jobs)
            self._some.notify()
        return [job.future for job in jobs]

    def _work(self) -> None:
        while True:
            with self._some:
                while not self._jobs and not self._ending:
                    self._some.wait()
                if not self._jobs:
                    return
                jobs = self._next()
            began = time.monotonic()
            due = [job for job in jobs if job.deadline > began and not job.future.done()]
            outcomes = self._outcomes([job.task for job in due])
            seconds = time.monotonic() - began
            done = Round(
                len(due),
                sum(job.tokens for job in due),
                seconds,
                [began - job.since for job in due],
            )
            self._back(jobs, dict(zip(map(id, due), outcomes, strict=True)), done)

    def _next(self) -> list[Job[T]]:
        """Jobs in the order they came, up to the budget; one that exceeds it alone."""
        jobs, tokens = [self._jobs.popleft()], 0
        tokens = jobs[0].tokens
        while self._jobs and tokens + self._jobs[0].tokens <= self._round_tokens:
            jobs.append(self._jobs.popleft())
            tokens += jobs[-1].tokens
        return jobs

    def _outcomes(self, tasks: list[T]) -> Sequence[Any]:
        if not tasks:
            return []
        try:
            return self._run(tasks)
        except Exception as error:  # a fault of ours must not end the thread
            logger.exception("a round of %d tasks failed", len(tasks))
            return [error] * len(tasks)

    def _back(self, jobs: Sequence[Job[T]], outcomes: dict[int, Any], done: Round) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._deliver, jobs, outcomes, done)
        except RuntimeError:  # the loop is gone, and who waited with it
            logger.warning("%d tasks were done for nobody", len(jobs))

    def _deliver(self, jobs: Sequence[Job[T]], outcomes: dict[int, Any], done: Round) -> None:
        self._left(len(jobs), sum(job.tokens for job in jobs))
        if done.items:
            self._worked(done)
        for job in jobs:
            if job.future.done():
                continue
            outcome = outcomes.get(id(job), TooLate())
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
