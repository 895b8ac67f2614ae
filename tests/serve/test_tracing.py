"""Spans tell where a request's time went, in the trace it came with, and not what it asked."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from starlette.testclient import TestClient
from tests.serve.conftest import started
from tests.serve.test_guard import KEYS
from tests.serve.test_service import Gated, until

from dpr.errors import SettingsError
from dpr.serve.engine import Engine
from dpr.serve.tracing import Traces

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    exporter.shutdown()


def traces(exporter: InMemorySpanExporter) -> Traces:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Traces(provider)


@pytest.fixture
def client(engine: Engine, spans: InMemorySpanExporter) -> Iterator[TestClient]:
    with started(engine, traces=traces(spans), cache_bytes=0) as one:
        spans.clear()
        yield one


def told(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    """The finished spans, the request's first, and none again."""
    found = sorted(spans.get_finished_spans(), key=lambda one: (one.start_time or 0, one.name))
    spans.clear()
    return found


@pytest.mark.parametrize(
    ("path", "body", "steps"),
    [
        ("/v1/search", {"question": "who"}, ["waiting", "encoding", "searching"]),
        ("/v1/answer", {"question": "who"}, ["waiting", "encoding", "searching", "reading"]),
        ("/v1/embeddings", {"input": "who", "model": "tiny"}, ["waiting", "encoding"]),
        ("/rerank", {"query": "who", "texts": ["a", "b"]}, ["waiting", "reading"]),
    ],
)
def test_a_request_is_a_span_and_so_is_each_step(
    client: TestClient, spans: InMemorySpanExporter, path: str, body: Any, steps: list[str]
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "abc"}
    assert client.post(path, json=body, headers=headers).status_code == 200
    request, *inner = told(spans)
    assert request.name == f"POST {path}" and request.kind is SpanKind.SERVER
    assert request.parent is not None and f"{request.parent.span_id:016x}" == SPAN
    assert request.attributes is not None
    assert request.attributes["http.route"] == path
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["dpr.request_id"] == "abc"
    assert [one.name for one in inner] == steps
    end = 0
    for one in inner:
        assert one.context is not None and f"{one.context.trace_id:032x}" == TRACE
        assert one.parent is not None and one.parent == request.context
        assert one.start_time is not None and one.end_time is not None
        assert end <= one.start_time <= one.end_time
        end = one.end_time
    assert request.start_time is not None and request.end_time is not None
    assert request.start_time <= (inner[0].start_time or 0) and end <= request.end_time


def test_requests_of_one_round_have_spans_of_their_own(
    engine: Engine, spans: InMemorySpanExporter
) -> None:
    gated, made = Gated(engine), traces(spans)
    with started(gated, traces=made, cache_bytes=0) as client:
        spans.clear()
        gated.rounds.clear()
        gated.gate.clear()

        def ask(*questions: str) -> threading.Thread:
            body = {"json": {"question": list(questions)}}
            thread = threading.Thread(target=client.post, args=("/v1/search",), kwargs=body)
            thread.start()
            return thread

        door = client.app.state.service.door  # type: ignore[attr-defined]
        threads = [ask("first")]
        until(lambda: len(gated.rounds) == 1)  # of the first alone
        threads += [ask("same", "other"), ask("same")]
        until(lambda: door.items == 4)
        gated.gate.set()
        for thread in threads:
            thread.join()
        found = told(spans)
        requests = [one for one in found if one.kind is SpanKind.SERVER]
        assert len(requests) == 3
        counts = []
        for request in requests:
            own = [one for one in found if one.parent == request.context]
            assert [one.name for one in own] == ["waiting", "encoding", "searching"]
            facts = own[-1].attributes or {}
            counts.append((facts["dpr.tasks"], facts["dpr.round.tasks"]))
        assert sorted(counts) == [(1, 1), (1, 3), (2, 3)]
        until(lambda: not made._waiting)


def test_a_provider_of_the_process_is_told_nothing(
    engine: Engine, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI would tell it of requests, with their query, which is a question."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    with started(engine) as client:
        assert client.get("/", params={"q": "something secret"}).status_code == 200
        assert client.post("/v1/search", json={"question": "who"}).status_code == 200
    assert told(spans) == []


def test_refusals_are_told_by_their_code(engine: Engine, spans: InMemorySpanExporter) -> None:
    with started(engine, KEYS, traces=traces(spans)) as client:
        spans.clear()
        client.post("/v1/search?q=secretive", json={"question": "secretive"})
        client.app.state.service.stage = "draining"  # type: ignore[attr-defined]
        client.get("/ready")
        refused, ending = told(spans)
    assert refused.attributes is not None and refused.attributes["error.type"] == "key"
    assert refused.status.is_unset  # as the conventions have it: the client's error
    assert ending.attributes is not None and ending.attributes["error.type"] == "draining"
    assert not ending.status.is_ok and not ending.status.is_unset


def test_no_span_holds_what_was_asked(client: TestClient, spans: InMemorySpanExporter) -> None:
    client.get("/?q=secretive&where=year>secretive")
    client.post(
        "/v1/answer", json={"question": "secretive"}, headers={"authorization": "secretive"}
    )
    client.post("/rerank", json={"query": "secretive", "texts": ["secretive"]})
    client.delete("/v1/documents/secretive")
    client.get("/secretive")
    found = told(spans)
    assert len(found) > 8
    assert not [one for one in found if "secretive" in one.to_json()]


def test_what_is_not_recorded_costs_no_spans(
    client: TestClient, spans: InMemorySpanExporter
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-00"}  # whoever sent it did not sample it
    assert client.post("/v1/search", json={"question": "who"}, headers=headers).status_code == 200
    assert not told(spans)


def test_the_environment_says_where_traces_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for name, value in (("dpr", ""), ("mine", "mine")):
        if value:
            monkeypatch.setenv("OTEL_SERVICE_NAME", value)
        made = Traces.from_environment({})
        assert made._provider.resource.attributes["service.name"] == name
        made._provider.shutdown()
    with pytest.raises(SettingsError, match=r"OTEL_TRACES_EXPORTER=paper.*console"):
        Traces.from_environment({"OTEL_TRACES_EXPORTER": "paper"})


def test_without_traces_nothing_of_opentelemetry_is_loaded() -> None:
    code = "import sys, dpr.serve.app, dpr.cli.serve; print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
