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

    def run(self, tasks: list[int]) -> list[Any]:
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
        await work.batcher.stop()

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
        await work.batcher.stop()

    asyncio.run(main())


def test_an_error_is_of_its_task_alone_and_a_fault_ends_nothing() -> None:
    async def main() -> None:
        work = Work()
        await work.busy()
        odd, even = work.batcher.submit([3, 4], [1, 1], FAR)
        fault, beside = work.batcher.submit([-1, 2], [9, 1], FAR)
        [later] = work.batcher.submit([8], [10], FAR)
        work.gate.set()
        with pytest.raises(ValueError, match="odd"):
            await odd
        assert await even == 8
        for one in (fault, beside):
            with pytest.raises(RuntimeError, match="a fault"):
                await one
        assert await later == 16
        await work.batcher.stop()

    asyncio.run(main())


def test_stopping_finishes_what_was_handed_in() -> None:
    async def main() -> None:
        work = Work(budget=1)
        await work.busy()
        futures = work.batcher.submit([2, 4, 6], [1, 1, 1], FAR)
        stopping = asyncio.create_task(work.batcher.stop())
        await asyncio.sleep(0.01)
        assert not stopping.done()
        work.gate.set()
        await stopping
        assert [one.result() for one in futures] == [4, 8, 12]

    asyncio.run(main())
