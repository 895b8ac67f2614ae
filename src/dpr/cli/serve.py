"""``dpr serve``: a collection, asked over HTTP.

Takes what a person typed; opens collection, models and address, and serves until it is told to end.
Knows nothing of how requests are answered.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dpr.cli import terminal
from dpr.cli.options import CollectionFolder, Model, ReaderPlace, with_settings
from dpr.errors import MissingExtraError, SettingsError
from dpr.serve.settings import ServeSettings

KeysFile = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FILE",
        help="Keys for asking, one a line, or sha256:DIGEST of them. Also from DPR_SERVE_KEYS, "
        "with commas between.",
    ),
]
ChangeKeysFile = Annotated[
    Path | None,
    typer.Option(
        "--change-keys",
        metavar="FILE",
        help="Keys for changing documents, which without any cannot be changed here. Also from "
        "DPR_SERVE_CHANGE_KEYS.",
    ),
]
Host = Annotated[
    str, typer.Option(help="Address to listen on. Others than this machine's own need keys.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")]
SearchOnly = Annotated[bool, typer.Option("--search-only", help="Load no reader; answer nothing.")]
Workers = Annotated[
    int,
    typer.Option(
        min=1,
        help="Processes that answer, each with its models and limits; the collection's vectors are "
        "in memory once.",
    ),
]
WithoutKeys = Annotated[
    bool,
    typer.Option(
        "--without-keys",
        help="Let everybody who reaches --host ask, without any key; documents are changed with "
        "those of --change-keys, or not at all.",
    ),
]
Tracing = Annotated[
    bool,
    typer.Option(
        "--traces",
        help="Send OpenTelemetry traces, as the variables OTEL_... say. Needs the extra traces.",
    ),
]


@with_settings
def serve(
    collection: CollectionFolder,
    limits: ServeSettings,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    keys: KeysFile = None,
    change_keys: ChangeKeysFile = None,
    without_keys: WithoutKeys = False,
    search_only: SearchOnly = False,
    workers: Workers = 1,
    traces: Tracing = False,
    model: Model = None,
    reader: ReaderPlace = None,
) -> None:
    """Answer questions over HTTP, and on a page at /.

    POST /v1/search and /v1/answer; OpenAI's, text-embeddings-inference's and Cohere's routes; the
    whole API at /openapi.json. Newer versions of the collection are asked as they come. SIGTERM
    ends the server when what was admitted is done. Logs are JSON lines on stderr. It needs the
    extra [bold]serve[/].

    [bold]Examples[/]

      dpr serve docs.dpr

      curl 127.0.0.1:8000/v1/answer -H 'content-type: application/json' -d '{"question": "Who?"}'

      dpr serve docs.dpr --host 0.0.0.0 --keys keys.txt
    """
    try:
        from dpr.collection import Collection
        from dpr.serve.keys import Keys
        from dpr.serve.running import leave, listening
        from dpr.serve.running import serve as run
        from dpr.serve.watching import log_lines
        from dpr.serve.workers import Opening, serve_all
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve", "serving over HTTP") from error

    known = replace(Keys.read(keys, change_keys), anybody=without_keys)
    local = is_local(host)
    if not (local or known or without_keys):
        raise _too_open(host)
    if traces:
        _check_traces()
    only = local and not known.asked
    opening = Opening(
        str(collection), limits, known, model, reader, not search_only, only, host, traces
    )
    with Collection.open(str(collection)) as opened:
        version = opened.version
    with listening(host, port) as bound:
        app = opening.app() if workers == 1 else None
        log_lines()
        terminal.line(f"{_url(*bound.getsockname()[:2])}: {collection}, version {version}")
        if app:
            run(app, bound)
        else:
            serve_all(opening, bound, workers)
    leave()


def _url(address: str, port: int) -> str:
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _too_open(host: str) -> SettingsError:
    return SettingsError(
        f"--host {host} can be reached from other machines, and there are no keys: everybody "
        "there could ask. Give --keys FILE, or say --without-keys if that is what you want"
    )


def _check_traces() -> None:
    try:
        import dpr.serve.tracing  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "opentelemetry", "traces", "tracing") from error
