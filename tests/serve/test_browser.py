"""The page in a browser: asking, going back, waiting, and nothing that a passage holds runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import ODD_QUESTIONS
from tests.serve.sockets import served
from tests.serve.test_guard import ASK, KEYS
from tests.serve.test_service import Gated

from dpr.serve.engine import Engine
from dpr.serve.service import Service

pytestmark = pytest.mark.slow
WIDTHS = (320, 768, 1440)
# What is wider than the page.
WIDER = """() => [...document.querySelectorAll('body *')]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
    .filter(one => !one.closest('.unseen, .skip'))
    .map(one => one.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def gated(odd: Engine) -> Gated:
    return Gated(odd)


@pytest.fixture(scope="module")
def serving(gated: Gated, browser: Any) -> Iterator[tuple[int, Service]]:
    with served(gated, waiting_items=1) as one:
        yield one


@pytest.fixture(scope="module")
def home(serving: tuple[int, Service]) -> str:
    return f"http://127.0.0.1:{serving[0]}"


@pytest.fixture(scope="module")
def service(serving: tuple[int, Service]) -> Service:
    return serving[1]


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Pages that nothing may complain of, and that load from one place only."""
    contexts, complaints, requests = [], list[str](), list[str]()

    def making(**options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append("dialog"), dialog.dismiss()))
        page.on("request", lambda one: requests.append(one.url))
        return page

    yield making
    for context in contexts:
        context.close()
    # The browser itself notes each answer that is no success.
    assert not [one for one in complaints if not one.startswith("Failed to load resource")]
    assert all(re.match(r"http://127\.0\.0\.1:\d+/", one) for one in requests)


def api(page: Any, home: str, question: str) -> dict[str, Any]:
    given = page.request.post(f"{home}/v1/answer", data={"question": question})
    result: dict[str, Any] = given.json()["results"][0]
    return result


def ask(page: Any, question: str) -> None:
    page.fill("#q", question)
    page.keyboard.press("Enter")
    page.wait_for_selector("#out:not([aria-busy]) .answer")


def check(page: Any, result: dict[str, Any]) -> None:
    """What is marked is what the API says, and nothing that a passage holds became part of it."""
    best = result["answers"][0]["text"]
    assert page.locator("mark.best").all_text_contents() == [best]
    assert page.locator("[data-f=answer]").text_content() == best
    texts = page.locator(".hit .text").all_text_contents()
    assert texts == [one["text"] for one in result["hits"]]
    titles = page.locator(".hit h3").all_text_contents()
    assert titles == [one["title"] for one in result["hits"]]
    assert page.evaluate("typeof window.hurt") == "undefined"
    assert page.locator("main script, main img, main i").count() == 0


def test_questions_with_and_without_script_show_the_same(
    new_page: Callable[..., Any], home: str
) -> None:
    page, plain = new_page(), new_page(java_script_enabled=False)
    page.goto(home)
    assert page.evaluate("document.activeElement.id") == "q"
    for question in ODD_QUESTIONS:
        result = api(page, home, question)
        ask(page, question)
        check(page, result)
        assert question in page.title()
        plain.goto(home)
        plain.fill("#q", question)
        plain.keyboard.press("Enter")
        plain.wait_for_selector(".answer")
        best = result["answers"][0]["text"]
        assert plain.locator("mark.best").all_text_contents() == [best]
        without = "() => document.querySelector('#out').innerText.replace(/[0-9]+ ms/, '')"
        assert page.evaluate(without).replace("Copy", "").split() == (
            plain.evaluate(without).replace("Copy", "").split()
        )


def test_links_and_the_way_back(new_page: Callable[..., Any], home: str) -> None:
    page = new_page()
    page.goto(f"{home}/?q=who+lives+in+the+forest&mode=dense&k=2")
    assert page.locator(".hit").count() == 2
    assert page.input_value("select") == "dense"
    ask(page, "what is the city")
    assert page.url == f"{home}/?q=what+is+the+city&mode=dense&k=2"
    assert page.locator(".hit").count() == 2
    second = page.locator(".hit .text").all_text_contents()
    page.fill("[name=where]", "year>2000; title~*script*")
    ask(page, "the king")
    assert page.locator(".hit").count() == 1
    page.go_back()
    page.wait_for_function("document.querySelectorAll('.hit').length === 2")
    assert page.input_value("#q") == "what is the city"
    assert page.locator(".hit .text").all_text_contents() == second
    page.go_back()
    page.wait_for_function("document.querySelector('#q').value === 'who lives in the forest'")
    page.wait_for_selector("#out:not([aria-busy]) .hit")
    page.go_forward()
    page.wait_for_function("document.querySelector('#q').value === 'what is the city'")
    page.locator("[data-f=open]").first.click()
    page.wait_for_selector("#passage")
    assert page.evaluate("document.querySelector(':target').id") == "passage"
    assert page.locator("#passage").text_content() == second[0]
    page.go_back()
    page.wait_for_selector(".hit")
    assert page.locator(".hit .text").all_text_contents() == second


def test_keys_alone_are_enough(new_page: Callable[..., Any], home: str) -> None:
    page = new_page()
    page.goto(home)
    page.keyboard.type("where does the king live")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer")
    assert page.locator("[role=status]").text_content()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.f") == "open":
            break
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Copy"
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Copied")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.press("Escape")
    assert page.input_value("#q") == ""
    assert page.locator(".hit").count() == 0
    assert page.url == f"{home}/"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_a_citation_is_copied(new_page: Callable[..., Any], home: str) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{home}/?q=the+queen+of+castle")
    hit = page.locator(".hit", has=page.locator("mark.best"))
    hit.locator(".cite summary").click()
    hit.locator("[data-copy]").click()
    page.wait_for_selector("text=Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == hit.locator(".citation").text_content()
    assert f"“{page.locator('mark.best').text_content()}” — " in copied


def test_a_full_server_is_asked_again_when_it_said(
    new_page: Callable[..., Any], home: str, gated: Gated
) -> None:
    page = new_page()
    page.goto(home)
    gated.gate.clear()
    try:
        page.fill("#q", "the old king")
        page.keyboard.press("Enter")
        page.wait_for_selector("#out[aria-busy]")
        other = new_page()
        other.goto(home)
        other.fill("#q", "the old queen")
        other.keyboard.press("Enter")
        other.wait_for_selector("text=Too many are asking")
        other.wait_for_selector("text=/Ask again, in \\d+ s by itself/")
        # Without script the same, but for the asking by itself.
        plain = new_page(java_script_enabled=False)
        assert plain.goto(f"{home}/?q=the+old+cat").status == 429
        assert plain.locator(".state .button").text_content() == "Ask again"
    finally:
        gated.gate.set()
    for one in (page, other):
        one.wait_for_selector("#out:not([aria-busy]) .answer")
    assert other.input_value("#q") == "the old queen"
    plain.locator(".state .button").click()
    plain.wait_for_selector(".answer")


def test_a_newer_question_takes_the_place_of_an_older(
    new_page: Callable[..., Any], home: str
) -> None:
    page = new_page()
    page.goto(home)
    held: list[Any] = []

    def hold(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/v1/answer", hold)
    page.fill("#q", "the first question of snow")
    page.keyboard.press("Enter")
    page.wait_for_selector("#out[aria-busy]")
    ask(page, "the second question of snow")
    assert len(held) == 1
    with suppress(Exception):  # the page gave it up, and the browser may say so
        held[0].fulfill(status=503, headers={"retry-after": "9"}, body="{}")
    page.wait_for_timeout(200)
    check(page, api(page, home, "the second question of snow"))


# The first question is refused, by an answer whose body does not come.
REFUSED_SLOWLY = """
const real = window.fetch;
let first = true;
window.fetch = (url, options) => {
  if (!first) return real(url, options);
  first = false;
  const { signal } = options;
  const stopped = (_, no) => signal.addEventListener("abort", () => no(signal.reason));
  const headers = new Headers({ "retry-after": "9" });
  return Promise.resolve({ ok: false, status: 429, headers, json: () => new Promise(stopped) });
};
"""


def test_a_refusal_of_an_older_question_does_not_take_the_place_of_a_newer(
    new_page: Callable[..., Any], home: str
) -> None:
    page = new_page()
    page.add_init_script(REFUSED_SLOWLY)
    page.goto(home)
    held: list[Any] = []
    page.route("**/v1/answer", lambda route: held.append(route))
    for question in ("the first question of snow", "the second question of snow"):
        page.fill("#q", question)
        page.keyboard.press("Enter")
        page.wait_for_selector("#out[aria-busy]")
    page.wait_for_timeout(200)
    assert page.locator("#out[aria-busy]").count() == 1
    assert page.locator("[role=status]").text_content() == "Searching"
    [asked] = held
    asked.continue_()
    page.wait_for_selector("#out:not([aria-busy]) .answer")


def refusing(status: int, headers: dict[str, str]) -> Callable[[Any], None]:
    def refuse(route: Any) -> None:
        route.fulfill(status=status, headers=headers, body="<b>no</b>")

    return refuse


def test_other_states(new_page: Callable[..., Any], home: str) -> None:
    page = new_page()
    page.goto(home)
    assert "Ask a question" in page.locator("#out").inner_text()
    page.locator("summary", has_text="How to search").click()
    page.fill("#q", "king")
    for where, title in (("year>3000", "Nothing was found"), ("nonsense", "That cannot be asked")):
        page.fill("[name=where]", where)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"text={title}")
        assert page.locator("[role=status]").text_content().startswith(title)
    page.fill("[name=where]", "")
    answers = (
        (503, {"retry-after": "1"}, "Not ready"),
        (504, {}, "That took too long"),
        (401, {}, "Sign in first"),
        (500, {}, "That did not work"),
    )
    for status, headers, title in answers:
        page.route("**/v1/answer", refusing(status, headers))
        page.locator("#ask button").click()
        page.wait_for_selector(f"text={title}")
        page.unroute("**/v1/answer")
        if status == 503:
            page.wait_for_selector(".answer")
    page.route("**/v1/answer", lambda route: route.abort())
    page.locator("#ask button").click()
    page.wait_for_selector("text=The server cannot be reached")


def test_signing_in_and_out(new_page: Callable[..., Any], odd: Engine) -> None:
    with served(odd, keys=KEYS) as (port, _):
        page = new_page()
        page.goto(f"http://127.0.0.1:{port}/?q=the+queen+of+castle")
        page.fill("#key", "wrong-0123456789")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        page.fill("#key", ASK)
        with page.expect_request(lambda one: one.method == "POST") as sent:
            page.keyboard.press("Enter")
        # By it the server knows whether people come by https.
        assert sent.value.all_headers()["origin"] == f"http://127.0.0.1:{port}"
        page.wait_for_selector(".answer")
        assert page.input_value("#q") == "the queen of castle"
        page.context.clear_cookies()
        page.fill("#q", "another question")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Sign in first")
        page.locator("a.button", has_text="Sign in").click()
        page.fill("#key", ASK)
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer")
        assert page.input_value("#q") == "another question"
        page.locator("text=Sign out").click()
        page.wait_for_selector("#key")


PAGES = {
    "empty": "/",
    "nothing": "/?q=the+king&where=year>3000",
    "answer": "/?q=the+king",
    "document": "/document?passage=emoji&end=9",
    "signin": "/signin",
}


def look(page: Any, name: str, axe: Any, folder: Path | None) -> None:
    """Nothing is wider than the page, axe finds nothing; and a picture, where they are wanted."""
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(WIDER) == [], (name, width)
    options = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    found = axe.run(page, options=options).response
    assert found["testEngine"]["name"] == "axe-core"
    violations = [
        (one["id"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in found["violations"]
    ]
    assert not violations, (name, width, violations)
    if folder is not None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_width_and_axe_finds_nothing(
    new_page: Callable[..., Any],
    home: str,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
    scheme: str,
    width: int,
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe").Axe()
    folder: Path | None = pytestconfig.getoption("--screenshots")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    for name, path in PAGES.items():
        assert page.goto(home + path).ok
        if "the+king" in path:
            page.evaluate("document.querySelectorAll('details').forEach(o => o.open = true)")
        look(page, f"{name}-{width}-{scheme}", axe, folder)
    # As the server makes it, and as the script does.
    states: tuple[tuple[int, Any, str, Any], ...] = (
        (429, service.door, "items", 10**6),
        (503, service, "stage", "starting"),
    )
    for status, where, what, value in states:
        with monkeypatch.context() as patch:
            patch.setattr(where, what, value)
            new = f"{status} {width} {scheme}"  # what was answered once is answered again
            assert page.goto(f"{home}/?q={new}").status == status
            look(page, f"{status}-{width}-{scheme}", axe, folder)
            page.goto(home)
            page.fill("#q", new)
            page.keyboard.press("Enter")
            page.wait_for_selector("text=/Ask again, in \\d+ s by itself/")
            look(page, f"{status}-asked-{width}-{scheme}", axe, folder)


def test_print_is_light_and_without_what_is_pressed(
    new_page: Callable[..., Any], home: str
) -> None:
    page = new_page(color_scheme="dark")
    page.goto(f"{home}/?q=the+king")
    page.emulate_media(media="print", color_scheme="dark")
    colour = page.evaluate("getComputedStyle(document.querySelector('.large')).color")
    assert colour == "rgb(29, 32, 36)"
    assert not page.locator("#ask button").is_visible()
    assert page.locator("mark.best").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
