"""``dpr sync``: a collection brought up to what a source holds now.

Takes what a person typed, gives it to ``dpr.pipeline.sync``. Knows nothing of how it is done.
"""

from __future__ import annotations

from dpr.cli import changing
from dpr.cli.options import Json, Model, OnError
from dpr.cli.sources import (
    FormatAsBefore,
    IdColumn,
    Malformed,
    MetadataColumns,
    ShardSize,
    Source,
    SplitAsBefore,
    TextColumn,
    TitleColumn,
)


def sync(
    source: Source,
    to: changing.Folder,
    split: SplitAsBefore = None,
    format: FormatAsBefore = None,
    id_column: IdColumn = None,
    text_column: TextColumn = None,
    title_column: TitleColumn = None,
    metadata_column: MetadataColumns = None,
    on_error: Malformed = OnError.stop,
    replace: changing.Replace = False,
    model: Model = None,
    shard_size: ShardSize = 2048,
    as_json: Json = False,
) -> None:
    """Make a collection hold what a source holds now: new and changed documents are added, those
    that are gone are removed.

    Only passages that changed are encoded. Documents of other sources stay. Where there is no
    collection yet, it is made. A malformed document that is skipped stays as it was before. If it
    is interrupted, run the same command again: it goes on where it stopped.

    [bold]Examples[/]

      dpr sync docs/ --to docs.dpr

      dpr sync docs/ --to docs.dpr --on-error skip --json
    """
    from dpr.pipeline import sync as change

    given = changing.reading(
        format, id_column, text_column, title_column, metadata_column, on_error
    )
    changing.run(
        change,
        source,
        to,
        as_json,
        split=split,
        reading=given,
        replace=replace,
        model=model,
        shard_size=shard_size,
    )
