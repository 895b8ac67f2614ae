"""Files of prose, one or a folder of them: .txt, .md, .rst, .html, .pdf, .docx.

Takes a path; gives one document a file. In a folder the id is the file's path below it, with
slashes; a single file goes by its name. Files come in the order of their ids, by code point.
Each file is read whole. Text files are kept as they are, line ends included, but for the byte
order mark, so offsets match the file decoded as UTF-8; for HTML, PDF and Word files they refer to
the extracted text. Names that begin with a dot are left aside, and so are links to folders.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from dpr.corpus.headings import (
    Heading,
    first_title,
    markdown_headings,
    rst_headings,
    to_sections,
)
from dpr.corpus.html import extract_html
from dpr.corpus.lines import decode_text
from dpr.corpus.office import read_docx, read_pdf
from dpr.corpus.problems import Problems
from dpr.corpus.rows import check_characters
from dpr.corpus.settings import OnError
from dpr.errors import InputError, MissingExtraError
from dpr.records import Document

Extracted = tuple[str, list[Heading], str]
"""Text, headings, and the title that the file declares (may be empty)."""


def _decoded(path: Path) -> str:
    try:
        return decode_text(path.read_bytes(), str(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot be read: {reason}", source=str(path)) from error


def _plain(path: Path) -> Extracted:
    return _decoded(path), [], ""


def _markdown(path: Path) -> Extracted:
    text = _decoded(path)
    return text, (headings := markdown_headings(text)), first_title(headings)


def _rst(path: Path) -> Extracted:
    text = _decoded(path)
    return text, (headings := rst_headings(text)), first_title(headings)


def _html(path: Path) -> Extracted:
    try:
        text, headings, title = extract_html(_decoded(path))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"cannot be read as HTML: {error}", source=str(path)) from error
    return text, headings, title or first_title(headings)


def _docx(path: Path) -> Extracted:
    text, headings, title = read_docx(path)
    return text, headings, title or first_title(headings)


READERS: dict[str, Callable[[Path], Extracted]] = {
    ".txt": _plain,
    ".md": _markdown,
    ".rst": _rst,
    ".html": _html,
    ".htm": _html,
    ".pdf": read_pdf,
    ".docx": _docx,
}


def read_file(path: Path, identifier: str) -> Document | None:
    """The document in a file; None when the file holds nothing but white space.

    Raises:
        InputError: the file is of another type, or malformed.
        MissingExtraError: reading it needs a package that is not installed.
    """
    source = str(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"files named {path.suffix or 'without an extension'} are not read; allowed are "
            f"{', '.join(READERS)}",
            source=source,
        )
    check_characters("path", identifier, ascii(source)[1:-1])
    text, headings, title = reader(path)
    if not text or text.isspace():
        return None
    return Document(identifier, text, title or path.stem, source, to_sections(headings))


def read_folder(folder: Path, on_error: OnError, problems: Problems) -> Iterator[Document]:
    """The documents below a folder; empty files and other types are told to ``problems``.

    Raises:
        InputError: a file is malformed, unless such files are skipped.
        MissingExtraError: a file needs a package that is not installed, unless skipped.
    """
    for identifier in sorted(_names(folder, "", on_error, problems)):
        path = folder / identifier
        try:
            document = read_file(path, identifier)
        except (InputError, MissingExtraError) as error:
            if on_error == "raise":
                raise
            problems.add_error(error, str(path))
            continue
        if document is None:
            problems.add(str(path), "the file is empty")
        else:
            yield document


def _names(folder: Path, prefix: str, on_error: OnError, problems: Problems) -> Iterator[str]:
    """Paths below ``folder`` of the files to read; the rest is told to ``problems``."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        if on_error == "raise":
            raise InputError(reason, source=str(folder)) from error
        problems.add(str(folder), reason)
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.name.startswith("."):
            problems.ignore(str(folder / entry.name))
        elif entry.is_dir(follow_symlinks=False):
            yield from _names(folder / entry.name, f"{name}/", on_error, problems)
        elif entry.is_file() and Path(entry.name).suffix.lower() in READERS:
            yield name
        else:
            problems.ignore(str(folder / entry.name))
