"""When an application takes requests: alone at once, beside other processes once it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from tests.serve.conftest import USUAL

from dpr.serve.app import create_app
from dpr.serve.engine import Engine
from dpr.serve.service import Service


@pytest.fixture
def begun(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The stage at which an application takes requests, where a start waits for an event."""

    def run(*, beside: bool, meanwhile: Callable[[Service, asyncio.Event], None]) -> str:
        start = Service.start

        async def whole() -> str:
            gate = asyncio.Event()

            async def waits(self: Service) -> None:
                await gate.wait()
                await start(self)

            monkeypatch.setattr(Service, "start", waits)
            app: FastAPI = create_app(engine, USUAL)
            service: Service = app.state.service
            if beside:
                service.share([engine.version, engine.version], 0)
            asyncio.get_running_loop().call_later(0.05, meanwhile, service, gate)
            async with asyncio.timeout(30), app.router.lifespan_context(app):
                gate.set()
                return service.stage

        return asyncio.run(whole())

    return run


def test_alone_it_says_that_it_begins(begun: Callable[..., str]) -> None:
    assert begun(beside=False, meanwhile=lambda *_: None) == "starting"


def test_beside_others_it_takes_requests_when_it_is_ready(begun: Callable[..., str]) -> None:
    assert begun(beside=True, meanwhile=lambda _, gate: gate.set()) == "ready"


def test_what_is_told_to_end_before_it_is_ready_does_not_wait(begun: Callable[..., str]) -> None:
    assert begun(beside=True, meanwhile=lambda service, _: service.drain()) == "draining"
