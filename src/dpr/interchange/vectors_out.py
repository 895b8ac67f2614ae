"""Vectors and ids of a collection as files that other libraries read: NumPy, Parquet.

Takes a collection, gives files: its passages that are not deleted, in the order of their rows.
Memory holds a portion of them; each file is whole or not there. Knows nothing of encoders.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dpr.collection import Collection
from dpr.collection.copying import take
from dpr.errors import SettingsError
from dpr.interchange.whole import NumpyWriter, id_lines, numpy_with_ids, whole_file
from dpr.records import Passage

ExportType = Literal["float32", "stored"]
ROWS_AT_ONCE = 4096
_TEXTS = ("title", "text", "section", "source", "document")


@dataclass(frozen=True, slots=True)
class Exported:
    """What exporting gives.

    Attributes:
        files: what was written.
        rows, dim, dtype: of the vectors.
        version: of the collection.
    """

    files: tuple[Path, ...]
    rows: int
    dim: int
    dtype: str
    version: int


def export_vectors(
    collection: Collection | str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    dtype: ExportType = "float32",
    texts: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Exported:
    """Writes the vectors and ids of a collection.

    Args:
        to: ``name.npy``, an array (rows, dim) beside ``name.ids.txt`` with an id a line; or
            ``name.parquet`` with the columns ``id`` and ``vector``. Files that are there are
            replaced.
        dtype: ``float32``, or ``stored``, float16 where the collection has it. int8 becomes float32
            in either case: what its numbers stand for.
        texts: Parquet also gets what else is known of a passage: ``title``, ``text``, ``section``,
            ``source``, ``document``, the offsets ``start`` and ``end`` in it, and ``metadata`` as
            JSON.
        progress: called with the number of passages written so far.

    Raises:
        SettingsError: another ending than those two, or texts for NumPy.
        InputError: a file cannot be written; an id that a line of text cannot hold.
        CollectionError, CorruptionError: the collection cannot be read.
    """
    path = Path(to)
    if path.suffix not in (".npy", ".parquet"):
        raise SettingsError(f"{path}: vectors are written to files that end in .npy or .parquet")
    if dtype not in get_args(ExportType):
        raise SettingsError(f"dtype={dtype!r}; allowed are 'float32' and 'stored'")
    if texts and path.suffix == ".npy":
        raise SettingsError(f"{path}: NumPy files hold no texts; write Parquet")
    if not isinstance(collection, Collection):
        with Collection.open(os.fspath(collection)) as opened:
            return export_vectors(opened, path, dtype=dtype, texts=texts, progress=progress)
    stored = collection.manifest.dtype
    given = stored if dtype == "stored" and stored != "int8" else "float32"
    portions = _Portions(collection, given, progress or (lambda done: None))
    write = _write_numpy if path.suffix == ".npy" else _write_parquet
    files = write(portions, path, texts)
    manifest = collection.manifest
    return Exported(files, len(portions.rows), manifest.dim, given, manifest.version)


class _Portions:
    """The live rows of a collection, portion after portion."""

    def __init__(self, collection: Collection, dtype: str, progress: Callable[[int], None]) -> None:
        self.collection = collection
        self.dtype = dtype
        self.rows = collection.live_rows()
        self._progress = progress

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]:
        """Rows and their vectors."""
        for first in range(0, len(self.rows), ROWS_AT_ONCE):
            rows = self.rows[first : first + ROWS_AT_ONCE]
            self.collection.guard.rows(rows)
            found = take(self.collection, rows)
            yield rows, found.numbers if self.dtype != "float32" else found.values()
            self._progress(first + len(rows))


def _write_numpy(portions: _Portions, path: Path, texts: bool) -> tuple[Path, ...]:
    ids = path.with_suffix(".ids.txt")
    collection = portions.collection
    with numpy_with_ids(path, ids) as (numbers, names):
        writer = NumpyWriter(numbers, collection.manifest.dim, portions.dtype)
        for rows, vectors in portions:
            names.write(id_lines(collection.ids(rows.tolist()), str(path)))
            writer.append(vectors)
        writer.finish()
    return path, ids


def _write_parquet(portions: _Portions, path: Path, texts: bool) -> tuple[Path, ...]:
    collection = portions.collection
    dim, number = collection.manifest.dim, pa.from_numpy_dtype(np.dtype(portions.dtype))
    vector = pa.list_(pa.field("element", number, nullable=False), dim)
    fields = [pa.field("id", pa.string(), False), pa.field("vector", vector, False)]
    if texts:
        fields += [pa.field(name, pa.string(), False) for name in (*_TEXTS, "metadata")]
        fields += [pa.field(name, pa.int64(), False) for name in ("start", "end")]
    schema = pa.schema(fields)
    others = [field.name for field in fields if field.name != "vector"]
    with (
        whole_file(path) as file,
        pq.ParquetWriter(
            file,
            schema,
            compression=dict.fromkeys(others, "zstd") | {"vector.list.element": "none"},
            use_dictionary=[name for name in ("title", "section", "source") if name in others],
            write_statistics=["id"],
        ) as writer,
    ):
        for rows, vectors in portions:
            flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), number)
            columns: dict[str, Any] = {
                "vector": pa.FixedSizeListArray.from_arrays(flat, type=vector)
            }
            if texts:
                passages = collection.passages(rows.tolist())
                columns |= {name: _column(name, passages) for name in others}
            else:
                columns["id"] = collection.ids(rows.tolist())
            arrays = [
                column
                if isinstance(column := columns[field.name], pa.Array)
                else pa.array(column, field.type)
                for field in schema
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    return (path,)


def _column(name: str, passages: list[Passage]) -> list[Any]:
    if name == "metadata":
        return [json.dumps(dict(one.metadata), ensure_ascii=False) for one in passages]
    return [getattr(one, name) for one in passages]
