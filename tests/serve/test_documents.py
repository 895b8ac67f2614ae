"""Documents come and go through the service, and are found from the answer on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import open_engine

from dpr.serve.keys import Keys

CHANGE = "change-0123456789abcdef"


@pytest.fixture
def client(serve: Any, changing: Path, tiny_model: Path) -> TestClient:
    engine = open_engine(changing, tiny_model)
    # No look of its own comes in time: the change itself brings the version in.
    started: TestClient = serve(engine, Keys.of([], [CHANGE]), reload_seconds=3600.0)
    started.headers["authorization"] = f"Bearer {CHANGE}"
    return started


def found(client: TestClient, question: str, **more: Any) -> list[str]:
    asked = {"question": question, "mode": "bm25", **more}
    result = client.post("/v1/search", json=asked).json()["results"][0]
    return [hit["document"] for hit in result["hits"]]


def add(client: TestClient, *documents: dict[str, Any], **more: Any) -> Any:
    return client.post("/v1/documents", json={"documents": documents, **more})


def test_what_was_added_is_found_replaced_and_removed(client: TestClient) -> None:
    assert found(client, "snow") == []
    snow = {"id": "tales/snow white", "text": "Snow is white.", "metadata": {"year": 1812}}
    given = add(client, snow)
    assert given.status_code == 200
    assert given.json() == {"version": given.json()["version"], "added": 1, "removed": 0}
    assert found(client, "snow", where={"year": 1812}) == ["tales/snow white"]
    changed = add(client, {**snow, "text": "A queen asks."}).json()
    assert changed == {"version": changed["version"], "added": 1, "removed": 1}
    assert found(client, "snow") == []
    gone = client.delete("/v1/documents/tales/snow%20white")
    assert gone.json() == {"version": changed["version"] + 1, "added": 0, "removed": 1}
    assert "tales/snow white" not in found(client, "queen asks", k=100)
    assert client.get("/info").json()["index_version"] == gone.json()["version"]
    again = client.delete("/v1/documents/tales/snow%20white")
    assert (again.status_code, again.json()["code"]) == (404, "no_document")


def test_what_is_refused_changes_nothing_and_tells_no_path(
    client: TestClient, changing: Path
) -> None:
    before = client.get("/info").json()["index_version"]
    twice = [{"id": "a", "text": "One."}, {"id": "a", "text": "Two."}]
    given = add(client, *twice)
    assert given.status_code == 409
    assert str(changing) not in given.text
    for bad in (
        {"id": "", "text": "a"},
        {"id": "a", "text": " "},
        {"id": "a", "text": "b", "source": "/etc/passwd"},
        {"id": "a", "text": "b", "metadata": {"a": {"b": 1}}},
    ):
        assert add(client, bad).status_code == 422
    assert client.get("/info").json()["index_version"] == before
