"""Under load: refused at once when full, 504 when late, cached by version, finished when ending."""

from __future__ import annotations

import gc
import shutil
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from dpr.errors import CorruptionError
from dpr.pipeline import index
from dpr.records import Document
from dpr.search import masks
from dpr.serve.engine import Engine
from dpr.serve.service import Service
from dpr.serve.work import Find, Task


class Gated(Engine):
    """Does nothing until a test lets it; remembers what it was given."""

    def __init__(self, engine: Engine) -> None:
        self.gate, self.rounds = threading.Event(), list[list[Task]]()
        self.gate.set()
        super().__init__(engine.pipeline, engine.passages, engine.model_id, engine.model)

    def run(self, tasks: Any, check: Any = None) -> Any:
        self.rounds.append(list(tasks))
        assert self.gate.wait(30)
        return super().run(tasks, check)


@pytest.fixture
def gated(engine: Engine) -> Iterator[Gated]:
    one = Gated(engine)
    yield one
    one.gate.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as one:
        yield one


def search(client: TestClient, question: str, **more: Any) -> Any:
    return client.post("/v1/search", json={"question": question, **more})


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def state(client: TestClient) -> Service:
    service = client.app.state.service  # type: ignore[attr-defined]
    assert isinstance(service, Service)
    return service


def test_questions_of_different_requests_are_done_together(
    serve: Any, gated: Gated, pool: ThreadPoolExecutor
) -> None:
    client = serve(gated)
    gated.rounds.clear()
    gated.gate.clear()
    first = pool.submit(search, client, "who")
    until(lambda: len(gated.rounds) == 1)
    rest = [pool.submit(search, client, f"who is king {n}", k=n + 1) for n in range(6)]
    until(lambda: state(client).door.items == 7)
    gated.gate.set()
    assert first.result().status_code == 200
    counts = [len(one.result().json()["results"][0]["hits"]) for one in rest]
    assert counts == [1, 2, 3, 4, 5, 6]  # each with its own settings
    assert [len(one) for one in gated.rounds] == [1, 6]


def test_who_comes_when_there_is_no_room_is_refused_at_once(
    serve: Any, gated: Gated, pool: ThreadPoolExecutor
) -> None:
    client = serve(gated, waiting_items=3)
    gated.gate.clear()
    inside = [pool.submit(search, client, f"who {n}") for n in range(3)]
    until(lambda: state(client).door.items == 3)
    given = search(client, "who else")
    assert given.status_code == 429
    assert given.json()["code"] == "queue_full_items"
    assert int(given.headers["retry-after"]) >= 1
    assert client.get("/ready").status_code == 200  # full is not unready
    gated.gate.set()
    assert [one.result().status_code for one in inside] == [200] * 3
    assert search(client, "who else").status_code == 200
    assert state(client).door.items == state(client).door.tokens == state(client).door.bytes == 0


def test_more_questions_than_there_is_ever_room_for(serve: Any) -> None:
    given = serve(waiting_items=3).post("/v1/search", json={"question": list("abcd")})
    assert (given.status_code, given.json()["code"]) == (413, "too_much_work")
    assert "retry-after" not in given.headers


