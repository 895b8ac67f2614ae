"""The door: what may wait at once, in items, tokens and bytes, reserved before any work is done.

Takes counts; lets them in, or refuses at once and says when to come again. Belongs to the event
loop and to no other thread. Knows nothing of what the work is.
"""

from __future__ import annotations

import math

from dpr.serve.problems import Refused
from dpr.serve.settings import ServeSettings

_SMOOTHING = 0.2
_LONGEST_WAIT = 60
_CERTAIN = 0.8  # of the time that is left: a pace is known about, and no better
# Of it, for what others wait for: a longer queue answers no more, all of it later, and takes longer
# to become short again when fewer come.
_AHEAD = 0.25


class Door:
    """Counts what is inside.

    Attributes:
        items, tokens, bytes: reserved now.
        pace: tokens a second, of the last rounds that tell; 0 before there was one.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self.items = self.tokens = self.bytes = 0
        self.pace = 0.0

    @property
    def full(self) -> bool:
        """Whether not even one more item would be let in."""
        limits = self._settings
        return self.items >= limits.waiting_items or self.tokens >= limits.waiting_tokens

    def enter(self, items: int, tokens: int) -> None:
        """Reserves room for a request's work.

        Raises:
            Refused: 413, it is more than there ever is room for; 429, than there is now.
        """
        limits = self._settings
        if items > limits.waiting_items or tokens > limits.waiting_tokens:
            raise Refused(
                413,
                "too_much_work",
                f"The request has {items} items of up to {tokens} tokens together; allowed are "
                f"{limits.waiting_items} items and {limits.waiting_tokens} tokens. Send fewer at "
                "once, or ask for fewer hits (k).",
            )
        too_many = self.items + items > limits.waiting_items
        if too_many or self.tokens + tokens > limits.waiting_tokens:
            raise self.refusal("items" if too_many else "tokens")
        self.items += items
        self.tokens += tokens

    def leave(self, items: int, tokens: int) -> None:
        """Gives the room back."""
        self.items -= items
        self.tokens -= tokens

    def enter_bytes(self, count: int, share: float = 1.0) -> None:
        """Reserves room for what arrived of a body, or is to be sent.

        Args:
            share: of the limit, that is not to be exceeded.

        Raises:
            Refused: 413, it is more than there ever is room for; 429, than there is now.
        """
        most = int(share * self._settings.waiting_bytes)
        if count > most:
            raise Refused(
                413,
                "too_much_work",
                f"The answer would have {count} bytes, and {most} are allowed; ask for fewer hits, "
                "or send less at once.",
            )
        if self.bytes + count > most:
            raise self.refusal("bytes")
        self.bytes += count

    def leave_bytes(self, count: int) -> None:
        """Gives the room back."""
        self.bytes -= count

    def check_time(self, ahead: int, tokens: int, seconds: float) -> None:
        """Refuses what would be done too late, so that nothing is done for nobody. Where nothing is
        ahead it is tried.

        Raises:
            Refused: 429, what is ahead takes longer than there is time.
        """
        within = self.pace * seconds
        if within and ahead and (ahead > _AHEAD * within or ahead + tokens > _CERTAIN * within):
            raise self.refusal("time")

    def refusal(self, what: str = "items") -> Refused:
        """The refusal of those who come when there is no room."""
        seconds = self.retry_after
        return Refused(
            429,
            f"queue_full_{what}",
            f"Too much is waiting already; try again in {seconds} s.",
            retry_after=seconds,
        )

    @property
    def retry_after(self) -> int:
        """Seconds after which what waits now will be done, at the pace of the last rounds."""
        if not self.pace:
            return 1
        return min(_LONGEST_WAIT, max(1, math.ceil(self.tokens / self.pace)))

    def worked(self, tokens: int, seconds: float) -> None:
        """Notes the pace of a round. A small one is slower than need be, and tells only where it
        was faster than was thought."""
        if not tokens or seconds <= 0:
            return
        pace = tokens / seconds
        if 2 * tokens >= self._settings.round_tokens or (self.pace and pace > self.pace):
            self.pace += (_SMOOTHING if self.pace else 1.0) * (pace - self.pace)
