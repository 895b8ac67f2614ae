"""Work of many requests, done together in the one thread that owns the models.

Takes tasks from the event loop; hands them to a function, as many at once as a budget of tokens
allows, and brings each outcome back to who waits for it. While a round is worked on, the next one
gathers: no time is spent waiting for company. Requests take turns, a task each, so that one with
many tasks keeps the others waiting for a round and no longer. Work whose deadline has passed, or
for which nobody waits any more, is not begun; a round that was begun is given up when that is true
of all of it. Knows nothing of models or HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")


Check = Callable[..., None]
"""Called between steps of a round, with whatever: raises ``TooLate`` where nobody waits for it."""


class TooLate(Exception):
    """The deadline passed before the work was done, or nobody waits for it any more."""


@dataclass(slots=True, eq=False)
class Job(Generic[T]):
    """A task on its way.

    Attributes:
        deadline: by ``time.monotonic()``.
        future: of the event loop; who no longer waits cancels it.
        since: when it was handed in.
        reserved: whether room was reserved for it at the door.
    """

    task: T
    tokens: int
    deadline: float
    future: asyncio.Future[Any]
    since: float
    reserved: bool = True


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
        run: gives an outcome or an error for each task; called in the thread, with a ``Check``.
        left: called in the event loop with items and tokens that were done or dropped.
        worked: called in the event loop after each round.
        pace: tokens a second that can be counted on; 0: not known.

    Attributes:
        failures: rounds that failed as a whole, since the last that did not.
        failed: when the last of them did, by ``time.monotonic()``.
    """

    def __init__(
        self,
        run: Callable[[list[T], Check], Sequence[Any]],
        round_tokens: int,
        left: Callable[[int, int], None],
        worked: Callable[[Round], None],
        pace: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._run, self._round_tokens, self._pace = run, round_tokens, pace
        self._left, self._worked = left, worked
        self._requests: deque[deque[Job[T]]] = deque()  # of each, what was not begun
        self._begun = 0  # tokens of the round that is worked on
        self._firsts = 0  # of the first task of each request: asked at each arrival, so kept
        self._some = threading.Condition()
        self._ending = self._given_up = False
        self.failures, self.failed = 0, -math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work, name="dpr-models", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether there is a thread that works."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begins to work; called in the event loop that outcomes go to."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self, seconds: float) -> None:
        """Ends when all that was handed in is done, or after so long; the rest is given up."""
        with self._some:
            self._ending = True
            self._some.notify()
        if self.alive:
            await asyncio.to_thread(self._thread.join, seconds)
        self._given_up = True
        await asyncio.sleep(0)  # what the thread brought back last is handed over

    def submit(
        self,
        tasks: Sequence[T],
        tokens: Sequence[int],
        deadline: float,
        *,
        reserved: bool = True,
    ) -> list[asyncio.Future[Any]]:
        """Hands in the tasks of a request, for which room was reserved, or of the service itself,
        which needs none."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        jobs = deque(
            Job(task, count, deadline, loop.create_future(), now, reserved)
            for task, count in zip(tasks, tokens, strict=True)
        )
        with self._some:
            self._requests.append(jobs)
            self._firsts += jobs[0].tokens
            self._some.notify()
            return [job.future for job in jobs]

    def withdraw(self, futures: Sequence[asyncio.Future[Any]]) -> None:
        """Takes back what was not begun; its room is free at once."""
        gone = set(futures)
        with self._some:
            taken = [job for jobs in self._requests for job in jobs if job.future in gone]
            kept = (deque(j for j in jobs if j.future not in gone) for jobs in self._requests)
            self._requests = deque(jobs for jobs in kept if jobs)
            self._firsts = sum(jobs[0].tokens for jobs in self._requests)
        for future in futures:
            future.cancel()
        self._leave(taken)

    def ahead(self, tasks: int) -> int:
        """Tokens that are worked on before so many tasks of a request that comes now are: what was
        begun, and of each other request as many tasks, since requests take turns."""
        with self._some:
            if tasks == 1:
                return self._begun + self._firsts
            waiting = sum(job.tokens for jobs in self._requests for job in islice(jobs, tasks))
            return self._begun + waiting

    def _work(self) -> None:
        while True:
            with self._some:
                while not self._requests and not self._ending:
                    self._some.wait()
                if not self._requests or self._given_up:
                    return
                jobs = self._next()
                self._begun = sum(job.tokens for job in jobs)
                # What would be late at this pace is not begun where something else may be in time;
                # where nothing waits it is tried: the pace may be better than was thought.
                pace = self._pace() if self._requests else 0.0
            began = time.monotonic()
            expected = began + self._begun / pace if pace else began
            due = [job for job in jobs if job.deadline > expected and not job.future.done()]
            outcomes = self._outcomes(due)
            seconds = time.monotonic() - began
            given_up = bool(due) and all(isinstance(one, TooLate) for one in outcomes)
            done = Round(
                0 if given_up else len(due),
                sum(job.tokens for job in due),
                seconds,
                [began - job.since for job in due],
            )
            self._begun = 0
            self._back(jobs, dict(zip(map(id, due), outcomes, strict=True)), done)

    def _next(self) -> list[Job[T]]:
        """A task of each request in turn, up to the budget; one that exceeds it alone."""
        jobs: list[Job[T]] = []
        tokens = 0
        while self._requests:
            first = self._requests[0]
            tokens += first[0].tokens
            if jobs and tokens > self._round_tokens:
                break
            jobs.append(first.popleft())
            self._firsts -= jobs[-1].tokens
            self._requests.popleft()
            if first:
                self._requests.append(first)
                self._firsts += first[0].tokens
        return jobs

    def _outcomes(self, due: Sequence[Job[T]]) -> Sequence[Any]:
        """Of each job; the errors of a fault of ours, which must not end the thread."""
        if not due:
            return []

        def check(*_: object) -> None:
            now = time.monotonic()
            if self._given_up or all(job.future.done() or job.deadline < now for job in due):
                raise TooLate

        try:
            outcomes = self._run([job.task for job in due], check)
            if len(outcomes) != len(due):
                raise RuntimeError(f"{len(due)} tasks gave {len(outcomes)} outcomes")
        except TooLate as late:
            return [late] * len(due)
        except Exception as error:
            logger.exception("a round of %d tasks failed", len(due))
            outcomes = [error] * len(due)
        if all(isinstance(one, Exception) for one in outcomes):
            self.failures, self.failed = self.failures + 1, time.monotonic()
        else:
            self.failures = 0
        return outcomes

    def _back(self, jobs: Sequence[Job[T]], outcomes: dict[int, Any], done: Round) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._deliver, jobs, outcomes, done)
        except RuntimeError:  # the loop is gone, and who waited with it
            logger.warning("%d tasks were done for nobody", len(jobs))

    def _deliver(self, jobs: Sequence[Job[T]], outcomes: dict[int, Any], done: Round) -> None:
        self._leave(jobs)
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

    def _leave(self, jobs: Sequence[Job[T]]) -> None:
        reserved = [job.tokens for job in jobs if job.reserved]
        if reserved:
            self._left(len(reserved), sum(reserved))
