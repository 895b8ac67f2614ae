"""Both clients against the real service over a socket, and against answers that no service of ours
gives; what they give is compared with what the pipeline gives here."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import numpy as np
import pytest
from tests.client.conftest import Ask, served
from tests.serve.conftest import open_engine
from tests.serve.test_service import Gated, until

from dpr.client import AsyncClient, Client, RetrySettings
from dpr.client.calls import AT_ONCE
from dpr.errors import MissingExtraError, ServiceError, SettingsError
from dpr.records import Document, Hit
from dpr.serve.engine import Engine
from dpr.serve.keys import Keys
from dpr.serve.routes.documents import MOST_DOCUMENTS
from dpr.serve.schemas import MOST_QUESTIONS

QUESTION = "who lives in castle 3"
KEY, CHANGE = "ask-0123456789abcdef", "change-0123456789abcdef"
ONCE = RetrySettings(attempts=1)


def same(ours: Hit, expected: Hit) -> bool:
    """The same passage, with scores that differ by what batches of other sizes do to them."""
    scores = [(one.score, one.dense_score, one.bm25_score) for one in (ours, expected)]
    return (
        ours.passage == expected.passage
        and np.allclose(*(np.array(one, float) for one in scores), atol=1e-4, equal_nan=True)
        and (ours.dense_rank, ours.bm25_rank) == (expected.dense_rank, expected.bm25_rank)
    )


@pytest.mark.parametrize(
    "narrowed",
    [
        {},
        {"mode": "hybrid"},
        {"mode": "bm25", "where": {"year": {">=": 1993}}},
        {"mode": "dense", "per_document": 1},
    ],
)
def test_search_gives_what_the_pipeline_gives(
    url: str, engine: Engine, ask: Ask, narrowed: dict[str, Any]
) -> None:
    found = ask(url, "search", QUESTION, 5, **narrowed)
    expected = engine.pipeline.search(QUESTION, 5, **narrowed)
    assert expected
    assert len(found.hits) == len(expected)
    assert all(map(same, found.hits, expected))
    assert (found.version, found.model) == (engine.version, engine.model_id)
    assert found.mode == narrowed.get("mode", engine.opened.searcher.mode)
    assert found.truncated is False


def test_answers_are_the_pipelines(url: str, engine: Engine, ask: Ask) -> None:
    given = ask(url, "answer", QUESTION, 5)
    expected = engine.pipeline.ask(QUESTION, 5)
    assert expected.answers
    assert all(map(same, given.hits, expected.hits))
    assert len(given.answers) == len(expected.answers)
    texts = {hit.passage.id: hit.passage.text for hit in given.hits}
    for ours, theirs in zip(given.answers, expected.answers, strict=True):
        rounded = {
            name: pytest.approx(getattr(theirs, name), abs=1e-3)
            for name in ("score", "retrieval_score", "relevance", "span_score")
        }
        assert ours == replace(theirs, **rounded)
        assert texts[ours.passage_id][ours.start : ours.end] == ours.text
    assert given.version == expected.version


def test_many_questions_go_in_pieces_and_come_in_order(url: str, engine: Engine, ask: Ask) -> None:
    assert AT_ONCE <= MOST_QUESTIONS
    questions = [f"who lives in castle {n}" for n in range(AT_ONCE + 3)]
    given = ask(url, "search_many", iter(questions), 2, mode="bm25")
    expected = engine.pipeline.search_many(questions, 2, mode="bm25")
    assert [[hit.passage.id for hit in one.hits] for one in given] == [
        [hit.passage.id for hit in hits] for hits in expected
    ]
    assert ask(url, "answer_many", []) == []
    with pytest.raises(SettingsError, match="give a list"):
        ask(url, "search_many", "who")
    with pytest.raises(SettingsError, match="cannot narrow a search by modus; allowed: mode"):
        ask(url, "search", "who", modus="bm25")


@pytest.mark.parametrize("input_type", ["query", "passage"])
def test_vectors_are_those_of_the_tower(
    url: str, engine: Engine, ask: Ask, input_type: Any
) -> None:
    encoder: Any = engine.pipeline.encoder if input_type == "query" else engine.passages
    texts = [f"The king of city {n}." for n in range(AT_ONCE + 1)]
    given = ask(url, "embed", texts, input_type)
    assert np.allclose(given, encoder.encode(texts), atol=1e-5)


def test_info_is_the_services(url: str, engine: Engine, ask: Ask) -> None:
    info = ask(url, "info")
    assert (info["model_id"], info["index_version"]) == (engine.model_id, engine.version)


def test_documents_come_and_go(changing: Path, tiny_model: Path, ask: Ask) -> None:
    engine = open_engine(changing, tiny_model)
    options = {"key": CHANGE}
    with served(engine, Keys.of([KEY], [CHANGE])) as url:
        name = "a b/ü?#%2F"
        snow = Document(name, "Snow is white.", "Snow", metadata={"year": 1812, "tags": ["a"]})
        added = ask(url, "add", [snow], options=options)
        assert (added.added, added.removed) == (1, 0)
        found = ask(url, "search", "snow", where={"year": 1812}, options={"key": KEY})
        assert found.version == added.version
        [hit] = found.hits
        assert (hit.passage.document, hit.passage.title) == (name, "Snow")
        assert hit.passage.metadata == {"year": 1812, "tags": ["a"]}
        again = ask(url, "add", [replace(snow, text="It melts.")], replace=True, options=options)
        assert (again.added, again.removed) == (1, 1)
        gone = ask(url, "remove", name, options=options)
        assert (gone.version, gone.removed) == (again.version + 1, 1)
        for arguments, key, status, code in [
            (("remove", name), CHANGE, 404, "no_document"),
            (("remove", "d1"), KEY, 403, "not_for_changes"),
            (("search", "who"), None, 401, "key"),
            (("add", [snow] * (MOST_DOCUMENTS + 1)), CHANGE, 422, "schema"),
        ]:
            with pytest.raises(ServiceError, match=f"^{status} {code}: ") as caught:
                ask(url, *arguments, options={"key": key})
            assert (caught.value.status, caught.value.code) == (status, code)


def test_errors_tell_what_the_service_told(url: str, ask: Ask) -> None:
    with pytest.raises(ServiceError) as caught:
        ask(url, "search", "who", k=0, where={"year": {"<": [1, 2]}})
    error = caught.value
    assert (error.status, error.code, error.retry_after) == (422, "schema", None)
    assert [one["place"] for one in error.places] == ["body.where", "body.k"]
    assert "body.k: has to be at least 1" in str(error)
    assert f"(request {error.request_id})" in str(error)
    with pytest.raises(ServiceError, match=r"body\.inputs") as caught:  # by another API's shape
        ask(url, "embed", [""])
    assert caught.value.status == 422


def test_a_full_service_is_asked_again_when_it_said(engine: Engine, ask: Ask) -> None:
    """The real door: one question fills it, a second is sent away, and comes back by itself."""
    gated = Gated(engine)
    with served(gated, waiting_items=1) as url:
        gated.gate.clear()
        first = threading.Thread(
            target=lambda: httpx2.post(url + "/v1/search", json={"question": "who"})
        )
        rounds = len(gated.rounds)
        first.start()
        until(lambda: len(gated.rounds) > rounds)
        with pytest.raises(ServiceError) as caught:
            ask(url, "search", "what", options={"retries": ONCE})
        assert (caught.value.status, caught.value.retry_after) == (429, 1)
        opening = threading.Timer(0.3, gated.gate.set)
        opening.start()
        began = time.monotonic()
        assert ask(url, "search", "what").hits
        assert 1 <= time.monotonic() - began < 10
        first.join()


class Script:
    """Answers one after the other, the last for ever; remembers requests and waits."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []
        self.waits: list[float] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, headers, body = answer
        return httpx2.Response(status, headers=headers, **body)

    @property
    def options(self) -> dict[str, Any]:
        return {"transport": httpx2.MockTransport(self)}


