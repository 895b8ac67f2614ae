"""Settings records as JSON files beside what they made: saved whole, loaded with every key checked.

Takes and gives the frozen dataclasses that the stages define; knows none of them.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dpr.errors import SettingsError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Settings = TypeVar("Settings", bound=DataclassInstance)


def save_settings(settings: DataclassInstance, path: Path) -> None:
    """Writes the settings as JSON, a field a line; the file is whole, or as it was before."""
    text = json.dumps(dataclasses.asdict(settings), indent=2, ensure_ascii=False)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_settings(kind: type[Settings], path: Path) -> Settings | None:
    """Reads settings of one kind; None where there is no such file.

    Raises:
        SettingsError: not a JSON object, an unknown key, or a value outside what is allowed.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as JSON: {error}") from error
    names = [field.name for field in dataclasses.fields(kind)]
    if not isinstance(given, dict):
        raise SettingsError(f"{path} holds no JSON object; expected the keys {', '.join(names)}")
    for key in given:
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise SettingsError(f"{path}: unknown key {key!r}{hint} Allowed: {', '.join(names)}")
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
