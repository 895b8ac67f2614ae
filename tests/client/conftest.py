"""A service on a real socket, and the two clients as one, so that every test tries both."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.serve.conftest import USUAL
from tests.serve.conftest import changing as changing
from tests.serve.conftest import engine as engine
from tests.serve.conftest import made as made
from tests.serve.test_service import until

from dpr.client import AsyncClient, Client
from dpr.serve import running
from dpr.serve.app import create_app
from dpr.serve.engine import Engine
from dpr.serve.keys import Keys

Ask = Callable[..., Any]


@contextmanager
def served(engine: Engine, keys: Keys | None = None, **limits: Any) -> Iterator[str]:
    """The address of a service that is ready."""
    app = create_app(engine, replace(USUAL, **limits), keys)
    bound = running.listening("127.0.0.1", 0)
    server = running.server(app)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    until(lambda: server.started and app.state.service.stage == "ready")
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def url(engine: Engine) -> Iterator[str]:
    """Of a service without keys, which is never changed."""
    with served(engine) as one:
        yield one


@pytest.fixture(params=[Client, AsyncClient])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Calls a method of a client: ``ask(url, "search", "who", k=3, options={"key": ...})``."""
    kind = request.param

    async def asked(url: str, name: str, arguments: Any, named: Any, options: Any) -> Any:
        async with kind(url, **options) as client:
            return await getattr(client, name)(*arguments, **named)

    def asking(
        url: str, name: str, *arguments: Any, options: dict[str, Any] | None = None, **named: Any
    ) -> Any:
        if kind is AsyncClient:
            return asyncio.run(asked(url, name, arguments, named, options or {}))
        with kind(url, **(options or {})) as client:
            return getattr(client, name)(*arguments, **named)

    return asking
