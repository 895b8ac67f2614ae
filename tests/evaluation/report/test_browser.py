"""The report in a browser: nothing asked for, nothing complained of, readable at every width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dpr.evaluation.report import to_html

from . import sample

pytestmark = pytest.mark.slow
WIDTHS = (320, 768, 1440)
AXE = [(scheme, width, width == 768) for scheme in ("light", "dark") for width in WIDTHS]
# The width of the page, and what is wider than it and does not stand in a region that scrolls.
WIDER = """() => [
    document.documentElement.scrollWidth,
    [...document.querySelectorAll('body *')]
        .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
        .filter(one => !one.closest('.scroll, .unseen, .skip, svg'))
        .map(one => one.outerHTML.slice(0, 80)),
]"""


@pytest.fixture(scope="module", params=["evaluation", "hostile"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = {"evaluation": sample.evaluation, "hostile": sample.hostile}[request.param]()
    path = tmp_path_factory.mktemp("report") / f"{request.param}.html"
    path.write_text(to_html(made), encoding="utf-8")
    return path


def test_it_opens_in_peace_at_every_width(browser: Any, report: Path) -> None:
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        complaints, requests = [], []
        page.on("console", lambda message, to=complaints: to.append(message.text))
        page.on("pageerror", lambda error, to=complaints: to.append(str(error)))
        page.on("dialog", lambda dialog, to=complaints: (to.append("dialog"), dialog.dismiss()))
        page.on("request", lambda one, to=requests: to.append(one.url))
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(report.as_uri())
            wide, wider = page.evaluate(WIDER)
            assert wide <= width and not wider, (scheme, width, wider)
            shown = [page.locator(f"#curve .on-{one}").is_visible() for one in ("wide", "narrow")]
            assert shown == [width > 640, width <= 640]
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(251, 250, 247)", "dark": "rgb(20, 22, 26)"}[scheme]
        assert not complaints
        assert requests == [report.as_uri()] * len(WIDTHS)
        page.close()


def test_axe_finds_nothing(browser: Any, report: Path) -> None:
    """All rules of axe-core, WCAG 2.2 AA and best practices; the folded tables once a scheme."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe").Axe()
    options = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    for scheme, width, unfolded in AXE if report.stem == "evaluation" else AXE[4:5]:
        page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
        page.goto(report.as_uri())
        if unfolded:
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        found = axe.run(page, options=options).response
        assert found["testEngine"]["name"] == "axe-core"
        violations = [
            (one["id"], [node["html"][:160] for node in one["nodes"][:3]])
            for one in found["violations"]
        ]
        assert not violations, (scheme, width, violations)
        page.close()


def test_keys_reach_the_tables_and_the_folded_ones(browser: Any, report: Path) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 900})
    page.goto(report.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#measures .scroll").focus()
    before = page.evaluate("document.activeElement.scrollLeft")
    page.keyboard.press("ArrowRight")
    for _ in range(100):  # wait_for_function would need eval, which the page forbids
        if page.evaluate("document.activeElement.scrollLeft"):
            break
        page.wait_for_timeout(50)
    assert before == 0 < page.evaluate("document.activeElement.scrollLeft")
    page.locator("#curve summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#curve details table").is_visible()
    page.close()


def test_print_is_light_and_whole(browser: Any, report: Path) -> None:
    page = browser.new_page(color_scheme="dark", viewport={"width": 690, "height": 900})
    page.goto(report.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == (
        "rgb(29, 32, 36)"
    )
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == (
        "visible"
    )
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
