"""What the server does is what OpenAPI says: requests made from it, good and bad, over a socket.

FUZZ=500 makes so many for each operation (``make fuzz``); otherwise a few.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import example, given
from hypothesis import strategies as st
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks
from starlette.testclient import TestClient
from tests.serve.conftest import USUAL, open_engine, started
from tests.serve.sockets import served
from tests.serve.test_guard import CHANGE, KEYS
from tests.serve.test_service import Gated, until

from dpr.errors import SettingsError
from dpr.filters import parse_filters
from dpr.serve.conditions import CONDITION, SPELLED, apart
from dpr.serve.description import operations
from dpr.serve.engine import Engine
from dpr.serve.examples import EXAMPLES as EXAMPLES_OF
from dpr.serve.problems import style

EXAMPLES = int(os.environ.get("FUZZ", "12"))
# What fits the schema may still find no room, no time or no such thing. 500 is declared and yet
# a fault.
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429", "431"]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "413", "429", "503", "504"]
"""
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture
def port(changing: Path, tiny_model: Path) -> Iterator[int]:
    engine = open_engine(changing, tiny_model)
    with served(engine, KEYS) as (port, service):
        yield port
        metrics = service.watch.text().decode()
    engine.pipeline.close()
    # 503 is declared, and yet no answer to an input that breaks the work.
    assert re.findall(r'dpr_refusals_total{code="(collection|failing|fault)"}.*', metrics) == []


def fuzzed(port: int, folder: Path, *options: str) -> dict[str, Any]:
    """schemathesis's report."""
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "config.toml", "run"),
        *(f"http://127.0.0.1:{port}/openapi.json", "--checks", "all", "--continue-on-failure"),
        *("--header", f"Authorization: Bearer {CHANGE}", "--max-examples", str(EXAMPLES)),
        *("--report", "json", "--report-json-path", "report.json", *options),
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
    )
    (folder / "output").write_text(done.stdout + done.stderr, encoding="utf-8")
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


def test_requests_made_from_openapi_are_answered_as_it_says(port: int, tmp_path: Path) -> None:
    seed = os.environ.get("FUZZ_SEED", "1")
    options = ["--phases", "examples,coverage,fuzzing", "--seed", seed]
    report = fuzzed(port, tmp_path, *options, *(["--no-shrink"] if EXAMPLES < 100 else []))
    found = [f"{one['title']}: {', '.join(one['operations'])}" for one in report["failures"]]
    count, tested = report["test_cases"]["generated"], report["operations"]["tested"]
    sys.stdout.write(f"\nfuzz: {count} requests to {tested} operations, seed {seed}\n")
    for line in found or ["0 undeclared statuses, 0 violations of schemas or headers, 0 faults"]:
        sys.stdout.write(f"fuzz: {line}\n")
    text = (tmp_path / "output").read_text(encoding="utf-8")
    assert not found and not report["errors"], text[-20_000:]
    assert report["complete"] and tested == report["operations"]["total"] >= 22
    assert count > 20 * EXAMPLES


@pytest.fixture(scope="module")
def described(client: TestClient) -> Any:
    return schemathesis.openapi.from_dict(client.get("/openapi.json").json())


def test_every_example_is_answered(
    changing: Path, tiny_model: Path, serve: Callable[..., TestClient]
) -> None:
    engine = open_engine(changing, tiny_model)
    client = serve(engine, KEYS)
    client.headers["authorization"] = f"Bearer {CHANGE}"
    shown = set()
    for method, path, operation in operations(client.get("/openapi.json").json()):
        for body in operation.get("requestBody", {}).get("content", {}).values():
            if path != "/signin":  # where a form has a key
                given = client.request(method, path, json=body["example"])
                assert given.status_code == 200, given.text
                shown.add(path)
    assert shown == set(EXAMPLES_OF)
    engine.pipeline.close()


def test_errors_of_other_apis_look_as_theirs(described: Any) -> None:
    styles = {"OpenAI": "openai", "TEI": "tei", "Cohere": "cohere", "Page": "page"}
    seen = Counter[str]()
    for method, path, operation in operations(described.raw_schema):
        [tag] = operation["tags"]
        if not path.startswith("/static/"):
            assert style(method.upper(), path) == styles.get(tag, "problem"), path
            seen[tag] += 1
    assert all(seen[tag] for tag in styles)


# Requests that are refused, one of each status that clients can bring about; the others are of
# time and load.
REFUSED: list[tuple[int, str, str, dict[str, Any]]] = [
    (400, "POST", "/v1/search", {"content": "{"}),
    (400, "POST", "/v1/embeddings", {"content": b'"\xff"'}),
    (403, "POST", "/v1/documents", {"json": {}}),
    (403, "GET", "/", {"headers": {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}}),
    (404, "GET", "/document", {"params": {"passage": "none"}}),
    (413, "POST", "/v1/search", {"content": b" " * 2_000_001}),
    (413, "POST", "/rerank", {"json": {"query": "a", "texts": ["a " * 400_000]}}),
    (413, "POST", "/signin", {"content": b" " * 2_000_001}),
    (415, "POST", "/v1/search", {"content": "{}", "headers": {"content-type": "text/plain"}}),
    (415, "POST", "/embed", {"data": {"inputs": "a"}}),
    (422, "POST", "/v1/answer", {"json": {"question": "a", "kk": 1}}),
    (422, "POST", "/v1/rerank", {"json": {"query": "a"}}),
    (422, "GET", "/", {"params": {"where": "nonsense"}}),
]