EMPTY = {"index_version": 3, "model_id": "m@1", "mode": "dense", "truncated": True, "hits": []}
DONE = (200, {}, {"json": {"results": [EMPTY], "more": 1}})


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Script]:
    """Makes a script; waits are noted, and take no time."""
    made: list[Script] = []

    async def sleep(seconds: float) -> None:
        made[-1].waits.append(seconds)

    # Of this module alone: a server in another thread sleeps too.
    slept = SimpleNamespace(sleep=lambda seconds: made[-1].waits.append(seconds))
    monkeypatch.setattr("dpr.client.asking.time", slept)
    slept = SimpleNamespace(sleep=sleep, timeout=asyncio.timeout)
    monkeypatch.setattr("dpr.client.asking.asyncio", slept)

    def script(*answers: Any) -> Script:
        made.append(Script(*answers))
        return made[-1]

    return script


def test_who_is_sent_away_waits_as_told_and_then_is_answered(
    ask: Ask, scripted: Callable[..., Script]
) -> None:
    refused = [(429, {"retry-after": "3"}, {}), (503, {"retry-after": "7"}, {}), (503, {}, {})]
    script = scripted(*refused, DONE)
    found = ask("http://a/base", "search", "who", options=script.options)
    assert (found.version, found.truncated, found.hits) == (3, True, ())
    assert len(script.requests) == 4
    assert {str(one.url) for one in script.requests} == {"http://a/base/v1/search"}
    for wait, least in zip(script.waits, [3, 7, 2], strict=True):  # 0.5 doubled twice
        assert least <= wait <= 1.2 * least


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        ([(429, {"retry-after": "61"}, {})], 1),  # beyond the deadline
        ([(429, {"retry-after": "1"}, {})], 5),
        ([(503, {}, {})], 5),
        ([(503, {}, {"json": {"code": "cut_off", "detail": "b"}})], 5),
        ([(500, {"retry-after": "1"}, {})], 1),
        ([(504, {}, {})], 1),
        ([(302, {"location": "http://elsewhere/"}, {})], 1),
        ([(200, {}, {"json": {"results": []}})], 1),
        ([(200, {}, {"text": "<html>"})], 1),
        ([(200, {}, {"json": {"results": [{}]}})], 1),
        ([httpx2.ConnectError("refused")], 5),
        ([httpx2.ReadError("reset")], 5),
        ([httpx2.ReadTimeout("slow")], 1),
    ],
)
def test_what_is_tried_again_and_how_often(
    ask: Ask, scripted: Callable[..., Script], answers: list[Any], sent: int
) -> None:
    script = scripted(*answers)
    with pytest.raises(ServiceError):
        ask("http://a", "search", "who", options=script.options)
    assert len(script.requests) == sent
    assert len(script.waits) == sent - 1


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (httpx2.ReadError("reset"), 1),  # it may have been done
        (httpx2.ConnectError("refused"), 5),
        ((409, {"retry-after": "5"}, {"json": {"code": "changing", "detail": "b"}}), 5),
        ((409, {}, {"json": {"code": "document_taken", "detail": "b"}}), 1),
        ((429, {"retry-after": "1"}, {}), 5),
        ((503, {"retry-after": "1"}, {"json": {"code": "starting", "detail": "b"}}), 5),
        ((503, {"retry-after": "1"}, {"json": {"code": "not_asked_yet", "detail": "b"}}), 1),
        ((503, {"retry-after": "1"}, {"json": {"code": "cut_off", "detail": "b"}}), 1),
    ],
)
def test_changes_are_sent_again_only_where_nothing_was_done(
    ask: Ask, scripted: Callable[..., Script], answer: Any, sent: int
) -> None:
    script = scripted(answer)
    with pytest.raises(ServiceError):
        ask("http://a", "add", [Document("a", "b")], options=script.options)
    assert len(script.requests) == sent


