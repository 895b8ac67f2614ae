"""``dpr serve`` as people run it: a process, its address, its keys, its end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from tests.cli.conftest import Run

KEY, CHANGE = "ask-0123456789abcdef", "change-0123456789abcdef"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": ""}


def ready(url: str) -> bool:
    try:
        return httpx2.get(url + "/ready", timeout=60).status_code == 200
    except httpx2.TransportError:
        return False


@contextmanager
def served(*arguments: object, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a process that is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dpr", "serve", *map(str, arguments), "--port", "0"],
        env=ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        told = re.match(r"(http://\S+): ", process.stdout.readline())
        assert told, process.communicate()
        end = time.monotonic() + 120
        while not ready(told[1]):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield told[1], process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_it_answers_and_ends_well_under_load(collection: Path, workers: int) -> None:
    """All that the server admitted before SIGTERM reached who asked: its log tells how many. There
    are more who ask than a round takes, so that some wait whenever it comes."""
    arguments = ("--workers", workers, "--round-tokens", 600, "--cache-bytes", 0)
    with served(collection, *arguments) as (url, process):
        statuses: list[int] = []
        begun, ended = threading.Barrier(25), threading.Event()

        def ask(n: int) -> None:
            begun.wait()
            for one in range(10_000):
                if ended.is_set():
                    return
                try:
                    body = {"question": f"what is stone {n} {one}"}
                    given = httpx2.post(url + "/v1/answer", json=body, timeout=30)
                except httpx2.TransportError:
                    time.sleep(0.1)  # no longer there
                    continue
                statuses.append(given.status_code)

        threads = [threading.Thread(target=ask, args=(n,), daemon=True) for n in range(24)]
        for thread in threads:
            thread.start()
        lines: list[dict[str, Any]] = []
        assert process.stderr is not None
        errors = process.stderr
        # Read all the time: nobody can write to a pipe that is full.
        reading = threading.Thread(target=lambda: lines.extend(map(json.loads, errors)))
        reading.start()
        begun.wait()
        end = time.monotonic() + 120
        while statuses.count(200) <= 24 and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(60) == 0
        finally:
            ended.set()
        for thread in [*threads, reading]:
            thread.join()
        assert statuses.count(200) > 24
        # Refused before it was admitted, or late on a machine that is slow: answered all the same.
        assert set(statuses) <= {200, 429, 503, 504}
        told = [line["status"] for line in lines if line.get("route") == "/v1/answer"]
        assert told.count(200) == statuses.count(200)
        assert "what is stone" not in json.dumps(lines)


@pytest.mark.slow
def test_workers_are_one_server_and_one_that_dies_is_started_anew(
    collection: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(collection, tmp_path / "copy")
    (tmp_path / "change").write_text(CHANGE, encoding="utf-8")
    arguments = (folder, "--workers", 2, "--change-keys", tmp_path / "change")
    with served(*arguments, DPR_SERVE_KEYS=KEY) as (url, process):
        pids = children(process.pid)
        assert len(pids) == 2
        changing = {"authorization": f"Bearer {CHANGE}"}

        def get(path: str, **more: Any) -> httpx2.Response:
            return httpx2.get(url + path, timeout=60, **more)

        def metric(name: str) -> float:
            text = get("/metrics", headers=changing).text
            return sum(map(float, re.findall(rf"^{name} (\S+)", text, re.M)))

        # Both answer: by chance, 30 connections of their own.
        count = 'http_server_request_duration_seconds_count{method="GET",route="/info"'
        signed = httpx2.post(url + "/signin", data={"key": KEY})
        cookies = {"dpr_session": signed.cookies["dpr_session"]}
        for _ in range(30):
            assert get("/info", cookies=cookies).status_code == 200
        text = get("/metrics", headers=changing).text
        assert sum(float(line.split()[-1]) for line in text.splitlines() if count in line) == 30
        # What one of them changed is asked by both.
        document = {"id": "snow", "text": "Snow lies on the mountain."}
        given = httpx2.post(
            url + "/v1/documents", json={"documents": [document]}, headers=changing, timeout=60
        )
        version = given.json()["version"]
        for _ in range(12):
            assert get("/info", headers=changing).json()["index_version"] == version
        assert metric("dpr_index_version") == version
        os.kill(pids[0], signal.SIGKILL)
        end = time.monotonic() + 120
        while len(after := children(process.pid)) < 2 or pids[0] in after:
            assert time.monotonic() < end
            assert get("/ready").status_code == 200  # the one that is started anew is not asked yet
            time.sleep(0.1)
        for _ in range(12):
            assert get("/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr]
        assert any("is started anew" in line["message"] for line in lines)
        said = [line["message"].partition(" ")[0] for line in lines]
        # The one that was started anew may have been told to end before it was ready.
        assert said.count("ready") in (2, 3)
        assert {said.count("told"), said.count("ended")} <= {1, 2}


def children(pid: int) -> list[int]:
    """The workers of a server that live."""
    found = []
    for one in psutil.Process(pid).children():
        with suppress(psutil.Error):  # it is dead, and nobody noticed yet
            if "resource_tracker" not in " ".join(one.cmdline()):
                found.append(one.pid)
    return found


@pytest.mark.slow
def test_workers_that_cannot_begin_end_the_server(collection: Path, tmp_path: Path) -> None:
    arguments = [str(collection), "--workers", "2", "--model", str(tmp_path), "--port", "0"]
    ended = subprocess.run(
        [sys.executable, "-m", "dpr", "serve", *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "a worker could not begin" in ended.stderr


@pytest.mark.slow
def test_workers_end_with_who_started_them(collection: Path) -> None:
    with served(collection, "--workers", 2, "--search-only") as (_, process):
        pids = children(process.pid)
        process.kill()
        end = time.monotonic() + 20
        while any(map(psutil.pid_exists, pids)):
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.mark.slow
def test_keys_of_a_file_and_the_environment_guard_it(collection: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY + "\n", encoding="utf-8")
    arguments = (collection, "--keys", tmp_path / "keys", "--host", "0.0.0.0", "--search-only")
    with served(*arguments, DPR_SERVE_CHANGE_KEYS=CHANGE) as (url, _):
        assert url.startswith("http://0.0.0.0:")
        assert httpx2.get(url + "/info").status_code == 401
        for key in (KEY, CHANGE):
            given = httpx2.get(url + "/info", headers={"authorization": f"Bearer {key}"})
            assert given.json()["answers"] is False


def test_another_address_needs_keys_unless_told_twice(
    run: Run, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr("dpr.serve.running.serve", lambda app, bound: begun.append(app))
    monkeypatch.setattr("dpr.serve.running.leave", lambda: None)
    monkeypatch.setattr("dpr.serve.watching.log_lines", lambda: None)  # all tests' own
    for host in ("0.0.0.0", "::"):
        result = run("serve", collection, "--host", host, "--port", 0)
        assert result.exit_code == 1
        assert "--keys FILE, or say --without-keys" in result.stderr
    assert not begun
    assert (
        run("serve", collection, "--host", "0.0.0.0", "--port", 0, "--without-keys").exit_code == 0
    )
    assert run("serve", collection, "--port", 0).stdout.startswith("http://127.0.0.1:")
    assert len(begun) == 2
    monkeypatch.setenv("DPR_SERVE_KEYS", KEY)
    result = run("serve", collection, "--port", 0, "--without-keys")
    assert result.exit_code == 1
    assert "leave one of the two out" in result.stderr


def test_a_missing_extra_is_named(
    run: Run, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("dpr.serve.workers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    result = run("serve", collection)
    assert result.exit_code == 1
    assert "pip install 'dense-passage-retrieval[serve]'" in result.stderr


def test_limits_are_options_and_are_checked(run: Run, collection: Path) -> None:
    result = run("serve", collection, "--waiting-items", 0)
    assert result.exit_code == 1
    assert "waiting_items=0; give at least 1" in result.stderr
