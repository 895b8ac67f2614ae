"""The API to read: all of OpenAPI is there, it loads nothing, and its lines can be run."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import started
from tests.serve.shown import Element, parsed
from tests.serve.test_guard import ASK, KEYS, bearer

from dpr.serve.description import operations
from dpr.serve.engine import Engine
from dpr.serve.page import HEADERS
from dpr.serve.reference import kind


@pytest.fixture(scope="module")
def page(client: TestClient) -> Element:
    return parsed(client.get("/docs").text)


def test_it_has_all_that_openapi_has(client: TestClient, page: Element) -> None:
    document = client.get("/openapi.json").json()
    for method, path, operation in operations(document):
        if path.startswith("/static/"):
            continue
        section = page.one("section", aria_labelledby=operation["operationId"])
        assert section.one("h2").text == f"{method.upper()} {path}"
        assert operation["description"] in section.text
        for status in operation["responses"]:
            assert status in section.text
        for one in operation.get("parameters", ()):
            assert one["name"] in section.text
    shapes = page.one("section", aria_labelledby="shapes")
    captions = {one.one("caption").text: one for one in shapes.all("table")}
    for name, shape in document["components"]["schemas"].items():
        assert shapes.one("h3", id=f"shape-{name}")
        for field, about in shape["properties"].items():
            rows = captions[f"Fields of {name}"].all("tr")
            [row] = [one for one in rows if one.all("code") and one.all("code")[0].text == field]
            assert ("needed" in row.all("th")[0].text) == (field in shape.get("required", ()))
            assert about.get("description", "") in row.text


def test_it_is_made_once_for_each_name_of_the_server(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    names = ("one.example", "two.example:8000")
    first = [client.get("/docs", headers={"host": name}).text for name in names]
    for text, name in zip(first, names, strict=True):
        assert f"curl http://{name}/v1/search" in text
    monkeypatch.setattr("dpr.serve.routes.reference.html", lambda *_, **__: "made anew")
    assert [client.get("/docs", headers={"host": name}).text for name in names] == first
    assert client.get("/docs", headers={"host": "three.example"}).text == "made anew"


def test_links_lead_somewhere_and_nothing_is_loaded(client: TestClient, page: Element) -> None:
    given = client.get("/docs")
    for name, value in HEADERS.items():
        assert given.headers[name] == value
    assert len(given.content) < 60_000
    assert not page.all("script") and not page.all("style") and not page.all("img")
    ids = [one.attributes["id"] for one in page.all() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for one in page.all("a"):
        target = str(one.attributes["href"])
        assert target[1:] in ids if target.startswith("#") else client.get(target).is_success
    for one in page.all("link"):
        assert client.get(str(one.attributes["href"])).is_success


def asked(client: TestClient, line: str) -> Any:
    """What a line for curl asks."""
    words = shlex.split(line)
    options = list(pairwise(words))
    [address] = [one for one in words if one.startswith("http")]
    body = next((value for name, value in options if name == "-d"), None)
    method = next((value for name, value in options if name == "-X"), "POST" if body else "GET")
    headers = dict(value.split(": ") for name, value in options if name == "-H")
    content = {} if body is None else {"content": body}
    return client.request(method, address, headers=headers, follow_redirects=False, **content)


def test_lines_for_curl_can_be_run(client: TestClient, page: Element) -> None:
    statuses: dict[str, int] = {}
    for section in page.all("section", class_="operation"):
        line = section.one("pre").text
        assert line.startswith("curl ")
        statuses[section.one("h2").text] = asked(client, line).status_code
    # Documents are not changed without keys, and there is no passage PASSAGE.
    assert {name: one for name, one in statuses.items() if one not in (200, 303)} == {
        "POST /v1/documents": 403,
        "DELETE /v1/documents/{document}": 403,
        "GET /document": 404,
    }


def test_with_keys_it_is_guarded_and_says_which_key(engine: Engine) -> None:
    with started(engine, KEYS) as client:
        assert client.get("/docs").status_code == 401
        page = parsed(client.get("/docs", headers=bearer(ASK)).text)
    for operation, key in (("search", "signed in"), ("add", "for changes"), ("live", "No key")):
        section = page.one("section", aria_labelledby=operation)
        assert key in section.all("p")[0].text
        assert ("Bearer KEY" in section.one("pre").text) == (operation != "live")


def test_no_script_of_a_host_is_run(client: TestClient) -> None:
    text = client.get("/docs", headers={"host": "<script>alert(1)</script>"}).text
    assert "<script" not in text


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string", "minLength": 1, "maxLength": 8}, "string (1 to 8 characters)"),
        ({"type": "integer", "minimum": 1, "default": 10}, "integer (at least 1); without it 10"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Hit"}}, "list of Hit"),
        (
            {"anyOf": [{"type": "number", "maximum": 1}, {"type": "null"}]},
            "number (at most 1) or null",
        ),
        ({"enum": ["a", "b"]}, '"a", "b"'),
        (
            {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 3},
            "object (at most 3) from names to string",
        ),
        ({}, "anything"),
    ],
)
def test_kinds_in_words(schema: dict[str, Any], said: str) -> None:
    assert "".join(one.text for one in kind(json.loads(json.dumps(schema)))) == said
