"""``dpr compact``: a collection written anew, without what was deleted.

Takes what a person typed, gives it to ``dpr.pipeline.compact``. Knows nothing of how it is done.
"""

from __future__ import annotations

import time
from typing import Any

from dpr.cli import terminal
from dpr.cli.options import CollectionFolder, Json
from dpr.cli.progress import bar


def compact(collection: CollectionFolder, as_json: Json = False) -> None:
    """Write a collection anew as one segment, without what was removed; nothing is encoded.

    Words are counted again, and an index that was chosen is built again, which can take long.

    It takes the room of the collection once more while it runs. If it is interrupted, run the same
    command again: it goes on where it stopped. With --json: {"path", "version", "passages",
    "deleted", "segments_before", "segments", "bytes_before", "bytes", "seconds"}; deleted: passages
    that were left out.

    [bold]Examples[/]

      dpr compact docs.dpr
    """
    from dpr.collection import describe
    from dpr.pipeline.compacting import compact as write_anew

    before, began = describe(collection), time.monotonic()
    with bar("passages", lambda: int(before["rows"])) as progress:
        manifest = write_anew(collection, progress).manifest
    summary: dict[str, Any] = {
        "path": str(collection),
        "version": manifest.version,
        "passages": manifest.rows,
        "deleted": before["deleted"],
        "segments_before": len(before["segments"]),
        "segments": len(manifest.segments),
        "bytes_before": before["bytes"],
        "bytes": manifest.size,
        "seconds": round(time.monotonic() - began, 3),
    }
    if as_json:
        terminal.json_line(summary)
    elif manifest.version == before["version"]:
        terminal.line(f"{collection}: version {manifest.version} is compact already")
    else:
        terminal.line(
            f"{collection}: version {manifest.version}, "
            f"{summary['segments_before']} segments became "
            f"{summary['segments']}, {before['deleted']:,} deleted passages left out, "
            f"{terminal.size(before['bytes'])} became {terminal.size(manifest.size)}, "
            f"in {terminal.duration(summary['seconds'])}"
        )
