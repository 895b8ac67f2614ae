"""Room is reserved and given back; the refusal tells whether and when to come again."""

from __future__ import annotations

import pytest

from dpr.errors import SettingsError
from dpr.serve.door import Door
from dpr.serve.problems import Refused
from dpr.serve.settings import ServeSettings

LIMITS = ServeSettings(
    waiting_items=10, waiting_tokens=100, waiting_bytes=1000, body_bytes=1000, round_tokens=2
)


def refusal(door: Door, items: int, tokens: int) -> Refused:
    with pytest.raises(Refused) as caught:
        door.enter(items, tokens)
    return caught.value


def test_each_limit_holds_and_room_comes_back() -> None:
    door = Door(LIMITS)
    door.enter(9, 50)
    assert refusal(door, 2, 2).code == "queue_full_items"
    assert refusal(door, 1, 51).code == "queue_full_tokens"
    assert not door.full
    door.enter(1, 50)
    assert door.full
    door.leave(9, 50)
    door.enter(9, 1)
    assert (door.items, door.tokens) == (10, 51)


def test_a_refusal_reserves_nothing() -> None:
    door = Door(LIMITS)
    door.enter(8, 8)
    for _ in range(5):
        assert refusal(door, 3, 3).status == 429
    door.enter(2, 92)


def test_what_never_has_room_is_told_apart_from_what_has_none_now() -> None:
    door = Door(LIMITS)
    for items, tokens in ((11, 1), (1, 101)):
        refused = refusal(door, items, tokens)
        assert (refused.status, refused.retry_after) == (413, None)


def test_bytes_are_held_within_their_limit() -> None:
    door = Door(LIMITS)
    door.enter_bytes(900)
    with pytest.raises(Refused) as caught:
        door.enter_bytes(101)
    assert (caught.value.status, caught.value.code) == (429, "queue_full_bytes")
    door.leave_bytes(900)
    door.enter_bytes(1000)


def test_large_answers_leave_room_to_others_and_what_never_has_any_is_told_so() -> None:
    door = Door(LIMITS)
    door.enter_bytes(700, 0.75)
    with pytest.raises(Refused) as caught:
        door.enter_bytes(51, 0.75)
    assert (caught.value.status, caught.value.code) == (429, "queue_full_bytes")
    door.enter_bytes(51)
    with pytest.raises(Refused) as caught:
        door.enter_bytes(751, 0.75)
    assert (caught.value.status, caught.value.retry_after) == (413, None)
    assert door.bytes == 751


def test_retry_after_is_the_time_that_the_waiting_work_takes() -> None:
    door = Door(LIMITS)
    assert door.retry_after == 1  # nothing is known yet
    door.worked(tokens=50, seconds=5.0)  # 10 a second
    assert door.retry_after == 1  # and nothing waits
    door.enter(1, 45)
    assert door.retry_after == 5
    for _ in range(50):
        door.worked(tokens=90, seconds=1.0)
    assert door.retry_after == 1
    for _ in range(100):
        door.worked(tokens=1, seconds=1000.0)
    assert door.retry_after == 60  # nobody is sent away for longer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deadline", 0.0),
        ("deadline", float("nan")),
        ("body_seconds", -1.0),
        ("keep_alive", float("inf")),
        ("waiting_items", 0),
        ("cache_bytes", -1),
        ("waiting_bytes", 1),
    ],
)
def test_limits_that_make_no_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=name):
        ServeSettings(**{name: value})


def test_who_would_be_late_is_refused_unless_nothing_is_ahead() -> None:
    door = Door(LIMITS)
    door.check_time(1000, 10, 1.0)  # no pace is known
    door.worked(tokens=10, seconds=1.0)
    door.check_time(15, 10, 6.0)
    with pytest.raises(Refused) as caught:
        door.check_time(60, 10, 6.0)
    assert (caught.value.status, caught.value.code) == (429, "queue_full_time")
    # What is ahead takes a quarter of the time at most, and with it what comes four fifths.
    for ahead, tokens in ((16, 1), (10, 39)):
        with pytest.raises(Refused, match="try again"):
            door.check_time(ahead, tokens, 6.0)
        door.check_time(ahead - 1, tokens, 6.0)
    door.check_time(0, 1000, 1.0)


def test_small_rounds_do_not_make_the_pace_look_slow_and_a_slow_pace_does_not_stay() -> None:
    door = Door(ServeSettings(round_tokens=100))
    door.worked(tokens=10, seconds=1.0)
    assert door.pace == 0  # small, and mostly what a round takes in any case
    door.worked(tokens=50, seconds=1.0)
    assert door.pace == 50
    door.worked(tokens=1, seconds=1.0)
    assert door.pace == 50
    for _ in range(50):
        door.worked(tokens=10, seconds=0.1)  # small and yet faster
    assert door.pace == pytest.approx(100, rel=0.01)
