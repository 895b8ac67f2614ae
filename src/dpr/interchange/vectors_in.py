"""Files of vectors with their ids, as one table whose rows can be taken in any order.

Takes NumPy files, (n, dim), with ids beside them or none; or Parquet files with a column of ids and
one of vectors. Gives ids in order, and vectors by row. Knows nothing of passages or encoders.

Memory holds no file: NumPy files are mapped, Parquet is read forwards in batches. Where rows of
Parquet are asked for in another order, the vectors are first copied into an unnamed file.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError
from dpr.interchange.vector_tables import NumpyTable, ParquetTable, ids_of, kind_of, reading

Files = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""A path, a pattern such as ``vectors/*.npy``, or several of them."""


@dataclass(frozen=True, slots=True)
class VectorSettings:
    """How files of vectors are read.

    Attributes:
        id_column: of Parquet: the ids; by default ``id``, ``_id``, ``passage_id`` or ``docid``.
        vector_column: of Parquet: the vectors; by default the only column of lists of floats.
        id_prefix: what every id begins with and the passages' ids do not, such as the original
            DPR's ``wiki:``; it is taken off.
    """

    id_column: str | None = None
    vector_column: str | None = None
    id_prefix: str = ""


class VectorFiles:
    """Vectors in several files, rows counted through from 0.

    Attributes:
        rows, dim: the shape of all together.
        has_ids: False where rows are only known by their order.
    """

    def __init__(
        self,
        vectors: Files,
        ids: Files = (),
        settings: VectorSettings | None = None,
        scratch: str | os.PathLike[str] | None = None,
    ) -> None:
        """
        Args:
            vectors: all NumPy, or all Parquet; in the order of their names as people count, shard
                2 before shard 10, where they come from a pattern.
            ids: of NumPy files: for each of them, or for all of them, a file of ids: text with an
                id a line (gzipped or not), a JSON list, or a NumPy array of texts or whole numbers.
            scratch: a folder on a disk that has room for all the vectors.

        Raises:
            InputError: a file is missing or not what it should be; lengths do not fit.
        """
        self.settings = settings or VectorSettings()
        self.paths = find_files(vectors, "vectors")
        self._id_paths = find_files(ids, "ids") if ids != () else ()
        kinds = {kind_of(path) for path in self.paths}
        if len(kinds) > 1:
            raise InputError("the vectors are in NumPy and in Parquet files; give one kind")
        if kinds == {"parquet"} and self._id_paths:
            raise InputError("Parquet files have their ids in a column; give no files of ids")
        chosen = self.settings
        self._table: NumpyTable | ParquetTable = (
            ParquetTable(self.paths, chosen.id_column, chosen.vector_column, scratch)
            if kinds == {"parquet"}
            else NumpyTable(self.paths)
        )
        self._starts = np.cumsum([0, *self._table.counts])
        self.rows, self.dim = int(self._starts[-1]), self._table.dim
        self.has_ids = bool(self._id_paths) or kinds == {"parquet"}
        if not self.rows:
            raise InputError("there are no vectors in it", source=str(self.paths[0]))

    def digest(self) -> str:
        """SHA-256 of the files' contents and of how they are read; takes reading all of them."""
        digest = hashlib.sha256(json.dumps(astuple(self.settings)).encode())
        for path in (*self.paths, *self._id_paths):
            with reading(path), path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def place(self, row: int) -> str:
        """Where a row is, for people."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return f"{self.paths[number]}: row {row - int(self._starts[number])} (counted from 0)"

    def ids(self) -> Iterator[str]:
        """The ids of all rows, in order, without their prefix.

        Raises:
            InputError: an id that is none; more or fewer ids than vectors, in all or, where each
                file has its own, in one.
        """
        prefix, row = self.settings.id_prefix, 0
        for one in self._all_ids():
            if row < self.rows and not (one.startswith(prefix) and len(one) > len(prefix)):
                raise InputError(
                    f"{self.place(row)}: the id {one!a} is empty or does not begin with {prefix!a}"
                    if prefix
                    else f"{self.place(row)}: the id is empty"
                )
            yield one[len(prefix) :]
            row += 1
        if row != self.rows:
            raise InputError(f"there are {row} ids for {self.rows} vectors")

    def _all_ids(self) -> Iterator[str]:
        if isinstance(self._table, ParquetTable):
            yield from self._table.ids()
            return
        each = len(self._id_paths) == len(self.paths)
        for number, path in enumerate(self._id_paths):
            count = 0
            for one in ids_of(path):
                count += 1
                yield one
            if each and count != self._table.counts[number]:
                raise InputError(
                    f"holds {count} ids; {self.paths[number]} has {self._table.counts[number]} "
                    "vectors",
                    source=str(path),
                )

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The vectors of these rows, (len(rows), dim), in the order asked for.

        Raises:
            InputError: a vector that is not finite, or all zero; names the file and row.
        """
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        found = self._table.take(ascending)
        for bad, what in (
            (~np.isfinite(found).all(axis=1), "holds NaN or infinity"),
            (~found.any(axis=1), "is all zero and could never be found"),
        ):
            if bad.any():
                row = int(ascending[int(np.argmax(bad))])
                raise InputError(f"{self.place(row)}: the vector {what}; encode the passage again")
        result = np.empty_like(found)
        result[order] = found
        return result

    def close(self) -> None:
        """Lets go of the files."""
        self._table.close()


def find_files(files: Files, what: str) -> tuple[Path, ...]:
    """The files that paths and patterns name; those of a pattern in the order in which people
    count, ``shard_2`` before ``shard_10``.

    Raises:
        InputError: there is none, or one comes twice.
    """
    given = [files] if isinstance(files, str | os.PathLike) else list(files)
    found: list[Path] = []
    for one in [os.fspath(one) for one in given]:
        some = [one] if Path(one).is_file() else sorted(glob.glob(one), key=_counted)  # noqa: PTH207
        found += [path for path in map(Path, some) if path.is_file()]
        if not some:
            raise InputError(f"no such file of {what}, nor any that fits as a pattern", source=one)
    if not found:
        raise InputError(f"no files of {what} were given")
    if len(set(found)) < len(found):
        raise InputError(f"a file of {what} is given twice", source=str(_first_twice(found)))
    return tuple(found)


def _counted(name: str) -> list[tuple[int, str]]:
    parts = re.split("([0-9]+)", name)
    return [(int(part) if number % 2 else -1, part) for number, part in enumerate(parts)]


def _first_twice(paths: list[Path]) -> Path:
    return next(path for number, path in enumerate(paths) if path in paths[:number])