def test_where_a_usual_question_never_has_room_the_log_and_the_refusal_say_what_helps(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(waiting_tokens=400)
    assert "--waiting-tokens 400" in caplog.text
    given = client.post("/v1/answer", json={"question": "who"})
    assert (given.status_code, given.json()["code"]) == (413, "too_much_work")
    assert "fewer hits (k)" in given.json()["detail"]
    assert client.get("/", params={"q": "who"}).status_code == 413
    assert client.post("/v1/answer", json={"question": "who", "k": 1}).status_code == 200
    caplog.clear()
    serve(waiting_tokens=40_000)
    assert "--waiting-tokens" not in caplog.text


def test_what_is_late_is_answered_with_504_and_not_done(
    serve: Any, gated: Gated, pool: ThreadPoolExecutor
) -> None:
    client = serve(gated, deadline=0.3)
    gated.rounds.clear()
    gated.gate.clear()
    first: Future[Any] = pool.submit(search, client, "who")
    until(lambda: len(gated.rounds) == 1)
    second = pool.submit(search, client, "who else")
    for one in (first, second):
        assert one.result(5).status_code == 504
        assert one.result().json()["code"] == "deadline"
    assert state(client).door.items == 1  # what was begun has not left yet
    gated.gate.set()
    until(lambda: state(client).door.items == 0)
    assert len(gated.rounds) == 1  # the second was never begun


def test_the_same_again_is_answered_from_the_cache_and_other_settings_are_not(
    serve: Any, gated: Gated
) -> None:
    client = serve(gated)
    gated.rounds.clear()
    first = search(client, "who lives in castle 3")
    assert search(client, "who lives in castle 3").content == first.content
    assert len(gated.rounds) == 1
    search(client, "who lives in castle 3", k=3)
    search(client, "who lives in castle 3", mode="dense")
    search(client, "who lives in castle 3", where={"year": 1993})
    client.post("/v1/answer", json={"question": "who lives in castle 3"})
    assert len(gated.rounds) == 5
    metrics = client.get("/metrics").text
    assert 'dpr_cache_lookups_total{found="yes"} 1.0' in metrics
    assert 'dpr_cache_lookups_total{found="no"} 5.0' in metrics


def test_without_a_cache_all_is_done_again(serve: Any, gated: Gated) -> None:
    client = serve(gated, cache_bytes=0)
    gated.rounds.clear()
    for _ in range(2):
        search(client, "who")
    assert len(gated.rounds) == 2


def test_errors_of_the_collection_tell_clients_nothing_of_the_server(
    serve: Any, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(gated)

    def broken(*_: Any, **__: Any) -> Any:
        raise CorruptionError("/secret/place: was altered")

    monkeypatch.setattr(type(gated.opened.searcher), "search", broken)
    given = search(client, "who")
    assert given.status_code == 503
    assert "secret" not in given.text
    monkeypatch.setattr("dpr.serve.engine.Finding.run", lambda *_: 1 / 0)
    given = search(client, "who else")
    assert (given.status_code, given.json()["code"]) == (500, "fault")
    monkeypatch.undo()
    assert search(client, "who now").status_code == 200  # and goes on


def test_ending_admits_nothing_more_and_finishes_what_was_admitted(
    serve: Any, gated: Gated, pool: ThreadPoolExecutor
) -> None:
    client = serve(gated)
    gated.gate.clear()
    admitted = pool.submit(search, client, "who")
    until(lambda: state(client).door.items == 1)
    state(client).drain()
    assert client.get("/live").status_code == 200
    for given in (client.get("/ready"), client.get("/health"), search(client, "who else")):
        assert given.status_code == 503
        assert int(given.headers["retry-after"]) >= 1
    gated.gate.set()
    assert admitted.result().status_code == 200


def test_not_ready_before_all_is_warm(engine: Engine) -> None:
    from tests.serve.conftest import USUAL

    from dpr.serve.app import create_app

    gated = Gated(engine)
    gated.gate.clear()
    with TestClient(create_app(gated, USUAL), base_url="http://127.0.0.1") as client:
        assert client.get("/live").status_code == 200
        assert client.get("/ready").status_code == 503
        assert search(client, "who").json()["code"] == "starting"
        gated.gate.set()
        until(lambda: client.get("/ready").status_code == 200)
        assert search(client, "who").status_code == 200


def test_hits_are_limited_for_all_questions_together(serve: Any) -> None:
    client = serve()
    given = search(client, "who", k=1000)
    assert given.status_code == 200
    given = client.post("/v1/search", json={"question": [f"who {n}" for n in range(3)], "k": 1000})
    assert (given.status_code, given.json()["code"]) == (413, "too_much_work")


def test_who_would_be_answered_too_late_is_refused_at_once(
    serve: Any, gated: Gated, pool: ThreadPoolExecutor
) -> None:
    client = serve(gated, deadline=5.0)
    state(client).door.pace = 10.0
    gated.gate.clear()
    inside = [pool.submit(search, client, "who lives in castle 3") for _ in range(1)]
    until(lambda: state(client).door.items == 1)
    given = client.post("/v1/answer", json={"question": "who else"})
    assert (given.status_code, given.json()["code"]) == (429, "queue_full_time")
    assert int(given.headers["retry-after"]) >= 1
    state(client).door.pace = 1.0
    given = client.post("/v1/search", content=b"{")  # before it is even looked at
    assert (given.status_code, given.json()["code"]) == (429, "queue_full_time")
    gated.gate.set()
    assert inside[0].result().status_code == 200


def test_a_small_request_does_not_wait_for_all_of_a_large_one(
    serve: Any, gated: Gated, pool: ThreadPoolExecutor
) -> None:
    client = serve(gated, round_tokens=400)
    gated.rounds.clear()
    gated.gate.clear()
    texts = ["a castle " * 100] * 30
    large = pool.submit(client.post, "/rerank", json={"query": "who", "texts": texts})
    until(lambda: len(gated.rounds) == 1)
    parts = state(client).door.items
    assert parts >= 30
    small = pool.submit(search, client, "who")
    until(lambda: state(client).door.items == parts + 1)
    gated.gate.set()
    assert small.result().status_code == large.result().status_code == 200
    at = next(n for n, tasks in enumerate(gated.rounds) if any(isinstance(t, Find) for t in tasks))
    assert at <= 2
    assert len(gated.rounds) > 10


def test_a_collection_made_anew_is_not_answered_from_before(
    serve: Any, changing: Any, tiny_model: Any
) -> None:
    from tests.serve.conftest import open_engine

    engine = open_engine(changing, tiny_model)
    client = serve(engine)
    before = search(client, "who lives in castle 3").json()["results"][0]
    assert before["index_version"] == 1
    other = changing.with_name("other")
    index([Document("new", "Nobody lives in castle 3.")], other, model=str(tiny_model))
    shutil.rmtree(changing)
    other.rename(changing)
    until(lambda: len(engine.opened.searcher.collection) == 1)
    after = search(client, "who lives in castle 3").json()["results"][0]
    assert after["index_version"] == 1
    assert [hit["document"] for hit in after["hits"]] == ["new"]


def test_it_is_not_ready_while_all_fails_and_not_alive_without_its_thread(
    serve: Any, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(gated)
    monkeypatch.setattr("dpr.serve.engine.Finding.run", lambda *_: 1 / 0)
    for n in range(3):
        assert client.get("/ready").status_code == 200
        assert search(client, f"who {n}").status_code == 500
    given = client.get("/ready")
    assert (given.status_code, given.json()["code"]) == (503, "failing")
    monkeypatch.undo()
    assert search(client, "who").status_code == 200
    assert client.get("/ready").status_code == 200
    monkeypatch.setattr(type(state(client)), "alive", False)
    assert client.get("/live").status_code == 503


def test_warming_needs_no_room_at_the_door_and_warms_all_modes(serve: Any, gated: Gated) -> None:
    gated.rounds.clear()
    client = serve(gated, waiting_tokens=40, waiting_items=1, round_tokens=40)
    modes = {task.how.mode for tasks in gated.rounds for task in tasks if isinstance(task, Find)}
    assert modes == {"dense", "bm25", "hybrid"}
    until(lambda: state(client).door.items == state(client).door.tokens == 0)
    assert search(client, "who").status_code == 200


def test_filters_of_many_short_values_take_no_more_memory_than_is_counted(serve: Any) -> None:
    client = serve()
    searched = 0

    def ask() -> int:
        nonlocal searched
        searched += 1
        values = [chr(0x4E00 + n) for n in range(1000)]
        where = {f"n{n}-{searched}": values[100 * n :][:100] for n in range(10)}
        service = state(client)
        before = service._cache.bytes
        assert search(client, "who", where=where, k=1).status_code == 200
        return service._cache.bytes - before

    def held(times: int) -> tuple[int, int]:
        counted = sum(ask() for _ in range(times))
        gc.collect()
        return counted, tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        _, before = held(40)  # of the last few filters more is remembered
        counted, after = held(20)
    finally:
        tracemalloc.stop()
    assert counted > 0
    assert after - before < counted + 100_000  # as objects, each takes 86,000


def test_filters_go_through_the_documents_beside_the_models_one_at_a_time(
    serve: Any, gated: Gated, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(gated)
    inside, most = list[str](), list[int]()

    def noting(*arguments: Any) -> Any:
        inside.append(threading.current_thread().name)
        most.append(len(inside))
        time.sleep(0.02)
        found = filter_mask(*arguments)
        inside.remove(threading.current_thread().name)
        return found

    filter_mask = masks.filter_mask
    monkeypatch.setattr(masks, "filter_mask", noting)
    asked = [pool.submit(search, client, f"who {n}", where={"year": 3000 + n}) for n in range(6)]
    assert [one.result().status_code for one in asked] == [200] * 6
    assert most == [1] * 6
    gated.gate.clear()  # what the models do next waits; the filter does not
    late = pool.submit(search, client, "who", where={"year": 1993})
    until(lambda: len(most) == 7 and not inside)
    gated.gate.set()
    assert [hit["document"] for hit in late.result().json()["results"][0]["hits"]][:1] == ["d3"]
    search(client, "who else", where={"year": 1993})
    assert len(most) == 7  # it is remembered


@pytest.mark.parametrize(
    ("place", "asked"),
    [
        ("dpr.search.masks.filter_mask", "/?q=who&where=year%3D4000"),
        ("dpr.serve.routes.page.around", "/document?passage=d1%3A0"),
    ],
)
def test_what_takes_long_beside_the_models_is_late_as_all_is_and_keeps_its_room(
    serve: Any, monkeypatch: pytest.MonkeyPatch, place: str, asked: str
) -> None:
    client = serve(deadline=0.3)
    going = threading.Event()
    monkeypatch.setattr(place, lambda *_: going.wait(20) and 1 / 0)
    try:
        for n in range(1, 7):  # of which some are not even begun
            given = client.get(f"{asked}{n}")
            assert given.status_code == 504
            assert state(client).door.items == min(n, 1 if "where" in asked else 4)
        assert search(client, "who").status_code == 200
    finally:
        going.set()
    until(lambda: state(client).door.items == 0)
    monkeypatch.undo()
    assert client.get("/", params={"q": "who", "where": "year=1993"}).status_code == 200


def test_what_looks_alike_in_other_filters_is_another_question(serve: Any, gated: Gated) -> None:
    client = serve(gated)
    gated.rounds.clear()
    for where in ({"a": "1 and b=2"}, {"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "1|2"}):
        search(client, "who", where=where)
    assert len(gated.rounds) == 4
