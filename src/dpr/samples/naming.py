"""Files of samples to the names that people know their questions by.

Takes paths, gives short names. Reads no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def short_names(files: Sequence[Path]) -> list[str]:
    """The shortest names that tell files apart: without ".json", ".jsonl.gz" and the like, with as
    much of the folders as it takes. Only a file that is given twice has the same name twice.
    """
    paths = [file.parent.resolve() / file.name for file in files]
    short = [(*path.parts[:-1], _stem(path.name)) for path in paths]
    # Side by side, such as train.json and train.json.gz: the whole name tells them apart.
    whole = [
        path.parts
        if any(a == b and path != other for b, other in zip(short, paths, strict=True))
        else a
        for a, path in zip(short, paths, strict=True)
    ]
    return [_shortest(one, set(whole) - {one}) for one in whole]


def _stem(name: str) -> str:
    return Path(name.removesuffix(".gz")).stem


def _shortest(parts: tuple[str, ...], others: set[tuple[str, ...]]) -> str:
    for count in range(1, len(parts)):
        if all(parts[-count:] != other[-count:] for other in others):
            return "/".join(parts[-count:])
    return "/".join(parts)
