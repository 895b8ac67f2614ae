"""What is said of requests that are not as the schema says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import open_engine

from dpr.serve import wrong
from dpr.serve.description import operations
from dpr.serve.keys import Keys

KEY = "change-0123456789abcdef"


@pytest.fixture
def client(serve: Any, changing: Any, tiny_model: Any) -> TestClient:
    made: TestClient = serve(open_engine(changing, tiny_model), Keys.of([], [KEY]))
    made.headers["authorization"] = f"Bearer {KEY}"
    return made


SEARCH, DOCUMENTS = "/v1/search", "/v1/documents"


@pytest.mark.parametrize(
    ("path", "body", "place", "message"),
    [
        (SEARCH, {}, "body.question", "is missing"),
        (SEARCH, {"question": 1}, "body.question", "has to be a text or a list"),
        (SEARCH, {"question": " "}, "body.question", "has nothing but white space"),
        (SEARCH, {"question": ["a", " "]}, "body.question.1", "has nothing but white space"),
        (SEARCH, {"question": ["a", 1]}, "body.question.1", "has to be a text"),
        (SEARCH, {"question": []}, "body.question", "has to have at least 1, and has 0"),
        (SEARCH, {"question": "a", "top": 1}, "body.top", "is no field of this request"),
        (SEARCH, {"question": "a", "k": 1001}, "body.k", "may be at most 1000"),
        (SEARCH, {"question": "a", "k": "b"}, "body.k", "has to be a whole number"),
        (
            SEARCH,
            {"question": "a", "mode": "words"},
            "body.mode",
            "is not known; allowed: 'auto', 'dense', 'bm25' or 'hybrid'",
        ),
        (
            SEARCH,
            {"question": "a", "where": {"year": {">": [1, 2]}}},
            "body.where",
            "the filter year> has 2 values; give one",
        ),
        (DOCUMENTS, {"documents": [{"id": "a"}]}, "body.documents.0.text", "is missing"),
        (
            DOCUMENTS,
            {"documents": [{"id": "..", "text": "a"}]},
            "body.documents.0.id",
            "has to be without white space around it, and neither . nor .., which no URL can name",
        ),
        (
            DOCUMENTS,
            {"documents": [{"id": "a", "text": "b", "metadata": {"c": {"d": 1}}}]},
            "body.documents.0.metadata.c",
            "has to be a text, true or false, a number or a list",
        ),
    ],
)
def test_places_and_words_are_those_of_the_request(
    client: TestClient, path: str, body: Any, place: str, message: str
) -> None:
    given = client.post(path, json=body)
    assert given.status_code == 422
    assert [(one["place"], one["message"]) for one in given.json()["errors"]] == [(place, message)]


def test_every_spelling_of_the_schema_has_words(client: TestClient) -> None:
    """But those of filters, which their own reader explains."""
    schema = client.get("/openapi.json").json()
    for name in ("SearchRequest", "AnswerRequest"):
        for field in ("where", "filters"):
            del schema["components"]["schemas"][name]["properties"][field]
    bodies = [one for _, _, one in operations(schema)] and schema["components"]["schemas"]
    found: set[str] = set()

    def look(node: Any) -> None:
        if isinstance(node, dict):
            found.update(one for key, one in node.items() if key == "pattern")
            for one in node.values():
                look(one)
        elif isinstance(node, list):
            for one in node:
                look(one)

    look(json.loads(json.dumps(bodies)))
    assert {one for one in found if isinstance(one, str)} == set(wrong._SPELLED)
