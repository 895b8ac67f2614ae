"""Workers told to end while they are started; the rest is in ``tests/cli/test_serve.py``."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from dpr.serve.keys import Keys
from dpr.serve.running import listening
from dpr.serve.settings import ServeSettings
from dpr.serve.workers import Opening, _Workers


@pytest.mark.parametrize("at", [0, 1, 2])
def test_those_that_were_started_when_it_is_told_to_end_are_told_too(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpr.serve.workers.wait", lambda *_, **__: [])
    started: list[Any] = []
    bound = listening("127.0.0.1", 0)

    class Process:
        """Is never really there."""

        sentinel, exitcode, alive, told = 0, None, False, False

        def __init__(self, name: str, **_: Any) -> None:
            self.name = name

        def start(self) -> None:
            if len(started) == at:
                signal.raise_signal(signal.SIGTERM)
            assert bound.fileno() != -1  # which it has to be given
            self.alive = True
            started.append(self)

        def terminate(self) -> None:
            self.told, self.alive = True, False

        def is_alive(self) -> bool:
            return self.alive

        def join(self, timeout: float | None = None) -> None:
            assert not self.alive

    workers = _Workers(Opening("none", ServeSettings(), Keys()), bound, 3, "none")
    workers._context = SimpleNamespace(Process=Process)  # type: ignore[assignment]
    workers.run()
    assert [one.told for one in started] == [True] * (at + 1)
    assert bound.fileno() == -1
