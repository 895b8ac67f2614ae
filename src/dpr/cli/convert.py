"""``dpr convert``: models of others to model folders, and ours to sentence-transformers folders.

Takes a file or folder, gives folders. Knows nothing of what is in them.
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


Place = Annotated[
    Path,
    typer.Argument(
        metavar="PLACE",
        help="A .cp file, a sentence-transformers folder, or a model of ours to export.",
    ),
]
To = Annotated[Path, typer.Option(metavar="DIR", help="Gets the model folders.")]
TokenizerFrom = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="A folder whose tokenizer goes with the weights, or a model of the package.",
    ),
]
BaseConfig = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Configuration of the BERT that was trained, where not the usual"
    ),
]
CheckpointKind = Annotated[Kind, typer.Option(help="What the .cp file holds.")]
Export = Annotated[
    bool, typer.Option("--sentence-transformers", help="Export a model of ours to such a folder.")
]


def convert(
    place: Place,
    to: To,
    tokenizer_from: TokenizerFrom = None,
    base_config: BaseConfig = None,
    kind: CheckpointKind = Kind.auto,
    sentence_transformers: Export = False,
    as_json: Json = False,
) -> None:
    """Convert models of the original DPR code, and from and to sentence-transformers.

    Nothing in a file is run. The original's checkpoints hold no tokenizer; give one with
    --tokenizer-from, or put its files beside the weights later.

    [bold]Examples[/]

      dpr convert bert-base-encoder.cp --to nq --tokenizer-from bert-base-uncased/

      dpr convert hf_bert_base.cp --to nq --kind reader --tokenizer-from dpr-mini

      dpr convert all-MiniLM-L6-v2/ --to minilm

      dpr convert dpr-mini --to exported --sentence-transformers
    """
    if sentence_transformers or (place / "modules.json").is_file():
        _exchange(str(place), to, sentence_transformers, as_json)
        return
    from dpr.models.convert import convert_checkpoint

    written = convert_checkpoint(
        place,
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


def _exchange(place: str, to: Path, export: bool, as_json: bool) -> None:
    from dpr.interchange.dual import DualEncoder

    model = DualEncoder.from_pretrained(place)
    if export:
        model.save_sentence_transformers(to)
    else:
        model.save_pretrained(to)
    if as_json:
        terminal.json_line({"folders": [str(to)]})
    else:
        terminal.line(str(to))


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
