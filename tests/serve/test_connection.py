"""Slow, endless and unreading clients over real sockets."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import httpx2
import pytest
from tests.serve.sockets import closed_after, connected, received, served
from tests.serve.test_service import Gated, until

from dpr.serve.engine import Engine
from dpr.serve.keys import Keys

QUICK: dict[str, Any] = {
    "head_seconds": 0.3,
    "body_seconds": 0.3,
    "write_seconds": 0.3,
    "keep_alive": 0.3,
    "head_bytes": 2000,
    "body_bytes": 50_000,
}
HEAD = b"POST /v1/search HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def port(engine: Engine) -> Iterator[int]:
    with served(engine, **QUICK) as (port, _):
        yield port


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"", b""),  # says nothing
        (b"", b"GET / HTTP/1.1\r\nhost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        (b"", b"\r\n"),  # which begins no request
        (b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n", b"\r\n"),
        (b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n", b"GET /live HTTP/1.1\r\nhost: aaaaaaaaaaaaaa"),
        (b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n", b""),
        # A body that nobody waits for.
        (b"GET /live HTTP/1.1\r\nhost: a\r\ncontent-length: 99999\r\n\r\n", b"a"),
        (b"GET /live HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
)
def test_who_is_slow_is_closed(port: int, first: bytes, drip: bytes) -> None:
    with connected(port) as made:
        made.sendall(first)
        assert 0.2 < closed_after(made, drip) < 3.5


@pytest.mark.parametrize(
    "rest",
    [b"content-length: 40000\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"],
)
def test_a_slow_body_gets_408_and_then_is_closed(port: int, rest: bytes) -> None:
    with connected(port) as made:
        made.sendall(HEAD + rest)
        assert made.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert closed_after(made, b" ") < 3.5


@pytest.mark.parametrize("path", [b"/live", b"/v1/nothing", b"/v1/search"])
def test_a_connection_whose_body_ends_after_an_early_answer_is_closed_as_any(
    engine: Engine, path: bytes
) -> None:
    keys = Keys.of(["ask-0123456789abcdef"])
    with served(engine, keys, **QUICK) as (port, _), connected(port) as made:
        made.sendall(b"POST " + path + b" HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
        if path != b"/live":
            assert made.recv(65536).startswith(b"HTTP/1.1 401 ")
        time.sleep(0.05)
        made.sendall(b"12345")
        assert closed_after(made) < 3.5


def test_a_head_without_end_is_refused(port: int) -> None:
    for piece in (b"x: " + b"a" * 500 + b"\r\n", b"a" * 500):
        with connected(port) as made:
            made.sendall(b"GET /live HTTP/1.1\r\n")
            with suppress(OSError):
                for _ in range(8):
                    made.sendall(piece)
                    time.sleep(0.01)
            assert made.recv(65536).startswith(b"HTTP/1.1 431 ")
    with connected(port) as made:  # at once
        made.sendall(b"GET /live HTTP/1.1\r\n" + b"x: aaaaaaaaaa\r\n" * 500 + b"\r\n")
        assert made.recv(65536).startswith(b"HTTP/1.1 431 ")
    with connected(port) as made:  # its address counts
        made.sendall(b"GET /live?" + b"a" * 3000 + b" HTTP/1.1\r\nhost: a\r\n\r\n")
        assert made.recv(65536).startswith(b"HTTP/1.1 431 ")


def test_a_body_without_end_gets_413_and_is_not_taken(port: int) -> None:
    with connected(port) as made:
        made.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        chunk, sent = b"8000\r\n" + b" " * 0x8000 + b"\r\n", 0
        made.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while sent < 200_000_000:
                made.sendall(chunk)
                sent += len(chunk)
        # What fits into the buffers on the way, and what is read so that the answer arrives.
        assert sent < 20_000_000
        assert made.recv(65536).startswith(b"HTTP/1.1 413 ")
        assert closed_after(made) < 3.5
    with connected(port) as made:
        made.sendall(HEAD + b"content-length: 10000000000\r\n\r\n")
        assert made.recv(65536).startswith(b"HTTP/1.1 413 ")


def large(hits: int = 31) -> bytes:
    """A request with an answer of a megabyte or so."""
    questions = ",".join(f'"who is {n} {time.monotonic_ns()}"' for n in range(64))
    body = f'{{"question": [{questions}], "k": {hits}}}'.encode()
    return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body


def test_an_answer_that_nobody_takes_is_counted_and_then_cut_off(engine: Engine) -> None:
    limits = QUICK | {"write_seconds": 1.0, "waiting_bytes": 1_000_000}
    with served(engine, small=True, **limits) as (port, service), connected(port) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.sendall(large())
        until(lambda: service.door.bytes > 300_000)  # what was sent, and lies in this process
        assert service.door.items == 0
        # Another such answer finds no room; a small one does.
        url = f"http://127.0.0.1:{port}/v1/search"
        asked = {"question": [f"which {n}" for n in range(64)], "k": 31}
        refused = httpx2.post(url, json=asked)
        assert (refused.status_code, refused.json()["code"]) == (429, "queue_full_bytes")
        assert httpx2.post(url, json={"question": "who", "k": 2}).status_code == 200
        until(lambda: service.door.bytes == 0)
        # Cut off, and not closed behind an answer that is whole.
        made.settimeout(5)
        got = b""
        with suppress(OSError):
            while part := made.recv(65536):
                got += part
        length = int(got.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert len(got) < length


def test_who_takes_an_answer_slowly_but_steadily_gets_all_of_it(engine: Engine) -> None:
    limits = QUICK | {"write_seconds": 0.5}
    with served(engine, small=True, **limits) as (port, _), closing(socket.socket()) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        made.settimeout(5)
        made.connect(("127.0.0.1", port))
        made.sendall(large())
        began, got = time.monotonic(), b""
        while not got.endswith(b"]}]}"):
            part = made.recv(16_384)
            assert part
            got += part
            time.sleep(0.03)
        assert time.monotonic() - began > 0.5
        assert len(got) > int(got.partition(b"content-length: ")[2].partition(b"\r\n")[0])


def test_work_for_who_hangs_up_is_not_begun_and_gives_its_room_back(engine: Engine) -> None:
    gated = Gated(engine)
    with served(gated) as (port, service):
        gated.rounds.clear()
        gated.gate.clear()
        body = b'{"question": "who %d"}'
        for n in range(3):
            with connected(port) as made:
                one = body % n
                made.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(one) + one)
                until(lambda n=n: service.door.items == min(n, 1) + 1)  # type: ignore[misc]
                until(lambda: len(gated.rounds) == 1)  # the first is begun while somebody waits
        until(lambda: service.door.items == 1)  # the one that was begun
        gated.gate.set()
        until(lambda: service.door.items == 0)
        assert len(gated.rounds) == 1
        metrics = service.watch.text().decode()
        assert 'status="499"' in metrics


def test_more_connections_than_are_allowed_are_closed(engine: Engine) -> None:
    with served(engine, connections=3) as (port, _), ExitStack() as stack:
        inside = [stack.enter_context(connected(port)) for _ in range(3)]
        for one in inside:
            one.sendall(b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n")
            assert one.recv(65536).startswith(b"HTTP/1.1 200 ")
        with connected(port) as late:
            assert closed_after(late) < 1
        inside[0].close()
        time.sleep(0.1)
        assert httpx2.get(f"http://127.0.0.1:{port}/live").status_code == 200


def test_head_has_no_body_and_the_next_request_is_answered(port: int) -> None:
    with connected(port) as made:
        for path in (b"/info", b"/v1/search", b"/nowhere", b"/live"):
            made.sendall(b"HEAD %b HTTP/1.1\r\nhost: a\r\n\r\n" % path)
            given = b""
            while not given.endswith(b"\r\n\r\n"):
                given += made.recv(65536)
            assert given.count(b"HTTP/1.1") == 1
            assert re.search(rb"content-length: [1-9]", given)
        made.sendall(b"GET /live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        given = b""
        while more := made.recv(65536):
            given += more
        assert given.startswith(b"HTTP/1.1 200")
        assert given.endswith(b'{"status":"alive"}')


def test_requests_one_after_the_other_on_one_connection(port: int) -> None:
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for n in range(20):
            given = client.post("/v1/search", json={"question": f"who {n}"})
            assert given.status_code == 200
            if n % 7 == 0:  # a refusal before the body is read does not end the connection
                assert client.post("/v1/nothing", content=b" " * 40_000).status_code == 404


def test_two_requests_at_once_on_one_connection(port: int) -> None:
    with connected(port) as made:
        made.sendall(b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
        received(made, b'"alive"', 2)


def test_many_small_heads_at_once_are_no_long_one(port: int) -> None:
    one = b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n"
    with connected(port) as made:
        made.sendall((one * 200)[:-2])  # the last one has not ended
        got = received(made, b'"alive"', 199)
        assert b" 431 " not in got
        made.sendall(b"x: " + b"a" * 3000)
        received(made, b" 431 ")
