"""Slow, endless and unreading clients over real sockets; and an end that loses nothing."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import httpx2
import pytest
from tests.serve.conftest import USUAL
from tests.serve.test_service import Gated, until

from dpr.errors import SettingsError
from dpr.serve import running
from dpr.serve.app import create_app
from dpr.serve.engine import Engine
from dpr.serve.keys import Keys
from dpr.serve.service import Service

QUICK: dict[str, Any] = {
    "head_seconds": 0.3,
    "body_seconds": 0.3,
    "write_seconds": 0.3,
    "keep_alive": 0.3,
    "head_bytes": 2000,
    "body_bytes": 50_000,
}
HEAD = b"POST /v1/search HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"


@contextmanager
def served(
    engine: Engine, keys: Keys | None = None, *, small: bool = False, **limits: Any
) -> Iterator[tuple[int, Service]]:
    """The port and the service of a server in a thread."""
    app = create_app(engine, replace(USUAL, **limits), keys)
    service: Service = app.state.service
    bound = running.listening("127.0.0.1", 0)
    port = bound.getsockname()[1]
    if small:  # what lies in the kernel was taken, as far as a process can tell
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    server = running.server(app)
    service.app_server = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    until(lambda: server.started and service.stage == "ready")
    try:
        yield port, service
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def port(engine: Engine) -> Iterator[int]:
    with served(engine, **QUICK) as (port, _):
        yield port


def connected(port: int) -> closing[socket.socket]:
    made = socket.create_connection(("127.0.0.1", port), 5)
    return closing(made)


def closed_after(made: socket.socket, drip: bytes = b"", every: float = 0.05) -> float:
    """Seconds until the server closed the connection, over which a byte comes now and then."""
    began = time.monotonic()
    made.settimeout(every)
    for n in range(1000):
        try:
            if drip:
                made.sendall(drip[n % len(drip) : n % len(drip) + 1])
            if made.recv(65536) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


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
        got = b""
        while got.count(b'"alive"') < 2:
            part = made.recv(65536)
            assert part
            got += part


def test_many_small_heads_at_once_are_no_long_one(port: int) -> None:
    one = b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n"
    with connected(port) as made:
        made.sendall((one * 200)[:-2])  # the last one has not ended
        got = b""
        while got.count(b'"alive"') < 199:
            part = made.recv(65536)
            assert part
            got += part
        assert b" 431 " not in got
        made.sendall(b"x: " + b"a" * 3000)
        while b" 431 " not in got:
            part = made.recv(65536)
            assert part
            got += part


def test_ending_finishes_what_was_admitted(engine: Engine) -> None:
    gated = Gated(engine)
    answers: list[int] = []
    with served(gated) as (port, service):
        gated.gate.clear()

        def ask(n: int) -> None:
            url = f"http://127.0.0.1:{port}/v1/search"
            answers.append(httpx2.post(url, json={"question": f"who {n}"}).status_code)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: service.door.items == 8)
        opening = threading.Timer(0.5, gated.gate.set)
        opening.start()  # after the server was told to end
    for thread in threads:
        thread.join(10)
    assert answers == [200] * 8
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 1)


def test_while_it_ends_others_are_told_so_and_then_find_nobody(engine: Engine) -> None:
    gated = Gated(engine)
    answers: list[httpx2.Response] = []
    with served(gated, grace_seconds=2.0) as (port, service):
        url = f"http://127.0.0.1:{port}"
        gated.gate.clear()
        asking = threading.Thread(
            target=lambda: answers.append(httpx2.post(url + "/v1/search", json={"question": "who"}))
        )
        asking.start()
        until(lambda: service.door.items == 1)
        service.app_server.handle_exit(signal.SIGTERM, None)  # type: ignore[attr-defined]
        for _ in range(3):
            given = httpx2.get(url + "/ready")
            assert (given.status_code, given.json()["code"]) == (503, "draining")
        assert httpx2.post(url + "/v1/search", json={"question": "whose"}).status_code == 503
        assert httpx2.delete(url + "/v1/documents/a").status_code in (403, 503)
        assert httpx2.get(url + "/live").status_code == 200
        until(lambda: not listens(port))
        assert not answers
        gated.gate.set()
        asking.join(10)
    assert answers[0].status_code == 200


def listens(port: int) -> bool:
    with suppress(OSError), connected(port):
        return True
    return False


def test_what_is_not_done_when_all_time_is_over_is_answered_too_and_the_end_comes(
    engine: Engine,
) -> None:
    """Work that hangs: who asked is told, and the server ends without it."""
    gated = Gated(engine)
    answers: list[httpx2.Response] = []
    began = 0.0
    with served(gated, deadline=0.8, drain_seconds=1.0) as (port, service):
        object.__setattr__(service.settings, "deadline", 30.0)  # as a change of documents has none
        gated.gate.clear()
        url = f"http://127.0.0.1:{port}/v1/search"
        asking = threading.Thread(
            target=lambda: answers.append(httpx2.post(url, json={"question": "who"}))
        )
        asking.start()
        until(lambda: service.door.items == 1)
        began = time.monotonic()
    assert time.monotonic() - began < 4
    asking.join(5)
    gated.gate.set()
    assert (answers[0].status_code, answers[0].json()["code"]) == (503, "cut_off")
    assert int(answers[0].headers["retry-after"]) >= 1


def test_a_service_that_cannot_begin_ends_the_server(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpr.serve.engine.Engine.run", lambda *_: 1 / 0)
    monkeypatch.setattr("dpr.serve.running.sys.setswitchinterval", lambda _: None)  # all tests' own
    app = create_app(engine, USUAL)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            running.serve(app, running.listening("127.0.0.1", 0))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert [type(one) for one in raised] == [ZeroDivisionError]


def test_garbage_is_not_looked_for_in_what_stays(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, when all is loaded and warm; in a process that is the server's alone."""
    done: list[str] = []
    for name in ("collect", "freeze", "set_threshold"):
        told = partial(lambda name, *_: done.append(name), name)
        monkeypatch.setattr(f"dpr.serve.running.gc.{name}", told)
    with served(engine) as (_, service):
        time.sleep(0.3)  # some of its ticks
        assert done == []
        service.app_server.settles = True  # type: ignore[attr-defined]
        until(lambda: len(done) == 3)
        time.sleep(0.3)
    assert done == ["collect", "freeze", "set_threshold"]


def test_an_address_that_cannot_be_had_is_named() -> None:
    with closing(running.listening("127.0.0.1", 0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1 port {port}"):
            running.listening("127.0.0.1", port)
    with pytest.raises(SettingsError, match="--host"):
        running.listening("256.256.256.256", 0)
