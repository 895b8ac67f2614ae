"""``dpr export``: vectors and ids of a collection to files that other libraries read.

Takes what a person typed, gives it to ``dpr.interchange.vectors_out``. Knows nothing of how it is
done.
"""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dpr.cli import terminal
from dpr.cli.options import CollectionFolder, Json
from dpr.cli.progress import bar


class ExportType(StrEnum):
    """How numbers are written."""

    float32 = "float32"
    stored = "stored"


To = Annotated[Path, typer.Option(metavar="FILE", help="Ends in .npy or .parquet.")]
NumberType = Annotated[
    ExportType, typer.Option(help="float32, or as stored; int8 becomes float32 either way.")
]
Texts = Annotated[bool, typer.Option("--texts", help="Parquet also gets titles, texts and facts.")]


def export(
    collection: CollectionFolder,
    to: To,
    dtype: NumberType = ExportType.float32,
    texts: Texts = False,
    as_json: Json = False,
) -> None:
    """Write a collection's vectors and ids to NumPy or Parquet files.

    FILE.npy gets the vectors, a row a passage, and FILE.ids.txt the ids, one a line; FILE.parquet
    gets both. Deleted passages are left out.

    [bold]Examples[/]

      dpr export docs.dpr --to docs.npy

      dpr export docs.dpr --to docs.parquet --texts --dtype stored
    """
    from dpr.collection import describe
    from dpr.interchange.vectors_out import export_vectors

    rows = describe(collection)["rows"]
    with bar("passages", lambda: rows) as progress:
        done = export_vectors(collection, to, dtype=dtype.value, texts=texts, progress=progress)
    if as_json:
        terminal.json_line({**asdict(done), "files": [str(file) for file in done.files]})
        return
    for file in done.files:
        terminal.line(f"{file}: {terminal.size(file.stat().st_size)}")
    terminal.line(f"{done.rows:,} vectors of {done.dim} {done.dtype} numbers")
