"""``dpr mine``: training files to one with hard negatives, and a table of what was left out.

Takes what a person typed, gives it to ``dpr.pipeline.mining``. Knows nothing of how it is done.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from dpr.cli import terminal
from dpr.cli.evaluate import telling
from dpr.cli.options import Json, OnError, Overwrite, with_settings
from dpr.cli.sources import SPLIT_TEXT
from dpr.cli.train import Misplaced, TrainFiles
from dpr.samples.negatives import FILTERS, MiningSettings

if TYPE_CHECKING:
    from dpr.pipeline.mining import MinedFile


class By(StrEnum):
    """What ranks passages."""

    bm25 = "bm25"
    dense = "dense"
    both = "both"


To = Annotated[Path, typer.Option(metavar="OUT.jsonl", help="The file that is made.")]
Passages = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SOURCE",
        help="Passages to find negatives in beside those of the samples: a collection (its vectors "
        "are used where its model ranks), or what dpr index takes; repeatable.",
    ),
]
RankedBy = Annotated[By, typer.Option(help="What ranks: words, the model's vectors, or both.")]
RankingModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Whose vectors rank (--by dense or both): a model of the package, or a folder that "
        "training made.",
        show_default="that of the first collection of --passages, else dpr-mini",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(help=f"Of documents of --passages: {SPLIT_TEXT}", show_default="words:100"),
]
Teacher = Annotated[
    str,
    typer.Option(
        metavar="reader:PLACE|cross-encoder:PLACE|bm25",
        help="Also write its scores of positives and negatives, to learn from.",
        show_default="none",
    ),
]


@with_settings
def mine(
    settings: MiningSettings,
    train: TrainFiles,
    to: To,
    passages: Passages = None,
    by: RankedBy = By.bm25,
    model: RankingModel = None,
    teacher: Teacher = "",
    split: Split = None,
    on_error: Misplaced = OnError.stop,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find hard negatives: passages that rank high for a question and do not answer it.

    Writes the samples of all files as DPR JSON lines, each negative with its score, in place of the
    hard negatives that they had. If it is interrupted, run the same command again: it goes on where
    it stopped. OUT.jsonl.made.json says what it was made from.

    [bold]Examples[/]

      dpr mine --train train.json --to mined.jsonl

      dpr mine --train train.json --to mined.jsonl --by both --model runs/first/best --share 0.95

      dpr mine --train train.json --to mined.jsonl --passages docs.dpr --teacher reader:dpr-mini
    """
    from dpr.cli.training import read_all
    from dpr.pipeline.building import check_apart
    from dpr.pipeline.mining import mine_file

    check_apart(to, [*train, *(passages or ())])
    _check_used(by, model, split, passages or (), settings)
    began = time.monotonic()
    samples = read_all(train, on_error.value, unanswerable=True)
    try:
        with telling() as tell:
            done = mine_file(
                samples,
                to,
                passages=passages or (),
                by=by.value,
                model=model,
                teacher=teacher,
                split="words:100" if split is None else split,
                settings=settings,
                on_error=on_error.value,
                overwrite=overwrite,
                tell=tell,
            )
    except KeyboardInterrupt:
        terminal.note("what is done is kept; run the same command again to go on")
        raise
    _show(done, settings, time.monotonic() - began, as_json)


def _check_used(
    by: By,
    model: str | None,
    split: str | None,
    passages: Sequence[str],
    settings: MiningSettings,
) -> None:
    """Refuse what would change nothing: whoever gives it believes that it does."""
    from dpr.pipeline.building import is_collection

    if model is not None and by is By.bm25:
        raise typer.BadParameter(
            f"--model {model} would not be used, since --by bm25 ranks by words alone; give --by "
            "dense or --by both, or leave --model out"
        )
    if split is not None and all(map(is_collection, passages)):
        raise typer.BadParameter(
            f"--split {split} would not be used: it cuts documents, and none are given; name them "
            "by --passages (a collection's passages are cut already), or leave --split out"
        )
    if settings.seed and settings.choose == "top":
        raise typer.BadParameter(
            f"--seed {settings.seed} would not be used, since --choose top draws nothing; give "
            "--choose random, or leave --seed out"
        )


def _show(done: MinedFile, settings: MiningSettings, seconds: float, as_json: bool) -> None:
    counts = done.counts
    if done.resumed:
        every = counts.questions + counts.unanswerable
        terminal.note(f"{done.resumed:,} of {every:,} questions were done before")
    terminal.notes(done.problems.summary())
    if as_json:
        shape = {
            "path": str(done.path),
            "passages": done.pool,
            "resumed": done.resumed,
            "seconds": round(seconds, 3),
        }
        terminal.json_line(shape | asdict(counts))
        return
    terminal.out().print(_table(done))
    terminal.line()
    terminal.line(
        f"{done.path}: {counts.questions:,} questions, {done.pool:,} passages ranked, in "
        f"{terminal.duration(seconds)}"
    )
    if counts.fewer or counts.none:
        terminal.line(
            f"{counts.fewer:,} questions have fewer than {settings.negatives} negatives, "
            f"{counts.none:,} have none"
        )
    if counts.without_answers:
        terminal.line(
            f"{counts.without_answers:,} questions have no answers: whether a passage answers them "
            "could not be looked up"
        )
    if counts.unanswerable:
        terminal.line(f"{counts.unanswerable:,} questions without a positive stay as they are")


def _table(done: MinedFile) -> Table:
    """Passages looked at, left out for each reason, and kept; a column a searcher."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    lists = done.counts.lists
    for name in lists:
        table.add_column(name, justify="right")
    texts = {"looked_at": "looked at", **FILTERS, "kept": "kept"}
    for key, text in texts.items():
        if key in ("looked_at", "kept") or any(one[key] for one in lists.values()):
            table.add_row(text, *(f"{one[key]:,}" for one in lists.values()))
    return table
