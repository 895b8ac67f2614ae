"""Files of a report: each written whole, beside its place and then moved there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dpr.errors import InputError


def write_text(path: Path, text: str) -> Path:
    """Writes a file as UTF-8 and gives its path; lone surrogates become "?".

    Raises:
        InputError: it cannot be written; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(text.encode("utf-8", "replace"))
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot be written: {error.strerror or error}", source=str(path)
        ) from error
    return path
