"""``dpr train retriever`` and ``dpr train reader``: the options, and the samples they name.

Takes what a person typed, gives a run folder. Knows nothing of steps and losses.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dpr.cli.options import Json, OnError, with_settings
from dpr.training.settings import LoopSettings, ReaderSettings, RefreshSettings, RetrieverSettings

train = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Train a retriever or a reader on your own questions.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

TrainFiles = Annotated[
    list[Path],
    typer.Option(
        "--train",
        metavar="FILE",
        help="DPR JSON or JSON lines, SQuAD, or a BEIR folder (its qrels/train.tsv, or the only "
        "ones); repeatable.",
    ),
]
DevFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--dev",
        metavar="FILE",
        help="Likewise (of a BEIR folder qrels/dev.tsv or validation.tsv); the best model on these "
        "is kept as best/.",
    ),
]
To = Annotated[Path, typer.Option(metavar="RUN", help="The run folder.")]
Misplaced = Annotated[
    OnError,
    typer.Option(
        help="At an answer that does not stand at its offset, an id that comes twice in a BEIR "
        "folder, or a malformed document: stop, or leave it out."
    ),
]


Tied = Annotated[
    bool | None,
    typer.Option(
        "--tied/--untied",
        help="One set of weights for both towers, or two.",
        show_default="as in --start",
    ),
]


class Tracker(StrEnum):
    """Where else a run's figures go."""

    tensorboard = "tensorboard"
    wandb = "wandb"


Pool = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="SOURCE",
        help="What the dev questions are searched among beside the dev samples' own passages: a "
        "collection, or documents, each taken whole; repeatable.",
    ),
]
PoolSize = Annotated[
    int, typer.Option(help="Draw so many of the pool's passages; 0 takes them all.", min=0)
]
Track = Annotated[
    list[Tracker] | None, typer.Option(help="Show the figures there as well; repeatable.")
]


@train.command()
@with_settings
def retriever(
    loop: LoopSettings,
    settings: RetrieverSettings,
    refresh: RefreshSettings,
    train: TrainFiles,
    dev: DevFiles = None,
    start: Annotated[
        str,
        typer.Option(
            metavar="PLACE",
            help="A model of the package, a model folder, or a BERT (folder or hub id) for both "
            "towers.",
        ),
    ] = "dpr-mini",
    to: To = Path("runs/retriever"),
    tied: Tied = None,
    pool: Pool = None,
    pool_size: PoolSize = 0,
    on_error: Misplaced = OnError.stop,
    track: Track = None,
    as_json: Json = False,
) -> None:
    """Train a question encoder and a context encoder together.

    The defaults are the paper's. RUN gets log.jsonl, loss.png, best/ and last/; index with
    --model RUN/best. If it is interrupted, run the same command again: it goes on exactly.

    [bold]Examples[/]

      dpr train retriever --train train.json --dev dev.json --to runs/mine --epochs 4

      dpr train retriever --train nq-train.json --dev nq-dev.json --start bert-base-uncased
    """
    from dpr.cli.training import train_retriever

    train_retriever(
        train,
        dev or [],
        start=start,
        to=to,
        tied=tied,
        on_error=on_error.value,
        pool=pool or [],
        pool_size=pool_size,
        trackers=[one.value for one in track or []],
        loop=loop,
        settings=settings,
        refresh=refresh,
        as_json=as_json,
    )


@train.command()
@with_settings
def reader(
    loop: LoopSettings,
    settings: ReaderSettings,
    train: TrainFiles,
    dev: DevFiles = None,
    start: Annotated[
        str,
        typer.Option(metavar="PLACE", help="A model of the package, a reader's folder, or a BERT."),
    ] = "dpr-mini",
    to: To = Path("runs/reader"),
    on_error: Misplaced = OnError.stop,
    track: Track = None,
    as_json: Json = False,
) -> None:
    """Train a reader: to find the answer in a passage, and the passage that has it.

    RUN gets log.jsonl, loss.png, best/ and last/; ask with --reader RUN/best. If it is
    interrupted, run the same command again: it goes on exactly.

    [bold]Examples[/]

      dpr train reader --train squad/train.json --dev squad/dev.json --to runs/mine-reader

      dpr train reader --train train.json --start bert-base-uncased --passages 8
    """
    from dpr.cli.training import train_reader

    train_reader(
        train,
        dev or [],
        start=start,
        to=to,
        on_error=on_error.value,
        trackers=[one.value for one in track or []],
        loop=loop,
        settings=settings,
        as_json=as_json,
    )
