"""Files as this room reads and writes them: JSON records in a stream, and texts written whole.

Takes paths; gives JSON objects one by one with their lines, or writes lines of text so that the
file is either whole or as it was before. Knows nothing of questions.
"""

from __future__ import annotations

import codecs
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, cast

from dpr.corpus.lines import LineDecoder, open_bytes
from dpr.errors import InputError

_CHUNK = 2**20
_SPACE = " \t\r\n"


def read_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON file, each with the line it begins on: one list of them, or one a line.

    Streamed: memory holds about a MiB, or the longest record.

    Raises:
        InputError: the file cannot be read, is not such a file or not UTF-8; names the line.
    """
    with open_bytes(path) as stream:
        if stream.peek(4096).lstrip()[:1] == b"[":
            yield from _ListReader(stream, str(path)).records()
        else:
            yield from _records_of_lines(stream, path)


def _records_of_lines(stream: BufferedReader, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    decode = LineDecoder(path)
    for raw in decode.raw_lines(stream):
        text = decode(raw)
        if text.isspace():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            value, why = None, str(error)
        else:
            why = f"the line holds {type(value).__name__}"
        if not isinstance(value, dict):
            raise InputError(
                f"{why}; expected a list of objects, or one object a line; the line begins "
                f"{text[:40]!r}",
                source=decode.source,
                line=decode.number,
            )
        yield decode.number, value


class _ListReader:
    """Reads a JSON list of objects piece by piece.

    ``text`` is what is read and not dropped yet, ``at`` the place in it. ``line`` is the number of
    the line at ``counted``, a place that is never after ``at``.
    """

    def __init__(self, stream: BufferedReader, source: str) -> None:
        self.stream = stream
        self.source = source
        self.decode = codecs.getincrementaldecoder("utf-8")()
        self.parse = json.JSONDecoder().raw_decode
        self.text, self.at, self.counted, self.line = "", 0, 0, 1

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        self.take()  # the bracket that the caller saw
        mark = self.take()
        while mark != "]":
            if mark != "{":
                raise self.error(
                    f"expected an object, found {mark or 'the end'!r}", self.at - len(mark)
                )
            self.at -= 1
            self.count()
            line = self.line
            yield line, self.value()
            mark = self.take()
            if mark == ",":
                mark = self.take()
                if mark == "]":
                    raise self.error("a comma before the end of the list", self.at - 1)
            elif mark != "]":
                found = repr(mark) if mark else "the end of the file: is it truncated?"
                raise self.error(f"expected a comma or the end of the list, found {found}", self.at)
        if self.take():
            raise self.error("there is more after the end of the list", self.at - 1)

    def take(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            while self.at < len(self.text):
                self.at += 1
                if self.text[self.at - 1] not in _SPACE:
                    return self.text[self.at - 1]
            if not self.grow():
                return ""

    def value(self) -> dict[str, Any]:
        while True:
            try:
                value, self.at = self.parse(self.text, self.at)
            except json.JSONDecodeError as error:
                # It may only be cut off. grow() drops what lies before the object.
                if not self.grow():
                    what = error.msg.removesuffix(" starting at").removesuffix(" at")
                    raise self.error(f"not JSON: {what}", error.pos) from None
            except (ValueError, RecursionError) as error:
                raise self.error(f"not JSON: {error}", self.at) from None
            else:
                return cast("dict[str, Any]", value)

    def grow(self) -> bool:
        """Read on, as much again as is held, so that a long object is not parsed too often."""
        raw = self.stream.read(max(_CHUNK, len(self.text) - self.at))
        try:
            more = self.decode.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise self.error(
                f"not UTF-8: byte 0x{error.object[error.start]:02x} after "
                f"{error.object[max(0, error.start - 20) : error.start]!r}; convert the file to "
                "UTF-8",
                len(self.text),
                error.object.count(b"\n", 0, error.start),
            ) from None
        if not raw:
            return False
        self.count()
        self.text, self.at, self.counted = self.text[self.at :] + more, 0, 0
        return True

    def count(self) -> None:
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at

    def error(self, message: str, at: int, lines: int = 0) -> InputError:
        line = self.line + self.text.count("\n", self.counted, at) + lines
        return InputError(message, source=self.source, line=line)


def check_new(path: Path, overwrite: bool, what: str = "") -> None:
    """Refuse to replace a file, unless that is asked for.

    Args:
        what: of the file that is there, for the message.

    Raises:
        InputError: there is one.
    """
    if path.exists() and not overwrite:
        raise InputError(
            f"is there already{what}; give another name, or overwrite it (--overwrite)",
            source=str(path),
        )


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text whole: into a file beside it, which then takes its place. Names that end in
    ``.gz`` are gzipped. ``lines`` bring their own line ends.

    Raises:
        InputError: it cannot be written, or a line holds half of a surrogate pair.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            if path.suffix == ".gz":
                # Without name and time: the same text gives the same bytes.
                with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as zipped:
                    _write(cast("IO[bytes]", zipped), lines)
            else:
                _write(file, lines)
        temporary.replace(path)
    except UnicodeEncodeError as error:
        raise InputError(
            f"not written: {error.object[max(0, error.start - 20) : error.end]!r} holds half of a "
            "surrogate pair, which is no character",
            source=str(path),
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}", source=str(path)
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _write(file: IO[bytes], lines: Iterable[str]) -> None:
    for line in lines:
        file.write(line.encode("utf-8"))
