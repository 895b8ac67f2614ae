"""From what a person names to documents and passages.

Takes a path, the word ``pydoc``, or rows that a program holds, and settings; finds out what it is
and hands it to its reader.
Everything is streamed: a table is read row by row, a folder file by file. See
``dpr.corpus`` for what each source gives and for what happens to malformed input.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from dpr.corpus.changes import Changed, Kept, document_digest
from dpr.corpus.files import READERS, read_file, read_folder
from dpr.corpus.jsonl import read_jsonl
from dpr.corpus.lines import open_bytes
from dpr.corpus.mappings import SOURCE, read_mappings
from dpr.corpus.metadata import NOTHING
from dpr.corpus.parquet import read_parquet
from dpr.corpus.problems import Problems
from dpr.corpus.pydoc import read_pydoc
from dpr.corpus.rows import Row, documents_from_rows
from dpr.corpus.settings import Format, SourceSettings, SplitSettings
from dpr.corpus.split import PassageIds, split_document
from dpr.corpus.squad import read_squad
from dpr.corpus.tables import PSGS_HEADER, read_table
from dpr.errors import InputError
from dpr.records import Document, Passage

_Item = TypeVar("_Item", Document, Kept | Changed)
Source = str | os.PathLike[str] | Iterable[Document | Mapping[str, Any]]

_LOG = logging.getLogger(__name__)
_BY_EXTENSION: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "squad",
    ".parquet": "parquet",
    ".pq": "parquet",
    **dict.fromkeys(READERS, "files"),
}
_ALLOWED = (
    f"a folder, a file named {', '.join(READERS)}, a table named .tsv, .csv, .jsonl (also with "
    ".gz) or .parquet, a SQuAD .json file, a BEIR folder, or the word pydoc"
)
_CORPUS_NAMES = ("corpus.jsonl", "corpus.jsonl.gz")
_HEAD_BYTES = 65536
_READ = SourceSettings()
_SPLIT = SplitSettings()


def read_documents(
    source: Source,
    settings: SourceSettings = _READ,
    problems: Problems | None = None,
) -> Iterator[Document]:
    """The documents of a source, in its order.

    Args:
        source: a path, or the word ``pydoc`` (write ``./pydoc`` for a folder of that name); or
            documents, or rows as mappings from column to value, such as a dataset.
        settings: the format, columns, and what to do about malformed input.
        problems: collects what was skipped or ignored; without it that is logged as a warning.

    Raises:
        InputError: the source is not there or not recognised (at once), a document or row is
            malformed, or there is no document in it (while reading).
        SettingsError: columns are named and the source has none to name.
        MissingExtraError: a file needs a package that is not installed.
    """
    found = Problems() if problems is None else problems
    name, items = _open(source, settings, found, NOTHING)
    return _told(_documents(items), name, found, problems is None)


def read_changes(
    source: Source,
    known: Mapping[str, str] = NOTHING,
    settings: SourceSettings = _READ,
    problems: Problems | None = None,
) -> Iterator[Kept | Changed]:
    """The documents of a source in its order, those that are as they were only by their ids.

    Of a known document that is not given the source holds nothing any more. A file is told by its
    bytes, before anything is made of them; a row is read and told by what it holds. Where
    malformed input is skipped, no document vanishes for that: a file that cannot be read now is
    ``Kept`` with a note, and so, at the end, is every known document of a table that was not met,
    if any of its rows could hide it.

    Args:
        known: document id -> digest, as this source gave them when it was last read; with none of
            them every document is ``Changed``.
        source, settings, problems: as ``read_documents`` takes them.

    Raises:
        InputError, SettingsError, MissingExtraError: as ``read_documents`` does.
    """
    found = Problems() if problems is None else problems
    name, items = _open(source, settings, found, known)
    return _told(_changes(items, known, found, name), name, found, problems is None)


def _documents(items: Iterator[Document | Kept | Changed]) -> Iterator[Document]:
    for item in items:
        if isinstance(item, Document):
            yield item
        elif isinstance(item, Changed):
            yield item.document


def _changes(
    items: Iterator[Document | Kept | Changed],
    known: Mapping[str, str],
    problems: Problems,
    name: str,
) -> Iterator[Kept | Changed]:
    hidden = problems.hidden
    unmet: set[str] = set()
    first = True
    for item in items:
        if not isinstance(item, Document):
            yield item  # from a file, which is known by its name even when it cannot be read
            continue
        if first:
            unmet.update(known)
            first = False
        unmet.discard(item.id)
        digest = document_digest(item)
        same = known.get(item.id) == digest
        yield Kept(item.id, digest) if same else Changed(item, digest)
    if problems.hidden > hidden:
        note = f"{name}: not met, but a part that could not be read may hold it"
        yield from (Kept(one, digest, note) for one, digest in known.items() if one in unmet)


def _open(
    source: Source, settings: SourceSettings, problems: Problems, known: Mapping[str, str]
) -> tuple[str, Iterator[Document | Kept | Changed]]:
    """The name of a source, as messages show it, and what it holds."""
    if not isinstance(source, str | os.PathLike):
        return SOURCE, read_mappings(source, settings, problems)
    if settings.format == "pydoc" or (settings.format == "auto" and source == "pydoc"):
        settings.check_columns("pydoc")
        return "pydoc", read_pydoc()
    path = Path(source)
    if not path.exists():
        raise InputError(f"no such file or folder; allowed is {_ALLOWED}", source=str(source))
    chosen = recognise(path, settings) if settings.format == "auto" else settings.format
    settings.check_columns(chosen)
    return str(path), _open_path(path, replace(settings, format=chosen), problems, known)


def recognise(path: Path, settings: SourceSettings = _READ) -> Format:
    """What a path holds, by its name, its extension, and for tables its first line.

    Raises:
        InputError: it is nothing that can be read; the message says what was seen.
    """
    if path.is_dir():
        corpus = any((path / name).is_file() for name in _CORPUS_NAMES)
        return "beir" if corpus else "files"
    name = path.name.removesuffix(".gz")
    chosen = _BY_EXTENSION.get(Path(name).suffix.lower())
    if chosen == "files" and name == path.name:
        return chosen
    head = _head(path) if chosen in (None, "tsv", "files") else b""
    if settings.names_columns or settings.metadata_columns:
        psgs = False
    else:
        psgs = head.split(b"\n", 1)[0].rstrip(b"\r") == "\t".join(PSGS_HEADER).encode()
    if psgs and chosen in (None, "tsv"):
        return "psgs"
    if chosen is not None and chosen != "files":
        return chosen
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.lstrip().startswith(b"{") and _is_object(head.lstrip().split(b"\n", 1)[0]):
        return "jsonl"
    raise InputError(
        f"cannot tell what it is: its extension is {''.join(path.suffixes) or '(none)'} and it "
        f"begins {head[:40]!r}; allowed is {_ALLOWED}; or name the format",
        source=str(path),
    )


def _head(path: Path) -> bytes:
    with open_bytes(path) as stream:
        return stream.read(_HEAD_BYTES)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _open_path(
    path: Path, settings: SourceSettings, problems: Problems, known: Mapping[str, str]
) -> Iterator[Document | Kept | Changed]:
    if settings.format == "files":
        if path.is_dir():
            return read_folder(path, settings.on_error, problems, known)
        return _single(path, known)
    if settings.format == "beir" and path.is_dir():
        path = next((p for name in _CORPUS_NAMES if (p := path / name).is_file()), path)
    if path.is_dir():
        wanted = "a folder with a corpus.jsonl" if settings.format == "beir" else "a file"
        raise InputError(
            f"is a folder; the format {settings.format} needs {wanted}", source=str(path)
        )
    if settings.format == "squad":
        return read_squad(path, settings.on_error, problems)
    return documents_from_rows(_rows(path, settings), str(path), settings.on_error, problems)


def _rows(path: Path, settings: SourceSettings) -> Callable[[], Iterator[Row | InputError]]:
    if settings.format in ("jsonl", "beir"):
        return lambda: read_jsonl(path, settings)
    if settings.format == "parquet":
        return lambda: read_parquet(path, settings)
    return lambda: read_table(path, settings, "," if settings.format == "csv" else "\t")


def _single(path: Path, known: Mapping[str, str]) -> Iterator[Kept | Changed]:
    found = read_file(path, path.name, known.get(path.name, ""))
    if found is None:
        raise InputError("the file is empty", source=str(path))
    yield found


def _told(
    documents: Iterator[_Item], source: str, problems: Problems, log: bool
) -> Iterator[_Item]:
    """Pass documents on; complain of none, and log what was left out if nobody collects it."""
    empty = True
    try:
        for document in documents:
            empty = False
            yield document
        if empty:
            summary = problems.summary()
            raise InputError(
                f"holds no document; allowed is {_ALLOWED}" + (summary and f"\n{summary}"),
                source=source,
            )
    finally:
        if log and not empty and (summary := problems.summary()):
            _LOG.warning("%s: %s", source, summary)


def read_passages(
    source: Source,
    source_settings: SourceSettings = _READ,
    split_settings: SplitSettings = _SPLIT,
    problems: Problems | None = None,
) -> Iterator[Passage]:
    """The passages of a source's documents, in order; arguments and errors as in its two parts.

    Raises:
        InputError: also when a document's own id is one that another's passages were given
            (``a`` split into ``a#0``, ``a#1``, beside a document ``a#0``), unless skipped.
    """
    found = Problems() if problems is None else problems
    documents = read_documents(source, source_settings, found)
    return _passages(documents, source_settings, split_settings, found, problems is None)


def _passages(
    documents: Iterator[Document],
    source_settings: SourceSettings,
    split_settings: SplitSettings,
    problems: Problems,
    log: bool,
) -> Iterator[Passage]:
    given = PassageIds()
    try:
        for document in documents:
            passages = list(split_document(document, split_settings))
            taken = given.collision(document.id, len(passages))
            if taken is None:
                yield from passages
                continue
            error = InputError(
                f"the passage id {taken!r} is given twice, since documents are cut into id#0, "
                "id#1 and so on; rename one of the documents",
                source=document.source,
            )
            if source_settings.on_error == "raise":
                raise error
            problems.add_error(error, document.source)
    finally:
        if log and (summary := problems.summary()):
            _LOG.warning("%s", summary)
