"""``dpr convert``: checkpoints of the original DPR code to model folders.

Takes a file, gives folders. Knows nothing of what is in them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dpr.cli import terminal
from dpr.cli.options import Json


class Kind(StrEnum):
    """What a checkpoint holds."""

    auto = "auto"
    biencoder = "biencoder"
    reader = "reader"


def convert(
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="The .cp file.")],
    to: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Gets question_encoder and ctx_encoder, or reader."),
    ],
    tokenizer_from: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="A folder whose tokenizer goes with the weights, or a model of the package.",
        ),
    ] = None,
    base_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Configuration of the BERT that was trained, where not the usual"
        ),
    ] = None,
    kind: Annotated[Kind, typer.Option(help="What the file holds.")] = Kind.auto,
    as_json: Json = False,
) -> None:
    """Convert a checkpoint of the original DPR code into model folders.

    Nothing in the file is run. The original's checkpoints hold no tokenizer; give one with
    --tokenizer-from, or put its files beside the weights later.

    [bold]Examples[/]

      dpr convert bert-base-encoder.cp --to nq --tokenizer-from bert-base-uncased/

      dpr convert hf_bert_base.cp --to nq --kind reader --tokenizer-from dpr-mini
    """
    from dpr.models.convert import convert_checkpoint

    written = convert_checkpoint(
        checkpoint,
        to,
        base_config=base_config,
        kind=kind.value,
        tokenizer_from=_tokenizer(tokenizer_from),
    )
    if as_json:
        terminal.json_line({"folders": [str(folder) for folder in written]})
    else:
        for folder in written:
            terminal.line(str(folder))
    if tokenizer_from is None:
        terminal.note(
            "the folders have no tokenizer yet; run again with --tokenizer-from, or put "
            "tokenizer.json or vocab.txt beside the weights"
        )


def _tokenizer(place: str | None) -> str | None:
    """Where tokenizer files are; a model folder holds them beside its towers."""
    from dpr.errors import CheckpointError
    from dpr.shipped import find_models

    if place is None or any((Path(place) / n).is_file() for n in ("tokenizer.json", "vocab.txt")):
        return place
    try:
        return find_models(place).question
    except CheckpointError:
        return place  # the converter says what is missing
