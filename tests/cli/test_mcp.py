"""``dpr mcp`` as assistants run it: a process that speaks the protocol, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="needs the package mcp, of the extra [dev]")

from mcp import ClientSession, StdioServerParameters, stdio_client
from tests.cli.conftest import DOCUMENTS, Run

ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
MESSAGES = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "search", "arguments": {"question": "secret stone", "mode": "bm25"}},
    },
    {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/call",
        "params": {"name": "search", "arguments": {"question": "secret", "k": 0}},
    },
]


def session(collection: Path, talk: Callable[[ClientSession], Awaitable[Any]], errors: Any) -> Any:
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "dpr", "mcp", str(collection)], env=ENVIRONMENT
    )

    async def talking() -> Any:
        async with (
            stdio_client(parameters, errlog=errors) as (read, write),
            ClientSession(read, write) as client,
        ):
            await client.initialize()
            return await talk(client)

    return asyncio.run(asyncio.wait_for(talking(), 120))


@pytest.mark.slow
def test_the_official_client_lists_and_calls_the_tools(collection: Path, tmp_path: Path) -> None:
    async def talk(client: ClientSession) -> None:
        names = {one.name for one in (await client.list_tools()).tools}
        assert names == {"search", "answer", "read_passage"}
        found = await client.call_tool("search", {"question": "bread and stone", "mode": "bm25"})
        assert not found.is_error
        [first, *_] = found.structured_content["passages"]
        citation = first["citation"]
        text = DOCUMENTS[citation["document"]]
        assert text[citation["start"] : citation["end"]] == first["text"]
        assert (citation["collection"], citation["version"]) == ("docs.dpr", 1)
        read = await client.call_tool("read_passage", {"passage_id": citation["passage_id"]})
        assert read.structured_content["passage"]["text"] == first["text"]
        answered = await client.call_tool("answer", {"question": "what is bread made of"})
        assert not answered.is_error
        for one in answered.structured_content["answers"]:
            where = one["citation"]
            text = DOCUMENTS[where["document"]]
            assert text[where["start"] : where["end"]] == one["text"]
        wrong = await client.call_tool("read_passage", {"passage_id": "nowhere"})
        assert wrong.is_error
        assert "nowhere" in wrong.content[0].text

    with (tmp_path / "errors").open("w+", encoding="utf-8") as errors:
        session(collection, talk, errors)
        errors.seek(0)
        assert errors.read() == ""


@pytest.mark.slow
def test_stdout_has_the_protocol_alone_and_questions_are_logged_nowhere(collection: Path) -> None:
    """Whoever prints while models load or a tool runs, natively too, is heard on stderr."""
    code = (
        "import os, sys\n"
        "from dpr.pipeline import Pipeline\n"
        "kept_open, kept_ask = Pipeline.open.__func__, Pipeline.searcher.fget\n"
        "def noisy(cls, *a, **k):\n"
        "    print('noise one'); os.write(1, b'noise two\\n')\n"
        "    return kept_open(cls, *a, **k)\n"
        "def louder(self):\n"
        "    print('noise three'); os.write(1, b'noise four\\n')\n"
        "    kept = kept_ask(self)\n"
        "    print('noise five', end='')\n"  # which lies in Python until somebody flushes it
        "    return kept\n"
        "Pipeline.open, Pipeline.searcher = classmethod(noisy), property(louder)\n"
        f"sys.argv = ['dpr', 'mcp', {str(collection)!r}]\n"
        "from dpr.cli import main; main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(json.dumps(one) + "\n" for one in MESSAGES))
    process.stdin.flush()
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    rest, errors = process.communicate(timeout=60)  # which ends its input
    assert process.returncode == 0, errors
    assert rest == ""
    given = {one["id"]: one["result"] for one in lines}
    assert "stone" in given[2]["structuredContent"]["passages"][0]["text"]
    assert given[3]["isError"] is True
    for word in ("one", "two", "three", "four", "five"):
        assert f"noise {word}" in errors
    assert "secret" not in errors


@pytest.mark.slow
def test_a_collection_that_is_not_there_ends_it_before_a_word(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dpr", "mcp", str(tmp_path / "none")],
        input="",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "error:" in done.stderr


def test_a_missing_extra_is_named(
    run: Run, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("dpr.assistants.tools")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    result = run("mcp", collection)
    assert result.exit_code == 1
    assert "pip install 'dense-passage-retrieval[mcp]'" in result.stderr
