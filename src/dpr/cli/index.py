"""``dpr index``: documents to a collection, with progress on stderr and a summary on stdout.

Takes what a person typed, gives it to ``dpr.pipeline.index``. Knows nothing of how it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr.cli import terminal
from dpr.cli.options import Json, OnError, ReaderPlace

if TYPE_CHECKING:
    from dpr.corpus import SourceSettings
    from dpr.pipeline import Indexed
    from dpr.shipped import ModelNames

COUNT_SECONDS = 2.0  # spent on learning the total, so that time left can be shown


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


def index(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a file, a table (.tsv, .csv, .jsonl, .parquet), a BEIR folder, a SQuAD "
            "file, or the word [bold]pydoc[/].",
        ),
    ],
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder that becomes a collection.")],
    model: Annotated[
        str, typer.Option(help="A model of the package, or a folder that training made.")
    ] = "dpr-mini",
    question_encoder: Annotated[
        str | None, typer.Option(metavar="PLACE", help="In place of --model: a folder or hub id.")
    ] = None,
    context_encoder: Annotated[
        str | None, typer.Option(metavar="PLACE", help="In place of --model: a folder or hub id.")
    ] = None,
    reader: ReaderPlace = None,
    split: Annotated[
        str,
        typer.Option(help="words:N, sentences:N or paragraphs:N (N words at most), or none."),
    ] = "words:100",
    format: Annotated[Format, typer.Option(help="What the source is.")] = Format.auto,
    id_column: Annotated[str | None, typer.Option(help="Of a table: the ids.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Of a table: the texts.")] = None,
    title_column: Annotated[str | None, typer.Option(help="Of a table: the titles.")] = None,
    on_error: Annotated[
        OnError, typer.Option(help="At a malformed document: stop, or skip and list it.")
    ] = OnError.stop,
    dtype: Annotated[VectorType, typer.Option(help="How vectors are stored.")] = VectorType.float16,
    shard_size: Annotated[
        int, typer.Option(min=1, help="Passages that a kill may cost at most.")
    ] = 2048,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a collection that is there.")
    ] = False,
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
    from dpr.pipeline import index as make

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
    try:
        with bar("passages", lambda: count_passages(source, reading, split)) as progress:
            made = make(
                source,
                to,
                model=chosen,
                split=cut,
                reading=reading,
                build=build,
                progress=progress,
            )
    except KeyboardInterrupt:
        terminal.note("what is done is kept; run the same command again to go on")
        raise
    summary = _summary(made, to, time.monotonic() - began)
    if as_json:
        terminal.json_line(summary)
    else:
        _show(made, summary)


def _model(
    model: str, question: str | None, context: str | None, reader: str | None
) -> str | ModelNames:
    from dpr.shipped import ModelNames, find_models

    if (question is None) != (context is None):
        raise typer.BadParameter("--question-encoder and --context-encoder go together; give both")
    if question and context:
        return ModelNames(question, context, reader or "")
    if reader is None:
        return model
    names = find_models(model)
    return ModelNames(names.question, names.context, reader)


def count_passages(source: str, reading: SourceSettings, split: str) -> int | None:
    """How many passages a source has; None where finding out takes more than a moment."""
    from dpr.corpus import Problems, SplitSettings, read_passages
    from dpr.errors import DPRError

    path = Path(source)
    if path.exists() and not (path.is_dir() or path.is_file()):
        return None  # a pipe can be read only once
    if path.is_file() and path.stat().st_size > 50_000_000:
        return None
    until, count = time.monotonic() + COUNT_SECONDS, 0
    try:
        for _ in read_passages(source, reading, SplitSettings.parse(split), Problems()):
            count += 1
            if time.monotonic() > until:
                return None
    except (DPRError, OSError):
        return None  # met again, and told, when the source is read in earnest
    return count


@contextmanager
def bar(what: str, total: Callable[[], int | None]) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on a terminal; gives what to call with the number done, or None."""
    console = terminal.err()
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]} {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("loading the model", total=None, done="", rate="")
        full: int | None = None
        first: tuple[float, int] | None = None

        def tell(done: int) -> None:
            nonlocal first, full
            now = time.monotonic()
            if first is None:
                full = total()
                first = now, done
            seconds, count = now - first[0], done - first[1]
            progress.update(
                task,
                description=what,
                total=full,
                completed=done,
                done=f"{done:,}" + (f" of {full:,}" if full else ""),
                rate=f"{count / seconds:,.0f}/s" if seconds > 1 else "",
            )

        yield tell


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
