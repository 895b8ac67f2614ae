"""How long is waited, with a clock of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from dpr.client.asking import refusal
from dpr.client.retrying import Course, RetrySettings
from dpr.errors import ServiceError, SettingsError


def refused(status: int = 429, retry_after: float | None = None) -> ServiceError:
    return ServiceError(status, "full", "Full.", retry_after=retry_after)


def test_waits_end_before_the_deadline_whatever_the_service_says() -> None:
    now = 100.0
    course = Course(RetrySettings(deadline=10, attempts=100), lambda: now)
    while True:
        try:
            now += course.pause(refused(retry_after=2))
        except ServiceError as error:
            assert error.retry_after == 2
            break
        assert now < 110
    assert now > 107.5  # all the time that there was
    assert course.left == 110 - now


def test_waits_double_where_nothing_is_said() -> None:
    course = Course(RetrySettings(wait=1, attempts=4), lambda: 0.0)
    for least in (1, 2, 4):
        assert least <= course.pause(refused(503)) <= 1.2 * least
    with pytest.raises(ServiceError):
        course.pause(refused(503))


def test_waits_of_many_differ() -> None:
    waits = {Course(RetrySettings()).pause(refused(retry_after=5)) for _ in range(20)}
    assert len(waits) == 20
    assert min(waits) >= 5


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("7", 7.0), ("0", 0.0), ("soon", None), ("", None), ("-3", None), ("1.5", None), ("²", None)],
)
def test_retry_after_is_read(given: str, seconds: float | None) -> None:
    assert refusal(429, {"retry-after": given}, b"").retry_after == seconds


def test_retry_after_may_be_a_date() -> None:
    for delta, low, high in ((30, 25, 30), (-30, 0, 0)):
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=delta), usegmt=True)
        seconds = refusal(503, {"retry-after": date}, b"").retry_after
        assert seconds is not None
        assert low <= seconds <= high


@pytest.mark.parametrize(
    "given", [{"deadline": 0}, {"wait": -1}, {"attempts": 0}, {"deadline": float("inf")}]
)
def test_settings_are_checked(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(given))}="):
        RetrySettings(**given)