@pytest.mark.parametrize(("status", "method", "path", "request_"), REFUSED)
def test_refusals_are_as_declared(
    client: TestClient,
    described: Any,
    status: int,
    method: str,
    path: str,
    request_: dict[str, Any],
) -> None:
    kind = {"content-type": "application/json"} if "content" in request_ else {}
    given = client.request(
        method, path, **request_ | {"headers": kind | request_.get("headers", {})}
    )
    assert given.status_code == status
    conforms(described, method, path, given)


def conforms(described: Any, method: str, path: str, given: Any) -> None:
    """Raises where an answer is not as OpenAPI says."""
    described[path][method].Case().validate_response(given, checks=CHECKS)


def test_what_is_not_declared_is_found(client: TestClient, described: Any) -> None:
    conforms(described, "GET", "/live", client.get("/live"))
    for change in ({"status_code": 418}, {"headers": {}}, {"_content": b"[]"}):
        altered = client.get("/live")
        vars(altered).update(change)
        with pytest.raises(FailureGroup):
            conforms(described, "GET", "/live", altered)


def test_full_late_ending_and_failing_servers_answer_as_declared(
    engine: Engine, described: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "/v1/search": {"question": "a"},
        "/v1/embeddings": {"input": "a", "model": "tiny"},
        "/embed": {"inputs": "a"},
        "/v1/rerank": {"query": "a", "documents": ["a"]},
    }
    gated = Gated(engine)
    with started(gated, deadline=0.3) as client:
        service = client.app.state.service  # type: ignore[attr-defined]

        def all_say(status: int) -> None:
            for path, body in bodies.items():
                given = client.post(path, json=body)
                assert given.status_code == status, path
                conforms(described, "POST", path, given)

        gated.gate.clear()
        all_say(504)
        gated.gate.set()
        until(lambda: service.door.items == 0)
        service.door.enter(USUAL.waiting_items, 1)
        all_say(429)
        service.door.leave(USUAL.waiting_items, 1)
        monkeypatch.setattr(service, "stage", "draining")
        all_say(503)
        for path in ("/ready", "/health"):
            given = client.get(path)
            assert given.status_code == 503
            conforms(described, "GET", path, given)


def test_paths_say_all_methods_that_they_take(client: TestClient, described: Any) -> None:
    allowed: dict[str, set[str]] = {}
    for method, path, _ in operations(described.raw_schema):
        allowed.setdefault(path, set()).add(method.upper())
    del allowed["/v1/documents"], allowed["/v1/documents/{document}"]  # which ask for a key first
    for path, methods in allowed.items():
        given = client.request("TRACE", path)
        assert given.status_code == 405
        # Nothing is said of HEAD: it is GET without the body, wherever that is.
        assert set(given.headers["allow"].split(", ")) - {"HEAD"} == methods
        assert ("HEAD" in given.headers["allow"]) == ("GET" in methods)


NAMES = st.text("ab id\x85\x1c\ufeff\\=!<>~|;", max_size=8) | st.sampled_from(
    ["id", "\\text", " t\\ext ", "é"]
)
TEXTS = st.builds(
    "{}{}{}".format,
    NAMES,
    st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "~", "!~", "==", ""]),
    NAMES,
)


@given(TEXTS)
@example("a<b|c")
@example("a<b\\|c")
@example("a=\\")
@example("a=\n")
def test_the_pattern_of_conditions_is_what_is_understood(text: str) -> None:
    assert bool(re.search(CONDITION, text)) == understood([text]), text


@given(st.lists(TEXTS, max_size=3).map(";".join))
@example("a=b\\\\;c=d")
@example("a=b\\;c=d")
@example("a=b\\")
@example("\\;")
def test_the_pattern_of_the_pages_filter_is_what_is_understood(text: str) -> None:
    assert bool(re.search(SPELLED, text)) == understood(apart(text)), text


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("a=b; c=d;", ["a=b", " c=d"]),
        ("a=b\\;c=d", ["a=b\\;c=d"]),
        ("a=b\\\\;c=d", ["a=b\\\\", "c=d"]),
        ("a=b\\\\\\;c=d", ["a=b\\\\\\;c=d"]),
        ("a=b\\", ["a=b\\"]),
        (" ; ;", []),
    ],
)
def test_conditions_are_told_apart(spelled: str, expected: list[str]) -> None:
    assert apart(spelled) == expected


def understood(texts: list[str]) -> bool:
    try:
        parse_filters(texts)
    except SettingsError:
        return False
    return True
