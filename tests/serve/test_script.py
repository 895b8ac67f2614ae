"""The page's script, by node: it cuts texts and words results as the server does."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.serve.conftest import ODD_QUESTIONS, started

import dpr.serve
from dpr.serve.conditions import apart
from dpr.serve.engine import Engine
from dpr.serve.marking import Span, pieces
from dpr.serve.view import view

SCRIPT = Path(dpr.serve.__file__).parent / "static" / "page.mjs"
RUN = """
const { conditions, pieces, unit, view } = await import(process.argv[1]);
let given = "";
for await (const part of process.stdin) given += part;
const does = {
  conditions: (one) => conditions(one.text),
  pieces: (one) => pieces(one.text, one.spans),
  unit: (one) => unit(one.text, one.points),
  view: (one) => view(one.result, one.collection, one.milliseconds),
};
console.log(JSON.stringify(JSON.parse(given).map((one) => does[one.what](one))));
"""
node = shutil.which("node")
pytestmark = pytest.mark.skipif(node is None, reason="needs node")


def done(calls: list[dict[str, Any]]) -> list[Any]:
    """What the script's functions give."""
    command = [str(node), "--input-type=module", "-e", RUN, SCRIPT.as_uri()]
    # As lone surrogates, which no collection holds, JSON has no other text that node may change.
    given = json.dumps(calls)
    ran = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    found: list[Any] = json.loads(ran.stdout)
    return found


CASES = st.tuples(
    st.text(
        st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("👑🌲e\u0301\u0645א")),
        max_size=25,
    ),
    st.lists(st.tuples(st.integers(0, 27), st.integers(0, 27), st.booleans()), max_size=4),
)


# Smaller cases would each start node anew.
@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(CASES, min_size=100, max_size=100))
def test_it_cuts_texts_as_the_server_does(cases: list[Any]) -> None:
    calls = [
        {
            "what": "pieces",
            "text": text,
            "spans": [{"start": start, "end": end, "best": best} for start, end, best in spans],
        }
        for text, spans in cases
    ]
    for (text, spans), found in zip(cases, done(calls), strict=True):
        expected = pieces(text, [Span(*one) for one in spans])
        assert found == [[one.text, one.kind] for one in expected]


def test_places_are_counted_in_units_of_utf_16() -> None:
    text = "a👑e\u0301👩🏽‍🚀ש"
    calls = [{"what": "unit", "text": text, "points": n} for n in range(len(text) + 2)]
    expected = [len(text[:n].encode("utf-16-le")) // 2 for n in range(len(text) + 1)]
    assert done(calls) == [*expected, -1]


@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(st.text("a=; \\\n👑", max_size=12), min_size=100, max_size=100))
def test_it_tells_conditions_apart_as_the_server_does(texts: list[str]) -> None:
    calls = [{"what": "conditions", "text": text} for text in texts]
    assert done(calls) == [apart(text) for text in texts]


def plain(shown: dict[str, Any]) -> dict[str, Any]:
    """Without what may differ: how a query is spelled, and how pieces are held."""
    hits = []
    for hit in shown["hits"]:
        address = urlsplit(hit["href"])
        query = parse_qs(address.query, keep_blank_values=True, strict_parsing=True)
        cut = [
            list(one) if isinstance(one, list) else [one.text, one.kind] for one in hit["pieces"]
        ]
        hits.append(hit | {"href": (address.path, query, address.fragment), "pieces": cut})
    return shown | {"hits": hits}


def test_it_words_results_as_the_server_does(odd: Engine) -> None:
    collection = 'odd <i> "tales"'
    with started(odd) as client:
        results = []
        for mode in ("dense", "bm25", "hybrid"):
            for route, k in (("answer", 5), ("search", 3), ("answer", 1)):
                asked = {"question": ODD_QUESTIONS, "mode": mode, "k": k}
                results += client.post(f"/v1/{route}", json=asked).json()["results"]
        asked = {"question": "king " * 600, "filters": ["year=2001"]}
        results += client.post("/v1/answer", json=asked).json()["results"]
    results.append(results[0] | {"answers": []})
    results.append(results[0] | {"hits": [], "answers": []})
    first = results[0]["answers"][0]
    more = [first | {"score": score, "text": "או 👑"} for score in (0.125, 0.995, 0.0)]
    results.append(results[0] | {"answers": more})
    assert any(one["truncated"] for one in results)
    calls = [
        {"what": "view", "result": one, "collection": collection, "milliseconds": 12.5 * n}
        for n, one in enumerate(results)
    ]
    for call, found in zip(calls, done(calls), strict=True):
        expected = view(call["result"], collection, call["milliseconds"])
        assert plain(found) == plain(expected)
