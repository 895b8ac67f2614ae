"""``dpr pairs``: documents to training pairs, where nobody has asked any questions yet.

Takes what a person typed, gives it to ``dpr.pipeline.pairing``. Knows nothing of how it is done.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr.cli import terminal
from dpr.cli.options import Json, OnError, Overwrite, with_settings
from dpr.cli.progress import bar, count_passages
from dpr.cli.sources import (
    Duplicates,
    Format,
    IdColumn,
    Malformed,
    SourceFormat,
    Split,
    TextColumn,
    TitleColumn,
    problems_shape,
    read_settings,
)
from dpr.samples.pair_settings import PairSettings

if TYPE_CHECKING:
    from dpr.pipeline.pairing import Paired

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE", help="What [bold]dpr index[/] takes, or collections; several."
    ),
]
To = Annotated[Path, typer.Option(metavar="FILE", help="Gets the pairs, a JSON line each.")]


@with_settings
def pairs(
    settings: PairSettings,
    sources: Sources,
    to: To,
    split: Split = "words:100",
    format: SourceFormat = Format.auto,
    id_column: IdColumn = None,
    text_column: TextColumn = None,
    title_column: TitleColumn = None,
    on_error: Malformed = OnError.stop,
    duplicates: Duplicates = "keep",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make training pairs of documents alone, for a retriever to learn their language.

    A passage's own sentences, title and words ask for it; see docs/from-documents.md. FILE is what
    [bold]dpr train retriever --train[/] takes; the settings stand beside it. --split and what
    follows say nothing about collections, whose passages are taken as they are.

    [bold]Examples[/]

      dpr pairs docs/ --to pairs.jsonl

      dpr pairs docs.dpr --to pairs.jsonl --kinds cloze:2,title --per-passage 3
    """
    from dpr.corpus import DuplicateSettings, SplitSettings
    from dpr.pipeline.pairing import Documents, write_pairs

    documents = Documents(
        sources,
        SplitSettings.parse(split),
        read_settings(format, id_column, text_column, title_column, on_error, None),
        DuplicateSettings.parse(duplicates),
    )

    def count() -> int | None:
        found = [count_passages(one, documents.reading, documents.split) for one in sources]
        return sum(one or 0 for one in found) if None not in found else None

    began = time.monotonic()
    with bar("passages", count) as progress:
        made = write_pairs(documents, to, settings, progress, overwrite=overwrite)
    shape = _shape(made, to, settings, time.monotonic() - began)
    if as_json:
        terminal.json_line(shape)
    else:
        _show(made, shape)


def _shape(made: Paired, to: Path, settings: PairSettings, seconds: float) -> dict[str, Any]:
    counts = made.counts
    return {
        "path": str(to),
        "pairs": counts.pairs,
        "kinds": dict(sorted(counts.kinds.items())),
        "passages": counts.passages,
        "without": counts.without,
        "duplicates": made.duplicates.exact + made.duplicates.near,
        **problems_shape(made.problems),
        "settings": asdict(settings),
        "settings_path": str(made.settings),
        "seconds": round(seconds, 3),
    }


def _show(made: Paired, shape: dict[str, Any]) -> None:
    kinds = ", ".join(f"{name} {count:,}" for name, count in made.counts.kinds.most_common())
    terminal.line(
        f"{shape['path']}: {shape['pairs']:,} pairs of {shape['passages']:,} passages ({kinds}), "
        f"in {terminal.duration(shape['seconds'])}"
    )
    if shape["without"]:
        terminal.line(f"{shape['without']:,} passages gave no pair")
    for text in (made.problems.summary(), made.duplicates.summary()):
        if text:
            terminal.line(text)
