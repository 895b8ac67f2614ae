"""Refusals in their thousands: what passed before is refused without being looked at, and is told
what it would be told otherwise."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.serve.sockets import connected, served

from dpr.serve.connection import Timed
from dpr.serve.engine import Engine
from dpr.serve.gate import always
from dpr.serve.keys import Keys
from dpr.serve.problems import Refused, Style, rendered
from dpr.serve.refusing import Heads, on_the_wire
from dpr.serve.service import Service

KEY = "ask-0123456789abcdef"
PASSING = [(b"host", b"a"), (b"content-length", b"3")]


def whole(body: bytes, *more: bytes) -> bytes:
    lines = [b"POST /v1/search HTTP/1.1", b"host: a", b"content-type: application/json", *more]
    return b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", body])


ASKED = whole(b'{"question": "who"}')


def test_only_what_came_alone_and_whole_is_kept() -> None:
    heads = Heads()
    heads.keep(b"POST / HTTP/1.1\r\n\r\nabc", PASSING, "problem")
    assert heads.find(b"POST / HTTP/1.1\r\n\r\nxyz") == "problem"
    assert heads.find(b"POST / HTTP/1.1\r\n\r\nxy") is None  # the rest is still to come
    assert heads.find(b"POST / HTTP/1.1\r\n\r\nxyzPOST") is None  # another follows
    assert heads.find(b"POST / HTTP/1.1\r\n") is None
    assert heads.find(b"POST /a HTTP/1.1\r\n\r\nxyz") is None
    for data, headers in (
        (b"POST a\r\n\r\nab", PASSING),
        (b"POST b\r\n\r\nabcd", PASSING),
        (b"POST c\r\n\r\nabc", [(b"host", b"a")]),
        (b"POST d\r\n\r\n", PASSING),
        (b"POST e", PASSING),
        (b"POST " + b"f" * 4096 + b"\r\n\r\nabc", PASSING),
        (b"POST g\r\n\r\nabc", [*PASSING, (b"cookie", b"a=b")]),
        (b"POST h\r\n\r\nabc", [*PASSING, (b"x-request-id", b"a")]),
        (b"POST i\r\n\r\nabc", [*PASSING, (b"transfer-encoding", b"chunked")]),
        (b"HEAD k\r\n\r\nabc", PASSING),
        (b"\r\n\r\nPOST", PASSING),
        (b"POST j\r\n\r\nabc", [*PASSING, (b"connection", b"close")]),
    ):
        heads.keep(data, headers, "problem")
        assert heads.find(data) is None, data


def test_no_more_heads_are_kept_than_there_is_room_for() -> None:
    heads = Heads()
    for n in range(5000):
        heads.keep(b"POST %d\r\n\r\nabc" % n, PASSING, "problem")
    assert heads.find(b"POST 4999\r\n\r\nabc") == "problem"
    assert len(heads._kept) <= 1024


@pytest.mark.parametrize("looks", ["problem", "openai", "tei", "cohere"])
@pytest.mark.parametrize("known", ["", "a", "0123456789abcdef"])
@pytest.mark.parametrize("close", [True, False])
def test_an_answer_says_what_is_rendered(looks: Style, known: str, close: bool) -> None:
    refused = Refused(429, "queue_full_items", "Too much; try again in 3 s.", retry_after=3)
    for _ in range(2):
        given = on_the_wire(refused, looks, known, [(b"date", b"now")], close=close)
        head, _, body = given.partition(b"\r\n\r\n")
        expected, headers = rendered(refused, looks, known)
        assert body == expected
        lines = [
            b"HTTP/1.1 429 Too Many Requests",
            b"date: now",
            *(b"%b: %b" % one for one in (always(known) if known else ())),
            *(f"{name}: {value}".encode() for name, value in headers.items()),
            b"content-length: %d" % len(body),
            *([b"connection: close"] if close else ()),
        ]
        assert head.split(b"\r\n") == lines


@pytest.fixture
def full(engine: Engine) -> Iterator[tuple[int, Service]]:
    """A server that has no room."""
    with served(engine, Keys.of([KEY]), keep_alive=0.4) as (port, service):
        service.door.items = 10**9
        yield port, service
        service.door.items = 0


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The heads that were looked at."""
    seen: list[bytes] = []
    look = Timed._refused

    def noting(self: Timed) -> bool:
        seen.append(self.url)
        return look(self)

    monkeypatch.setattr(Timed, "_refused", noting)
    return seen


