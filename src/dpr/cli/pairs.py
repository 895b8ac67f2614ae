"""``dpr pairs``: documents to training pairs, where nobody has asked any questions yet.

Takes what a person typed, gives it to ``dpr.pipeline.pairing``. Knows nothing of how it is done.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr.cli import terminal
from dpr.cli.options import Json, OnError, Overwrite, with_settings
from dpr.cli.progress import bar, count_passages
from dpr.cli.sources import (
    SPLIT_TEXT,
    Duplicates,
    Format,
    IdColumn,
    Malformed,
    SourceFormat,
    TextColumn,
    TitleColumn,
    problems_shape,
    read_settings,
)
from dpr.samples.pair_settings import KEYWORDS, PairSettings

if TYPE_CHECKING:
    from dpr.pipeline.pairing import Paired

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE", help="What [bold]dpr index[/] takes, or collections; several."
    ),
]
Split = Annotated[
    str | None, typer.Option(help=f"Of documents: {SPLIT_TEXT}", show_default="words:100")
]
To = Annotated[Path, typer.Option(metavar="FILE", help="Gets the pairs, a JSON line each.")]
# Settings that one kind of pairs looks at.
USED_BY = {
    "keep_sentence": "cloze",
    "shortest_crop": "crops",
    "keywords": KEYWORDS,
    "language": KEYWORDS,
}


@with_settings
def pairs(
    settings: PairSettings,
    sources: Sources,
    to: To,
    split: Split = None,
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
    [bold]dpr train retriever --train[/] takes; the settings stand beside it. Of collections
    the passages are taken as they are: --split, --format and the columns are for documents.

    [bold]Examples[/]

      dpr pairs docs/ --to pairs.jsonl

      dpr pairs docs.dpr --to pairs.jsonl --kinds cloze:2,title --per-passage 3
    """
    from dpr.corpus import DuplicateSettings, SplitSettings
    from dpr.pipeline.pairing import Documents, write_pairs

    _check_used(settings, sources, split)
    documents = Documents(
        sources,
        SplitSettings.parse("words:100" if split is None else split),
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


def _check_used(settings: PairSettings, sources: Sequence[str], split: str | None) -> None:
    """Refuse what would change nothing: whoever gives it believes that it does."""
    from dpr.pipeline.building import is_collection

    for name, kind in USED_BY.items():
        value = getattr(settings, name)
        if kind not in settings.shares and value != getattr(PairSettings(), name):
            raise typer.BadParameter(
                f"--{name.replace('_', '-')} {value} would not be used, since --kinds "
                f"{settings.kinds} makes no {kind}; name {kind} among the kinds, or leave it out"
            )
    if split is not None and all(map(is_collection, sources)):
        raise typer.BadParameter(
            f"--split {split} would not be used: it cuts documents, and a collection's passages "
            "are cut already; leave it out, or name documents"
        )


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
