"""A service on a real socket, and the two clients as one, so that every test tries both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.serve import sockets
from tests.serve.conftest import changing as changing
from tests.serve.conftest import engine as engine
from tests.serve.conftest import made as made

from dpr.client import AsyncClient, Client
from dpr.serve.engine import Engine
from dpr.serve.keys import Keys

Ask = Callable[..., Any]


@contextmanager
def served(engine: Engine, keys: Keys | None = None, **limits: Any) -> Iterator[str]:
    """The address of a service that is ready."""
    with sockets.served(engine, keys, **limits) as (port, _):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
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
