"""Files that are written whole: readers see the old content or all of the new one.

Takes a path, gives a file to write to, which takes its place when all went well. Knows nothing of
what is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dpr.collection.vectors import HEADER_BYTES, header
from dpr.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file beside ``path`` that becomes ``path``, durably, at the end; an exception leaves
    nothing of it behind.

    Raises:
        InputError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}", source=str(path)
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


class NumpyWriter:
    """A NumPy file (format 1.0, C order) whose rows come in portions; the count is filled in last.

    Args:
        file: empty; what is written begins at its start.
        dim: numbers in a row.
        dtype: a float type; numbers are little-endian.
    """

    def __init__(self, file: IO[bytes], dim: int, dtype: str) -> None:
        self._file = file
        self._dim = dim
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self.rows = 0
        file.write(b"\0" * HEADER_BYTES)

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Adds rows, (n, dim)."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self.rows += len(rows)

    def finish(self) -> None:
        """Writes the header; the rows are complete."""
        self._file.seek(0)
        self._file.write(header((self.rows, self._dim), self._dtype.name))


@contextmanager
def numpy_with_ids(path: Path, ids: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A NumPy file and the text of its ids, both whole; never are new vectors beside old ids."""
    with whole_file(ids) as names, whole_file(path) as numbers:
        yield numbers, names
        ids.unlink(missing_ok=True)


def id_lines(ids: list[str], source: str) -> bytes:
    """Ids as text, one a line.

    Raises:
        InputError: one that a line cannot hold; names it.
    """
    for one in ids:
        if not one or set(one) & set("\n\r\0") or one.startswith("\ufeff"):
            raise InputError(
                f"the id {one!a} does not fit into a line of a text file (it is empty, or holds a "
                "line end, NUL or a mark of byte order); write Parquet instead, or change the id",
                source=source,
            )
    return "".join(f"{one}\n" for one in ids).encode()
