"""New versions come in between two rounds; what cannot be opened leaves the old one in place."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import USUAL, open_engine
from tests.serve.test_service import Gated, until

from dpr.pipeline import Pipeline, add, remove
from dpr.records import Document
from dpr.serve.app import create_app
from dpr.serve.following import Follower
from dpr.serve.service import NOBODY

QUESTION = "who lives in castle 3"


def new(n: int) -> Document:
    return Document(f"new{n}", f"Who lives in castle 3? The old queen {n} of castle 3.", f"New {n}")


def ids(result: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in result["hits"]]


def scored(folder: Path, question: str) -> tuple[int, dict[str, float]]:
    """By brute force: the version, and the inner product of each of its passages."""
    with Pipeline.open(folder, read=False) as pipeline:
        collection = pipeline.collection
        [vector] = pipeline.encoder.encode([question])
        rows = np.arange(collection.starts[-1])
        rows = rows if collection.live is None else rows[collection.live]
        scores = np.concatenate(collection.vectors).astype(np.float32)[rows] @ vector
        ids = collection.ids(rows.tolist())
        return collection.version, dict(zip(ids, scores.tolist(), strict=True))


@pytest.mark.parametrize("cache_bytes", [0, 100_000])
def test_every_answer_is_that_of_the_version_it_states(
    serve: Any, changing: Path, tiny_model: Path, cache_bytes: int
) -> None:
    """A writer changes the collection while clients ask different questions without a pause; each
    result is compared with a plain product over the vectors of its version."""
    client = serve(open_engine(changing, tiny_model), cache_bytes=cache_bytes)
    questions = [f"who lives in castle {n}" for n in range(3)]
    expected: dict[tuple[int, str], dict[str, float]] = {}

    def note() -> int:
        for question in questions:
            version, found = scored(changing, question)
            expected[version, question] = found
        return version

    last = note()
    ended = threading.Event()
    given: list[tuple[str, int, dict[str, Any]]] = []

    def ask(question: str) -> None:
        version = 0
        while not ended.is_set() or version < last:
            for path in ("/v1/search", "/v1/answer"):
                asked = {"question": question, "k": 5, "mode": "dense"}
                answer = client.post(path, json=asked)
                given.append((question, answer.status_code, answer.json()["results"][0]))
                version = given[-1][2]["index_version"]

    threads = [threading.Thread(target=ask, args=(one,)) for one in questions]
    for thread in threads:
        thread.start()
    for n in range(3):
        add([new(n)], changing, model=str(tiny_model))
        last = note()
    remove(changing, ["new0"])
    last = note()
    ended.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert {status for _, status, _ in given} == {200}
    versions = {result["index_version"] for _, _, result in given}
    assert len(versions) > 1
    assert last in versions
    for question, _, result in given:
        known = expected[result["index_version"], question]
        found = ids(result)
        assert set(found) <= set(known)
        scores = [known[one] for one in found]  # of equal ones rounding decides
        assert [hit["score"] for hit in result["hits"]] == pytest.approx(scores, abs=1e-3)
        assert scores == pytest.approx(sorted(known.values(), reverse=True)[:5], abs=1e-3)
        assert {one["passage_id"] for one in result.get("answers", ())} <= set(found)


def test_what_nobody_foresaw_ends_no_following(
    serve: Any, changing: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(changing, tiny_model)
    client = serve(engine)
    monkeypatch.setattr("dpr.serve.following.warm", lambda *_: {}["odd"])
    add([new(1)], changing, model=str(tiny_model))
    follower: Follower = client.app.state.service.follower
    until(lambda: "KeyError" in follower.trouble)
    assert "dpr_reload_trouble 1.0" in client.get("/metrics").text
    monkeypatch.undo()
    until(lambda: engine.version == 2)
    assert "dpr_reload_trouble 0.0" in client.get("/metrics").text


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


def test_who_begins_late_asks_what_others_were_told_is_asked(
    changing: Path, tiny_model: Path
) -> None:
    """A change that was made while it began is not waited for, and is there when it is ready."""
    gated = Gated(open_engine(changing, tiny_model))
    gated.gate.clear()
    app = create_app(gated, replace(USUAL, reload_seconds=60.0))
    versions = [NOBODY, NOBODY]  # of others that are ready it would leave the socket to them
    app.state.service.share(versions, 0)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/ready").status_code == 503
        assert versions == [NOBODY, NOBODY]
        versions[1] = 2
        add([new(1)], changing, model=str(tiny_model))
        gated.gate.set()
        until(lambda: client.get("/ready").status_code == 200)
        assert versions == [2, 2]
        found = client.post("/v1/search", json={"question": QUESTION}).json()["results"][0]
        assert found["index_version"] == 2


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
