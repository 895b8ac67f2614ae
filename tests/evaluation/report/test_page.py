"""The HTML: every figure is the JSON's, every text from outside is text, nothing is asked for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dpr.errors import MissingExtraError
from dpr.evaluation.records import Comparison, Cost, Estimate, Evaluation
from dpr.evaluation.report import read_json, to_html, write_json, write_report

from . import sample
from .reading import Page, check

WORDS = {"F1", "p50", "p95", "SQuAD 2.0", "UTF-8"}  # digits that are part of a word of ours


@pytest.fixture(scope="module")
def full() -> Evaluation:
    return sample.evaluation()


@pytest.fixture(scope="module")
def page(full: Evaluation) -> str:
    return to_html(full)


@pytest.fixture(scope="module")
def hostile_page() -> str:
    return to_html(sample.hostile())


def as_json(evaluation: Evaluation, folder: Path) -> Any:
    """The evaluation as its file has it, read by the standard library."""
    return json.loads(write_json(evaluation, folder / "e.json").read_text(encoding="utf-8"))


def test_every_figure_is_the_json_s(page: str, full: Evaluation, tmp_path: Path) -> None:
    figures, values = Page(page).figures, as_json(full, tmp_path)
    for attributes, text in figures:
        check(attributes, text, values)
    kinds = {attributes["data-kind"] for attributes, _ in figures}
    assert kinds >= {"share", "points", "p", "effect", "count", "ms", "seconds", "bytes", "raw"}
    shown = {attributes["data-of"] for attributes, _ in figures}
    for place, system in enumerate(full.systems):
        for name in system.measures:
            for field in ("value", "low", "high"):
                assert f"/systems/{place}/measures/{name}/{field}" in shown


def test_a_wrong_figure_would_be_found(page: str, full: Evaluation, tmp_path: Path) -> None:
    values = as_json(full, tmp_path)
    values["systems"][0]["measures"]["nDCG@10"]["value"] += 0.001
    with pytest.raises(AssertionError):
        for attributes, text in Page(page).figures:
            check(attributes, text, values)


def test_no_figure_stands_outside_those(page: str, full: Evaluation, tmp_path: Path) -> None:
    """A text with digits is one of the JSON's own strings or names, or a word of ours."""
    known = set(WORDS)

    def gather(value: Any) -> None:
        if isinstance(value, dict):
            known.update(value)
            list(map(gather, value.values()))
        elif isinstance(value, list):
            list(map(gather, value))
        elif isinstance(value, str):
            known.add(value)

    gather(as_json(full, tmp_path))
    known.add(full.created[:16].replace("T", " "))
    scale = next(text for text in Page(page).texts if "on a scale from" in text)
    assert re.fullmatch(r" intervals, on a scale from \d+\.0% to \d+\.0%", scale)
    texts = [text for text in Page(page).texts if text != scale]
    everything = "\n".join(known)
    for text in texts:
        left = text
        for word in sorted(known & {*re.findall(r"\S+", text), *WORDS}, key=len, reverse=True):
            left = left.replace(word, "")
        if re.search(r"\d", left):
            plain = " ".join(text.split())
            assert plain in everything or all(
                part in everything for part in re.split(r"\.|, ", plain)
            ), text


def test_it_is_well_formed_and_ids_are_unique(page: str, hostile_page: str) -> None:
    for text in (page, hostile_page):
        read = Page(text)
        assert not read.unclosed
        ids = [one["id"] for _, one in read.elements if "id" in one]
        assert len(ids) == len(set(ids)) > 10
        for _, attributes in read.elements:
            for name in ("aria-labelledby", "aria-describedby"):
                assert attributes.get(name, ids[0]) in ids
            target = attributes.get("href") or ids[0] or ""
            assert target.lstrip("#") in ids
            clip = re.fullmatch(r"url\(#(.+)\)", attributes.get("clip-path") or "")
            assert clip is None or clip[1] in ids


def test_nothing_is_asked_for_and_nothing_runs(page: str, hostile_page: str) -> None:
    for text in (page, hostile_page):
        read = Page(text)
        tags = {tag for tag, _ in read.elements}
        assert not tags & {
            "script",
            "img",
            "link",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "b",
        }
        names = {name for _, attributes in read.elements for name in attributes}
        assert not {one for one in names if one.startswith("on") or one in ("src", "style")}
        style = re.search(r"<style>(.*?)</style>", text, re.S)
        assert style and not re.search(r"url\(|@import", style[1])
        hashed = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        policy = next(one["content"] for tag, one in read.elements if "http-equiv" in one)
        assert policy == (
            f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
        )


