"""What ``index``, ``import``, ``add`` and ``sync`` share: options that say what documents are read
from, how they are cut, and how they are found by words.

Takes what a person typed, gives settings records. Knows nothing of what the verbs do.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr.cli import terminal
from dpr.cli.options import OnError

if TYPE_CHECKING:
    from dpr.corpus import Problems, SourceSettings
    from dpr.indexes.words import WordsSettings


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
    int8 = "int8"


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
SPLIT_TEXT = "words:N, sentences:N or paragraphs:N (N words at most), or none."
Split = Annotated[str, typer.Option(help=SPLIT_TEXT)]
SplitAsBefore = Annotated[
    str | None,
    typer.Option(
        "--split", show_default="as before, or as the collection's first source", help=SPLIT_TEXT
    ),
]
SourceFormat = Annotated[Format, typer.Option(help="What the source is.")]
FormatAsBefore = Annotated[
    Format | None,
    typer.Option("--format", show_default="as before, or auto", help="What the source is."),
]
IdColumn = Annotated[str | None, typer.Option(help="Of a table: the ids.")]
TextColumn = Annotated[str | None, typer.Option(help="Of a table: the texts.")]
TitleColumn = Annotated[str | None, typer.Option(help="Of a table: the titles.")]
MetadataColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata-column",
        help="Of a table: what to keep for filters such as --where year>=1990. Repeatable.",
    ),
]
Malformed = Annotated[
    OnError, typer.Option(help="At a malformed document: stop, or skip and list it.")
]
StoredAs = Annotated[VectorType, typer.Option(help="How vectors are stored.")]
ShardSize = Annotated[int, typer.Option(min=1, help="Passages that a kill may cost at most.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a collection that is there.")]
Words = Annotated[
    str,
    typer.Option(
        metavar="LANGUAGE",
        help="Whose stems and stop words searching by words knows; plain: nobody's; none: search "
        "by vectors only.",
    ),
]
Pairs = Annotated[
    bool,
    typer.Option(
        "--pairs/--no-pairs",
        help="Also count pairs of neighbouring words: finds more, in two to five times the room.",
    ),
]
Duplicates = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="keep, drop-exact (passages equal to earlier ones), or drop-near:N (those that share "
        "at least N of their word sequences with an earlier one, 0.8 by default).",
    ),
]


def words_settings(language: str, pairs: bool = True) -> WordsSettings | None:
    """What ``--words`` and ``--pairs`` say.

    Raises:
        SettingsError: there is no such language.
    """
    if language == "none":
        return None
    from dpr.indexes.analysis import words_of

    settings = words_of(language, pairs)
    if settings.language is not None and settings.stop_words is None:
        terminal.note(f"no stop words are known for {language}; none are left out")
    return settings


def problems_shape(problems: Problems) -> dict[str, Any]:
    """What was skipped and passed over, as JSON."""
    return {
        "skipped": problems.count,
        "skipped_items": [{"source": one.source, "reason": one.reason} for one in problems.items],
        "ignored": problems.ignored,
        "ignored_items": problems.ignored_items,
    }


def read_settings(
    format: Format,
    id_column: str | None,
    text_column: str | None,
    title_column: str | None,
    on_error: OnError,
    metadata_column: list[str] | None,
) -> SourceSettings:
    """How a source is read, of the options that say so."""
    from dpr.corpus import SourceSettings

    return SourceSettings(
        format=format.value,
        id_column=id_column,
        text_column=text_column,
        title_column=title_column,
        on_error=on_error.value,
        metadata_columns=tuple(metadata_column or ()),
    )
