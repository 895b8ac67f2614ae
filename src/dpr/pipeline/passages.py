"""Sources as entries of a collection: documents that changed, cut into passages.

Takes a source, what is known of it, and settings; gives entries in order. Encodes nothing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dpr.collection import Entry
from dpr.corpus import (
    Changed,
    DuplicateSettings,
    Kept,
    PassageIds,
    Problems,
    SourceSettings,
    SplitSettings,
    read_changes,
    split_document,
)
from dpr.corpus.duplicates import Duplicates, drop_duplicates
from dpr.errors import IdError, InputError
from dpr.records import Document, Passage

Source = str | os.PathLike[str] | Iterable[Document | Mapping[str, Any]]


@dataclass
class Reading:
    """What is met while a source is read.

    Attributes:
        problems: what was skipped or passed over.
        duplicates: passages that were left out.
        seen: ids of all the documents of the source that have passages, changed or not.
        emptied: ids of those that have none, or none that is no duplicate.
        changed: how many of those seen are new or changed.
    """

    problems: Problems = field(default_factory=Problems)
    duplicates: Duplicates = field(default_factory=Duplicates)
    seen: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    changed: int = 0


def read_entries(
    source: Source,
    known: Mapping[str, str],
    settings: SourceSettings,
    cut: SplitSettings,
    origin: str,
    reading: Reading,
    duplicates: DuplicateSettings | None = None,
    before: Iterable[Passage] = (),
    staying: Set[str] | None = None,
) -> Iterator[Entry]:
    """The passages of a source's documents, but of those that are as they were.

    Args:
        known: document id -> digest.
        origin: what the collection calls the source.
        reading: told of what is met.
        duplicates: which passages to leave out.
        before: passages that others can be duplicates of, besides the source's own.
        staying: ids of the documents that must be as they were, since ``before`` holds theirs; see
            ``settled``.

    Raises:
        InputError, SettingsError, MissingExtraError: as ``dpr.corpus.read_changes`` does; two
            passages that would have the same id; the source is no longer as ``staying`` says.
    """
    items = read_changes(source, known, settings, reading.problems)
    if staying is not None:
        items = _as_before(items, staying)
    entries = _entries(items, known, settings, cut, origin, reading)
    if duplicates is not None:
        entries = _without_duplicates(entries, duplicates, reading.duplicates, before)
    return _counted(entries, reading)


def settled(
    source: Source,
    known: Mapping[str, str],
    rows: Mapping[str, int],
    settings: SourceSettings,
    cut: SplitSettings,
    *,
    remove: bool,
) -> tuple[set[str], set[str]]:
    """Which documents of a source stay as they are, and which may not, where duplicates are left
    out: those that changed, those that are gone, and once any of these had passages, those of whose
    passages some were left out, since they may be duplicates no longer.

    Args:
        known: document id -> digest.
        rows: how many passages each document of the collection has.
        remove: what the source no longer has is to go.
    """
    staying, leaving = set(), set()
    for item in read_changes(source, known, settings, Problems()):
        if isinstance(item, Kept):
            staying.add(item.id)
        else:
            leaving.add(item.document.id)
    if remove:
        leaving |= known.keys() - staying
    if staying and leaving & rows.keys():
        for item in read_changes(source, dict.fromkeys(known, ""), settings, Problems()):
            if isinstance(item, Kept) or item.document.id not in staying:
                continue
            if sum(1 for _ in split_document(item.document, cut)) > rows[item.document.id]:
                leaving.add(item.document.id)
    return staying - leaving, leaving


def _as_before(items: Iterator[Kept | Changed], staying: Set[str]) -> Iterator[Kept | Changed]:
    """The same; an error once the documents that stay are others than these."""
    missing = set(staying)
    for item in items:
        identifier = item.id if isinstance(item, Kept) else item.document.id
        if isinstance(item, Kept) != (identifier in staying):
            raise _unsettled(identifier)
        missing.discard(identifier)
        yield item
    if missing:
        raise _unsettled(min(missing))


def _unsettled(identifier: str) -> InputError:
    return InputError(
        f"the document {identifier!a} changed while it was read, which is done twice where "
        "duplicates are left out; nothing was changed, run it again"
    )


def _counted(entries: Iterator[Entry], reading: Reading) -> Iterator[Entry]:
    """The same, the documents counted; the passages of one follow each other."""
    last: str | None = None
    for entry in entries:
        document = entry.passage.document or entry.passage.id
        if document != last:
            reading.changed += 1
            reading.seen.add(document)
            reading.emptied.discard(document)
        last = document
        yield entry


def _without_duplicates(
    entries: Iterator[Entry],
    settings: DuplicateSettings,
    found: Duplicates,
    before: Iterable[Passage],
) -> Iterator[Entry]:
    waiting: deque[Entry] = deque()

    def passages() -> Iterator[Passage]:
        for entry in entries:
            waiting.append(entry)
            yield entry.passage

    for passage in drop_duplicates(passages(), settings, found, before):
        while (entry := waiting.popleft()).passage is not passage:
            pass
        yield entry


def _entries(
    items: Iterator[Kept | Changed],
    known: Mapping[str, str],
    settings: SourceSettings,
    cut: SplitSettings,
    origin: str,
    reading: Reading,
) -> Iterator[Entry]:
    ids = PassageIds()
    for item in items:
        if isinstance(item, Kept):
            reading.seen.add(item.id)
            continue
        document = item.document
        passages = list(split_document(document, cut))
        taken = ids.collision(document.id, len(passages))
        if taken is not None:
            error = IdError(
                f"the passage id {taken!r} is given twice, since documents are cut into id#0, "
                "id#1 and so on; rename one of the documents",
                [taken],
                source=document.source,
            )
            if settings.on_error == "raise":
                raise error
            reading.problems.add_error(error, document.source)
            if document.id in known:  # stays as it was
                reading.seen.add(document.id)
            continue
        reading.emptied.add(document.id)  # until one of its passages is kept
        for passage in passages:
            yield Entry(passage, item.digest, origin)


def described(
    source: Source,
    settings: SourceSettings,
    cut: SplitSettings,
    duplicates: DuplicateSettings | None = None,
) -> dict[str, Any]:
    """What the manifest keeps of a source. Not what malformed parts of it led to: a build that
    stopped at one must be able to go on by skipping it."""
    reading = {name: value for name, value in asdict(settings).items() if name != "on_error"}
    reading["metadata_columns"] = list(reading["metadata_columns"])
    return {
        "source": os.fspath(source) if isinstance(source, str | os.PathLike) else "documents",
        "path": _place(os.fspath(source)) if isinstance(source, str | os.PathLike) else "",
        "reading": reading,
        "split": str(cut),
        "duplicates": str(duplicates or "keep"),
    }


def _place(source: str) -> str:
    """Where a source is, whatever folder the next command runs in; empty for a word."""
    path = Path(source)
    return str(path.resolve()) if path.exists() else ""
