"""CSV and TSV files with a header, DPR's ``psgs_w100.tsv`` among them, plain or gzipped.

Takes a path and the columns wanted; gives rows one by one, each with the line at which it
begins, or the error that stands in a row's place. Quotes follow CSV rules, strictly: a stray quote
is an error and never silently changes a text. A quoted field may hold line ends, which stay as
they are; empty lines are passed over. Metadata are the texts of their fields, without those that
are empty. Knows nothing of documents.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from dpr.corpus.lines import LineDecoder, UnreadableError, open_bytes
from dpr.corpus.rows import Row, choose_columns
from dpr.corpus.settings import SourceSettings
from dpr.errors import InputError

PSGS_HEADER = ["id", "text", "title"]
# An unclosed quote makes one field of all that follows: this is where that ends.
FIELD_LIMIT = 16 * 2**20


def read_table(path: Path, settings: SourceSettings, delimiter: str) -> Iterator[Row | InputError]:
    """The rows of a table, ``InputError`` standing for a malformed one.

    Raises:
        InputError: the header lacks a column that is needed, or the file cannot be read on.
    """
    with open_bytes(path) as stream:
        decode = LineDecoder(path)
        reader = _csv_reader(stream, decode, delimiter)
        header = _header(reader, decode)
        _check_header(header, settings, delimiter, str(path))
        columns = choose_columns(settings, header, str(path))
        id_at, text_at = header.index(columns.id), header.index(columns.text)
        title_at = None if columns.title is None else header.index(columns.title)
        metadata_at = [(name, header.index(name)) for name in columns.metadata]
        width = len(header)
        while True:
            line = decode.number + 1
            try:
                fields = next(reader, None)
            except UnreadableError:
                raise
            except InputError as error:
                yield error
                continue
            except csv.Error as error:
                yield _bad_quotes(error, decode, line)
                continue
            if fields is None:
                return
            if len(fields) == width:
                title = "" if title_at is None else fields[title_at]
                metadata = {name: fields[at] for name, at in metadata_at if fields[at]}
                yield line, fields[id_at], fields[text_at], title, metadata
            elif fields:
                yield _bad_width(fields, header, decode, line)


def _csv_reader(stream: BufferedReader, decode: LineDecoder, delimiter: str) -> Any:
    # The limit is the csv module's own, shared by the process: it is only ever raised.
    if csv.field_size_limit() < FIELD_LIMIT:
        csv.field_size_limit(FIELD_LIMIT)
    lines = map(decode, decode.raw_lines(stream))
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _header(reader: Any, decode: LineDecoder) -> list[str]:
    try:
        header: list[str] | None = next(reader, None)
    except csv.Error as error:
        raise _bad_quotes(error, decode, 1) from None
    if not header:
        raise InputError(
            "the file is empty; expected a header line with the names of the columns"
            if header is None
            else "the first line is empty; expected a header with the names of the columns",
            source=decode.source,
        )
    return header


def _check_header(header: list[str], settings: SourceSettings, delimiter: str, source: str) -> None:
    if settings.format == "psgs" and header != PSGS_HEADER:
        raise InputError(
            f"the header is {header}; DPR's passages file has {PSGS_HEADER}, separated by tabs "
            "(for other columns choose the format tsv)",
            source=source,
            line=1,
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(
            f"the header names {', '.join(twice)} more than once; rename one of the columns",
            source=source,
            line=1,
        )
    if len(header) == 1 and any(other in header[0] for other in "\t,;|" if other != delimiter):
        raise InputError(
            f"the header is a single column {header[0]!r}: expected columns separated by "
            f"{'tabs' if delimiter == chr(9) else repr(delimiter)} "
            "(csv: commas, tsv: tabs; choose the format, or convert the file)",
            source=source,
            line=1,
        )


def _bad_quotes(error: csv.Error, decode: LineDecoder, line: int) -> InputError:
    span = "" if decode.number <= line else f" (lines {line} to {decode.number} were taken as one)"
    return InputError(
        f"not a well-formed row: {error}{span}; expected CSV quoting, in which a field with quotes "
        'or line ends in it is written "a ""quoted"" word"',
        source=decode.source,
        line=line,
    )


def _bad_width(fields: list[str], header: list[str], decode: LineDecoder, line: int) -> InputError:
    return InputError(
        f"{len(fields)} fields, beginning {fields[0][:40]!r}; expected {len(header)} as in the "
        f"header: {', '.join(header)}",
        source=decode.source,
        line=line,
    )
