"""Work is done together within a budget; what is late or abandoned is not done; nothing is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from dpr.serve.batching import Batcher, Round, TooLate

FAR = 1e9


class Work:
    """Doubles numbers, in rounds that a test lets through."""

    def __init__(self, budget: int = 10) -> None:
        self.rounds: list[list[int]] = []
        self.left: list[tuple[int, int]] = []
        self.worked: list[Round] = []
        self.begun, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.batcher: Batcher[int] = Batcher(
            self.run, budget, lambda *counts: self.left.append(counts), self.worked.append
        )

    def run(self, tasks: list[int], check: Any) -> list[Any]:
        self.rounds.append(tasks)
        self.begun.set()
        assert self.gate.wait(10)
        if -1 in tasks:
            raise RuntimeError("a fault")
        return [ValueError("odd") if task % 2 else 2 * task for task in tasks]

    async def busy(self) -> asyncio.Future[Any]:
        """Holds the thread with one task, 0, until the gate opens."""
        self.batcher.start()
        self.gate.clear()
        [future] = self.batcher.submit([0], [1], FAR)
        await asyncio.to_thread(self.begun.wait)
        return future


def test_what_gathers_in_a_round_is_done_together_within_the_budget() -> None:
    async def main() -> None:
        work = Work(budget=10)
        first = await work.busy()
        futures = [
            future
            for task in (2, 4, 6, 8)  # of different requests
            for future in work.batcher.submit([task], [4], FAR)
        ]
        futures += work.batcher.submit([10, 12], [99, 1], FAR)
        work.gate.set()
        assert await first == 0
        assert await asyncio.gather(*futures) == [4, 8, 12, 16, 20, 24]
        assert work.rounds == [[0], [2, 4], [6, 8], [10], [12]]  # 99 exceeds it, and goes alone
        assert work.left == [(1, 1), (2, 8), (2, 8), (1, 99), (1, 1)]
        assert [one.items for one in work.worked] == [1, 2, 2, 1, 1]
        assert all(wait >= 0 for one in work.worked for wait in one.waits)
        await work.batcher.stop(10)

    asyncio.run(main())


def test_what_is_late_or_abandoned_is_not_begun_and_gives_its_room_back() -> None:
    async def main() -> None:
        work = Work()
        await work.busy()
        [late] = work.batcher.submit([2], [3], time.monotonic() - 1)
        [abandoned] = work.batcher.submit([4], [4], FAR)
        [due] = work.batcher.submit([6], [1], FAR)
        abandoned.cancel()
        work.gate.set()
        assert await due == 12
        with pytest.raises(TooLate):
            await late
        assert work.rounds == [[0], [6]]
        assert work.left == [(1, 1), (3, 8)]
        await work.batcher.stop(10)

    asyncio.run(main())


def test_an_error_is_of_its_task_alone_and_a_fault_ends_nothing() -> None:
    async def main() -> None:
        work = Work()
        await work.busy()
        [odd], [even] = (work.batcher.submit([task], [1], FAR) for task in (3, 4))
        [fault], [beside] = (
            work.batcher.submit([task], [tokens], FAR) for task, tokens in ((-1, 9), (2, 1))
        )
        [later] = work.batcher.submit([8], [10], FAR)
        work.gate.set()
        with pytest.raises(ValueError, match="odd"):
            await odd
        assert await even == 8
        for one in (fault, beside):
            with pytest.raises(RuntimeError, match="a fault"):
                await one
        assert await later == 16
        await work.batcher.stop(10)

    asyncio.run(main())


def test_stopping_finishes_what_was_handed_in() -> None:
    async def main() -> None:
        work = Work(budget=1)
        await work.busy()
        futures = work.batcher.submit([2, 4, 6], [1, 1, 1], FAR)
        stopping = asyncio.create_task(work.batcher.stop(10))
        await asyncio.sleep(0.01)
        assert not stopping.done()
        work.gate.set()
        await stopping
        assert [one.result() for one in futures] == [4, 8, 12]

    asyncio.run(main())


def test_requests_take_turns_so_that_a_long_one_keeps_no_other_waiting() -> None:
    async def main() -> None:
        work = Work(budget=10)
        await work.busy()
        long = work.batcher.submit(list(range(10, 30, 2)), [5] * 10, FAR)
        [short] = work.batcher.submit([2], [5], FAR)
        assert work.batcher.ahead(1) == 1 + 5 + 5  # what was begun, and a task of each
        assert work.batcher.ahead(4) == 1 + 20 + 5
        work.gate.set()
        assert await short == 4
        assert await asyncio.gather(*long) == list(range(20, 60, 4))
        assert work.rounds[1] == [10, 2]
        await work.batcher.stop(10)

    asyncio.run(main())


def test_what_is_withdrawn_gives_its_room_back_at_once_and_is_not_begun() -> None:
    async def main() -> None:
        work = Work()
        await work.busy()
        gone = work.batcher.submit([2, 4], [3, 3], FAR)
        [due] = work.batcher.submit([6], [1], FAR)
        work.batcher.withdraw(gone)
        assert work.left == [(2, 6)]
        assert work.batcher.ahead(2) == 2
        work.gate.set()
        assert await due == 12
        assert work.rounds == [[0], [6]]
        await work.batcher.stop(10)

    asyncio.run(main())


class Steps:
    """Works in steps until it is told that nobody waits."""

    def __init__(self) -> None:
        self.steps, self.begun = 0, threading.Event()
        self.left: list[tuple[int, int]] = []
        self.batcher: Batcher[int] = Batcher(
            self.run, 10, lambda *counts: self.left.append(counts), lambda _: None
        )

    def run(self, tasks: list[int], check: Any) -> list[Any]:
        self.begun.set()
        for self.steps in range(2000):
            check(1)
            time.sleep(0.005)
        return tasks


@pytest.mark.parametrize("how", ["withdrawn", "late", "ending"])
def test_what_was_begun_is_given_up_when_nobody_waits_for_any_of_it(how: str) -> None:
    async def main() -> None:
        work = Steps()
        work.batcher.start()
        deadline = time.monotonic() + (0.1 if how == "late" else 60)
        futures = work.batcher.submit([1, 2], [4, 4], deadline)
        await asyncio.to_thread(work.begun.wait)
        if how == "withdrawn":
            work.batcher.withdraw(futures)
        elif how == "ending":
            await work.batcher.stop(0.05)
        end = time.monotonic() + 2
        while not work.left:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        assert work.left == [(2, 8)]
        assert work.steps < 1000
        if how != "withdrawn":
            with pytest.raises(TooLate):
                await futures[0]
        await work.batcher.stop(1)
        assert not work.batcher.alive

    asyncio.run(main())


def test_what_would_be_late_is_not_begun_where_something_else_waits() -> None:
    async def main() -> None:
        work = Work(budget=10)
        work.batcher._pace = lambda: 10.0  # a round takes a second
        await work.busy()
        now = time.monotonic()
        [late] = work.batcher.submit([2], [10], now + 0.5)
        [due] = work.batcher.submit([4], [10], now + 30)
        [last] = work.batcher.submit([6], [10], now + 0.9)  # late too, but nothing else waits
        work.gate.set()
        with pytest.raises(TooLate):
            await late
        assert (await due, await last) == (8, 12)
        await work.batcher.stop(10)

    asyncio.run(main())


def test_a_wrong_number_of_outcomes_ends_nothing() -> None:
    async def main() -> None:
        work = Work()
        given = [[], [4]]
        work.batcher._run = lambda tasks, check: given.pop(0)
        work.batcher.start()
        [wrong] = work.batcher.submit([2], [1], FAR)
        with pytest.raises(RuntimeError, match="1 tasks gave 0 outcomes"):
            await wrong
        assert work.batcher.failures == 1
        assert await work.batcher.submit([2], [1], FAR)[0] == 4
        assert work.batcher.failures == 0
        await work.batcher.stop(10)

    asyncio.run(main())


def test_it_may_be_stopped_before_it_was_started() -> None:
    asyncio.run(Work().batcher.stop(1))
