"""The shapes that other clients know, their figures compared with the encoders' and reader's."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from dpr.serve.engine import Engine
from dpr.serve.routes.openai import EmbeddingsResponse
from dpr.serve.schemas import MOST_INPUTS

TEXTS = ["who lives in castle 3", "The king of city 5.", "a " * 600]


def embed(client: TestClient, **more: Any) -> Any:
    return client.post("/v1/embeddings", json={"input": TEXTS, "model": "tiny", **more})


@pytest.mark.parametrize("tower", ["query", "passage"])
def test_embeddings_are_those_of_the_tower_in_either_format(
    client: TestClient, engine: Engine, tower: str
) -> None:
    encoder: Any = engine.pipeline.encoder if tower == "query" else engine.passages
    expected, tokens = encoder.encode(TEXTS), encoder.tokens(TEXTS)
    given = embed(client, input_type=tower).json()
    EmbeddingsResponse.model_validate(given)
    assert np.allclose([one["embedding"] for one in given["data"]], expected, atol=1e-5)
    assert [one["index"] for one in given["data"]] == [0, 1, 2]
    assert [one["truncated"] for one in given["data"]] == [False, False, True]
    count = sum(map(len, tokens.ids))
    assert given["usage"] == {"prompt_tokens": count, "total_tokens": count}
    packed = embed(client, input_type=tower, encoding_format="base64").json()
    vectors = [np.frombuffer(b64decode(one["embedding"]), "<f4") for one in packed["data"]]
    assert np.allclose(vectors, expected, atol=1e-5)


def test_one_text_is_as_a_list_of_one_and_unknown_fields_are_harmless(client: TestClient) -> None:
    one = embed(client, input=TEXTS[0], user="somebody").json()
    assert one["data"] == embed(client, input=[TEXTS[0]]).json()["data"]


def test_models_are_named_and_others_are_refused(client: TestClient, engine: Engine) -> None:
    [model] = client.get("/v1/models").json()["data"]
    assert model["id"] == engine.model_id
    assert embed(client, model=engine.model_id).json()["model"] == engine.model_id
    given = embed(client, model="text-embedding-ada-002")
    assert given.status_code == 404
    assert given.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("more", "status", "param"),
    [
        ({"input": [1, 2, 3]}, 422, "body.input"),
        ({"input": []}, 422, "body.input"),
        ({"input": ""}, 422, "body.input"),
        ({"encoding_format": "int8"}, 422, "body.encoding_format"),
        ({"dimensions": 7}, 400, None),
    ],
)
def test_errors_have_the_shape_that_openai_clients_know(
    client: TestClient, more: dict[str, Any], status: int, param: str | None
) -> None:
    given = embed(client, **more)
    assert given.status_code == status
    error = given.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "").startswith(param or "")


def test_as_many_texts_as_the_schema_lets_in_find_room(client: TestClient) -> None:
    most = client.get("/info").json()["max_client_batch_size"]
    assert most == MOST_INPUTS >= 1000  # LangChain's OpenAIEmbeddings sends so many
    texts = [f"text {n}" for n in range(most)]
    assert len(client.post("/embed", json={"inputs": texts}).json()) == most
    assert len(embed(client, input=texts).json()["data"]) == most
    assert client.post("/embed", json={"inputs": [*texts, "one more"]}).status_code == 422


def test_tei_embeds(client: TestClient, engine: Engine) -> None:
    expected = engine.pipeline.encoder.encode(TEXTS)
    plain = client.post("/embed", json={"inputs": TEXTS}).json()
    assert np.allclose(plain, expected, atol=1e-5)
    unit = client.post("/embed", json={"inputs": TEXTS, "normalize": True}).json()
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(unit, expected / lengths, atol=1e-5)
    one = client.post("/embed", json={"inputs": TEXTS[1], "prompt_name": "passage"}).json()
    assert engine.passages is not None
    assert np.allclose(one, engine.passages.encode([TEXTS[1]]), atol=1e-5)
    refused = client.post("/embed", json={"inputs": TEXTS, "truncate": False})
    assert refused.status_code == 413
    assert set(refused.json()) == {"error", "error_type"}


def test_reranking_is_by_the_readers_relevance(client: TestClient, engine: Engine) -> None:
    question, texts = "who lives in castle 3", [*TEXTS[1:], "castle", "The king lives."]
    reader = engine.opened.reader
    assert reader is not None
    logits = [-np.inf] * len(texts)
    for reading in reader.read([question] * len(texts), [""] * len(texts), texts):
        logits[reading.item] = max(logits[reading.item], reading.relevance)
    order = np.argsort(logits)[::-1].tolist()
    raw = client.post(
        "/rerank", json={"query": question, "texts": texts, "raw_scores": True, "return_text": True}
    ).json()
    assert [one["index"] for one in raw] == order
    assert [one["text"] for one in raw] == [texts[n] for n in order]
    assert np.allclose([one["score"] for one in raw], np.sort(logits)[::-1], atol=1e-4)
    shares = client.post("/rerank", json={"query": question, "texts": texts}).json()
    expected = 1 / (1 + np.exp(-np.sort(logits)[::-1]))
    assert np.allclose([one["score"] for one in shares], expected, atol=1e-4)
    assert "text" not in shares[0]
    cohere = client.post(
        "/v1/rerank",
        json={"model": "any", "query": question, "documents": texts, "top_n": 2},
    ).json()
    assert [one["index"] for one in cohere["results"]] == order[:2]
    assert np.allclose([one["relevance_score"] for one in cohere["results"]], expected[:2])
    shown = client.post(
        "/v1/rerank",
        json={"query": question, "documents": [{"text": "castle"}], "return_documents": True},
    ).json()
    assert shown["results"][0]["document"] == {"text": "castle"}


def test_info_says_what_is_served(client: TestClient, engine: Engine) -> None:
    info = client.get("/info").json()
    assert info["model_id"] == engine.model_id
    assert engine.model_id.startswith("tiny@")
    assert info["model_sha"] == engine.pipeline.encoder.fingerprint
    assert info["max_input_length"] == engine.pipeline.encoder.encoding.max_length
    assert (info["dim"], info["passages"]) == (32, len(engine.pipeline.collection))
    assert client.get("/health").content == b""
