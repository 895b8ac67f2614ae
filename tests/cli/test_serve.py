"""``dpr serve`` as people run it: a process, its address, its keys, its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.cli.conftest import Run

KEY, CHANGE = "ask-0123456789abcdef", "change-0123456789abcdef"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": ""}


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
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if httpx2.get(told[1] + "/ready").status_code == 200:
                    break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield told[1], process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_it_answers_and_ends_well_under_load(collection: Path) -> None:
    """All that the server admitted before SIGTERM reached who asked: its log tells how many."""
    with served(collection) as (url, process):
        statuses: list[int] = []
        begun = threading.Barrier(9)

        def ask(n: int) -> None:
            begun.wait()
            for one in range(200):
                try:
                    body = {"question": f"what is stone {n} {one}"}
                    given = httpx2.post(url + "/v1/answer", json=body, timeout=30)
                except httpx2.TransportError:
                    return  # no longer there
                statuses.append(given.status_code)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        begun.wait()
        end = time.monotonic() + 30
        while statuses.count(200) <= 8 and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        for thread in threads:
            thread.join()
        assert statuses.count(200) > 8
        assert set(statuses) <= {200, 503}
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
        told = [line["status"] for line in lines if line.get("route") == "/v1/answer"]
        assert told.count(200) == statuses.count(200)
        assert "what is stone" not in json.dumps(lines)


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


def test_a_missing_extra_is_named(
    run: Run, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("dpr.serve.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    result = run("serve", collection)
    assert result.exit_code == 1
    assert "pip install 'dense-passage-retrieval[serve]'" in result.stderr


def test_limits_are_options_and_are_checked(run: Run, collection: Path) -> None:
    result = run("serve", collection, "--waiting-items", 0)
    assert result.exit_code == 1
    assert "waiting_items=0; give at least 1" in result.stderr
