"""A server's end that loses nothing, and its address."""

from __future__ import annotations

import platform
import signal
import socket
import sys
import threading
import time
from contextlib import closing, suppress
from functools import partial

import httpx2
import psutil
import pytest
from tests.serve.conftest import USUAL
from tests.serve.sockets import connected, served
from tests.serve.test_service import Gated, until

from dpr.errors import SettingsError
from dpr.serve import running
from dpr.serve.app import create_app
from dpr.serve.engine import Engine


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


def test_freed_memory_is_given_back_now_and_then(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = list[int]()
    monkeypatch.setattr("dpr.serve.running._FREEING", 2)
    monkeypatch.setattr("dpr.serve.running.give_back", lambda: given.append(1))
    gated = Gated(engine)
    with served(gated) as (port, service):
        until(lambda: len(given) > 2)
        gated.gate.clear()
        url = f"http://127.0.0.1:{port}/v1/search"
        asking = threading.Thread(
            target=lambda: httpx2.post(url, json={"question": "who"}, timeout=60)
        )
        asking.start()
        until(lambda: service.door.items == 1)
        time.sleep(0.3)  # one may be under way
        before = len(given)
        time.sleep(0.7)
        assert len(given) == before
        gated.gate.set()
        asking.join(10)
        until(lambda: len(given) > before)


def test_what_lies_between_pieces_in_use_is_given_back() -> None:
    pieces = [b"x" * (100_000 + n) for n in range(2000)]  # written to, and so resident
    kept = pieces[::2]
    del pieces
    before = psutil.Process().memory_info().rss
    running.give_back()
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        assert psutil.Process().memory_info().rss < before - 50_000_000
    assert len(kept) == 1000


def test_an_address_that_cannot_be_had_is_named() -> None:
    with closing(running.listening("127.0.0.1", 0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1 port {port}"):
            running.listening("127.0.0.1", port)
    with pytest.raises(SettingsError, match="--host"):
        running.listening("256.256.256.256", 0)
