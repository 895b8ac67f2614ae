"""NumPy and Parquet files as tables of vectors, and files of ids.

Takes paths. Gives how many rows each file has, vectors by ascending row, and ids in order, all with
bounded memory. Knows nothing of what the ids stand for.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dpr.corpus.lines import LineDecoder, open_bytes
from dpr.errors import InputError

BATCH_ROWS = 4096
_LARGEST_JSON = 2**26
_ID_COLUMNS = ("id", "_id", "passage_id", "docid")
_FLOATS = ("float16", "float32", "float64")
_LOG = logging.getLogger(__name__)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Failures of the system and of pyarrow as an InputError with the file's name."""
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {why}", source=str(path)) from error


def kind_of(path: Path) -> str:
    """``numpy`` or ``parquet``, by the first bytes.

    Raises:
        InputError: neither.
    """
    with reading(path), path.open("rb") as file:
        head = file.read(6)
    if head == b"\x93NUMPY":
        return "numpy"
    if head[:4] == b"PAR1":
        return "parquet"
    pickled = head[:1] == b"\x80" or path.suffix in (".pkl", ".pickle")
    raise InputError(
        "is a pickle, which could run code; make NumPy files of it first: dpr convert --vectors"
        if pickled
        else "is neither a NumPy file (.npy) nor Parquet; vectors are read from these",
        source=str(path),
    )


