"""``dpr remove``: documents out of a collection.

Takes what a person typed, gives it to ``dpr.pipeline.remove``. Knows nothing of how it is done.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dpr.cli import terminal
from dpr.cli.asking import Where
from dpr.cli.options import CollectionFolder, Json
from dpr.errors import InputError
from dpr.filters import parse_filters

SHOWN = 20


def remove(
    collection: CollectionFolder,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID...", help="Of documents.", show_default=False),
    ] = None,
    where: Where = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be removed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove documents from a collection: those that are named, and those that satisfy all the
    conditions.

    Nothing is removed where an ID is not there. [bold]dpr compact[/] gives the room back. With
    --json: {"path", "version", "dry_run", "documents": [{"id", "source", "passages"}],
    "passages": {"removed", "total"}}.

    [bold]Examples[/]

      dpr remove docs.dpr notes/old.md notes/draft.md

      dpr remove docs.dpr --where 'document~archive/*' --where 'year<1990' --dry-run
    """
    filters = parse_filters(where or ())
    if not ids and not filters:
        raise typer.BadParameter("nothing to remove: give ids of documents, or --where")
    from dpr.collection import read_manifest
    from dpr.pipeline.changing import remove as take_out
    from dpr.pipeline.changing import to_remove

    gone = to_remove(collection, ids or (), where=filters)
    manifest = read_manifest(collection)
    removed = sum(one.rows for one in gone)
    if gone and not dry_run:
        manifest = take_out(collection, ids or (), where=filters).manifest
    elif removed == manifest.rows:
        raise InputError(f"{collection}: no passage would be left; keep one, or remove the folder")
    if as_json:
        summary: dict[str, Any] = {
            "path": str(collection),
            "version": manifest.version,
            "dry_run": dry_run,
            "documents": [
                {"id": one.id, "source": one.source, "passages": one.rows} for one in gone
            ],
            "passages": {"removed": removed, "total": manifest.rows},
        }
        terminal.json_line(summary)
        return
    for one in gone[:SHOWN]:
        terminal.line(terminal.document(one.id, one.source, one.rows))
    if len(gone) > SHOWN:
        terminal.line(f"and {len(gone) - SHOWN:,} more: see --json")
    what = "would be removed" if dry_run else "removed"
    terminal.line(
        f"{collection}: {len(gone):,} documents, {removed:,} passages {what} "
        f"(version {manifest.version}, {manifest.rows:,} passages)"
    )
