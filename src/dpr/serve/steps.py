"""The steps of a round in the models' thread, as those who watch it see them.

Marks functions as steps; tells, to who asks for it, when each began and ended. Costs nothing where
nobody watches. Knows nothing of traces.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """What was done for the tasks of one kind; times by ``time.time_ns()``."""

    name: str
    kind: type
    began: int
    ended: int


class _Watched(threading.local):
    steps: list[Step] | None = None


_watched = _Watched()


@contextmanager
def watched() -> Iterator[list[Step]]:
    """The steps that this thread takes inside, as they end."""
    steps: list[Step] = []
    _watched.steps = steps
    try:
        yield steps
    finally:
        _watched.steps = None


def step(name: str, kind: type) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Marks a function as a step for tasks of a kind."""

    def marked(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def called(*given: P.args, **named: P.kwargs) -> T:
            steps = _watched.steps
            if steps is None:
                return function(*given, **named)
            began = time.time_ns()
            try:
                return function(*given, **named)
            finally:
                steps.append(Step(name, kind, began, time.time_ns()))

        return called

    return marked