class NumpyTable:
    """NumPy files of shape (n, dim), mapped.

    Attributes:
        counts: rows of each file.
        dim: numbers in a vector.

    Raises:
        InputError: a file is damaged or of another shape or type; names it.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._arrays = [_mapped(path) for path in paths]
        self.counts = [len(array) for array in self._arrays]
        self.dim = self._arrays[0].shape[1]
        self._starts = np.cumsum([0, *self.counts])
        self._dtype = np.result_type(*(array.dtype for array in self._arrays)).newbyteorder("=")
        for path, array in zip(paths, self._arrays, strict=True):
            if array.shape[1] != self.dim:
                raise InputError(
                    f"has vectors of {array.shape[1]} numbers; {paths[0]} has {self.dim}",
                    source=str(path),
                )

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """(len(rows), dim); ``rows`` ascend."""
        found = np.empty((len(rows), self.dim), self._dtype)
        cuts = np.searchsorted(rows, self._starts).tolist()
        for number, array in enumerate(self._arrays):
            first, last = cuts[number], cuts[number + 1]
            if first < last:
                inside = rows[first:last] - self._starts[number]
                gapless = inside[-1] - inside[0] == last - first - 1
                found[first:last] = array[inside[0] : inside[-1] + 1] if gapless else array[inside]
        return found

    def close(self) -> None:
        """Lets go of the maps."""
        self._arrays = []


def _loaded(path: Path, remedy: str) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of many kinds: ValueError, EOFError, SyntaxError, TokenError
        raise InputError(
            f"cannot be read as a NumPy file: {str(error)[:200]}; {remedy}", source=str(path)
        ) from error
    return array


def _mapped(path: Path) -> npt.NDArray[Any]:
    array = _loaded(path, "it is truncated or damaged, or holds objects: write it again")
    if array.ndim != 2 or array.dtype.name not in _FLOATS or not array.shape[1]:
        raise InputError(
            f"holds an array of shape {array.shape} and type {array.dtype}; expected vectors as "
            f"rows, (n, dim), of {', '.join(_FLOATS)}",
            source=str(path),
        )
    return array


class ParquetTable:
    """Parquet files with a column of ids and one of vectors, read forwards.

    Where rows are wanted that were passed already, all vectors are copied, once, to an unnamed file
    in ``scratch``. Attributes and errors as ``NumpyTable``; an error about a row names it.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        id_column: str | None,
        vector_column: str | None,
        scratch: str | os.PathLike[str] | None,
    ) -> None:
        self._paths = list(paths)
        self.counts: list[int] = []
        self._columns: list[tuple[str, str]] = []
        types = set()
        for path in paths:
            with reading(path), pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                self.counts.append(file.metadata.num_rows)
            id_name, vector_name = _columns(schema, id_column, vector_column, str(path))
            self._columns.append((id_name, vector_name))
            types.add(schema.field(vector_name).type.value_type.to_pandas_dtype())
        self._dtype = np.result_type(*types)
        self._scratch = scratch
        self._copy: npt.NDArray[Any] | None = None
        self.dim = 0
        self._batches = self._read()
        self._first, self._batch = 0, np.empty((0, 0), self._dtype)
        self._advance()

    def ids(self) -> Iterator[str]:
        """The ids of all rows, in order."""
        for path, (name, _) in zip(self._paths, self._columns, strict=True):
            row = 0
            for column in _batches(path, name):
                with reading(path):
                    values = column.to_pylist()
                for value in values:
                    if type(value) not in (str, int):
                        what = f"the id is {repr(value)[:60]}; expected a text or a whole number"
                        raise _bad_row(path, row, what)
                    yield str(value)
                    row += 1

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """(len(rows), dim); ``rows`` ascend."""
        if self._copy is None and len(rows) and rows[0] < self._first:
            self._copy = self._copied()
        if self._copy is not None:
            return self._copy[rows]
        found = np.empty((len(rows), self.dim), self._dtype)
        done = 0
        while done < len(rows):
            last = int(np.searchsorted(rows, self._first + len(self._batch)))
            found[done:last] = self._batch[rows[done:last] - self._first]
            done = last
            if done < len(rows):
                self._advance()
        return found

    def close(self) -> None:
        """Removes the copy, if there is one."""
        self._batches.close()
        self._copy = None

    def _advance(self) -> None:
        self._first += len(self._batch)
        self._batch = next(self._batches, self._batch[:0])

    def _read(self) -> Any:  # a generator, which can be closed
        for path, (_, name) in zip(self._paths, self._columns, strict=True):
            row = 0
            for column in _batches(path, name):
                vectors = _matrix(column, self.dim, path, row)
                self.dim = vectors.shape[1]
                yield vectors
                row += len(vectors)

    def _copied(self) -> npt.NDArray[Any]:
        shape = sum(self.counts), self.dim
        _LOG.warning(
            "the rows of the Parquet files are in another order than the passages: their vectors "
            "are copied to a temporary file first (%.1f GB)",
            shape[0] * shape[1] * self._dtype.itemsize / 1e9,
        )
        folder = Path(self._scratch or tempfile.gettempdir())
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                for vectors in self._read():
                    file.write(np.ascontiguousarray(vectors, self._dtype).data)
                file.flush()
                return np.memmap(file, self._dtype, "r", shape=shape)  # outlives the file
        except OSError as error:
            raise InputError(
                f"the vectors cannot be copied: {error.strerror or error}; free some space, or "
                "give them in the order of the passages, or as NumPy files",
                source=str(folder),
            ) from error


def _columns(
    schema: pa.Schema, id_column: str | None, vector_column: str | None, source: str
) -> tuple[str, str]:
    """The names of the columns of ids and of vectors."""
    names = list(schema.names)
    vectors = [field.name for field in schema if _is_vector(field.type)]
    for wanted in (id_column, vector_column):
        if wanted is not None and names.count(wanted) != 1:
            raise InputError(f"has no column {wanted!r}, but {', '.join(names)}", source=source)
    if id_column is None:
        id_column = next((name for name in _ID_COLUMNS if name in names), None)
    if id_column is None:
        raise InputError(
            f"has none of the columns {', '.join(_ID_COLUMNS)}, but {', '.join(names)}; say which "
            "one holds the ids",
            source=source,
        )
    if vector_column is None and len(vectors) == 1:
        vector_column = vectors[0]
    if vector_column is None or vector_column not in vectors:
        raise InputError(
            f"the column {vector_column!r} is {schema.field(vector_column).type}; expected lists "
            f"of {', '.join(_FLOATS)}"
            if vector_column
            else f"has {len(vectors)} columns of lists of floats ({', '.join(vectors) or 'none'}); "
            "say which one holds the vectors",
            source=source,
        )
    return id_column, vector_column


