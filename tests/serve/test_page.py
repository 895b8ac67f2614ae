"""The page as it comes: it works without script, shows all text as text, and loads nothing else."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import ODD, ODD_QUESTIONS, started
from tests.serve.shown import Element, parsed
from tests.serve.test_guard import ASK, KEYS
from tests.serve.test_service import Gated, until

from dpr.serve.engine import Engine
from dpr.serve.page import STATIC

TEXTS = {document.id: document.text for document in ODD}
ALLOWED_TAGS = set(
    "html head meta title link script body a header h1 h2 h3 bdi main search form label div input "
    "button details summary select option p code section ol li mark dl dt dd span kbd footer b "
    "template".split()
)


@pytest.fixture(scope="module")
def odd_client(odd: Engine) -> Iterator[TestClient]:
    with started(odd) as one:
        yield one


def opened(client: TestClient, path: str, status: int = 200, **query: Any) -> Element:
    given = client.get(path, params=query)
    assert given.status_code == status, given.text
    assert given.headers["content-type"] == "text/html; charset=utf-8"
    return parsed(given.text)


def answered(client: TestClient, question: str, **more: Any) -> dict[str, Any]:
    given = client.post("/v1/answer", json={"question": question, **more})
    result: dict[str, Any] = given.json()["results"][0]
    return result


@pytest.mark.parametrize("question", ODD_QUESTIONS)
def test_the_form_without_script_marks_what_the_api_says(
    odd_client: TestClient, question: str
) -> None:
    page = opened(odd_client, "/", q=question)
    result = answered(odd_client, question)
    best = result["answers"][0]
    assert page.one("input", name="q").attributes["value"] == question
    assert page.one(data_f="answer").text == best["text"]
    assert [one.text for one in page.all("mark", class_="best")] == [best["text"]]
    hits = page.all("li", class_="hit")
    assert [one.one(data_f="text").text for one in hits] == [one["text"] for one in result["hits"]]
    for shown, hit in zip(hits, result["hits"], strict=True):
        title = hit["title"] or hit["document"]
        assert shown.one(data_f="title").text == title
        assert f"{hit['score']:.3f}" in shown.one(data_f="retriever").text
        for kept in ("dense_score", "bm25_score"):
            assert f"{hit[kept]:.3f}" in shown.one(data_f="retriever").text
        # Each mark stands where an answer's offsets are, and not where its words stand first.
        at, marks = 0, []
        for piece in shown.one(data_f="text").inside:
            text = piece if isinstance(piece, str) else piece.text
            if not isinstance(piece, str):
                marks.append((at, at + len(text)))
            at += len(text)
        own = [one for one in result["answers"] if one["passage_id"] == hit["id"]]
        assert set(marks) <= {(one["start"], one["end"]) for one in own}
        assert bool(marks) == bool(own)
        if own:
            assert f"{own[0]['relevance']:.3f}" in shown.one(data_f="reader").text
            assert own[0]["text"] in shown.one(data_f="citation").text
    facts = page.one(data_f="facts").text
    assert re.search(r"\d+ ms", facts)
    assert f"version {result['index_version']}" in facts and result["model_id"] in facts


def test_the_answers_that_are_tried_are_hard_ones(odd_client: TestClient) -> None:
    """Some stand behind characters of two UTF-16 units, and some hold marks or other scripts."""
    found = [answered(odd_client, one) for one in ODD_QUESTIONS]
    texts = {hit["id"]: hit["text"] for one in found for hit in one["hits"]}
    assert set(texts.values()) == set(TEXTS.values())
    best = [answer for one in found for answer in one["answers"]]
    before = ["".join(texts[one["passage_id"]][: one["end"]]) for one in best]
    assert any(len(one.encode("utf-16-le")) > 2 * len(one) for one in before)
    assert any(not one.isascii() for one in before)


@pytest.mark.parametrize("path", ["/", "/document", "/signin"])
def test_nothing_that_documents_or_questions_hold_becomes_html(
    odd_client: TestClient, path: str
) -> None:
    for question in ODD_QUESTIONS:
        query = {"/document": {"passage": "script"}, "/": {"q": question, "where": "=" + question}}
        page = opened(
            odd_client, path, 200 if path != "/" else 422, **query.get(path, {"q": question})
        )
        seen = [page, *(one for one in page.all())]
        assert {one.tag for one in seen} <= ALLOWED_TAGS | {""}
        for one in seen:
            assert not [name for name in one.attributes if name.startswith("on") or name == "style"]
            assert one.tag != "script" or (one.text == "" and one.attributes["src"])
        assert not page.all("style")
    page = opened(odd_client, "/", q="king <script>")
    assert page.one("title").text.startswith("king <script> · ")
    assert [one.attributes.get("type") for one in page.all("script")] == ["module"]
    whole = page.text
    assert "window.hurt = 1</script>" in whole and "{{ 7 * 7 }} ${7 * 7}" in whole


def test_only_its_own_files_are_loaded_and_they_are_small(client: TestClient) -> None:
    given = client.get("/")
    policy = dict(
        one.strip().partition(" ")[::2]
        for one in given.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert {policy[f"{one}-src"] for one in ("script", "style", "img", "connect")} == {"'self'"}
    assert {policy[one] for one in ("base-uri", "frame-ancestors")} == {"'none'"}
    assert "unsafe" not in given.headers["content-security-policy"]
    page = parsed(given.text)
    loaded = [one.attributes["href"] for one in page.all("link")]
    loaded += [one.attributes["src"] for one in page.all("script")]
    assert {urlsplit(str(one)).path for one in loaded} == set(STATIC)
    size = len(given.content)
    for address in loaded:
        file = client.get(str(address))
        assert file.status_code == 200
        assert "immutable" in file.headers["cache-control"]
        assert file.headers["content-type"] == STATIC[urlsplit(str(address)).path]
        assert not re.search(rb"(https?:)?//(?!www\.w3\.org/2000/svg)[a-z]+\.", file.content)
        assert not re.search(
            rb"innerHTML|outerHTML|insertAdjacent|document\.write|eval", file.content
        )
        size += len(file.content)
    assert size < 40_000  # 60,000 are allowed


def test_options_are_kept_and_are_those_of_the_api(client: TestClient) -> None:
    query = {"q": "the king of castle 3", "mode": "bm25", "k": 3, "where": "year>=1993; title~T*"}
    page = opened(client, "/", **query)
    expected = answered(
        client, str(query["q"]), mode="bm25", k=3, filters=["year>=1993", "title~T*"]
    )
    named = answered(
        client,
        str(query["q"]),
        mode="bm25",
        k=3,
        where={"year": {">=": 1993}, "title": {"~": "T*"}},
    )
    assert named["hits"] == expected["hits"] and len(expected["hits"]) == 3
    assert [one.text for one in page.all(data_f="text")] == [
        one["text"] for one in expected["hits"]
    ]
    [chosen] = [one for one in page.all("option") if "selected" in one.attributes]
    assert chosen.attributes["value"] == "bm25"
    assert page.one("input", name="k").attributes["value"] == "3"
    assert page.one("input", name="where").attributes["value"] == query["where"]
    assert "open" in page.one("details", class_="more").attributes
    assert "open" not in opened(client, "/", q="a").one("details", class_="more").attributes
    # White space that a backslash keeps is part of the value.
    assert not opened(client, "/", q="the king", where="title~*\\ ; ").all("li", class_="hit")
    # A field of a form that was left empty comes as an empty one.
    assert opened(client, "/", q="the king", mode="auto", k=10, where="").all("li", class_="hit")


def test_states_without_an_answer(client: TestClient, engine: Engine) -> None:
    for question in ("", "   "):
        page = opened(client, "/", q=question)
        assert not page.all("li", class_="hit")
        assert "Ask a question" in page.one(id="out").text
    page = opened(client, "/", q="king", where="year>3000")
    assert "Nothing was found" in page.one(id="out").text
    page = opened(client, "/", 422, q="king", where="nonsense")
    assert "filter is not understood" in page.one(id="out").text
    for wrong in ({"k": 0}, {"mode": "magic"}, {"q": "a" * 8193}, {"where": "a" * 5000}):
        opened(client, "/", 422, **wrong)
    with started(engine, local_only=True) as local:
        assert "host" not in opened(local, "/").text
        assert local.get("/", headers={"host": "evil.example"}).status_code == 403


def test_only_links_may_lead_here_from_elsewhere(client: TestClient) -> None:
    other = {"sec-fetch-site": "cross-site"}
    assert client.get("/?q=a", headers=other | {"sec-fetch-mode": "navigate"}).status_code == 200
    for mode in ("no-cors", "cors", "same-origin"):
        for path in ("/?q=a", "/static/page.css", "/info"):
            given = client.get(path, headers=other | {"sec-fetch-mode": mode})
            assert given.status_code == 403, (mode, path)


def test_full_and_ending_servers_say_so_and_when_to_come_again(engine: Engine) -> None:
    gated = Gated(engine)
    with started(gated, waiting_items=1) as client:
        gated.gate.clear()
        first = threading.Thread(
            target=client.post, args=("/v1/search",), kwargs={"json": {"question": "a"}}
        )
        first.start()
        until(lambda: client.app.state.service.door.items == 1)  # type: ignore[attr-defined]
        given = client.get("/", params={"q": "who is <king>", "mode": "dense"})
        assert given.status_code == 429
        seconds = given.headers["retry-after"]
        page = parsed(given.text)
        again = page.one("a", data_retry=seconds)
        assert parse_qs(urlsplit(str(again.attributes["href"])).query)["q"] == ["who is <king>"]
        assert "Too many are asking" in page.text
        assert page.one("input", name="q").attributes["value"] == "who is <king>"
        assert client.get("/document", params={"passage": "d1:0"}).status_code == 429
        assert client.get("/").status_code == 200
        gated.gate.set()
        first.join()
        client.app.state.service.stage = "draining"  # type: ignore[attr-defined]
        given = client.get("/", params={"q": "who"})
        assert given.status_code == 503 and given.headers["retry-after"]
        assert "data-retry" in given.text
        client.app.state.service.stage = "ready"  # type: ignore[attr-defined]


def test_a_server_without_reader_searches_and_says_so(made: Any, tiny_model: Any) -> None:
    engine = Engine.open(made, model=tiny_model, read=False)
    with started(engine) as client:
        page = opened(client, "/", q="the king")
        assert page.one("body").attributes["data-answers"] == ""
        assert "only searches" in page.one(data_f="sure").text
        assert page.all("li", class_="hit") and not page.all("mark")
    engine.pipeline.close()


def test_the_document_is_open_at_the_passage(odd_client: TestClient, client: TestClient) -> None:
    for question in ODD_QUESTIONS:
        best = answered(odd_client, question)["answers"][0]
        page = opened(odd_client, "/", q=question)
        link = str(page.all("a", data_f="open")[0].attributes["href"])
        first = page.all("li", class_="hit")[0]
        target = parsed(odd_client.get(link).text)
        here = target.one(id="passage")
        assert urlsplit(link).fragment == "passage"
        assert here.text == first.one(data_f="text").text
        marks = [one.text for one in here.all("mark")]
        assert marks == [one.text for one in first.all("mark", class_="best")] or len(marks) == 1
        whole = opened(
            odd_client,
            "/document",
            passage=best["passage_id"],
            start=best["start"],
            end=best["end"],
        )
        assert whole.one("mark").text == best["text"]
        # The offsets are of another version: no mark, rather than a wrong one.
        old = opened(odd_client, "/document", passage=best["passage_id"], end=3, version=99)
        assert not old.all("mark") and "has changed" in old.text
    # A document of several passages is whole.
    hit = answered(client, "who lives in castle 7")["hits"][0]
    page = opened(client, "/document", passage=hit["id"])
    number = int(hit["document"][1:])
    text = f"The king of city {number} lives in castle {number}. " * (number + 1)
    assert page.one("div", class_="document").text.split() == text.split()
    assert page.one(id="passage").text == hit["text"]
    opened(client, "/document", 404, passage="none")
    opened(client, "/document", 422)
    opened(client, "/document", passage=hit["id"], start=10**9, end=10**9 + 1)


def test_strangers_get_the_form_for_a_key_and_come_back_to_what_they_asked(engine: Engine) -> None:
    with started(engine, KEYS) as client:
        for path in ("/?q=who+is+it&mode=dense&k=3", "/document?passage=d1%3A0&start=1&end=2"):
            given = client.get(path)
            assert given.status_code == 401
            assert given.headers["www-authenticate"] == "Bearer"
            page = parsed(given.text)
            action = str(page.one("form").attributes["action"])
            assert page.one("input", name="key").attributes["type"] == "password"
            wrong = client.post(action, data={"key": "x" * 20})
            assert wrong.status_code == 401
            assert parsed(wrong.text).one("form").attributes["action"] == action
            signed = client.post(action, data={"key": ASK}, follow_redirects=False)
            assert parse_qs(urlsplit(signed.headers["location"]).query) == parse_qs(
                urlsplit(path).query
            )
            assert urlsplit(signed.headers["location"]).path == urlsplit(path).path
            page = opened(client, "/", q="who")
            assert page.one("form", action="/signout").attributes["method"] == "post"
            client.cookies.clear()
        for path in STATIC:
            assert client.get(path).status_code == 200
        assert client.get("/static/page.py").status_code == 401
    with started(engine) as client:
        assert not opened(client, "/").all("form", action="/signout")
        for path in ("/static/page.py", "/static/../page.py", "/static/%2e%2e/page.py", "/static/"):
            assert client.get(path).status_code == 404


def test_the_wheel_carries_the_files() -> None:
    """By what hatchling itself selects for a wheel."""
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder
    root = Path(__file__).resolve().parents[2]
    found = {one.distribution_path for one in builder(str(root)).recurse_included_files()}
    here = root / "src" / "dpr" / "serve"
    wanted = [*(here / "static").iterdir(), *(here / "templates").iterdir()]
    assert len(wanted) == 8
    assert {one.relative_to(root / "src").as_posix() for one in wanted} <= found
