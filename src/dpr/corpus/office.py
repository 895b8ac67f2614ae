"""PDF and Word files, through the extra ``docs`` (pypdf, python-docx).

Takes a file's bytes; gives its text, its headings (Word's heading styles; none for PDF) and its
title. Pages of a PDF, and paragraphs of a Word file, are set apart by an empty line; the cells of a
table by tabs, a merged cell given once, where it begins. Offsets refer to the text that is given.
Knows nothing of documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from dpr.corpus.headings import Heading
from dpr.errors import InputError, MissingExtraError

_HEADING_STYLE = re.compile(r"(?:heading|title)(?:\s+(\d))?", re.IGNORECASE)
_NO_CHARACTER = re.compile("[\0\ud800-\udfff]")
_APART = "\n\n"


def read_pdf(data: bytes, source: str) -> tuple[str, list[Heading], str]:
    """The text of a PDF, no headings, and the title it declares (may be empty).

    What its fonts map to no character becomes U+FFFD.

    Raises:
        MissingExtraError: pypdf is not installed.
        InputError: it is encrypted, damaged, or holds pictures of text only.
    """
    try:
        import pypdf
    except ImportError:
        raise MissingExtraError("pypdf", "docs", f"reading {Path(source).name}") from None
    try:
        reader = pypdf.PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError("is encrypted; save it without a password", source=source)
        pages = [page.extract_text() for page in reader.pages]
        declared = reader.metadata.title if reader.metadata else None
    except InputError:
        raise
    except Exception as error:  # damaged files make pypdf raise nearly anything
        raise InputError(
            f"cannot be read as PDF ({type(error).__name__}: {error})", source=source
        ) from error
    text = _clean(_APART.join(page.strip() for page in pages if page.strip()))
    if pages and not text:
        raise InputError(
            "holds no text, perhaps pictures of pages; run text recognition (OCR) on it first",
            source=source,
        )
    return text, [], _clean(declared or "").strip()


def _clean(text: str) -> str:
    return _NO_CHARACTER.sub("\ufffd", text)


def read_docx(data: bytes, source: str) -> tuple[str, list[Heading], str]:
    """The text of a Word file, its headings, and the title it declares (may be empty).

    Raises:
        MissingExtraError: python-docx is not installed.
        InputError: it is damaged or no .docx file.
    """
    try:
        import docx
    except ImportError:
        raise MissingExtraError("python-docx", "docs", f"reading {Path(source).name}") from None
    parts: list[str] = []
    headings: list[Heading] = []
    length = 0
    try:
        document = docx.Document(BytesIO(data))
        declared = document.core_properties.title or ""
        for block in document.iter_inner_content():
            text, level = _block(block)
            if not text.strip():
                continue
            if level is not None:
                at = length + len(text) - len(text.lstrip())
                headings.append(Heading(at, " ".join(text.split()), level))
            parts.append(text)
            length += len(text) + len(_APART)
    except Exception as error:  # damaged files make python-docx, zipfile and lxml raise anything
        raise InputError(
            f"cannot be read as .docx ({type(error).__name__}: {error})", source=source
        ) from error
    return _APART.join(parts), headings, declared.strip()


def _block(block: Any) -> tuple[str, int | None]:
    """The text of a paragraph or table, and the level of a heading (0: the title)."""
    if hasattr(block, "rows"):
        return "\n".join(_rows(block)), None
    style = _HEADING_STYLE.fullmatch(block.style.name or "") if block.style else None
    return block.text, None if style is None else int(style[1] or 0)


def _rows(table: Any) -> Iterator[str]:
    """The text of each row that begins a cell. python-docx gives a merged cell again for every
    column and row that it covers."""
    met: set[Any] = set()
    for row in table.rows:
        new = {cell._tc: cell.text for cell in row.cells if cell._tc not in met}
        met |= new.keys()
        if new:
            yield "\t".join(new.values())