def _is_vector(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (lists or pa.types.is_fixed_size_list(kind)):
        return False
    return bool(pa.types.is_floating(kind.value_type))


def _batches(path: Path, name: str) -> Iterator[pa.Array]:
    """One column of a file, batch after batch."""
    with reading(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=[name]):
            yield batch.column(0)


def _matrix(column: pa.Array, dim: int, path: Path, row: int) -> npt.NDArray[Any]:
    """(n, dim) of a column of lists; ``dim`` 0 is that of the first one."""
    if column.null_count:
        at = int(np.argmax(np.asarray(column.is_null().to_numpy(zero_copy_only=False))))
        raise _bad_row(path, row + at, "has no vector")
    if pa.types.is_fixed_size_list(column.type):
        lengths = np.full(len(column), column.type.list_size)
    else:
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    dim = dim or int(lengths[0])
    wrong = np.flatnonzero((lengths != dim) | (lengths == 0))
    if len(wrong):
        what = f"the vector has {lengths[wrong[0]]} numbers; expected {dim}"
        raise _bad_row(path, row + int(wrong[0]), what)
    flat = column.flatten()
    if flat.null_count:
        at = int(np.argmax(flat.is_null().to_numpy(zero_copy_only=False))) // dim
        raise _bad_row(path, row + at, "the vector holds a null")
    matrix: npt.NDArray[Any] = flat.to_numpy(zero_copy_only=False).reshape(-1, dim)
    return matrix


def _bad_row(path: Path, row: int, what: str) -> InputError:
    return InputError(f"row {row}, counted from 0: {what}", source=str(path))


def ids_of(path: Path) -> Iterator[str]:
    """The ids that a file holds: a NumPy array (.npy) of texts or whole numbers, a JSON list
    (.json) of them, or text with an id a line, gzipped or not.

    Raises:
        InputError: the file cannot be read, or an id is none; names the line or place.
    """
    source = str(path)
    if path.suffix == ".npy":
        yield from _numpy_ids(path)
    elif path.suffix == ".json":
        with reading(path), path.open("rb") as file:
            data = file.read(_LARGEST_JSON + 1)
        if len(data) > _LARGEST_JSON:
            raise InputError(
                f"has more than {_LARGEST_JSON} bytes; write so many ids as text, one a line",
                source=source,
            )
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"is no JSON: {error}", source=source) from error
        for place, value in enumerate(values if isinstance(values, list) else [values]):
            if not isinstance(values, list) or type(value) not in (str, int):
                raise InputError(
                    f"holds {type(value).__name__} (entry {place}, counted from 0); expected a "
                    "list of texts or whole numbers",
                    source=source,
                )
            yield str(value)
    else:
        with open_bytes(path) as stream:
            decode = LineDecoder(path)
            for raw in decode.raw_lines(stream):
                line = decode(raw).removesuffix("\n").removesuffix("\r")
                if not line:
                    raise InputError("the id is empty", source=source, line=decode.number)
                yield line


def _numpy_ids(path: Path) -> Iterator[str]:
    array = _loaded(path, "save ids as texts: np.save(file, np.array(ids, dtype=str))")
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise InputError(
            f"holds an array of shape {array.shape} and type {array.dtype}; expected one row of "
            "texts or whole numbers",
            source=str(path),
        )
    for first in range(0, len(array), BATCH_ROWS):
        for value in array[first : first + BATCH_ROWS].tolist():
            with reading(path):
                one = value.decode() if isinstance(value, bytes) else str(value)
            yield one
