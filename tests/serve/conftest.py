"""A collection of a tiny model with random weights, the service over it, and clients."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dpr.pipeline import index
from dpr.reading import ReadingSettings
from dpr.records import Document
from dpr.serve.app import create_app
from dpr.serve.engine import Engine
from dpr.serve.keys import Keys
from dpr.serve.settings import ServeSettings

DOCUMENTS = [
    Document(
        f"d{n}",
        f"The king of city {n} lives in castle {n}. " * (n + 1),
        f"Tale {n}",
        f"s{n}",
        metadata={"year": 1990 + n},
    )
    for n in range(8)
]
READING = ReadingSettings(no_answer_below=0.0)
USUAL = ServeSettings(reload_seconds=0.05, grace_seconds=0.1)

Client = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture(scope="session")
def made(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection; not to be changed."""
    folder = tmp_path_factory.mktemp("served") / "tales"
    index(DOCUMENTS, folder, model=str(tiny_model), split="words:10")
    return folder


@pytest.fixture
def changing(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return shutil.copytree(made, tmp_path / "tales")


def open_engine(folder: Path, model: Path, **options: Any) -> Engine:
    """Models and collection."""
    return Engine.open(folder, model=model, settings=READING, **options)


@pytest.fixture(scope="session")
def engine(made: Path, tiny_model: Path) -> Iterator[Engine]:
    """What answers where a test does not bring its own; it is never changed."""
    engine = open_engine(made, tiny_model)
    yield engine
    engine.pipeline.close()


@contextmanager
def started(
    engine: Engine,
    keys: Keys | None = None,
    *,
    local_only: bool = False,
    host: str = "",
    traces: Any = None,
    **limits: Any,
) -> Iterator[TestClient]:
    """A client of a service that is ready."""
    app = create_app(
        engine, replace(USUAL, **limits), keys, local_only=local_only, host=host, traces=traces
    )
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        end = time.monotonic() + 60
        while client.get("/ready").status_code == 503:
            assert app.state.service.failure is None
            assert time.monotonic() < end
            time.sleep(0.005)
        yield client


@pytest.fixture
def serve(engine: Engine) -> Iterator[Callable[..., TestClient]]:
    """Starts services, each ended with the test."""
    with ExitStack() as stack:

        def start(own: Engine = engine, keys: Keys | None = None, **options: Any) -> TestClient:
            return stack.enter_context(started(own, keys, **options))

        yield start


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[TestClient]:
    """Of a service with usual settings and no keys."""
    with started(engine) as one:
        yield one


# What is hard to show: characters of two UTF-16 units, marks that combine, both directions, and
# what would run if it were HTML.
ODD = [
    Document("emoji", "👩🏽‍🚀🌲 The king 👑 of castle 1 😀 lives in the forest 🌲🌲.", "🎄 Snow"),
    Document(
        "marks",
        "Noe\u0308l, the queen of Ame\u0301lie\u0323, lives in cafe\u0301 castle.",
        "Noe\u0308l",
    ),
    Document("arabic", "القاهرة هي عاصمة مصر 🐊 the king lives in القاهرة.", "القاهرة"),
    Document("hebrew", "שלום 👑 the old king. ירושלים is a city of stone.", "ירושלים"),
    Document(
        "script",
        "The king</p><script>window.hurt = 1</script> lives in <img src=x onerror='hurt = 2'> "
        '&lt;b&gt; "castle" {{ 7 * 7 }} ${7 * 7} <!-- of snow',
        "<script>window.hurt = 3</script> & 'king'",
        '"><script>window.hurt = 4</script>',
        metadata={"year": 2001},
    ),
]
ODD_QUESTIONS = [
    "where does the king live",
    "who lives in the forest",
    "what is the city",
    "the queen of castle",
    "king <script>window.hurt = 5</script> 'of' \"stone\" 👑",
]


@pytest.fixture(scope="session")
def odd(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """What asks documents that are hard to show."""
    folder = tmp_path_factory.mktemp("served") / "odd <i>'n' \"ends"
    index(ODD, folder, model=str(tiny_model))
    engine = open_engine(folder, tiny_model)
    yield engine
    engine.pipeline.close()
