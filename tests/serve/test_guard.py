"""What every request passes: keys on all routes but those listed, hosts, limits of bodies, ids."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import USUAL, started

from dpr.serve.app import create_app
from dpr.serve.engine import Engine
from dpr.serve.gate import OPEN
from dpr.serve.holding import Held
from dpr.serve.keys import Keys
from dpr.serve.page import STATIC
from dpr.serve.problems import Refused
from dpr.serve.service import Service

ASK, CHANGE = "ask-0123456789abcdef", "change-0123456789abcdef"
KEYS = Keys.of([ASK], [CHANGE])


@pytest.fixture(scope="module")
def locked(engine: Engine) -> Iterator[TestClient]:
    """A client, without a key, of a service that has keys."""
    with started(engine, KEYS, body_seconds=0.2) as one:
        yield one


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def operations(client: TestClient) -> list[tuple[str, str]]:
    """Every operation that OpenAPI knows, and OpenAPI itself."""
    schema = client.get("/openapi.json", headers=bearer(ASK)).json()
    found = [
        (method.upper(), re.sub(r"\{.*?\}", "x", path))
        for path, methods in schema["paths"].items()
        for method in methods
    ]
    assert len(found) >= 15
    return [*found, ("GET", "/openapi.json")]


def test_every_operation_denies_without_a_key_unless_listed(locked: TestClient) -> None:
    for method, path in operations(locked):
        given = locked.request(method, path, json={})
        if path in OPEN:
            assert given.status_code in (200, 401), path
            assert method == "GET" or path == "/signin"
        else:
            assert given.status_code == 401, (method, path)
            assert given.headers["www-authenticate"] == "Bearer"


def test_openapi_says_which_operations_need_no_key(locked: TestClient) -> None:
    schema = locked.get("/openapi.json", headers=bearer(ASK)).json()
    assert schema["security"]
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            assert (operation.get("security") == []) == (path in OPEN)


def test_openapi_asks_for_no_key_where_there_is_none(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert "security" not in schema
    assert "securitySchemes" not in schema["components"]


def test_routes_that_nobody_lists_deny_too(locked: TestClient) -> None:
    for path in ("/", "/docs", "/v1/nothing", "/live/", "//live", "/LIVE", "/health/../info"):
        assert locked.get(path).status_code == 401, path


def test_every_operation_lets_a_key_in(locked: TestClient) -> None:
    for method, path in operations(locked):
        if not path.startswith("/v1/documents") and path != "/signin":
            given = locked.request(method, path, json={}, headers=bearer(ASK))
            assert given.status_code not in (401, 403, 500), (method, path)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic " + ASK, f"Bearer {ASK}x", f"Bearer {ASK},{ASK}"]
)
def test_what_is_no_key_lets_nobody_in(locked: TestClient, header: str) -> None:
    assert locked.get("/info", headers={"authorization": header}).status_code == 401


def test_documents_are_changed_with_a_key_for_that_alone(locked: TestClient) -> None:
    for method, path in (("POST", "/v1/documents"), ("DELETE", "/v1/documents/a/b")):
        assert locked.request(method, path, headers=bearer(ASK)).status_code == 403
        given = locked.request(method, path, headers=bearer(CHANGE))
        assert given.status_code in (404, 422)
    assert locked.get("/info", headers=bearer(CHANGE)).status_code == 200


def test_without_keys_everybody_asks_and_nobody_changes(client: TestClient) -> None:
    assert client.get("/info").status_code == 200
    assert client.post("/v1/documents", json={}).status_code == 403


def test_everybody_asks_and_a_key_changes_where_that_is_said(serve: Any, engine: Engine) -> None:
    client = serve(engine, Keys((), Keys.of([], [CHANGE]).change, anybody=True))
    assert client.post("/v1/search", json={"question": "who"}).status_code == 200
    assert client.get("/info", headers=bearer("of-another-server")).status_code == 200
    assert "sign" not in client.get("/").text.lower().replace("design", "")
    for method, path in (("POST", "/v1/documents"), ("DELETE", "/v1/documents/a/b")):
        assert client.request(method, path).status_code == 403
        assert client.request(method, path, headers=bearer(ASK)).status_code == 403
        given = client.request(method, path, headers=bearer(CHANGE))
        assert given.status_code in (404, 422)
    schema = client.get("/openapi.json").json()
    assert "security" not in schema
    guarded = {
        path
        for path, methods in schema["paths"].items()
        if any(one.get("security") for one in methods.values())
    }
    assert guarded == {"/v1/documents", "/v1/documents/{document}"}


def test_head_is_answered_as_get_without_its_body(client: TestClient) -> None:
    for path in ("/", "/info", "/live", next(iter(STATIC))):
        given, whole = client.head(path), client.get(path)
        assert given.status_code == 200, path
        assert given.headers["content-type"] == whole.headers["content-type"]
    assert client.head("/v1/search").status_code == 405
    assert client.head("/nowhere").status_code == 404


def test_signing_in_gives_a_cookie_that_scripts_and_other_sites_cannot_use(
    locked: TestClient,
) -> None:
    assert "<form" in locked.get("/signin").text
    assert locked.post("/signin", data={"key": "guess-0123456789"}).status_code == 401
    given = locked.post("/signin?q=who+is", data={"key": ASK}, follow_redirects=False)
    assert (given.status_code, given.headers["location"]) == (303, "/?q=who+is")
    cookie = given.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert ASK not in cookie
    try:
        assert locked.get("/info").status_code == 200  # the client sends it from now on
        assert locked.post("/v1/search", json={"question": "who"}).status_code == 200
        assert locked.delete("/v1/documents/d1").status_code == 403  # never by cookie
        locked.post("/signin", data={"key": CHANGE}, follow_redirects=False)
        assert locked.delete("/v1/documents/d1").status_code == 403
        assert locked.post("/signout", follow_redirects=False).status_code == 303
        assert locked.get("/info").status_code == 401
    finally:
        locked.cookies.clear()


def test_signing_in_leads_to_no_other_site(locked: TestClient) -> None:
    for query in ("?q=//evil.example", "?next=//evil.example", "?q=%0d%0aset-cookie:a"):
        given = locked.post("/signin" + query, data={"key": ASK}, follow_redirects=False)
        assert re.fullmatch(r"/(\?q=[A-Za-z0-9%+._-]*)?", given.headers["location"])
        locked.cookies.clear()


def test_pages_of_elsewhere_cannot_ask_a_server_of_this_machine(engine: Engine) -> None:
    """Neither by a name of theirs that points here, nor by a form of theirs."""
    with started(engine, local_only=True) as client:
        for host in ("127.0.0.1", "127.0.0.1:8000", "localhost:80", "LOCALHOST", "[::1]:8000"):
            assert client.get("/live", headers={"host": host}).status_code == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost@evil", ""):
            assert client.get("/live", headers={"host": host}).status_code == 403
        other = {"sec-fetch-site": "cross-site"}
        assert client.post("/v1/search", json={"question": "a"}, headers=other).status_code == 403


def test_a_server_of_this_machine_answers_by_the_address_it_listens_on(engine: Engine) -> None:
    for host, other in (("127.0.0.2", "127.0.0.3"), ("0:0:0:0:0:0:0:1", "::2")):
        with started(engine, local_only=True, host=host) as client:
            for name, status in ((host, 200), (other, 403)):
                named = f"[{name}]" if ":" in name else name
                given = client.get("/live", headers={"host": f"{named}:8000"})
                assert given.status_code == status


def test_pages_of_other_ports_of_this_machine_cannot_ask_either(engine: Engine) -> None:
    with started(engine, local_only=True) as client:
        for origin, status in (
            ("http://127.0.0.1", 200),
            ("http://127.0.0.1:3000", 403),
            ("null", 403),
        ):
            headers = {"origin": origin, "host": "127.0.0.1", "sec-fetch-site": "same-site"}
            given = client.post("/v1/search", json={"question": "a"}, headers=headers)
            assert given.status_code == status


@pytest.mark.parametrize("others", ['prefs={"a": 1}', "a=x y", "k[]=1", "=", "b"])
def test_the_session_is_found_beside_cookies_of_other_applications(
    locked: TestClient, others: str
) -> None:
    session = KEYS.session(ASK)
    cookies = {"cookie": f"{others}; dpr_session={session}; more=1"}
    assert locked.get("/info", headers=cookies).status_code == 200


@pytest.mark.parametrize("origin", ["https://answers.example", "http://127.0.0.1", None])
def test_the_cookie_is_secure_where_people_come_by_https(
    locked: TestClient, origin: str | None
) -> None:
    headers = {"origin": origin} if origin else {}
    given = locked.post("/signin", data={"key": ASK}, headers=headers, follow_redirects=False)
    locked.cookies.clear()
    secure = bool(origin and origin.startswith("https"))
    assert ("Secure" in given.headers["set-cookie"]) is secure


def test_documents_neither_come_nor_go_while_the_server_begins_or_ends(engine: Engine) -> None:
    with started(engine, KEYS) as client:
        client.app.state.service.drain()  # type: ignore[attr-defined]
        for method, path in (("POST", "/v1/documents"), ("DELETE", "/v1/documents/d1")):
            given = client.request(method, path, headers=bearer(CHANGE))
            assert (given.status_code, given.json()["code"]) == (503, "draining")


def test_a_fault_is_answered_as_the_rest_and_its_log_has_the_id(
    locked: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Service, "embed", lambda *_: 1 / 0)
    headers = bearer(ASK) | {"x-request-id": "abc"}
    body = {"inputs": "who"}
    with caplog.at_level(logging.ERROR, logger="dpr.serve"):
        given = locked.post("/embed", json=body, headers=headers)
    assert given.status_code == 500
    assert set(given.json()) == {"error", "error_type"}
    assert given.headers["x-request-id"] == "abc"
    assert given.headers["x-content-type-options"] == "nosniff"
    [record] = [one for one in caplog.records if one.exc_info]
    from dpr.serve.watching import JsonLines, request_id

    request_id.set("abc")  # as it is where the line is written
    line = json.loads(JsonLines().format(record))
    assert line["request_id"] == "abc"
    assert "ZeroDivisionError" in line["exception"]


def test_probes_and_strangers_fill_no_log(
    locked: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="dpr.serve.access"):
        for path in ("/live", "/ready", "/health", "/info", "/"):
            locked.get(path)
    assert not caplog.records
    metrics = locked.get("/metrics", headers=bearer(ASK)).text
    assert 'dpr_refusals_total{code="key"}' in metrics


def test_questions_are_logged_only_where_that_is_asked_for(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with started(engine, log_questions=True) as client, caplog.at_level(logging.INFO, "dpr.serve"):
        client.post("/v1/search", json={"question": "who lives"})
    facts = [getattr(one, "facts", {}) for one in caplog.records]
    assert {"questions": ["who lives"]} in facts


def test_no_cross_origin_answers(client: TestClient) -> None:
    given = client.get("/info", headers={"origin": "https://evil.example"})
    assert not [name for name in given.headers if name.startswith("access-control")]


async def ask(
    app: Any, chunks: list[bytes], *, stall: bool = False, path: str = "/v1/search", **headers: str
) -> list[Any]:
    """One request, its body in chunks, which are taken away; ``stall``: the last never comes."""
    sent: list[Any] = []
    chunks.reverse()
    waiting = chunks

    async def receive() -> Any:
        if not waiting:
            await asyncio.sleep(3600)
        return {"type": "http.request", "body": waiting.pop(), "more_body": stall or bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = {"content-type": "application/json", "authorization": f"Bearer {ASK}", **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in raw.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    body = b"".join(one.get("body", b"") for one in sent[1:])
    return [sent[0]["status"], json.loads(body) if body.startswith(b"{") else body]


def test_bodies_have_limits_of_length_and_time_and_give_their_room_back(engine: Engine) -> None:
    async def main() -> None:
        from dataclasses import replace

        limits = replace(USUAL, body_bytes=30_000, waiting_bytes=50_000, body_seconds=0.1)
        app = create_app(engine, limits, KEYS)
        service: Service = app.state.service
        async with app.router.lifespan_context(app):
            while service.stage != "ready":
                await asyncio.sleep(0.01)
            body = b'{"question": "who"}'
            assert (await ask(app, [body[:5], body[5:]]))[0] == 200
            # Stated, or found out while it arrives: no more is read than is allowed.
            assert (await ask(app, [b" "], **{"content-length": "30001"}))[0] == 413
            assert (await ask(app, [b" "], **{"content-length": "9" * 5000}))[0] == 413
            endless = [b" " * 400] * 1_000_000
            assert (await ask(app, endless))[0] == 413
            assert len(endless) == 1_000_000 - 76  # and the rest was not even looked at
            status, problem = await ask(app, [b"{"], stall=True)
            assert (status, problem["code"]) == (408, "slow_body")
            assert service.door.bytes == 0
            # Those who are slow hold what they sent, and who comes then is refused.
            parts = [b" " * 14_500] * 2
            slow = [asyncio.create_task(ask(app, [*parts], stall=True)) for _ in range(3)]
            await asyncio.sleep(0.02)
            status, problem = await ask(app, [*parts])
            assert (status, problem["code"]) == (429, "queue_full_bytes")
            assert (await ask(app, [body]))[0] == 200  # a small one needs no room
            assert [(await one)[0] for one in slow] == [408] * 3
            assert service.door.bytes == 0
            # Where no key is asked for little is taken, and nobody's room.
            signing = asyncio.create_task(ask(app, [b" " * 900], stall=True, path="/signin"))
            await asyncio.sleep(0.02)
            assert service.door.bytes == 0
            assert (await signing)[0] == 408
            assert (await ask(app, [b" " * 1000] * 9, path="/signin"))[0] == 413

    asyncio.run(main())


def test_large_answers_leave_room_to_bodies_and_to_what_is_smaller(client: TestClient) -> None:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    held, small = [Held(service, 1) for _ in range(3)], Held(service, 1)
    for one in held[:2]:
        one.answer(11_900_000)
    with pytest.raises(Refused) as caught:
        held[2].answer(300_000)
    assert caught.value.code == "queue_full_bytes"
    small.answer(60_000)
    assert client.post("/v1/search", content=b" " * 100_000).status_code == 415
    assert client.get("/metrics").status_code == 200
    for one in (*held, small):
        one.let_go()
    with pytest.raises(Refused) as caught:
        held[2].answer(service.settings.waiting_bytes)
    assert caught.value.code == "too_much_work"
    assert service.door.bytes == 0


def test_request_ids_are_taken_over_where_they_are_harmless(client: TestClient) -> None:
    given = client.get("/live", headers={"x-request-id": "abc-1.2_3"})
    assert given.headers["x-request-id"] == "abc-1.2_3"
    for bad in ("a b", "x" * 65, "a\tb", '"'):
        made = client.get("/live", headers={"x-request-id": bad}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{16}", made)


def test_logs_and_metrics_tell_of_requests_and_not_of_questions(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="dpr.serve"):
        client.post("/v1/search?q=secretive", json={"question": "secretive"})
        client.post("/v1/search", json={"question": "secretive", "kk": "secretive"})
        client.get("/secretive")
    records = [one for one in caplog.records if one.name == "dpr.serve.access"]
    facts = [one.facts for one in records]  # type: ignore[attr-defined]
    assert [(one["route"], one["status"]) for one in facts] == [
        ("/v1/search", 200),
        ("/v1/search", 422),
        ("none", 404),
    ]
    assert all(one["request_id"] and one["ms"] > 0 for one in facts)
    text = client.get("/metrics").text
    assert 'route="/v1/search",status="422"' in text
    assert 'dpr_refusals_total{code="schema"}' in text
    from dpr.serve.watching import JsonLines

    assert "secretive" not in text + "".join(map(JsonLines().format, records))
