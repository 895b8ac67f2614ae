"""What ``dpr add`` and ``dpr sync`` share: their options, and how they tell what was done.

Takes what a person typed, gives it to ``dpr.pipeline``. Knows nothing of how it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr.cli import terminal
from dpr.cli.options import OnError
from dpr.cli.progress import bar
from dpr.cli.sources import Format, problems_shape

if TYPE_CHECKING:
    from dpr.pipeline import Indexed

Folder = Annotated[Path, typer.Option("--to", metavar="DIR", help="The collection.")]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Replace documents of other sources that have the same ids."),
]


def reading(
    format: Format | None,
    id_column: str | None,
    text_column: str | None,
    title_column: str | None,
    metadata_column: list[str] | None,
    on_error: OnError,
) -> dict[str, Any]:
    """What is said of how to read the source; the rest is as before."""
    given = {
        "format": format.value if format else None,
        "id_column": id_column,
        "text_column": text_column,
        "title_column": title_column,
        "metadata_columns": tuple(metadata_column) if metadata_column else None,
        "on_error": on_error.value,
    }
    return {name: value for name, value in given.items() if value is not None}


def run(
    change: Callable[..., Indexed], source: str, to: Path, as_json: bool, **options: Any
) -> None:
    """Changes a collection and tells what was done."""
    began = time.monotonic()
    try:
        with bar("passages", lambda: None) as progress:
            done = change(source, to, progress=progress, **options)
    except KeyboardInterrupt:
        terminal.note("what is done is kept; run the same command again to go on")
        raise
    summary = _summary(done, to, time.monotonic() - began)
    if as_json:
        terminal.json_line(summary)
    else:
        _show(done, summary)


def _summary(done: Indexed, to: Path, seconds: float) -> dict[str, Any]:
    return {
        "path": str(to),
        "version": done.manifest.version,
        "documents": {
            "added": done.documents - done.replaced,
            "replaced": done.replaced,
            "removed": done.gone,
            "unchanged": done.unchanged,
        },
        "passages": {
            "added": done.added,
            "removed": done.removed,
            "encoded": done.encoded,
            "taken_over": done.added - done.encoded,
            "total": done.manifest.rows,
        },
        "seconds": round(seconds, 3),
        "note": done.note,
        **problems_shape(done.problems),
    }


def _show(done: Indexed, summary: dict[str, Any]) -> None:
    documents, passages = summary["documents"], summary["passages"]
    told = ", ".join(f"{count:,} {what}" for what, count in documents.items())
    terminal.line(f"documents: {told}")
    terminal.line(
        f"passages: {passages['added']:,} added ({passages['encoded']:,} encoded, "
        f"{passages['taken_over']:,} taken over), {passages['removed']:,} removed"
    )
    terminal.line(
        f"{summary['path']}: version {summary['version']}, {passages['total']:,} passages, "
        f"in {terminal.duration(summary['seconds'])}"
    )
    for text in (done.note, done.problems.summary()):
        if text:
            terminal.line(text)
