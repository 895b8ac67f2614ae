"""Files of prose, one or a folder of them: .txt, .md, .rst, .html, .pdf, .docx.

Takes a path; gives one document a file. In a folder the id is the file's path below it, with
slashes; a single file goes by its name. Files come in the order of their ids, by code point.
Each file is read whole, and made into a document only where its digest is not the one that it had
before. Text files are kept as they are, line ends included, but for the byte
order mark, so offsets match the file decoded as UTF-8; for HTML, PDF and Word files they refer to
the extracted text. Names that begin with a dot are left aside, and so are links to folders.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dpr.corpus.changes import Changed, Kept, file_digest
from dpr.corpus.characters import check_characters
from dpr.corpus.front_matter import read_front_matter
from dpr.corpus.headings import (
    Heading,
    first_title,
    markdown_headings,
    rst_headings,
    to_sections,
)
from dpr.corpus.html import extract_html
from dpr.corpus.lines import decode_text
from dpr.corpus.metadata import NOTHING, clean_metadata
from dpr.corpus.office import read_docx, read_pdf
from dpr.corpus.problems import Problems
from dpr.corpus.settings import OnError
from dpr.errors import InputError, MissingExtraError
from dpr.records import Document

Reader = Callable[[bytes, str], "Extracted"]


class Extracted(NamedTuple):
    """What a file holds; the title is the one that it declares, and may be empty."""

    text: str
    headings: list[Heading]
    title: str
    metadata: Mapping[str, Any] = NOTHING


def _plain(data: bytes, source: str) -> Extracted:
    return Extracted(decode_text(data, source), [], "")


def _markdown(data: bytes, source: str) -> Extracted:
    text = decode_text(data, source)
    headings = markdown_headings(text)
    given: dict[str, Any] = dict(read_front_matter(text))
    declared = given.pop("title", "")
    title = str(declared).strip() if isinstance(declared, str | int | float) else ""
    metadata = clean_metadata(given, source) if given else NOTHING
    return Extracted(text, headings, title or first_title(headings), metadata)


def _rst(data: bytes, source: str) -> Extracted:
    text = decode_text(data, source)
    return Extracted(text, (headings := rst_headings(text)), first_title(headings))


def _html(data: bytes, source: str) -> Extracted:
    try:
        text, headings, title = extract_html(decode_text(data, source))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"cannot be read as HTML: {error}", source=source) from error
    return Extracted(text, headings, title or first_title(headings))


def _docx(data: bytes, source: str) -> Extracted:
    text, headings, title = read_docx(data, source)
    return Extracted(text, headings, title or first_title(headings))


def _pdf(data: bytes, source: str) -> Extracted:
    return Extracted(*read_pdf(data, source))


READERS: dict[str, Reader] = {
    ".txt": _plain,
    ".md": _markdown,
    ".rst": _rst,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
}


def read_file(path: Path, identifier: str, known: str = "") -> Kept | Changed | None:
    """The document in a file; None when the file holds nothing but white space.

    Args:
        known: the digest that the file had; where it has it still, nothing is made of its bytes.

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
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot be read: {reason}", source=source) from error
    digest = file_digest(identifier, data)
    if digest == known:
        return Kept(identifier, digest)
    text, headings, title, metadata = reader(data, source)
    if not text or text.isspace():
        return None
    sections = to_sections(headings)
    title = title or path.stem
    return Changed(Document(identifier, text, title, source, sections, metadata), digest)


def read_folder(
    folder: Path, on_error: OnError, problems: Problems, known: Mapping[str, str] = NOTHING
) -> Iterator[Kept | Changed]:
    """The documents below a folder; empty files and other types are told to ``problems``.

    Args:
        known: digest of each document, by id, as the folder was when it was last read. Of a file
            that is skipped now, and of what a folder that cannot be listed held, the documents
            that are known are ``Kept``, with a note.

    Raises:
        InputError: a file is malformed, unless such files are skipped.
        MissingExtraError: a file needs a package that is not installed, unless skipped.
    """
    closed: list[str] = []
    for identifier in sorted(_names(folder, "", on_error, problems, closed)):
        path = folder / identifier
        try:
            found = read_file(path, identifier, known.get(identifier, ""))
        except (InputError, MissingExtraError) as error:
            if on_error == "raise":
                raise
            problems.add_error(error, str(path))
            if identifier in known:
                yield Kept(identifier, known[identifier], str(error))
            continue
        if found is None:
            problems.add(str(path), "the file is empty", hides=False)
        else:
            yield found
    for prefix in closed:
        note = f"{folder / prefix}: cannot be listed"
        yield from (Kept(one, known[one], note) for one in known if one.startswith(prefix))


def _names(
    folder: Path, prefix: str, on_error: OnError, problems: Problems, closed: list[str]
) -> Iterator[str]:
    """Paths below ``folder`` of the files to read; the rest is told to ``problems``.

    ``closed`` takes the paths of folders that cannot be listed, with a slash at the end.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        if on_error == "raise":
            raise InputError(reason, source=str(folder)) from error
        problems.add(str(folder), reason)
        closed.append(prefix)
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.name.startswith("."):
            problems.ignore(str(folder / entry.name))
        elif entry.is_dir(follow_symlinks=False):
            yield from _names(folder / entry.name, f"{name}/", on_error, problems, closed)
        elif Path(entry.name).suffix.lower() in READERS and _is_file(entry):
            yield name
        else:
            problems.ignore(str(folder / entry.name))


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return True  # such as a link to itself; reading it says what is wrong
