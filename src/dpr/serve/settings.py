"""What the service allows, and for how long: a frozen record, checked when it is made.

Takes plain values; knows nothing of HTTP.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from dpr.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Limits of the service. Times are in seconds.

    Attributes:
        deadline: from the end of a request's head until it is answered, or refused with 504.
        head_seconds: in which a request's head has to arrive.
        body_seconds: in which its body has to arrive.
        write_seconds: in which a client has to take an eighth of what was sent, again and again.
        keep_alive: that a connection may stay open with nothing asked.
        connections: open at once, at most; those who come then are closed.
        body_bytes: of one request's body, at most.
        head_bytes: of one request's head, at most.
        waiting_items: questions, texts and pairs that wait or are worked on, at most.
        waiting_tokens: the same in tokens, told from the lengths of texts; hits count as tokens.
        waiting_bytes: of bodies until they are answered, and of answers until they are taken; the
            small ones are not counted, and large answers take three quarters at most.
        round_tokens: tokens that are worked on together. Requests take turns, a task each.
        cache_bytes: of answers that are kept for the next who asks the same; 0: none.
        reload_seconds: between two looks at whether the collection has a newer version.
        drain_seconds: to finish what was admitted when the service is told to end; more than the
            deadline, so that nothing is lost.
        grace_seconds: of these, in which others are still answered, with 503.
        log_questions: whether the log may hold what was asked.
    """

    deadline: float = 8.0
    head_seconds: float = 5.0
    body_seconds: float = 8.0
    write_seconds: float = 15.0
    keep_alive: float = 10.0
    connections: int = 4096
    body_bytes: int = 2_000_000
    head_bytes: int = 32_768
    waiting_items: int = 1024
    waiting_tokens: int = 262_144
    waiting_bytes: int = 32_000_000
    round_tokens: int = 4096
    cache_bytes: int = 64_000_000
    reload_seconds: float = 1.0
    drain_seconds: float = 9.0
    grace_seconds: float = 1.0
    log_questions: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 0 if field.name == "cache_bytes" else 1
            if field.type == "float":
                if not (value > 0 and math.isfinite(value)):
                    raise SettingsError(f"{field.name}={value}; give seconds, more than 0")
            elif field.type == "int" and value < least:
                raise SettingsError(f"{field.name}={value}; give at least {least}")
        if self.waiting_bytes < self.body_bytes:
            raise SettingsError(
                f"waiting_bytes={self.waiting_bytes} is less than body_bytes={self.body_bytes}: a "
                "body that is allowed would never be let in; give more, or allow less"
            )
        if self.drain_seconds <= max(self.deadline, self.grace_seconds):
            raise SettingsError(
                f"drain_seconds={self.drain_seconds} is not more than deadline={self.deadline} and "
                f"grace_seconds={self.grace_seconds}: what is admitted could be cut off; give "
                "more, or shorten these"
            )
