"""Whether a document is as it was when it was last read, told by its digest.

Takes a document, or the bytes of a file before anything is made of them; gives 32 hexadecimal
digits that are the same as long as the document is. Knows nothing of sources or collections.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b

from dpr.records import Document

READERS_VERSION = 1
"""Counts up when a file gives another document than before; all files are then read again."""

_BYTES = 16


@dataclass(frozen=True, slots=True)
class Kept:
    """A document that stays as it was read before.

    Attributes:
        id: the document's.
        digest: as it was known.
        note: empty for an unchanged document; else why it could not be read now, so that the
            version read before is to stay.
    """

    id: str
    digest: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """A document that is new, or not as it was when its digest was taken."""

    document: Document
    digest: str


def document_digest(document: Document) -> str:
    """The digest of what is searched and shown of a document: id, text, title, sections, metadata.

    Not of its source: a row that moved to another line of its table is the same document.
    """
    sections = [[section.start, section.title] for section in document.sections]
    metadata = dict(document.metadata)
    held = [document.id, document.text, document.title, sections, metadata]
    data = json.dumps(held, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    digest = blake2b(digest_size=_BYTES, person=b"dpr document")
    digest.update(data.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def file_digest(identifier: str, data: bytes) -> str:
    """The digest of what decides a file's document: its bytes, its id and how it is read."""
    digest = blake2b(digest_size=_BYTES, person=b"dpr file")
    name = identifier.encode("utf-8", "surrogatepass")
    digest.update(f"{READERS_VERSION} {len(name)} ".encode() + name)
    digest.update(data)
    return digest.hexdigest()
