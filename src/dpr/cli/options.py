"""Options that several verbs share, and options made of settings records.

Takes settings dataclasses, gives typer parameters: names, types, defaults and help all come from
the record, so that the command line cannot drift from it. Knows nothing of what the verbs do.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="A model that comes with the package (dpr-mini), or a folder that training made.",
        show_default=False,
    ),
]
ReaderPlace = Annotated[
    str | None,
    typer.Option(
        "--reader", help="Another reader than the model's own: dpr-mini, a folder or hub id."
    ),
]
CollectionFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A collection.")]


class OnError(StrEnum):
    """What malformed input leads to."""

    stop = "raise"
    skip = "skip"


Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a file that is there, when the new is whole.")
]


def with_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Parameters annotated with a settings record become options, one a field.

    The function still gets the record itself, made (and so checked) from the options.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters: list[inspect.Parameter] = []
    records: dict[str, type] = {}
    for parameter in inspect.signature(function).parameters.values():
        kind = hints[parameter.name]
        if isinstance(kind, type) and is_dataclass(kind):
            records[parameter.name] = kind
            parameters += _options(kind)
        else:
            parameters.append(parameter.replace(annotation=kind))

    @wraps(function)
    def command(**given: Any) -> None:
        for name, kind in records.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        function(**given)

    keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    command.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in keyword}
    del command.__wrapped__
    return command


def _options(kind: type) -> list[inspect.Parameter]:
    types, texts = get_type_hints(kind), attribute_texts(kind.__doc__ or "")
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[types[field.name], _option(field, kind, texts)],
        )
        for field in fields(kind)
    ]


def _option(field: Field[Any], kind: type, texts: dict[str, str]) -> Any:
    text = texts.get(field.name, "")
    return typer.Option(
        help=text[:1].upper() + text[1:],
        rich_help_panel=f"Settings ({kind.__name__})",
    )


def attribute_texts(docstring: str) -> dict[str, str]:
    """What a docstring's "Attributes:" section says of each name."""
    section = inspect.cleandoc(docstring).partition("Attributes:\n")[2].partition("\n\n")[0]
    texts: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}([\w, ]+): (.+(?:\n {8}.+)*)", section, re.MULTILINE):
        for name in names.split(", "):
            texts[name] = " ".join(text.split()).replace("``", "'")
    return texts
