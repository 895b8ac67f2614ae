"""``dpr index``: documents to a collection, with progress on stderr and a summary on stdout.

Takes what a person typed, gives it to ``dpr.pipeline.index``. Knows nothing of how it is done.
"""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr.cli import terminal
from dpr.cli.options import Json, OnError, ReaderPlace
from dpr.cli.progress import bar, count_passages

if TYPE_CHECKING:
    from dpr.collection import BuildSettings
    from dpr.corpus import SourceSettings, SplitSettings
    from dpr.pipeline import Indexed
    from dpr.shipped import ModelNames


class Format(StrEnum):
    """Of a source; see ``dpr.corpus``."""

    auto = "auto"
    files = "files"
    psgs = "psgs"
    jsonl = "jsonl"
    beir = "beir"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"
    squad = "squad"
    pydoc = "pydoc"


class VectorType(StrEnum):
    """How vectors are stored."""

    float16 = "float16"
    float32 = "float32"


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder, a file, a table (.tsv, .csv, .jsonl, .parquet), a BEIR folder, a SQuAD "
        "file, or the word [bold]pydoc[/].",
    ),
]
To = Annotated[Path, typer.Option(metavar="DIR", help="The folder that becomes a collection.")]
ModelName = Annotated[
    str, typer.Option(help="A model of the package, or a folder that training made.")
]
Tower = Annotated[
    str | None, typer.Option(metavar="PLACE", help="In place of --model: a folder or hub id.")
]
Split = Annotated[
    str, typer.Option(help="words:N, sentences:N or paragraphs:N (N words at most), or none.")
]
SourceFormat = Annotated[Format, typer.Option(help="What the source is.")]
IdColumn = Annotated[str | None, typer.Option(help="Of a table: the ids.")]
TextColumn = Annotated[str | None, typer.Option(help="Of a table: the texts.")]
TitleColumn = Annotated[str | None, typer.Option(help="Of a table: the titles.")]
Malformed = Annotated[
    OnError, typer.Option(help="At a malformed document: stop, or skip and list it.")
]
StoredAs = Annotated[VectorType, typer.Option(help="How vectors are stored.")]
ShardSize = Annotated[int, typer.Option(min=1, help="Passages that a kill may cost at most.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a collection that is there.")]


def index(
    source: Source,
    to: To,
    model: ModelName = "dpr-mini",
    question_encoder: Tower = None,
    context_encoder: Tower = None,
    reader: ReaderPlace = None,
    split: Split = "words:100",
    format: SourceFormat = Format.auto,
    id_column: IdColumn = None,
    text_column: TextColumn = None,
    title_column: TitleColumn = None,
    on_error: Malformed = OnError.stop,
    dtype: StoredAs = VectorType.float16,
    shard_size: ShardSize = 2048,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a collection of documents: passages and their vectors in one folder.

    If it is interrupted, run the same command again: it goes on where it stopped.

    [bold]Examples[/]

      dpr index docs/ --to docs.dpr

      dpr index corpus.jsonl --to c.dpr --text-column body --on-error skip

      dpr index psgs_w100.tsv --to wiki.dpr --split none --model runs/retriever/best
    """
    from dpr.collection import BuildSettings
    from dpr.corpus import SourceSettings, SplitSettings

    reading = SourceSettings(
        format=format.value,
        id_column=id_column,
        text_column=text_column,
        title_column=title_column,
        on_error=on_error.value,
    )
    cut = SplitSettings.parse(split)
    build = BuildSettings(dtype.value, shard_size, overwrite)
    chosen = _model(model, question_encoder, context_encoder, reader)
    began = time.monotonic()
    made = _make(source, to, chosen, cut, reading, build)
    summary = _summary(made, to, time.monotonic() - began)
    if as_json:
        terminal.json_line(summary)
    else:
        _show(made, summary)


def _make(
    source: str,
    to: Path,
    model: str | ModelNames,
    split: SplitSettings,
    reading: SourceSettings,
    build: BuildSettings,
) -> Indexed:
    from dpr.pipeline import index as make

    try:
        with bar("passages", lambda: count_passages(source, reading, split)) as progress:
            return make(
                source,
                to,
                model=model,
                split=split,
                reading=reading,
                build=build,
                progress=progress,
            )
    except KeyboardInterrupt:
        terminal.note("what is done is kept; run the same command again to go on")
        raise


def _model(
    model: str, question: str | None, context: str | None, reader: str | None
) -> str | ModelNames:
    from dpr.shipped import ModelNames, find_models, find_reader

    if (question is None) != (context is None):
        raise typer.BadParameter("--question-encoder and --context-encoder go together; give both")
    if question and context:
        return ModelNames(question, context, find_reader(reader) if reader else "")
    if reader is None:
        return model
    names = find_models(model)
    return ModelNames(names.question, names.context, find_reader(reader))


def _summary(made: Indexed, to: Path, seconds: float) -> dict[str, Any]:
    manifest, problems = made.manifest, made.problems
    return {
        "path": str(to),
        "passages": manifest.rows,
        "dim": manifest.dim,
        "dtype": manifest.dtype,
        "bytes": sum(file.bytes for segment in manifest.segments for file in segment.files),
        "seconds": round(seconds, 3),
        "skipped": problems.count,
        "skipped_items": [{"source": one.source, "reason": one.reason} for one in problems.items],
        "ignored": problems.ignored,
        "ignored_items": problems.ignored_items,
        "truncated": made.truncated,
        "max_length": manifest.encoder_settings.get("max_length"),
    }


def _show(made: Indexed, summary: dict[str, Any]) -> None:
    terminal.line(
        f"{summary['path']}: {summary['passages']:,} passages, vectors of {summary['dim']} "
        f"{summary['dtype']} numbers, {terminal.size(summary['bytes'])}, "
        f"in {terminal.duration(summary['seconds'])}"
    )
    if text := made.problems.summary():
        terminal.line(text)
    if summary["truncated"]:
        terminal.line(
            f"of {summary['truncated']:,} passages only the first {summary['max_length']} tokens "
            "were encoded; a smaller --split encodes all"
        )
