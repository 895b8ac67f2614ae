"""``dpr convert``: models of others to model folders, ours to sentence-transformers folders, and
pickled vectors to NumPy files.

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


Places = Annotated[
    list[str],
    typer.Argument(
        metavar="PLACE",
        help="A .cp file, a sentence-transformers folder, or a model of ours to export; files of "
        "pickled vectors, or a quoted pattern.",
    ),
]
To = Annotated[Path, typer.Option(metavar="DIR", help="Gets the model folders, or the vectors.")]
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
Vectors = Annotated[
    bool, typer.Option("--vectors", help="The files are vectors that the original DPR pickled.")
]


def convert(
    places: Places,
    to: To,
    tokenizer_from: TokenizerFrom = None,
    base_config: BaseConfig = None,
    kind: CheckpointKind = Kind.auto,
    sentence_transformers: Export = False,
    vectors: Vectors = False,
    as_json: Json = False,
) -> None:
    """Convert models and vectors of the original DPR code, and from and to sentence-transformers.

    Nothing in a file is run. The original's checkpoints hold no tokenizer; give one with
    --tokenizer-from, or put its files beside the weights later.

    [bold]Examples[/]

      dpr convert bert-base-encoder.cp --to nq --tokenizer-from bert-base-uncased/

      dpr convert hf_bert_base.cp --to nq --kind reader --tokenizer-from dpr-mini

      dpr convert all-MiniLM-L6-v2/ --to minilm

      dpr convert dpr-mini --to exported --sentence-transformers

      dpr convert 'wikipedia_passages_*.pkl' --vectors --to wiki
    """
    if vectors:
        _vectors(places, to, as_json)
        return
    if len(places) > 1:
        raise typer.BadParameter("models are converted one by one; give one PLACE")
    place = Path(places[0])
    if sentence_transformers or (place / "modules.json").is_file():
        _exchange(places[0], to, sentence_transformers, as_json)
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


def _vectors(places: list[str], to: Path, as_json: bool) -> None:
    from dpr.interchange.pickles import convert_vectors
    from dpr.interchange.vectors_in import find_files

    def tell(numbers: Path, ids: Path, rows: int) -> None:
        if not as_json:
            terminal.line(f"{numbers}: {rows:,} vectors, ids in {ids.name}")

    written = convert_vectors(find_files(places, "pickled vectors"), to, tell)
    if as_json:
        shapes = [{"vectors": str(a), "ids": str(b), "rows": rows} for a, b, rows in written]
        terminal.json_line({"files": shapes})


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