@pytest.mark.parametrize("document", ["", ".", ".."])
def test_what_no_url_can_name_is_not_sent(
    ask: Ask, scripted: Callable[..., Script], document: str
) -> None:
    script = scripted(DONE)
    with pytest.raises(SettingsError, match="dpr remove"):
        ask("http://a", "remove", document, options=script.options)
    assert not script.requests


def test_answers_of_what_stands_between_are_told_too(
    ask: Ask, scripted: Callable[..., Script]
) -> None:
    script = scripted((502, {}, {"text": "<h1>Bad gateway</h1>" + "x" * 999}))
    with pytest.raises(ServiceError, match=r"^502 refused: <h1>Bad gateway</h1>x{180}$"):
        ask("http://a", "info", options=script.options)
    script = scripted((404, {}, {"json": [1]}))
    with pytest.raises(ServiceError, match=r"^404 refused: \[1\]$"):
        ask("http://a", "info", options=script.options)


def test_who_is_not_there_is_named(ask: Ask) -> None:
    with pytest.raises(ServiceError, match=r"connect to http://127\.0\.0\.1:9: ") as caught:
        ask("http://127.0.0.1:9", "info", options={"retries": ONCE})
    assert (caught.value.status, caught.value.code) == (0, "unreachable")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "localhost",
        "ftp://host",
        "http://",
        "http://a:b",
        "http://a:0",
        "",
        "http://me:se/cret@a",
    ],
)
def test_what_is_no_url_is_refused_at_once(kind: Any, url: str) -> None:
    with pytest.raises(SettingsError, match=r"give one such as http://127\.0\.0\.1:8000"):
        kind(url)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("key", ["secret\n", "sec ret", "s\u00e9cret", ""])
def test_a_key_that_no_header_holds_is_refused_and_not_shown(kind: Any, key: str) -> None:
    with pytest.raises(SettingsError, match=f"the key has {len(key)} characters") as told:
        kind("http://127.0.0.1:8000", key=key)
    assert not key or key.strip() not in str(told.value)


def test_errors_show_no_password_of_the_url(ask: Ask) -> None:
    with pytest.raises(ServiceError, match=r"cannot connect to http://127\.0\.0\.1:9: ") as told:
        ask("http://me:secret@127.0.0.1:9", "info", options={"retries": ONCE})
    assert "secret" not in str(told.value)


def test_the_deadline_holds_for_an_answer_that_drips(ask: Ask) -> None:
    """A byte comes sooner than any one wait would end; the whole is limited all the same."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Dripping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "100")
            self.end_headers()
            try:
                for _ in range(100):
                    self.wfile.write(b" ")
                    time.sleep(0.1)
            except OSError:
                pass

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            began = time.monotonic()
            options = {"retries": RetrySettings(deadline=0.5)}
            with pytest.raises(ServiceError, match=r"no answer within 0\.5 s") as caught:
                ask(f"http://127.0.0.1:{server.server_port}", "info", options=options)
            assert caught.value.code == "deadline"
            assert 0.4 < time.monotonic() - began < 3
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_missing_extra_is_named(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingExtraError, match=r"dense-passage-retrieval\[client\]"):
        kind("http://a")


def test_a_client_loads_nothing_heavy() -> None:
    code = (
        "import sys, dpr; dpr.Client('http://127.0.0.1:9').close()\n"
        "print({'torch', 'numpy', 'pyarrow', 'fastapi', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
