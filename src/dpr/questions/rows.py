"""Rows of tab-separated fields with CSV's quotes: DPR's files of questions, BEIR's judgements.

Takes a path; gives the fields of each row with the line it begins on. Writes a row so that any CSV
reader set to tabs gives the same fields. Knows nothing of what the fields mean.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from dpr.corpus.lines import LineDecoder, open_bytes
from dpr.errors import InputError


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file; empty lines are passed over.

    Raises:
        InputError: the file cannot be read, or a row is not well-formed; names the line.
    """
    with open_bytes(path) as stream:
        decode = LineDecoder(path)
        rows = csv.reader(map(decode, decode.raw_lines(stream)), delimiter="\t", strict=True)
        while True:
            line = decode.number + 1
            try:
                fields = next(rows, None)
            except csv.Error as error:
                span = f" (lines {line} to {decode.number} were taken as one)"
                raise InputError(
                    f"not a well-formed row: {error}{span if decode.number > line else ''}; a "
                    'field that begins with a quote is written "a ""quoted"" word"',
                    source=str(path),
                    line=line,
                ) from None
            if fields is None:
                return
            if fields:
                yield line, fields


def write_row(*fields: str) -> str:
    """A line with its line end."""
    return "\t".join(map(_quoted, fields)) + "\n"


def _quoted(field: str) -> str:
    # Not csv.writer, which in some versions of Python leaves carriage returns bare.
    # A mark of byte order at the beginning of a file would be taken for one.
    if any(character in field for character in '"\t\n\r\ufeff'):
        return '"' + field.replace('"', '""') + '"'
    return field
