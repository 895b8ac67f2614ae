"""Rows -> documents: which columns hold what, what a row must hold, and ids that come once.

Takes rows of any table (line, id, text, title, metadata) as the readers give them; gives documents
whose source is ``file:line``. Memory: nothing but what tells ids apart (see ``SeenIds``). Knows
nothing of file formats.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from dpr.corpus.characters import check_characters
from dpr.corpus.metadata import NOTHING, clean_metadata
from dpr.corpus.problems import Problems
from dpr.corpus.settings import OnError, SourceSettings
from dpr.errors import InputError
from dpr.records import Document

Row = tuple[int, object, object, object, Mapping[Any, object]]
"""Line (or row number, from 1), id, text, title and metadata, as the file holds them."""

ID_NAMES = ("id", "_id")
TEXT_NAMES = ("text", "contents", "body")
TITLE_NAMES = ("title",)
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns to read; ``title`` is None where there are no titles."""

    id: str
    text: str
    title: str | None
    metadata: tuple[str, ...] = ()


def choose_columns(settings: SourceSettings, names: Collection[str], source: str) -> Columns:
    """The columns that ``settings`` name, or else the usual ones, among ``names``.

    Raises:
        InputError: a named column, or the column of the ids or texts, is not there.
    """
    for name in settings.metadata_columns:
        _choose("metadata", name, (), names, source)
    identifier = _choose("id", settings.id_column, ID_NAMES, names, source)
    text = _choose("text", settings.text_column, TEXT_NAMES, names, source)
    title = _choose("title", settings.title_column, TITLE_NAMES, names, source)
    if identifier is None or text is None:
        what = "ids" if identifier is None else "texts"
        usual = ID_NAMES if identifier is None else TEXT_NAMES
        raise InputError(
            f"no column of {what}: the columns are {', '.join(names)}; expected "
            f"{' or '.join(usual)}, or name it by {'id' if identifier is None else 'text'}_column",
            source=source,
        )
    return Columns(identifier, text, title, settings.metadata_columns)


def _choose(
    what: str, named: str | None, usual: tuple[str, ...], names: Collection[str], source: str
) -> str | None:
    if named is not None and named not in names:
        setting = "a column of metadata_columns" if what == "metadata" else f"{what}_column"
        raise InputError(
            f"{setting} is {named!r}, which is not there; the columns are {', '.join(names)}",
            source=source,
        )
    return named or next((name for name in usual if name in names), None)


class SeenIds:
    """Tells whether an id came before, in little memory.

    Ids that count up by one (1, 2, 3, ... as in DPR's passages) cost nothing: only the first and
    the last are held. Each other id costs its 16-byte digest in a set, about 100 bytes.
    """

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self._first = 0
        self._next = 0
        self._next_text: str | None = None

    def add(self, identifier: str) -> bool:
        """Remember ``identifier``; False when it came before."""
        if identifier == self._next_text:
            self._next += 1
            self._next_text = str(self._next)
            # It may have come out of turn before the count reached it.
            return not self._digests or _digest(identifier) not in self._digests
        number = _number(identifier)
        if number is not None:
            if self._next_text is None:
                self._first, self._next = number, number + 1
                self._next_text = str(self._next)
                return True
            if self._first <= number < self._next:
                return False
        before = len(self._digests)
        self._digests.add(_digest(identifier))
        return len(self._digests) > before


def _number(identifier: str) -> int | None:
    """The number that ``identifier`` spells in the one way that ``str`` does, if so."""
    if not (identifier.isascii() and identifier.isdigit()) or len(identifier) > _MOST_DIGITS:
        return None
    number = int(identifier)
    return number if str(number) == identifier else None


def _digest(identifier: str) -> bytes:
    return blake2b(identifier.encode("utf-8"), digest_size=16).digest()


def documents_from_rows(
    open_rows: Callable[[], Iterator[Row | InputError]],
    source: str,
    on_error: OnError,
    problems: Problems,
) -> Iterator[Document]:
    """The documents of a table.

    Args:
        open_rows: begins reading the rows; called again to find where an id came first.
        source: the file, as shown to people.
        on_error: ``raise`` or ``skip``.
        problems: what ``skip`` left out is added here.

    Raises:
        InputError: the first malformed row, unless rows are skipped.
    """
    seen = SeenIds()
    for row in open_rows():
        try:
            if isinstance(row, InputError):
                raise row
            document = _document(row, source)
        except InputError as error:
            if on_error == "raise":
                raise
            problems.add_error(error, source)
            continue
        if seen.add(document.id):
            yield document
        elif on_error == "raise":
            raise _duplicate(document.id, row[0], source, open_rows)
        else:
            problems.add(
                f"{source}:{row[0]}",
                f"the id {document.id!r} came before; the first row with it is kept",
                hides=False,
            )


def _document(row: Row, source: str) -> Document:
    line, identifier, text, title, given = row
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    if not isinstance(identifier, str):
        raise _wrong("the id", identifier, "a text or a whole number", source, line)
    if not identifier or identifier.isspace():
        raise InputError("the id is empty; every row needs one", source=source, line=line)
    if not isinstance(text, str):
        raise _wrong(f"the text of id {identifier!r}", text, "a text", source, line)
    if not text or text.isspace():
        raise InputError(
            f"the text of id {identifier!r} is empty; leave the row out, or skip malformed rows",
            source=source,
            line=line,
        )
    if title is None:
        title = ""
    if not isinstance(title, str):
        raise _wrong(f"the title of id {identifier!r}", title, "a text", source, line)
    for what, value in (("id", identifier), ("text", text), ("title", title)):
        check_characters(what, value, source, line)
    metadata = clean_metadata(given, source, line) if given else NOTHING
    return Document(identifier, text, title, f"{source}:{line}", metadata=metadata)


def _wrong(what: str, value: object, expected: str, source: str, line: int) -> InputError:
    shown = "missing" if value is None else f"{repr(value)[:60]} ({type(value).__name__})"
    return InputError(f"{what} is {shown}; expected {expected}", source=source, line=line)


def _duplicate(
    identifier: str,
    line: int,
    source: str,
    open_rows: Callable[[], Iterator[Row | InputError]],
) -> InputError:
    # Where an id came first is not remembered: that would cost memory for every row.
    lines = (
        f"line {row[0]}"
        for row in open_rows()
        if not isinstance(row, InputError) and str(row[1]) == identifier
    )
    return InputError(
        f"the id {identifier!r} is also that of {next(lines, 'an earlier line')}; ids must be "
        "unique: change one, or skip malformed rows (--on-error skip), which keeps the first",
        source=source,
        line=line,
    )