def test_hostile_texts_are_shown_as_they_are(hostile_page: str) -> None:
    shown = "\n".join(Page(hostile_page).texts)
    for text in sample.HOSTILE:
        assert (
            re.sub("[\x00-\x08\x0b-\x1f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text) in shown
        )
    assert "49" not in [text.strip() for text in Page(hostile_page).texts]  # 7 * 7, if it ran
    hostile_page.encode("utf-8")


def test_hostile_figures_are_the_json_s(hostile_page: str, tmp_path: Path) -> None:
    values = as_json(sample.hostile(), tmp_path)
    for attributes, text in Page(hostile_page).figures:
        check(attributes, text, values)


def sections(text: str) -> list[str]:
    return [one["id"] or "" for tag, one in Page(text).elements if tag == "section" and "id" in one]


def test_sections_without_data_are_left_out(page: str, full: Evaluation) -> None:
    everything = "measures differences curve reader cost examples repeat".split()
    assert sections(page) == everything
    bare = to_html(sample.bare())
    assert sections(bare) == ["measures"]
    assert "<figure" not in bare and "warning" not in bare.partition("</style>")[2]
    less = replace(
        full,
        comparisons=(),
        examples=(),
        systems=tuple(replace(one, reading=None, curve=(), cost=Cost()) for one in full.systems),
    )
    assert sections(to_html(less)) == ["measures", "repeat"]
    assert sections(to_html(replace(sample.bare(), systems=()))) == []


def test_questions_that_were_made_are_said_to_be() -> None:
    said, one = "not asked by people", sample.bare()
    assert said not in to_html(one)
    assert said in to_html(replace(one, questions={"made": True}))


def test_verdicts_follow_the_corrected_p(full: Evaluation) -> None:
    systems = tuple(replace(one, reading=None, curve=(), cost=Cost()) for one in full.systems)

    def verdict(**fields: Any) -> str:
        values = {"difference": 0.1, "low": 0.05, "high": 0.15, "p": 0.001, "p_holm": 0.01}
        one = Comparison(
            **{
                "measure": "accuracy@20", "system": "dpr-mini", "other": "bm25", **values,
                "effect": 0.2, "wins": 50, "losses": 10, "ties": 340, **fields,
            }
        )  # fmt: skip
        text = to_html(replace(full, systems=systems, comparisons=(one,), examples=()))
        found = re.search(r'<ul class="sentences">\s*<li>(.*?)</li>', text, re.S)
        assert found
        return re.sub(r"<[^>]+>", "", found[1]).replace("\N{NO-BREAK SPACE}", " ")

    assert verdict() == (
        "dpr-mini is better than bm25 by 10.0 points (95% interval +5.0 to +15.0, p = 0.010)."
    )
    assert verdict(difference=-0.1, low=-0.15, high=-0.05) == (
        "bm25 is better than dpr-mini by 10.0 points (95% interval +5.0 to +15.0, p = 0.010)."
    )
    assert verdict(p_holm=0.05) == (
        "No clear difference between dpr-mini and bm25: +10.0 (95% interval +5.0 to +15.0, "
        "p = 0.050)."
    )


def test_the_same_evaluation_gives_the_same_bytes_even_read_back(
    page: str, full: Evaluation, tmp_path: Path
) -> None:
    assert to_html(read_json(write_json(full, tmp_path / "e.json"))) == page


def test_odd_figures_are_drawn_too(tmp_path: Path) -> None:
    """Eight systems, intervals that are not known, times that the clock cannot tell, no ties."""
    nan, one = float("nan"), sample.bare().systems[0]
    odd = Cost(latencies=(0.0, 0.0), passages=0)
    systems = [
        replace(
            one,
            name=f"system {place}",
            cost=odd if place % 2 else replace(odd, latencies=(3.0,)),
            measures={"nDCG@10": Estimate((0.0, nan, 1.0)[place % 3], nan, nan, 1)},
            curve=((1, Estimate(0.5, nan, nan, 1)), (5, Estimate(0.5, 0.5, 0.5, 1))),
        )
        for place in range(8)
    ]
    same = Comparison(
        "nDCG@10", "system 0", "system 1", 0.0, 0.0, 0.0, 1.0, 1.0, nan, 0, 0, 1, (0.0,)
    )
    evaluation = replace(sample.bare(), systems=tuple(systems), comparisons=(same,))
    text, values = to_html(evaluation), as_json(evaluation, tmp_path)
    assert sections(text) == ["measures", "differences", "curve", "cost"]
    assert "nan" not in text.partition("</style>")[2].lower()
    for attributes, shown in Page(text).figures:
        check(attributes, shown, values)


@pytest.mark.slow
def test_ten_thousand_questions_stay_under_two_megabytes(tmp_path: Path) -> None:
    paths = write_report(sample.evaluation(10_000, examples=40), tmp_path)
    report = paths[0]
    assert report.name == "report.html"
    assert report.stat().st_size < 1_000_000
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named(
    package: str, full: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"{package}.*dense-passage-retrieval.evaluate"):
        to_html(full)
