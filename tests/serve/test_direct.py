"""The short way gives what the route gives, and takes nothing that the route does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from dpr.serve import direct

JSON = "application/json"
QUESTION = {"question": "who lives in castle 3"}
VALID = [
    QUESTION,
    {"question": ["who", "where is castle 1"], "k": 3, "mode": "bm25"},
    {"question": "who", "k": 2.0, "where": {"year": {">=": 1993}}, "per_document": 1},
    {"question": "who", "filters": ["year>=1993"], "mode": "hybrid"},
]
INVALID: list[tuple[Any, str]] = [
    ({}, JSON),
    ({"question": "who", "k": 0}, JSON),
    ({"question": "who", "k": True}, JSON),
    ({"question": "who", "more": 1}, JSON),
    ({"question": "who", "mode": "words"}, JSON),
    ({"question": "who", "k": 1001}, JSON),
    ({"question": ["who"] * 64, "k": 1000}, JSON),
    ([QUESTION], JSON),
    (None, JSON),
    (b"", JSON),
    (b"{", JSON),
    (b'{"question": "\xff"}', JSON),
    (b'{"question": "who", "k": NaN}', JSON),
    (b"[" * 100_000, JSON),
    (QUESTION, "text/plain"),
    (QUESTION, ""),
]


def told(client: TestClient, path: str, body: Any, kind: str = JSON) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = client.post(path, content=content, headers={"content-type": kind} if kind else {})
    headers = {k: v for k, v in given.headers.items() if k not in ("x-request-id", "date")}
    shown = given.json()
    if isinstance(shown, dict):
        shown.pop("request_id", None)
    return given.status_code, headers, shown


@pytest.mark.parametrize("path", ["/v1/search", "/v1/answer"])
def test_both_ways_give_the_same(
    client: TestClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    went = []
    read = direct.read

    def noting(*given: Any) -> Any:
        went.append(found := read(*given))
        return found

    monkeypatch.setattr(direct, "read", noting)
    cases = [(body, JSON) for body in VALID] + INVALID
    short = [told(client, path, *case) for case in cases]
    assert [one is not None for one in went[: len(VALID)]] == [True] * len(VALID)
    assert [one[0] for one in short[: len(VALID)]] == [200] * len(VALID)
    monkeypatch.setattr(direct, "read", lambda *_: None)
    assert short == [told(client, path, *case) for case in cases]


def test_other_methods_and_kinds_of_json_go_the_long_way(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("read")

    monkeypatch.setattr(direct, "read", never)
    assert client.get("/v1/search").status_code == 405
    assert told(client, "/v1/search", QUESTION, "application/json; charset=utf-8")[0] == 200


def test_the_metrics_know_the_route(client: TestClient) -> None:
    count = 'http_server_request_duration_seconds_count{method="POST",route="/v1/search"'

    def counted() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(one.split()[-1]) for one in lines if one.startswith(count))

    before = counted()
    assert told(client, "/v1/search", QUESTION)[0] == 200
    assert counted() == before + 1
