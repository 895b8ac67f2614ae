"""``dpr import``: passages and vectors that were encoded elsewhere to a collection.

Takes what a person typed, gives it to ``dpr.pipeline.exchanging``. Knows nothing of how it is done.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr.cli import terminal
from dpr.cli.options import Json, OnError, ReaderPlace
from dpr.cli.progress import bar, count_passages
from dpr.cli.sources import (
    Format,
    IdColumn,
    Malformed,
    Overwrite,
    ShardSize,
    Source,
    SourceFormat,
    Split,
    StoredAs,
    TextColumn,
    TitleColumn,
    To,
    Tower,
    VectorType,
)

if TYPE_CHECKING:
    from dpr.corpus import SourceSettings, SplitSettings
    from dpr.pipeline.exchanging import Imported
    from dpr.shipped import ModelNames

Vectors = Annotated[
    list[str],
    typer.Option(
        metavar="FILES",
        help="NumPy or Parquet files, or a quoted pattern such as 'shards/*.npy'. Repeatable.",
    ),
]
Ids = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILES",
        help="Of NumPy files, the ids of their rows: .txt (an id a line), .json or .npy. Without "
        "it the vectors are those of the passages in order.",
    ),
]
Model = Annotated[str | None, typer.Option(help="The model whose vectors they are.")]
VectorColumn = Annotated[str | None, typer.Option(help="Of Parquet: the vectors.")]
VectorIdColumn = Annotated[str | None, typer.Option(help="Of Parquet: the vectors' ids.")]
IdPrefix = Annotated[
    str, typer.Option(metavar="TEXT", help="Taken off the vectors' ids, such as 'wiki:'.")
]
SkipExtra = Annotated[
    bool, typer.Option("--skip-extra", help="Leave out vectors that no passage has.")
]


def import_vectors(
    source: Source,
    vectors: Vectors,
    to: To,
    ids: Ids = None,
    model: Model = None,
    question_encoder: Tower = None,
    context_encoder: Tower = None,
    reader: ReaderPlace = None,
    vector_column: VectorColumn = None,
    vector_id_column: VectorIdColumn = None,
    id_prefix: IdPrefix = "",
    skip_extra: SkipExtra = False,
    split: Split = "none",
    format: SourceFormat = Format.auto,
    id_column: IdColumn = None,
    text_column: TextColumn = None,
    title_column: TitleColumn = None,
    on_error: Malformed = OnError.stop,
    dtype: StoredAs = VectorType.float16,
    shard_size: ShardSize = 16384,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a collection of passages whose vectors were encoded elsewhere.

    Say whose they are: --model, or --question-encoder with or without --context-encoder. Some are
    compared with what the context encoder gives, and it encodes documents that are added later.
    The original DPR's pickles go through [bold]dpr convert --vectors[/] first. If it is
    interrupted, run the same command again: it goes on where it stopped.

    [bold]Examples[/]

      dpr import psgs_w100.tsv --vectors 'wiki/*.npy' --ids 'wiki/*.ids.txt' --id-prefix wiki: --to
      wiki.dpr --model ./nq

      dpr import docs.jsonl --vectors docs.parquet --to docs.dpr --model dpr-mini
    """
    from dpr.collection import BuildSettings
    from dpr.corpus import SourceSettings, SplitSettings
    from dpr.interchange.vectors_in import VectorSettings

    columns = (id_column, text_column, title_column)
    reading = SourceSettings(format.value, *columns, on_error=on_error.value)
    cut, began = SplitSettings.parse(split), time.monotonic()
    made = _make(
        source,
        vectors,
        to,
        model=_model(model, question_encoder, context_encoder, reader),
        ids=ids or (),
        files=VectorSettings(vector_id_column, vector_column, id_prefix),
        extra="skip" if skip_extra else "raise",
        split=cut,
        reading=reading,
        build=BuildSettings(dtype.value, shard_size, overwrite),
    )
    _show(made, to, time.monotonic() - began, as_json)


def _make(
    source: str,
    vectors: list[str],
    to: Path,
    *,
    reading: SourceSettings,
    split: SplitSettings,
    **settings: Any,
) -> Imported:
    with bar("passages", lambda: count_passages(source, reading, split)) as progress:
        from dpr.pipeline.exchanging import import_vectors as make

        return make(
            source, vectors, to, split=split, reading=reading, progress=progress, **settings
        )


def _model(
    model: str | None, question: str | None, context: str | None, reader: str | None
) -> ModelNames:
    from dpr.shipped import ModelNames, find_models, find_reader

    if (model is None) == (question is None) or (context and not question):
        raise typer.BadParameter(
            "say whose vectors they are: --model, or --question-encoder (with --context-encoder, "
            "where it is at hand)"
        )
    if question is None:
        names = find_models(model or "")
        found = find_reader(reader) if reader else names.reader
        return ModelNames(names.question, names.context, found)
    return ModelNames(question, context or "", find_reader(reader) if reader else "")


def _show(made: Imported, to: Path, seconds: float, as_json: bool) -> None:
    manifest = made.manifest
    summary: dict[str, Any] = {
        "path": str(to),
        "passages": manifest.rows,
        "dim": manifest.dim,
        "dtype": manifest.dtype,
        "bytes": manifest.size,
        "seconds": round(seconds, 3),
        "left_over": made.left_over,
        "compared": made.compared,
        "skipped": made.problems.count,
    }
    if as_json:
        terminal.json_line(summary)
        return
    terminal.line(
        f"{to}: {manifest.rows:,} passages, vectors of {manifest.dim} {manifest.dtype} numbers, "
        f"{terminal.size(manifest.size)}, in {terminal.duration(seconds)}"
    )
    if text := made.problems.summary():
        terminal.line(text)
    if made.left_over:
        terminal.line(f"{made.left_over:,} vectors belong to no passage and were left out")
    terminal.line(
        f"taken to be the context encoder's vectors; those of {made.compared} passages were "
        "compared with it"
        if made.compared
        else "no context encoder was named: nothing was compared, and no documents can be added"
    )
