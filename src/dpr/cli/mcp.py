"""``dpr mcp``: a collection as tools for an assistant, over stdin and stdout.

Takes what a person, or an assistant's configuration, typed; opens collection and models, and serves
until stdin ends. Knows nothing of the tools.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from dpr.cli.options import CollectionFolder, Model, ReaderPlace
from dpr.errors import MissingExtraError

SearchOnly = Annotated[bool, typer.Option("--search-only", help="Load no reader; no tool answers.")]


def mcp(
    collection: CollectionFolder,
    search_only: SearchOnly = False,
    model: Model = None,
    reader: ReaderPlace = None,
) -> None:
    """Let an assistant search a collection, by the Model Context Protocol over stdio.

    The assistant starts it, and gets the tools search, answer and read_passage, whose texts come
    with citations. It reads only, and asks newer versions as they come. It needs the extra
    [bold]mcp[/].

    [bold]Examples[/]

      dpr mcp docs.dpr

      In an assistant's configuration:

      {"mcpServers": {"docs": {"command": "dpr", "args": ["mcp", "/path/to/docs.dpr"]}}}
    """
    with _nothing_on_stdout():
        try:
            from dpr.assistants.sources import Sources
            from dpr.assistants.tools import create_server
        except ImportError as error:
            raise MissingExtraError(error.name or "mcp", "mcp", "serving an assistant") from error
        from dpr.pipeline import Pipeline

        pipeline = Pipeline.open(collection, model=model, reader=reader, read=not search_only)
        server = create_server(Sources(pipeline))
    try:
        with pipeline:
            server.run("stdio")
    finally:
        # The protocol is over, but Python may hold what was printed meanwhile.
        os.dup2(2, 1)


@contextmanager
def _nothing_on_stdout() -> Iterator[None]:
    """What is written to stdout goes to stderr, whoever writes it: stdout is the protocol's."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
