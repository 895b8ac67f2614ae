"""The recipes of docs/clients.md, as they stand there, against a service with keys."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run
from tests.cli.conftest import run as run
from tests.client.conftest import served

from dpr.serve.engine import Engine
from dpr.serve.keys import Keys

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
KEY = "ask-0123456789abcdef"


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    """Of a service that wants a key."""
    with served(engine, Keys.of([KEY])) as one:
        yield one


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    assert found
    return found


def placed(code: str, url: str) -> str:
    """The recipe, with the address and the key of this service."""
    return re.sub(r"\bKEY\b", KEY, code.replace("http://127.0.0.1:8000", url))


def test_python(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("openai", "langchain_core"):
        pytest.importorskip(name, reason=f"needs the package {name}, of the extra [dev]")
    names: dict[str, Any] = {"__name__": "__recipes__"}
    for code in blocks("python"):
        exec(compile(placed(code, url), str(PAGE), "exec", dont_inherit=True), names)
    printed = capsys.readouterr().out
    assert re.search(r"^.+ \(0\.\d\d\), d\d\S*, version 1$", printed, re.M)
    assert (
        "422 schema: The request is not as the schema says: body.k: has to be at least 1" in printed
    )
    assert len(names["many"]) == 2
    assert len(names["vectors"][0]) == len(names["queries"].data[0].embedding) == 32
    assert len(names["passages"].data) == 1
    assert [one.page_content for one in names["documents"]]


def test_shell(url: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs the command curl")
    [code] = blocks("sh")
    done = subprocess.run(["bash", "-c", placed(code, url)], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["hits"]


def test_the_assistants_configuration_is_a_command(run: Run) -> None:
    pytest.importorskip("mcp", reason="needs the package mcp, of the extra [dev]")
    [code] = blocks("json")
    [server] = json.loads(code)["mcpServers"].values()
    assert server["command"] == "dpr"
    result = run(*server["args"])
    assert result.exit_code == 1  # there is no such collection, and no such option is another code
    assert "/path/to/docs.dpr" in result.stderr
