"""``dpr add``: documents into a collection that is there.

Takes what a person typed, gives it to ``dpr.pipeline.add``. Knows nothing of how it is done.
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


def add(
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
    """Add documents to a collection; those it has already are replaced where they changed.

    What did not change is not encoded again, and neither are the passages of a changed document
    that it had before. Documents that are no longer in SOURCE stay: [bold]dpr sync[/] removes them.
    If it is interrupted, run the same command again: it goes on where it stopped.

    [bold]Examples[/]

      dpr add more/ --to docs.dpr

      dpr add news.jsonl --to docs.dpr --metadata-column year --replace
    """
    from dpr.pipeline import add as change

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
