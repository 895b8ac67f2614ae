"""Lines of a plain or gzipped UTF-8 file, with exact places for what is wrong.

Takes a path; gives raw lines and decodes them one by one, so that a file of any size needs the
memory of its longest line. Lines end at line feeds only: U+2028, U+2029 and U+0085 are ordinary
characters inside a row. Knows nothing of rows.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import cast

from dpr.errors import InputError

_GZIP = b"\x1f\x8b"


class UnreadableError(InputError):
    """The file itself gives out, so that there is nothing after the fault to go on with."""


@contextmanager
def open_bytes(path: Path) -> Iterator[BufferedReader]:
    """Open a plain or gzipped file for reading, past its byte order mark.

    Raises:
        UnreadableError: the file cannot be opened, or is named ``.gz`` and is not gzipped.
    """
    try:
        with path.open("rb") as plain:
            if plain.peek(2)[:2] == _GZIP:
                # GzipFile buffers and peeks as BufferedReader does.
                with gzip.GzipFile(fileobj=plain) as unzipped:
                    yield _past_mark(cast(BufferedReader, unzipped))
            elif path.suffix == ".gz":
                raise UnreadableError(
                    "is named .gz but does not hold gzip data; rename it, or fetch it again",
                    source=str(path),
                )
            else:
                yield _past_mark(plain)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error, None) from error


def _past_mark(stream: BufferedReader) -> BufferedReader:
    if stream.peek(3)[:3] == codecs.BOM_UTF8:
        stream.read(3)
    return stream


def _unreadable(path: Path, error: Exception, line: int | None) -> UnreadableError:
    if isinstance(error, EOFError):
        what = "the gzip data ends too early: the file is truncated; fetch it again"
    elif isinstance(error, gzip.BadGzipFile | zlib.error):
        what = f"the gzip data is damaged ({error}); fetch it again"
    elif isinstance(error, OSError) and error.strerror:
        what = f"cannot be read: {error.strerror}"
    else:
        what = f"cannot be read: {error}"
    return UnreadableError(what, source=str(path), line=line)


class LineDecoder:
    """Decodes the lines of one file in turn and knows the number of the last one.

    A callable rather than a generator, because a generator ends at its first exception and
    reading must be able to go on after a bad line.
    """

    def __init__(self, path: Path) -> None:
        self.source = str(path)
        self.path = path
        self.number = 0

    def __call__(self, raw: bytes) -> str:
        """The text of the next line.

        Raises:
            InputError: the line is not UTF-8 or holds a NUL byte.
        """
        self.number += 1
        if b"\0" in raw:
            raise InputError(
                f"NUL byte at byte {raw.index(0)} of the line: is this binary data or UTF-16? "
                "Give UTF-8 text",
                source=self.source,
                line=self.number,
            )
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start} of the line; "
                "convert the file to UTF-8",
                source=self.source,
                line=self.number,
            ) from None

    def raw_lines(self, stream: BufferedReader) -> Iterator[bytes]:
        """The lines of ``stream`` as bytes, line ends included.

        Raises:
            UnreadableError: the file gives out (a truncated gzip file, a failing disk).
        """
        try:
            yield from stream
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(self.path, error, self.number + 1) from error


def decode_text(data: bytes, source: str) -> str:
    """The text of a whole file, without its byte order mark, line ends as they are.

    Raises:
        InputError: it is not UTF-8 or holds a NUL byte; the message gives the byte and line.
    """
    if b"\0" in data:
        at = data.index(0)
        raise InputError(
            f"NUL byte at byte {at}: is this binary data or UTF-16? Give UTF-8 text",
            source=source,
            line=data.count(b"\n", 0, at) + 1,
        )
    mark = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    try:
        return data[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = mark + error.start
        raise InputError(
            f"not UTF-8: byte 0x{data[at]:02x} at byte {at}; convert the file to UTF-8",
            source=source,
            line=data.count(b"\n", 0, at) + 1,
        ) from None
