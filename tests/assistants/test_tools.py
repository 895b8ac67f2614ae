"""The tools as the official client sees them, in this process: what they say of themselves, what
they take, and what an assistant is told when it asks wrongly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="needs the package mcp, of the extra [dev]")

from jsonschema import Draft202012Validator
from mcp import Client
from tests.assistants.test_sources import QUESTION

from dpr.assistants.sources import Sources
from dpr.assistants.tools import MOST_AROUND, MOST_PASSAGES, create_server
from dpr.pipeline import Pipeline


def talk(sources: Sources, with_client: Callable[[Client], Awaitable[Any]]) -> Any:
    async def talking() -> Any:
        async with Client(create_server(sources)) as client:
            return await with_client(client)

    return asyncio.run(talking())


def call(sources: Sources, name: str, **arguments: Any) -> Any:
    return talk(sources, lambda client: client.call_tool(name, arguments))


def tools(sources: Sources) -> dict[str, Any]:
    async def listing(client: Client) -> Any:
        return (await client.list_tools()).tools

    return {one.name: one for one in talk(sources, listing)}


def test_tools_are_described_and_only_read(sources: Sources) -> None:
    found = tools(sources)
    assert set(found) == {"search", "answer", "read_passage"}
    for tool in found.values():
        assert tool.annotations.read_only_hint
        assert not tool.annotations.open_world_hint
        assert tool.description
        properties = tool.input_schema["properties"]
        assert all(one.get("description") for one in properties.values()), tool.name


def test_a_collection_without_a_reader_has_no_tool_that_answers(
    made: Path, tiny_model: Path
) -> None:
    with Pipeline.open(made, model=tiny_model, read=False) as pipeline:
        assert set(tools(Sources(pipeline))) == {"search", "read_passage"}


def test_what_comes_is_what_the_schema_says_and_text_says_the_same(sources: Sources) -> None:
    schemas = {name: tool.output_schema for name, tool in tools(sources).items()}
    found = call(sources, "search", question=QUESTION, k=3, where={"year": 1993})
    [first, *_] = found.structured_content["passages"]
    assert first["citation"]["document"] == "d3"
    read = call(sources, "read_passage", passage_id=first["citation"]["passage_id"], around=1)
    assert read.structured_content["passage"]["text"] == first["text"]
    answered = call(sources, "answer", question=QUESTION)
    assert answered.structured_content["answers"]
    for name, given in (("search", found), ("read_passage", read), ("answer", answered)):
        assert not given.is_error
        Draft202012Validator(schemas[name]).validate(given.structured_content)
        [content] = given.content
        assert json.loads(content.text) == given.structured_content


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("search", {"question": " "}, "question"),
        ("search", {}, "question"),
        ("search", {"question": "a", "k": MOST_PASSAGES + 1}, f"equal to {MOST_PASSAGES}"),
        ("search", {"question": "a", "mode": "sparse"}, "'dense', 'bm25'"),
        ("search", {"question": "a", "where": {"year": {"<": [1, 2]}}}, "has 2 values; give one"),
        ("answer", {"question": "a", "where": {"text": "b"}}, "cannot be filtered by 'text'"),
        ("read_passage", {"passage_id": "nowhere"}, "no passage with the id 'nowhere'"),
        ("read_passage", {"passage_id": "a", "around": MOST_AROUND + 1}, "around"),
    ],
)
def test_who_asks_wrongly_is_told_what_is_allowed(
    sources: Sources, name: str, arguments: dict[str, Any], told: str
) -> None:
    given = call(sources, name, **arguments)
    assert given.is_error
    assert told in given.content[0].text


def test_the_server_tells_how_to_cite(sources: Sources) -> None:
    async def reading(client: Client) -> Any:
        return client.instructions

    told = talk(sources, reading)
    assert "'tales'" in told
    assert "Cite" in told
