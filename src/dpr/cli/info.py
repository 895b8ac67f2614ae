"""``dpr info``: what a collection or a model folder is, without loading it.

Takes a folder, gives a few facts from its small files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dpr.cli import terminal
from dpr.cli.options import Json

PARTS = ("encoder", "question_encoder", "ctx_encoder", "reader")
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


def info(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="A collection, a model folder, or a model's name.")
    ],
    documents: Annotated[
        bool, typer.Option("--documents", help="List the documents of a collection.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a collection or a model folder is made of.

    Of a collection: its version, its segments with what is deleted in them and what was made of
    them for searching, its sources, how it is searched. With --documents --json the documents come
    as {"id", "source", "passages", "origin"}, origin being the number of their source in made_from.

    [bold]Examples[/]

      dpr info docs.dpr

      dpr info docs.dpr --documents

      dpr info runs/retriever/best --json
    """
    if documents:
        _list(folder, as_json)
        return
    facts = _model(folder) or _collection(folder)
    if as_json:
        terminal.json_line(facts)
        return
    rows = [(name, terminal.clean(value)) for name, value in _flat(facts)]
    console = terminal.out()
    if not console.is_terminal:  # a line each, as programs and searches want them
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            terminal.line(f"{name:{width}}  {value}")
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    console.print(table)


def _collection(folder: str) -> dict[str, Any]:
    from dpr.collection import describe

    return {"kind": "collection"} | describe(folder)


def _list(folder: str, as_json: bool) -> None:
    """The documents of a collection; one whose passages lie in several places comes once."""
    from dpr.collection import Collection

    found: dict[str, dict[str, Any]] = {}
    with Collection.open(folder) as collection:
        for one in collection.documents():
            new = {"id": one.id, "source": one.source, "passages": 0, "origin": one.origin}
            found.setdefault(one.id, new)["passages"] += one.rows
        facts = _collection(folder)
    if as_json:
        terminal.json_line(facts | {"documents": list(found.values())})
        return
    for item in found.values():
        terminal.line(terminal.document(item["id"], item["source"], item["passages"]))


def _model(name: str) -> dict[str, Any] | None:
    """The parts of a model folder; None where it is none (and may be a collection)."""
    from dpr.errors import CheckpointError
    from dpr.shipped import find_models

    path = Path(name)
    if not path.is_dir():
        try:
            path = Path(find_models(name).question).parent
        except CheckpointError:
            return None
    if (path / "config.json").is_file():
        return {"kind": "model", "path": str(path)} | _part(path)
    parts = {part: _part(path / part) for part in PARTS if (path / part / "config.json").is_file()}
    return {"kind": "model", "path": str(path)} | parts if parts else None


def _part(folder: Path) -> dict[str, Any]:
    from dpr.models.config import DPRConfig
    from dpr.models.files import read_json_object

    config = DPRConfig.from_pretrained(folder)
    facts: dict[str, Any] = {
        "architectures": list(config.architectures or []),
        **{size: getattr(config, size) for size in SIZES},
        "dim": config.projection_dim or config.hidden_size,
        "parameters": _parameters(folder),
        "dtype": config.dtype,
        "bytes": sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        "tokenizer": any((folder / one).is_file() for one in ("tokenizer.json", "vocab.txt")),
    }
    for name in ("encoding", "reading"):
        if (folder / f"{name}.json").is_file():
            facts[name] = read_json_object(folder / f"{name}.json")
    return facts


def _parameters(folder: Path) -> int | None:
    """Numbers in the weights, from the headers of their files; None for other formats."""
    from safetensors import SafetensorError, safe_open

    from dpr.errors import CheckpointError

    count = 0
    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        try:
            with safe_open(file, "np") as tensors:
                count += sum(math.prod(tensors.get_slice(k).get_shape()) for k in tensors.keys())  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(f"{file}: is damaged: {error}; fetch or save it again") from error
    return count if files else None


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{name} · ")
        elif key == "bytes":
            yield f"{prefix}size", terminal.size(value)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for number, item in enumerate(value):
                yield from _flat(item, f"{name} {number} · ")
        elif isinstance(value, list):
            yield name, ", ".join(map(str, value))
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        elif isinstance(value, int):
            yield name, f"{value:,}"
        elif value not in (None, "", {}):
            yield name, str(value)
