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
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dpr.corpus.files import READERS, read_file, read_folder
from dpr.corpus.jsonl import read_jsonl
from dpr.corpus.lines import open_bytes
from dpr.corpus.mappings import SOURCE, read_mappings
from dpr.corpus.parquet import read_parquet
from dpr.corpus.problems import Problems
from dpr.corpus.pydoc import read_pydoc
from dpr.corpus.rows import Row, documents_from_rows
from dpr.corpus.settings import NAMED_COLUMNS, Format, SourceSettings, SplitSettings
from dpr.corpus.split import split_document
from dpr.corpus.squad import read_squad
from dpr.corpus.tables import PSGS_HEADER, read_table
from dpr.errors import InputError, SettingsError
from dpr.records import Document, Passage

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
_NUMBERED = re.compile(r"(.*)#(0|[1-9][0-9]*)", re.DOTALL)


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
    if not isinstance(source, str | os.PathLike):
        return _told(read_mappings(source, settings, found), SOURCE, found, problems is None)
    if settings.format == "pydoc" or (settings.format == "auto" and source == "pydoc"):
        _refuse_columns(settings, "pydoc")
        return _told(read_pydoc(), "pydoc", found, problems is None)
    path = Path(source)
    if not path.exists():
        raise InputError(f"no such file or folder; allowed is {_ALLOWED}", source=str(source))
    chosen = recognise(path, settings) if settings.format == "auto" else settings.format
    if chosen not in NAMED_COLUMNS:
        _refuse_columns(settings, chosen)
    documents = _open(path, replace(settings, format=chosen), found)
    return _told(documents, str(path), found, problems is None)


def _refuse_columns(settings: SourceSettings, chosen: str) -> None:
    if settings.names_columns:
        raise SettingsError(
            f"columns are named, and the source was recognised as {chosen}, which has none to "
            f"name; they go with {', '.join(NAMED_COLUMNS[1:])}"
        )


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
    if settings.names_columns:
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


def _open(path: Path, settings: SourceSettings, problems: Problems) -> Iterator[Document]:
    if settings.format == "files":
        if path.is_dir():
            return read_folder(path, settings.on_error, problems)
        return _single(path)
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


def _single(path: Path) -> Iterator[Document]:
    document = read_file(path, path.name)
    if document is None:
        raise InputError("the file is empty", source=str(path))
    yield document


def _told(
    documents: Iterator[Document], source: str, problems: Problems, log: bool
) -> Iterator[Document]:
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
    given = _GivenIds()
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


class _GivenIds:
    """Finds passage ids given twice, holding only documents that could take part in it."""

    def __init__(self) -> None:
        self._numbered: set[str] = set()
        self._split: dict[str, int] = {}

    def collision(self, identifier: str, count: int) -> str | None:
        """Remember a document and its number of passages; an id that was given before."""
        if count == 1:
            match = _NUMBERED.fullmatch(identifier) if "#" in identifier else None
            if match:
                if int(match[2]) < self._split.get(match[1], 0):
                    return identifier
                self._numbered.add(identifier)
            return None
        for number in range(count if self._numbered else 0):
            if f"{identifier}#{number}" in self._numbered:
                return f"{identifier}#{number}"
        if count > 1:
            self._split[identifier] = count
        return None
