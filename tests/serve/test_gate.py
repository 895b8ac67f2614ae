"""What finds no room is refused by the connection itself: as any refusal, and for little."""

from __future__ import annotations

import gc
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.serve.conftest import USUAL
from tests.serve.sockets import closed_after, connected, received, served
from tests.serve.test_guard import ASK, CHANGE, KEYS
from tests.serve.test_service import Gated, until

from dpr.serve.engine import Engine
from dpr.serve.guard import Guard
from dpr.serve.service import Service

BODY = b'{"question": "who"}'
PATHS = ["/v1/search", "/v1/embeddings", "/embed", "/v1/rerank", "/v1/n%6fthing"]


@pytest.fixture
def full(engine: Engine) -> Iterator[tuple[int, Service]]:
    """The port of a service without room, and the service."""
    with served(engine, KEYS, keep_alive=0.3, head_seconds=0.3) as (port, service):
        service.door.enter(USUAL.waiting_items, 1)
        yield port, service


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that the guard is asked about."""
    paths: list[str] = []
    asked = Guard.__call__

    async def noting(self: Guard, scope: Any, *more: Any) -> None:
        if scope["type"] == "http":
            paths.append(scope["path"])
        await asked(self, scope, *more)

    monkeypatch.setattr(Guard, "__call__", noting)
    return paths


def head(path: str, *more: str, key: str = ASK, version: str = "1.1", length: int = 19) -> bytes:
    lines = [f"POST {path} HTTP/{version}", "host: a", "content-type: application/json"]
    lines += [f"authorization: Bearer {key}", f"content-length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(made: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of an answer."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = made.recv(65536)
        assert part
        got += part
    top, _, body = got.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    while len(body) < int(headers["content-length"]):
        body += made.recv(65536)
    return int(lines[0].split()[1]), headers, json.loads(body)


def test_who_finds_no_room_is_told_so_before_there_is_a_task(
    full: tuple[int, Service], passed: list[str]
) -> None:
    port, service = full
    with connected(port) as made:
        for path in PATHS:
            made.sendall(head(path, "x-request-id: abc") + BODY)
            status, headers, body = answer(made)
            assert status == 429
            assert int(headers["retry-after"]) >= 1
            assert headers["x-request-id"] == "abc"
            assert headers["x-content-type-options"] == "nosniff"
            assert "connection" not in headers
            if path == "/v1/embeddings":
                assert body["error"]["code"] == "queue_full_items"
            elif path == "/embed":
                assert body["error_type"] == "overloaded"
            elif path == "/v1/rerank":
                assert set(body) == {"message"}
            else:
                assert (body["code"], body["request_id"]) == ("queue_full_items", "abc")
        assert passed == []
        metrics = service.watch.text().decode()
        assert f'dpr_refusals_total{{code="queue_full_items"}} {len(PATHS)}.0' in metrics
        assert 'method="POST",route="none",status="429"' in metrics
        # What is no work, and what comes when there is room again, passes as ever.
        made.sendall(b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n")
        assert answer(made)[0] == 200
        service.door.leave(USUAL.waiting_items, 1)
        made.sendall(head("/v1/search") + BODY)
        assert answer(made)[0] == 200
    assert passed == ["/live", "/v1/search"]


def test_who_would_be_late_is_told_so_there_too(engine: Engine, passed: list[str]) -> None:
    gated = Gated(engine)
    with served(gated, KEYS) as (port, service), connected(port) as first, connected(port) as made:
        gated.gate.clear()
        first.sendall(head("/v1/search") + BODY)
        until(lambda: service.door.items == 1)
        service.door.pace = 0.001
        made.sendall(head("/v1/search") + BODY)
        status, _, body = answer(made)
        assert (status, body["code"]) == (429, "queue_full_time")
        gated.gate.set()
        assert answer(first)[0] == 200
    assert passed == ["/v1/search"]


def test_strangers_learn_nothing_of_the_queue(full: tuple[int, Service]) -> None:
    port, _ = full
    for path, key, expected in (
        ("/v1/search", "guess-0123456789", 401),
        ("/v1/documents", ASK, 403),
        ("/v1/documents", CHANGE, 429),
        ("/signin", "", 401),
    ):
        with connected(port) as made:
            made.sendall(head(path, key=key) + BODY)
            assert made.recv(65536).startswith(b"HTTP/1.1 %d " % expected)


def test_bodies_of_the_refused_are_nobodys(full: tuple[int, Service]) -> None:
    port, service = full
    with connected(port) as made:  # in pieces, and then another
        for _ in range(3):
            made.sendall(head("/v1/search", length=40_000))
            assert answer(made)[0] == 429
            for _ in range(4):
                made.sendall(b" " * 10_000)
        assert service.door.bytes == 0
        made.sendall(head("/v1/search") + BODY)
        assert answer(made)[0] == 429
        assert closed_after(made) < 3.5  # as any that is idle
    for more in (b"", b"1\r\na\r\n"):  # without end
        with connected(port) as made:
            chunked = head("/v1/search").replace(
                b"content-length: 19", b"transfer-encoding: chunked"
            )
            made.sendall(chunked)
            assert answer(made)[0] == 429
            assert closed_after(made, more) < 4.5


def test_refusals_that_nobody_takes_are_not_written_without_end(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    many, sent = (head("/v1/search") + BODY) * 200, 0
    with served(engine, KEYS) as (port, service), connected(port) as made:
        service.door.enter(USUAL.waiting_items, 1)
        made.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while sent < 50_000_000:
                made.sendall(many)
                sent += len(many)
        [inside] = service.app_server.server_state.connections  # type: ignore[attr-defined]
        assert inside.transport.get_write_buffer_size() < 1_000_000
        got = b""
        made.settimeout(5)
        while got.count(b"HTTP/1.1 429 ") < 100:  # and who takes them is told again
            part = made.recv(65536)
            assert part
            got += part
    until(lambda: not service.app_server.server_state.tasks)  # type: ignore[attr-defined]
    gc.collect()
    assert not caplog.records  # who left is written nothing any more


@pytest.mark.parametrize(
    "request_", [head("/v1/search", "connection: close"), head("/v1/search", version="1.0")]
)
def test_who_wants_the_connection_closed_has_it_closed(
    full: tuple[int, Service], request_: bytes
) -> None:
    with connected(full[0]) as made:
        made.sendall(request_ + BODY)
        status, headers, _ = answer(made)
        assert (status, headers["connection"]) == (429, "close")
        assert closed_after(made) < 0.2


def test_answers_keep_the_order_of_requests(engine: Engine) -> None:
    gated = Gated(engine)
    with served(gated, KEYS, waiting_items=1) as (port, service), connected(port) as made:
        gated.gate.clear()
        made.sendall(head("/v1/search") + BODY)
        until(lambda: service.door.items == 1)
        made.sendall(head("/v1/search") + BODY)  # behind one that is not answered yet
        gated.gate.set()
        got = received(made, b"HTTP/1.1 200 ", 2)
        assert b"HTTP/1.1 429 " not in got


def test_a_fault_on_the_wire_is_answered_as_the_rest_and_the_connection_lives(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Service, "find", lambda *_: 1 / 0)
    with served(engine) as (port, _), connected(port) as made:
        made.sendall(head("/v1/search", "x-request-id: abc") + BODY)
        status, headers, body = answer(made)
        assert (status, headers["content-type"]) == (500, "application/problem+json")
        assert headers["x-request-id"] == body["request_id"] == "abc"
        assert body["code"] == "fault"
        assert "ZeroDivision" not in json.dumps(body)
        made.sendall(b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n")
        assert answer(made)[0] == 200
