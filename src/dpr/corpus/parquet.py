"""Parquet files, streamed by batch.

Takes a path and the columns wanted; gives rows one by one, numbered from 1. Knows nothing of
documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr.corpus.lines import UnreadableError
from dpr.corpus.rows import Row, choose_columns
from dpr.corpus.settings import SourceSettings
from dpr.errors import InputError

BATCH_ROWS = 1024


def read_parquet(path: Path, settings: SourceSettings) -> Iterator[Row | InputError]:
    """The rows of a Parquet file, ``InputError`` standing for one with invalid UTF-8.

    Raises:
        InputError: it is no Parquet file, is damaged, or lacks a column that is needed.
    """
    # Here, since importing pyarrow takes longer than reading most other sources.
    import pyarrow
    import pyarrow.parquet

    source = str(path)
    try:
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
            columns = choose_columns(settings, file.schema_arrow.names, source)
            title = () if columns.title is None else (columns.title,)
            wanted = list(dict.fromkeys((columns.id, columns.text, *title, *columns.metadata)))
            number = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                values = [_values(batch.column(name), source, number) for name in wanted]
                for row in zip(*values, strict=True):
                    number += 1
                    bad = next((value for value in row if isinstance(value, InputError)), None)
                    held = dict(zip(wanted, row, strict=True))
                    yield (
                        (
                            number,
                            held[columns.id],
                            held[columns.text],
                            "" if columns.title is None else held[columns.title],
                            {name: held[name] for name in columns.metadata},
                        )
                        if bad is None
                        else bad
                    )
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadableError(f"cannot be read as Parquet: {error}", source=source) from error


def _values(column: Any, source: str, before: int) -> list[object]:
    try:
        values: list[object] = column.to_pylist()
        return values
    except UnicodeDecodeError:
        return [_value(column[at], source, before + at + 1) for at in range(len(column))]


def _value(scalar: Any, source: str, number: int) -> object:
    try:
        value: object = scalar.as_py()
        return value
    except UnicodeDecodeError as error:
        return InputError(f"not UTF-8: {error.reason}", source=source, line=number)
