"""Small files of a model folder: plain names, JSON in, text out.

Takes paths and values, gives values and files that are either whole or absent. Knows nothing of
configurations or weights.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dpr.errors import CheckpointError


def is_plain_name(name: str) -> bool:
    """True if ``name`` is a file name and nothing else: no folder, drive, ``..`` or NUL."""
    return name not in ("", ".", "..") and not any(character in name for character in "/\\:\0")


def read_json_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        CheckpointError: unreadable, not JSON, or another kind of value.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: is not valid JSON ({error}); it may be truncated: fetch or save it again"
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: holds a JSON {type(values).__name__}, not an object")
    return values


def write_text(path: Path, text: str) -> None:
    """Write a file whole: a temporary file beside it, then a rename.

    Raises:
        CheckpointError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}") from error
