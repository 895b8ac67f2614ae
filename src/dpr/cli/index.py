"""``dpr index``: documents to a collection, with progress on stderr and a summary on stdout.

Takes what a person typed, gives it to ``dpr.pipeline.index``. Knows nothing of how it is done.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dpr.cli import terminal
from dpr.cli.options import Json, OnError, ReaderPlace
from dpr.cli.progress import bar, count_passages
from dpr.cli.running import FAILED
from dpr.cli.sources import (
    Duplicates,
    Format,
    IdColumn,
    Malformed,
    MetadataColumns,
    ModelName,
    Overwrite,
    Pairs,
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
    Words,
    problems_shape,
    read_settings,
    words_settings,
)
from dpr.cli.tune import Latency, Memory, Questions, Recall, run_tuning, targets, tuning_shape

if TYPE_CHECKING:
    from dpr.pipeline import Indexed
    from dpr.pipeline.tuning import Tuning
    from dpr.search.choosing import Targets
    from dpr.shipped import ModelNames


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
    metadata_column: MetadataColumns = None,
    on_error: Malformed = OnError.stop,
    duplicates: Duplicates = "keep",
    words: Words = "english",
    pairs: Pairs = True,
    dtype: StoredAs = VectorType.float16,
    shard_size: ShardSize = 2048,
    overwrite: Overwrite = False,
    recall: Recall = None,
    memory: Memory = None,
    latency: Latency = None,
    questions: Questions = None,
    as_json: Json = False,
) -> None:
    """Make a collection of documents: passages, their vectors and their words in one folder.

    [bold]dpr sync[/] brings it up to date later. If it is interrupted, run the same command again:
    it goes on where it stopped. With --recall, --memory or --latency an index is chosen afterwards,
    as [bold]dpr tune[/] does; if that is interrupted, the collection is complete, and
    [bold]dpr tune[/] with the same options goes on.

    [bold]Examples[/]

      dpr index docs/ --to docs.dpr

      dpr index books.csv --to books.dpr --metadata-column year --duplicates drop-near

      dpr index psgs_w100.tsv --to wiki.dpr --split none --recall 0.95 --memory 12GB
    """
    from dpr.collection import BuildSettings
    from dpr.corpus import DuplicateSettings, SplitSettings

    wanted = _wanted(recall, memory, latency, questions)
    given = (format, id_column, text_column, title_column, on_error, metadata_column)
    settings: dict[str, Any] = {
        "split": SplitSettings.parse(split),
        "reading": read_settings(*given),
        "build": BuildSettings(dtype.value, shard_size, overwrite),
        "duplicates": DuplicateSettings.parse(duplicates),
        "words": words_settings(words, pairs),
        "model": _model(model, question_encoder, context_encoder, reader),
    }
    began = time.monotonic()
    made = _make(source, to, settings)
    summary = _summary(made, to, time.monotonic() - began)
    if not as_json:
        _show(made, summary)
    _end(summary, _tuned(to, wanted, questions, as_json) if wanted else None, as_json)


def _wanted(
    recall: float | None, memory: str | None, latency: str | None, questions: Path | None
) -> Targets | None:
    """Of an index; what is wrong with it, or with the questions, is met before encoding."""
    from dpr.questions import read_question_set
    from dpr.search.choosing import Targets

    wanted = targets(recall, memory, latency)
    if questions:
        read_question_set(questions)
        return wanted or Targets()
    return wanted


def _tuned(to: Path, wanted: Targets, questions: Path | None, as_json: bool) -> Tuning:
    try:
        return run_tuning(to, wanted, questions, None, as_json)
    except KeyboardInterrupt:
        terminal.note(f"the collection is complete; `dpr tune {to}` with the same options goes on")
        raise


def _end(summary: dict[str, Any], tuned: Tuning | None, as_json: bool) -> None:
    if as_json:
        terminal.json_line(summary | ({} if tuned is None else {"tuning": tuning_shape(tuned)}))
    if tuned is not None and tuned.choice.trial is None:
        raise typer.Exit(FAILED)


def _make(source: str, to: Path, settings: dict[str, Any]) -> Indexed:
    from dpr.pipeline import index as make

    def count() -> int | None:
        return count_passages(source, settings["reading"], settings["split"])

    try:
        with bar("passages", count) as progress:
            return make(source, to, progress=progress, **settings)
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
    manifest, duplicates = made.manifest, made.duplicates
    return {
        "path": str(to),
        "version": manifest.version,
        "documents": made.documents,
        "passages": manifest.rows,
        "dim": manifest.dim,
        "dtype": manifest.dtype,
        "bytes": manifest.size,
        "seconds": round(seconds, 3),
        **problems_shape(made.problems),
        "duplicates": duplicates.exact + duplicates.near,
        "duplicate_items": [
            {"id": identifier, "of": one.of, "similarity": one.similarity, "exact": one.exact}
            for identifier, one in duplicates.items
        ],
        "truncated": made.truncated,
        "max_length": manifest.encoder_settings.get("max_length"),
    }


def _show(made: Indexed, summary: dict[str, Any]) -> None:
    terminal.line(
        f"{summary['path']}: {summary['passages']:,} passages, vectors of {summary['dim']} "
        f"{summary['dtype']} numbers, {terminal.size(summary['bytes'])}, "
        f"in {terminal.duration(summary['seconds'])}"
    )
    for text in (made.problems.summary(), made.duplicates.summary()):
        if text:
            terminal.line(text)
    if summary["truncated"]:
        terminal.line(
            f"of {summary['truncated']:,} passages only the first {summary['max_length']} tokens "
            "were encoded; a smaller --split encodes all"
        )
