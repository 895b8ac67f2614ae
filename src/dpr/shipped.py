"""Where models are: the folders of those that the project ships, and of those that users name.

Takes a name, gives the places of a question encoder, a context encoder and a reader. Reads no
model. Knows nothing of what is in the folders beyond their names.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from dpr.errors import CheckpointError

DEFAULT = "dpr-mini"
_PACKAGE = Path(__file__).resolve().parent
# In a wheel the models are inside the package; in a checkout, beside src.
_PLACES = (_PACKAGE / "_models", _PACKAGE.parents[1] / "models")


@dataclass(frozen=True, slots=True)
class ModelNames:
    """Where three models are to be had: folders or hub ids. Tied towers share one.

    Attributes:
        question, context: the two towers.
        reader: the reader; empty where there is none.
    """

    question: str
    context: str
    reader: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def find_models(name: str = DEFAULT) -> ModelNames:
    """The models under a name: one that the project ships, or a folder that training made.

    A plain name is first one that the project ships, so that no folder that happens to stand
    around takes its place; ``./name`` is always the folder. A model folder holds ``encoder`` (tied
    towers) or ``question_encoder`` and ``ctx_encoder``, and, where it has one, ``reader``.

    Raises:
        CheckpointError: no such model, or a folder without towers.
    """
    folder = Path(name)
    if name and name == folder.name:
        folder = next((place / name for place in _PLACES if (place / name).is_dir()), folder)
    if not folder.is_dir():
        shipped = sorted(
            {one.name for place in _PLACES if place.is_dir() for one in place.iterdir()}
        )
        raise CheckpointError(
            f"no model {name!r}: it is neither a folder nor one that comes with this package "
            f"({', '.join(shipped) or 'none here'}). A hub id names one tower: give both to dpr "
            "index (--question-encoder and --context-encoder), or in Python as ModelNames"
        )
    reader = str(folder / "reader") if (folder / "reader").is_dir() else ""
    if (folder / "encoder").is_dir():
        return ModelNames(str(folder / "encoder"), str(folder / "encoder"), reader)
    towers = folder / "question_encoder", folder / "ctx_encoder"
    if all(tower.is_dir() for tower in towers):
        return ModelNames(str(towers[0]), str(towers[1]), reader)
    raise CheckpointError(
        f"{folder} holds no dual encoder: expected a folder 'encoder' in it, or 'question_encoder' "
        "and 'ctx_encoder'"
    )


def find_reader(place: str) -> str:
    """The place of a reader: of a shipped model's, of one in a folder that training made, or as
    given (the reader's own folder, or a hub id)."""
    folder = Path(place)
    if folder.is_dir():
        inside = (folder / "reader").is_dir() and not (folder / "config.json").exists()
        return str(folder / "reader") if inside else place
    try:
        return find_models(place).reader or place
    except CheckpointError:
        return place  # a hub id, or none: loading it says


def is_shipped(place: str) -> bool:
    """Whether a folder belongs to a model that the project ships, so that nothing is to be written
    there."""
    folder = Path(place).resolve()
    return any(folder.is_relative_to(one.resolve()) for one in _PLACES)
