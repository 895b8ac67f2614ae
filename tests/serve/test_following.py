"""New versions come in between two rounds; what cannot be opened leaves the old one in place."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import open_engine

from dpr.pipeline import Pipeline, add, remove
from dpr.records import Document
from dpr.serve.following import Follower

QUESTION = "who lives in castle 3"


def new(n: int) -> Document:
    return Document(f"new{n}", f"Who lives in castle 3? The old queen {n} of castle 3.", f"New {n}")


def ids(result: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in result["hits"]]


def test_every_answer_is_that_of_the_version_it_states(
    serve: Any, changing: Path, tiny_model: Path
) -> None:
    """A writer changes the collection while three clients ask without a pause."""
    client = serve(open_engine(changing, tiny_model), cache_bytes=100_000)
    expected: dict[int, list[str]] = {}

    def note() -> None:
        with Pipeline.open(changing, read=False) as pipeline:
            found = pipeline.search(QUESTION, 5)
            expected[pipeline.collection.version] = [hit.passage.id for hit in found]

    note()
    last: list[int] = []
    given: list[tuple[int, dict[str, Any]]] = []

    def ask() -> None:
        while not last or given[-1][1]["index_version"] < last[0]:
            answer = client.post("/v1/search", json={"question": QUESTION, "k": 5})
            given.append((answer.status_code, answer.json()["results"][0]))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(3):
        add([new(n)], changing, model=str(tiny_model))
        note()
    remove(changing, ["new0"])
    note()
    last.append(max(expected))
    for thread in threads:
        thread.join(30)
    assert {status for status, _ in given} == {200}
    versions = {result["index_version"] for _, result in given}
    assert len(versions) > 1
    assert last[0] in versions
    for _, result in given:
        assert ids(result) == expected[result["index_version"]]


def test_what_cannot_be_opened_leaves_the_old_version_in_place(
    serve: Any, changing: Path, tiny_model: Path
) -> None:
    engine = open_engine(changing, tiny_model)
    client = serve(engine)
    before = client.post("/v1/search", json={"question": QUESTION}).json()
    manifest = changing / "manifest.json"
    text = manifest.read_bytes()
    manifest.write_bytes(text[:-20])
    follower: Follower = client.app.state.service.follower
    end = time.monotonic() + 10
    while not follower.trouble and time.monotonic() < end:
        time.sleep(0.01)
    assert follower.trouble
    assert client.get("/ready").status_code == 200
    other = client.post("/v1/search", json={"question": QUESTION, "k": 9})
    assert other.json()["results"][0]["index_version"] == before["results"][0]["index_version"]
    manifest.write_bytes(text)
    add([new(7)], changing, model=str(tiny_model))
    while engine.version == before["results"][0]["index_version"] and time.monotonic() < end:
        time.sleep(0.01)
    found = client.post("/v1/search", json={"question": "the old queen 7", "mode": "bm25"})
    assert any(one.startswith("new7") for one in ids(found.json()["results"][0]))
    assert follower.trouble == ""


def test_a_version_is_warm_before_it_is_asked(
    serve: Any, changing: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpr.serve import following

    engine = open_engine(changing, tiny_model)
    warmed = []

    def noting(opened: Any, dim: int) -> None:
        warmed.append((opened.searcher.collection.version, engine.version))
        warm(opened, dim)

    warm = following.warm
    monkeypatch.setattr(following, "warm", noting)
    client = serve(engine)
    add([new(1)], changing, model=str(tiny_model))
    newest = engine.pipeline.searcher.collection.version
    end = time.monotonic() + 10
    while engine.version < newest and time.monotonic() < end:
        time.sleep(0.01)
    assert warmed == [(newest, newest - 1)]
    assert client.post("/v1/search", json={"question": QUESTION}).status_code == 200
