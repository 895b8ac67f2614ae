"""Clients that others wrote, as they are, against the service on a socket: what they give is
compared with what the models give here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.client.conftest import served

import dpr
from dpr.serve.engine import Engine
from dpr.serve.keys import Keys

KEY, CHANGE = "ask-0123456789abcdef", "change-0123456789abcdef"
TEXTS = ["who lives in castle 3", "The king of city 5.", "Ü 😀 e\u0301"]


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    """Of a service that wants a key."""
    with served(engine, Keys.of([KEY], [CHANGE])) as one:
        yield one


def package(name: str) -> Any:
    """A client's package, or the test is skipped."""
    return pytest.importorskip(name, reason=f"needs the package {name}, of the extra [dev]")


class TestOpenAI:
    """The ``openai`` package."""

    @pytest.fixture
    def client(self, url: str) -> Iterator[Any]:
        openai = package("openai")
        with openai.OpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
            yield client

    @pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}])
    @pytest.mark.parametrize("tower", ["query", "passage"])
    def test_it_embeds(self, client: Any, engine: Engine, tower: str, encoding: Any) -> None:
        """By default it asks for base64."""
        encoder: Any = engine.pipeline.encoder if tower == "query" else engine.passages
        given = client.embeddings.create(
            input=TEXTS, model="tiny", extra_body={"input_type": tower}, **encoding
        )
        vectors = [one.embedding for one in given.data]
        assert np.allclose(vectors, encoder.encode(TEXTS), atol=1e-5)
        assert given.model == engine.model_id
        assert given.usage.prompt_tokens == sum(map(len, encoder.tokens(TEXTS).ids))
        one = client.embeddings.create(input=TEXTS[0], model=engine.model_id)
        assert len(one.data) == 1

    def test_it_lists_models(self, client: Any, engine: Engine) -> None:
        assert [one.id for one in client.models.list()] == [engine.model_id]

    def test_it_knows_the_errors_for_what_they_are(self, client: Any) -> None:
        openai = package("openai")
        with pytest.raises(openai.NotFoundError, match="one model") as caught:
            client.embeddings.create(input="a", model="text-embedding-3-small")
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.UnprocessableEntityError, match=r"body\.input"):
            client.embeddings.create(input=[[1, 2]], model="tiny")
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="nobody-0123456789").models.list()

    def test_it_embeds_asynchronously(self, url: str, engine: Engine) -> None:
        openai = package("openai")

        async def embedding() -> Any:
            async with openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY) as client:
                return await client.embeddings.create(input=TEXTS, model="tiny")

        given = asyncio.run(embedding())
        expected = engine.pipeline.encoder.encode(TEXTS)
        assert np.allclose([one.embedding for one in given.data], expected, atol=1e-5)


class TestHuggingFace:
    """``InferenceClient`` of ``huggingface_hub``, which speaks to TEI at an address."""

    @pytest.fixture
    def client(self, url: str) -> Any:
        return package("huggingface_hub").InferenceClient(token=KEY, provider="hf-inference")

    def test_it_extracts_features(self, client: Any, url: str, engine: Engine) -> None:
        """At the server's address alone, too, which is how it is told of an endpoint."""
        expected = engine.pipeline.encoder.encode(TEXTS)
        endpoint = package("huggingface_hub").InferenceClient(url, token=KEY)
        for given in (
            client.feature_extraction(TEXTS, model=url + "/embed"),
            endpoint.feature_extraction(TEXTS),
        ):
            assert given.dtype == np.float32
            assert np.allclose(given, expected, atol=1e-5)
        assert engine.passages is not None
        unit = client.feature_extraction(
            TEXTS[1], model=url + "/embed", normalize=True, prompt_name="passage", truncate=True
        )
        expected = engine.passages.encode([TEXTS[1]])
        assert np.allclose(unit, expected / np.linalg.norm(expected), atol=1e-5)

    def test_it_asks_how_the_endpoint_is(self, client: Any, url: str, engine: Engine) -> None:
        assert client.get_endpoint_info(model=url)["model_id"] == engine.model_id
        assert client.health_check(model=url) is True

    def test_errors_come_as_its_own(self, url: str) -> None:
        hub = package("huggingface_hub")
        client = hub.InferenceClient(token="nobody-0123456789", provider="hf-inference")
        with pytest.raises(hub.errors.HfHubHTTPError, match="401"):
            client.feature_extraction("a", model=url + "/embed")


class TestLangChain:
    """``langchain-core``: a retriever over our client, and a chain of it."""

    @pytest.fixture
    def retriever(self, url: str) -> Iterator[Any]:
        package("langchain_core")
        from langchain_core.documents import Document
        from langchain_core.retrievers import BaseRetriever

        class Retriever(BaseRetriever):
            client: Any
            k: int = 5

            def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
                found = self.client.search(query, self.k)
                return [
                    Document(
                        hit.passage.text,
                        id=hit.passage.id,
                        metadata={
                            **hit.passage.metadata,
                            "source": hit.passage.source,
                            "start": hit.passage.start,
                            "end": hit.passage.end,
                            "version": found.version,
                        },
                    )
                    for hit in found.hits
                ]

        with dpr.Client(url, key=KEY) as client:
            yield Retriever(client=client)

    def test_a_retriever_over_our_client_retrieves(self, retriever: Any, engine: Engine) -> None:
        expected = engine.pipeline.search(TEXTS[0], 5)
        given = retriever.invoke(TEXTS[0])
        assert [one.id for one in given] == [hit.passage.id for hit in expected]
        assert [one.page_content for one in given] == [hit.passage.text for hit in expected]
        assert given[0].metadata["version"] == engine.version

    def test_a_chain_retrieves(self, retriever: Any, engine: Engine) -> None:
        from langchain_core.prompts import ChatPromptTemplate
        from langchain_core.runnables import RunnablePassthrough

        prompt = ChatPromptTemplate.from_template("{context}\n\n{question}")
        joined = retriever | (lambda many: "\n".join(one.page_content for one in many))
        chain = {"context": joined, "question": RunnablePassthrough()} | prompt
        [message] = chain.invoke(TEXTS[0]).to_messages()
        expected = [hit.passage.text for hit in engine.pipeline.search(TEXTS[0], 5)]
        assert message.content == "\n".join(expected) + "\n\n" + TEXTS[0]

    def test_a_store_over_our_vectors_finds_what_we_find(self, url: str, engine: Engine) -> None:
        """LangChain's own store, filled by the passages' tower and asked by the questions'."""
        package("langchain_core")
        from langchain_core.documents import Document
        from langchain_core.embeddings import Embeddings
        from langchain_core.vectorstores import InMemoryVectorStore

        with dpr.Client(url, key=KEY) as client:

            class Ours(Embeddings):
                def embed_documents(self, texts: list[str]) -> list[list[float]]:
                    return client.embed(texts, "passage")

                def embed_query(self, text: str) -> list[float]:
                    return client.embed([text])[0]

            store = InMemoryVectorStore(Ours())
            texts = sorted({one.text for one in engine.pipeline.collection})
            store.add_documents([Document(one) for one in texts])
            given = store.similarity_search(TEXTS[0], k=5)
        assert engine.passages is not None
        passages = engine.passages.encode(texts)
        [query] = engine.pipeline.encoder.encode([TEXTS[0]])
        cosines = passages @ query / np.linalg.norm(passages, axis=1) / np.linalg.norm(query)
        found = cosines[[texts.index(one.page_content) for one in given]]
        assert np.allclose(found, np.sort(cosines)[::-1][:5], atol=1e-6)
