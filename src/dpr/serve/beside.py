"""Work beside the event loop that may take long: in a thread that the process need not wait for.

Takes a function; gives what it gives. The loop's own threads will not do: the process would not end
before all of them have. Knows nothing of what is done.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def beside(done: Callable[[], T], ended: Callable[[], object] = lambda: None) -> T:
    """What a function gives, or raises; it goes on where who waits for it does not.

    Args:
        ended: called in the event loop when the function has ended, whoever waits.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def hand(outcome: T | None, error: BaseException | None) -> None:
        ended()
        if future.done():
            return
        if error is None:
            future.set_result(outcome)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def work() -> None:
        outcome, fault = None, None
        try:
            outcome = done()
        except Exception as error:
            fault = error
        with suppress(RuntimeError):  # the loop is gone, and who waited with it
            loop.call_soon_threadsafe(hand, outcome, fault)

    try:
        threading.Thread(target=work, name="dpr-beside", daemon=True).start()
    except RuntimeError:  # there can be no more threads
        ended()
        raise
    return await future
