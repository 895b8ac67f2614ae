"""Documents come and go through the service, and are found from the answer on."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import open_engine

from dpr.collection import Collection, storage
from dpr.errors import (
    CheckpointError,
    CollectionError,
    CorruptionError,
    InputError,
    MismatchError,
)
from dpr.pipeline import remove
from dpr.pipeline.models import model_names
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
    assert "'tales/snow white'" in again.json()["detail"]


def test_what_is_refused_changes_nothing_and_tells_no_path(
    client: TestClient, changing: Path
) -> None:
    before = client.get("/info").json()["index_version"]
    twice = [{"id": "a", "text": "One."}, {"id": "a", "text": "Two."}]
    given = add(client, *twice)
    assert given.status_code == 409
    assert "The id 'a' is taken: it comes twice here" in given.json()["detail"]
    assert str(changing) not in given.text
    for bad in (
        {"id": "", "text": "a"},
        {"id": ".", "text": "a"},  # which no URL can name
        {"id": "..", "text": "a"},
        {"id": "a ", "text": "a"},
        {"id": "a", "text": " "},
        {"id": "a", "text": "\x1c"},  # white space to Python, and so to what cuts texts
        {"id": "a", "text": "b", "source": "/etc/passwd"},
        {"id": "a", "text": "b", "metadata": {"a": {"b": 1}}},
        {"id": "a", "text": "b", "metadata": {"\x85": 1}},
        {"id": "a", "text": "b", "metadata": {"a\0": 1}},
        {"id": "a", "text": "b", "metadata": {"a": ["\0"]}},
    ):
        assert add(client, bad).status_code == 422
    assert client.get("/info").json()["index_version"] == before


def test_an_id_that_a_passage_of_another_document_gets_is_told_of(client: TestClient) -> None:
    given = add(client, {"id": "a", "text": "Snow is white. " * 9}, {"id": "a#1", "text": "Ice."})
    assert (given.status_code, given.json()["code"]) == (409, "document_taken")
    assert "'a#1'" in given.json()["detail"]


def test_the_last_document_stays(client: TestClient, changing: Path) -> None:
    assert add(client, {"id": "last", "text": "Snow."}).status_code == 200
    with Collection.open(str(changing)) as collection:
        others = {one.id for one in collection.documents()} - {"last"}
    remove(changing, others)
    given = client.delete("/v1/documents/last")
    assert (given.status_code, given.json()["code"]) == (409, "last_document")
    assert found(client, "snow") == ["last"]


def test_whatever_the_schema_lets_in_can_be_kept(client: TestClient) -> None:
    odd = {
        "id": "a\0b",
        "text": "Snow\0 \u2028 \U0001f600 \ufffe",
        "title": "\0\n",
        "metadata": {" a\n": "", "id": 1, "metadata": [10**30, -1.5, True, "\u2028"], "b": None},
    }
    given = add(client, odd, {"id": "\x7f", "text": "\ufeff"})
    assert given.status_code == 200, given.text
    assert found(client, "snow") == ["a\0b"]


@pytest.mark.parametrize("name", ["a", "ab", "a.", ".a", "...", "a b", "../..", "a/.."])
def test_documents_of_any_other_name_are_removed(client: TestClient, name: str) -> None:
    assert add(client, {"id": name, "text": "Snow."}).status_code == 200
    given = client.delete("/v1/documents/" + quote(name, safe=""))
    assert given.json()["removed"] == 1


def test_documents_are_encoded_by_the_model_that_is_loaded_and_take_turns(
    client: TestClient, changing: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: Any) -> None:
        raise AssertionError("loaded anew")

    from dpr.encoding import ContextEncoder

    monkeypatch.setattr(ContextEncoder, "from_pretrained", loaded)
    texts = [f"Snow {n} lies on castle {n}. " * 9 for n in range(20)]
    given = add(client, *({"id": f"s{n}", "text": text} for n, text in enumerate(texts)))
    assert given.status_code == 200
    assert given.json()["added"] > 20
    monkeypatch.undo()
    metrics = client.get("/metrics").text
    assert float(re.findall(r"dpr_round_items_sum (\S+)", metrics)[0]) > 8
    assert client.app.state.service.door.items == 0  # type: ignore[attr-defined]
    # What is kept is what the encoder alone makes.
    with Collection.open(str(changing)) as collection:
        encoder = ContextEncoder.from_pretrained(model_names(str(tiny_model)).context)
        rows = list(range(collection.starts[-2], collection.starts[-1]))
        expected = encoder.encode(collection.passages(rows))
        assert np.allclose(collection.vectors[-1], expected, atol=1e-2)


def test_a_change_that_is_not_asked_yet_is_not_said_to_be(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpr.serve.following.warm", lambda *_: 1 / 0)
    given = add(client, {"id": "a", "text": "Snow."})
    assert (given.status_code, given.json()["code"]) == (503, "not_asked_yet")
    assert "version 1 is asked still" in given.json()["detail"]
    monkeypatch.undo()
    assert client.delete("/v1/documents/a").status_code == 200
    assert client.get("/info").json()["index_version"] == 3


def test_other_processes_are_waited_for_as_long_as_opening_takes_here(
    serve: Any, changing: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(open_engine(changing, tiny_model), Keys.of([], [CHANGE]))
    client.headers["authorization"] = f"Bearer {CHANGE}"
    service = client.app.state.service
    versions = [1, 1]
    service.share(versions, 0)
    monkeypatch.setattr("dpr.serve.changing._OTHERS_SECONDS", 0.0)

    def slowly(*_: Any) -> None:
        time.sleep(0.5)
        threading.Timer(0.6, versions.__setitem__, (1, 2)).start()

    monkeypatch.setattr("dpr.serve.following.warm", slowly)
    given = add(client, {"id": "a", "text": "Snow."})
    assert given.status_code == 200, given.text
    assert versions == [2, 2]


@pytest.mark.parametrize(
    ("error", "status", "code", "again"),
    [
        (InputError("/secret: taken"), 409, "document_taken", False),
        (CollectionError("/secret: another process is writing here"), 409, "changing", True),
        (CorruptionError("/secret: was altered"), 503, "collection", True),
        (MismatchError("/secret: another model"), 503, "collection", True),
        (CheckpointError("/secret: no model"), 503, "collection", True),
    ],
)
def test_why_a_change_is_not_made_is_told_apart(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
    again: bool,
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("dpr.serve.changing.add", failing)
    given = add(client, {"id": "a", "text": "Snow."})
    assert (given.status_code, given.json()["code"]) == (status, code)
    assert ("retry-after" in given.headers) is again
    assert "secret" not in given.text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written_is_no_other_writer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As the collection meets it, and tells it."""

    def fail(step: storage.Step, path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(storage, "before", fail)
    for given in (add(client, {"id": "a", "text": "Snow."}), client.delete("/v1/documents/d1")):
        assert (given.status_code, given.json()["code"]) == (503, "storage")
        assert "tales" not in given.text
    monkeypatch.undo()
    assert add(client, {"id": "a", "text": "Snow."}).status_code == 200


def test_another_writer_is_waited_for(client: TestClient, changing: Path) -> None:
    with storage.writer_lock(changing):
        given = add(client, {"id": "a", "text": "Snow."})
    assert (given.status_code, given.json()["code"]) == (409, "changing")
    assert given.headers["retry-after"] == "5"


def test_where_no_encoder_of_passages_is_known_nothing_is_added(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.app.state.service.engine, "passages", None)  # type: ignore[attr-defined]
    given = add(client, {"id": "a", "text": "Snow."})
    assert (given.status_code, given.json()["code"]) == (409, "no_passage_encoder")
    assert "retry-after" not in given.headers
