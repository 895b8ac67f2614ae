"""When to ask a service again, and how long to wait before.

Takes what came of each attempt; gives seconds, or raises what cannot be mended by waiting. Knows
nothing of HTTP clients, and neither sends nor sleeps.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from dpr.errors import ServiceError, SettingsError

_LATER = frozenset({429, 503})
# A change may have been made, and would be refused or made anew the second time.
_PERHAPS_DONE = frozenset({"broken", "cut_off", "not_asked_yet"})
_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How long, and how often, a call is tried.

    Attributes:
        deadline: seconds for a call as a whole, with all that is sent again and waited for.
        attempts: how often a request is sent, at most; 1: never again.
        wait: seconds before the second time where the service does not say; they double from then.
    """

    deadline: float = 60.0
    attempts: int = 5
    wait: float = 0.5

    def __post_init__(self) -> None:
        for name in ("deadline", "wait"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise SettingsError(f"{name}={value}; give seconds, more than 0")
        if self.attempts < 1:
            raise SettingsError(f"attempts={self.attempts}; give at least 1")


class Course:
    """The attempts of one call.

    Args:
        clock: seconds that only grow.
    """

    def __init__(
        self, settings: RetrySettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._clock = settings, clock
        self._end = clock() + settings.deadline
        self._failed = 0

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._end - self._clock())

    def late(self) -> ServiceError:
        """That no answer came in time."""
        seconds = self._settings.deadline
        return ServiceError(
            0, "deadline", f"no answer within {seconds:g} s; allow more by RetrySettings(deadline=)"
        )

    def pause(self, error: ServiceError, *, harmless: bool = True) -> float:
        """Seconds to wait before the next attempt.

        Args:
            error: what came of the last one.
            harmless: the call changes nothing, and so may be done twice.

        Raises:
            ServiceError: the error; waiting would not help, or would take too long.
        """
        self._failed += 1
        # A 409 is for good, unless it says when to come again: another change was being made.
        again = error.status in _LATER or (error.status == 409 and error.retry_after is not None)
        if error.code in _PERHAPS_DONE:
            again = harmless
        again |= error.code == "unreachable"
        if not again or self._failed >= self._settings.attempts:
            raise error
        wait = error.retry_after
        if wait is None:
            wait = self._settings.wait * 2 ** (self._failed - 1)
        # Later than asked for and never sooner, so that those sent away together do not come
        # again together.
        wait *= 1 + _JITTER * random.random()
        if wait >= self.left:
            raise error
        return wait
