"""``/v1/search`` and ``/v1/answer`` give what the pipeline gives, and refuse the rest."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from dpr.interchange.hits import hit_shape
from dpr.serve.engine import Engine
from dpr.serve.schemas import AnswerResponse, SearchResponse

QUESTIONS = ["who lives in castle 3", "what is the king of city 5", "where"]


def hits_of(result: dict[str, Any]) -> list[tuple[str, float | None]]:
    return [(hit["id"], hit["bm25_score"]) for hit in result["hits"]]


@pytest.mark.parametrize("mode", ["auto", "dense", "bm25", "hybrid"])
@pytest.mark.parametrize("more", [{}, {"where": {"year": {">=": 1993}}}, {"per_document": 1}])
def test_searches_are_those_of_the_pipeline(
    client: TestClient, engine: Engine, mode: Any, more: dict[str, Any]
) -> None:
    asked = {"question": QUESTIONS, "k": 4, "mode": mode, **more}
    given = client.post("/v1/search", json=asked)
    assert given.status_code == 200
    SearchResponse.model_validate(given.json())
    expected = engine.pipeline.search_many(QUESTIONS, 4, mode=mode, **more)
    for result, hits in zip(given.json()["results"], expected, strict=True):
        assert result["index_version"] == engine.version
        assert result["mode"] == ("hybrid" if mode == "auto" else mode)
        assert hits_of(result) == [(hit.passage.id, hit.bm25_score) for hit in hits]
        for one, hit in zip(result["hits"], hits, strict=True):
            shape = hit_shape(hit)
            for name in ("score", "dense_score"):  # of another batch: equal but for rounding
                expected_score, score = shape.pop(name), one.pop(name)
                assert score == (expected_score and pytest.approx(expected_score, rel=1e-4))
            assert one == shape


def test_answers_are_those_of_the_pipeline_and_lie_in_their_passages(
    client: TestClient, engine: Engine
) -> None:
    given = client.post("/v1/answer", json={"question": QUESTIONS, "k": 5})
    assert given.status_code == 200
    AnswerResponse.model_validate(given.json())
    expected = engine.pipeline.ask_many(QUESTIONS, 5)
    for result, asked in zip(given.json()["results"], expected, strict=True):
        texts = {hit["id"]: hit["text"] for hit in result["hits"]}
        assert [one["text"] for one in result["answers"]] == [one.text for one in asked.answers]
        assert result["answers"]
        for one, answer in zip(result["answers"], asked.answers, strict=True):
            assert texts[one["passage_id"]][one["start"] : one["end"]] == one["text"]
            assert one["score"] == pytest.approx(answer.score, rel=1e-3)
            assert one["relevance"] == pytest.approx(answer.relevance, rel=1e-3)
            assert one["retrieval_score"] == pytest.approx(answer.retrieval_score, rel=1e-3)


def test_one_question_is_as_a_list_of_one(client: TestClient) -> None:
    one, several = (
        client.post("/v1/search", json={"question": asked}).json()["results"]
        for asked in (QUESTIONS[0], [QUESTIONS[0], QUESTIONS[0]])
    )
    assert len(one) == 1
    assert several == one * 2


def test_a_question_that_was_cut_says_so(client: TestClient, engine: Engine) -> None:
    most = engine.pipeline.encoder.encoding.max_length
    for count, cut in ((most - 2, False), (most - 1, True)):
        given = client.post("/v1/search", json={"question": "who " * count, "k": 1})
        assert given.json()["results"][0]["truncated"] is cut


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "body.question"),
        ({"question": ""}, "body.question"),
        ({"question": " \n"}, "body.question"),
        ({"question": []}, "body.question"),
        ({"question": ["who"] * 65}, "body.question"),
        ({"question": "who" * 3000}, "body.question"),
        ({"question": "who", "k": 0}, "body.k"),
        ({"question": "who", "k": 1001}, "body.k"),
        ({"question": "who", "k": "5"}, "body.k"),
        ({"question": "who", "K": 5}, "body.K"),
        ({"question": "who", "mode": "sparse"}, "body.mode"),
        ({"question": "who", "per_document": 0}, "body.per_document"),
        ({"question": "who", "where": {"id": "d1"}}, "body.where"),
        ({"question": "who", "where": {"year": {"<": [1, 2]}}}, "body.where"),
        ({"question": "who", "where": {"year": None}}, "body.where"),
    ],
)
def test_what_the_schema_does_not_allow_is_named(
    client: TestClient, body: dict[str, Any], place: str
) -> None:
    given = client.post("/v1/search", json=body)
    assert given.status_code == 422
    assert given.headers["content-type"] == "application/problem+json"
    problem = given.json()
    assert problem["code"] == "schema"
    assert all(one["place"].startswith(place) for one in problem["errors"])
    assert problem["request_id"] == given.headers["x-request-id"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"question": "who"', b"[" * 100_000, b"9" * 5000]
)
def test_what_is_no_json_is_refused(client: TestClient, body: bytes) -> None:
    given = client.post("/v1/search", content=body, headers={"content-type": "application/json"})
    assert given.status_code == (400 if body else 422)
    assert given.json()["status"] == given.status_code


def test_other_paths_and_methods(client: TestClient) -> None:
    assert client.get("/v1/nothing").status_code == 404
    assert client.get("/v1/nothing").json()["code"] == "not_found"
    given = client.get("/v1/search")
    assert (given.status_code, given.headers["allow"]) == (405, "POST")


def test_without_a_reader_nothing_is_answered(serve: Any, made: Any, tiny_model: Any) -> None:
    from tests.serve.conftest import open_engine

    client = serve(open_engine(made, tiny_model, read=False))
    assert client.post("/v1/search", json={"question": "who"}).status_code == 200
    given = client.post("/v1/answer", json={"question": "who"})
    assert (given.status_code, given.json()["code"]) == (404, "no_reader")


HOSTILE: dict[str, dict[str, Any]] = {
    "fields": {str(n): {} for n in range(100_000)},
    "names of filters": {"question": "who", "where": {str(n): {} for n in range(100_000)}},
    "operators": {"question": "who", "where": {"year": {str(n): 1 for n in range(100_000)}}},
    "values": {"question": "who", "where": {"year": [{}] * 300_000}},
    "questions": {"question": [1] * 500_000},
    "conditions": {"question": "who", "filters": [1] * 500_000},
    "a long name": {"question": "who", "where": {"a" * 1_900_000: {"b": 1}}},
    "a long value": {"question": "who", "where": {"a": "b" * 1_900_000}},
    "a long field": {"question": "who", "a" * 1_900_000: 1},
    "a long pattern": {"question": "who", "where": {"a": {"~": "*a" * 20_000}}},
    "long together": {"question": "who", "where": {"a": ["b" * 500] * 50}},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_wrong_a_hundred_thousand_times_is_told_in_few_words(
    client: TestClient, what: str
) -> None:
    given = client.post("/v1/search", json=HOSTILE[what])
    assert given.status_code == 422
    assert 1 <= len(given.json()["errors"]) <= 20
    assert len(given.content) < 12_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"inputs": [{}] * 500_000}),
        ("/v1/rerank", {"query": "who", "documents": [{}] * 500_000}),
        ("/v1/embeddings", {"model": "tiny", "input": [1] * 500_000}),
        ("/rerank", {str(n): 1 for n in range(100_000)}),
    ],
)
def test_so_on_other_routes(client: TestClient, path: str, body: dict[str, Any]) -> None:
    given = client.post(path, json=body)
    assert given.status_code == 422
    assert len(given.content) < 12_000


def test_few_errors_are_found_however_many_there_are() -> None:
    """What takes the time is finding them, on the loop that all share."""
    from pydantic import ValidationError

    from dpr.serve.schemas import SearchRequest

    for what, body in HOSTILE.items():
        with pytest.raises(ValidationError) as caught:
            SearchRequest.model_validate(body)
        assert caught.value.error_count() <= 30, what