def ask(made: socket.socket, data: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of the answer to a request."""
    made.sendall(data)
    given = b""
    while b"\r\n\r\n" not in given:
        given += made.recv(65536)
    head, _, body = given.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    while len(body) < int(headers["content-length"]):
        body += made.recv(65536)
    assert len(body) == int(headers["content-length"])
    return int(first.split()[1]), headers, json.loads(body)


def test_heads_that_passed_are_not_looked_at_again(
    full: tuple[int, Service], looked: list[bytes]
) -> None:
    port, service = full
    asked = whole(b'{"question": "who"}', f"authorization: Bearer {KEY}".encode())
    told = []
    with connected(port) as made:
        for _ in range(4):
            status, headers, body = ask(made, asked)
            assert status == 429
            assert headers["x-request-id"] == body["request_id"]
            assert re.fullmatch("[0-9a-f]{16}", body["request_id"])
            told.append((set(headers), headers["retry-after"], body["code"], body["detail"]))
        ids = {ask(made, asked)[2]["request_id"] for _ in range(3)}
    assert len(ids) == 3
    assert len({repr(one) for one in told}) == 1
    assert len(looked) == 2  # the first of a connection is not kept
    count = 'http_server_request_duration_seconds_count{method="POST",route="none",status="429"}'
    assert f"{count} 7.0" in service.watch.text().decode()
    # Of another connection, too; a head without the key is another.
    with connected(port) as made:
        assert [ask(made, asked)[0] for _ in range(3)] == [429] * 3
        assert len(looked) == 3
        assert [ask(made, ASKED)[0] for _ in range(3)] == [401] * 3
        # And with room it is answered.
        service.door.items = 0
        assert ask(made, asked)[0] == 200
        service.door.items = 10**9
        assert ask(made, asked)[0] == 429


def test_one_that_comes_in_parts_or_with_another_is_answered_as_any(
    full: tuple[int, Service], looked: list[bytes]
) -> None:
    port, _ = full
    asked = whole(b'{"question": "who"}', f"authorization: Bearer {KEY}".encode())
    with connected(port) as made:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert [ask(made, asked)[0] for _ in range(3)] == [429] * 3
        for at in (10, len(asked) - 5):
            made.sendall(asked[:at])
            time.sleep(0.05)
            assert ask(made, asked[at:])[0] == 429
        assert len(looked) == 4
        made.sendall(asked + asked)
        given = b""
        while given.count(b"HTTP/1.1 429") < 2 or not given.endswith(b"}"):
            given += made.recv(65536)
        assert ask(made, asked)[0] == 429


@pytest.mark.parametrize("first", [b"", b"\r\n", b"\r\n\r\n"])
def test_what_comes_with_others_is_not_kept_for_them(
    full: tuple[int, Service], looked: list[bytes], first: bytes
) -> None:
    """Of two at once, the head of the first with the length of both; of one that came while
    another was answered, that of the other; of one behind blank lines, nothing at all."""
    port, service = full
    bearer = f"authorization: Bearer {KEY}".encode()
    chunked = ASKED.replace(b"content-length: 19", b"transfer-encoding: chunked\r\n" + bearer)
    one = chunked.replace(b'{"', b'13\r\n{"') + b"\r\n0\r\n\r\n"
    two = whole(b"{}", bearer)
    both = first + one + two
    with connected(port) as made:
        for _ in range(3):
            made.sendall(both)
            given = b""
            while given.count(b"HTTP/1.1 429") < 2 or not given.endswith(b"}"):
                given += made.recv(65536)
            assert given.count(b"HTTP/1.1") == 2
    assert not kept(service)
    # HEAD without a key, in the middle of whose answer a request comes that finds no room.
    with connected(port) as made:
        made.sendall(b"HEAD /info HTTP/1.1\r\nhost: a\r\n\r\n" + whole(b"{}", bearer))
        given = b""
        while b"HTTP/1.1 429" not in given or not given.endswith(b"}"):
            given += made.recv(65536)
        assert given.startswith(b"HTTP/1.1 401")
    assert all(one.startswith(b"POST /v1/search ") for one in kept(service))


def kept(service: Service) -> list[bytes]:
    """The heads that the server of a service keeps."""
    kind: Any = service.app_server.config.http  # type: ignore[attr-defined]
    return list(kind.heads._kept)


def test_the_end_is_told_and_an_idle_connection_ends_after_the_last_request(
    full: tuple[int, Service],
) -> None:
    port, service = full
    asked = whole(b'{"question": "who"}', f"authorization: Bearer {KEY}".encode())
    with connected(port) as made:
        for _ in range(8):  # for longer than it may be idle
            assert ask(made, asked)[0] == 429
            time.sleep(0.1)
        began = time.monotonic()
        assert made.recv(1) == b""
        assert 0.1 < time.monotonic() - began < 3
    with connected(port) as made:
        assert [ask(made, asked)[0] for _ in range(2)] == [429] * 2
        service.drain()
        assert ask(made, asked)[2]["code"] == "draining"
