"""Documents that a program already holds: records, or rows of any table, such as a dataset.

Takes an iterable of ``Document`` or of mappings from column to value, gives documents. A dataset of
Hugging Face is such an iterable; nothing of that library is needed or known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from dpr.corpus.metadata import SPREAD, clean_metadata
from dpr.corpus.problems import Problems
from dpr.corpus.rows import Columns, Row, SeenIds, choose_columns, documents_from_rows
from dpr.corpus.settings import OnError, SourceSettings
from dpr.errors import IdError, InputError
from dpr.records import Document

SOURCE = "rows"
"""What stands for the file in a document's source and in messages: ``rows:7``."""


def read_mappings(
    items: Iterable[Document | Mapping[str, Any]], settings: SourceSettings, problems: Problems
) -> Iterator[Document]:
    """The documents of rows, counted from 1; or the documents themselves, where the first item is
    one, their metadata as JSON has it.

    Columns are chosen for each row: by default ``id`` or ``_id``; ``text``, ``contents`` or
    ``body``; ``title`` where there is one. A row may lack ``metadata`` and what
    ``metadata_columns`` names.

    Raises:
        InputError: no iterable of these (at once); an item of another kind, a malformed row, or an
            id that came before (while reading), unless rows are skipped.
    """
    if isinstance(items, Mapping) or not isinstance(items, Iterable):
        keys = f" with the keys {', '.join(map(str, items))}" if isinstance(items, Mapping) else ""
        raise InputError(
            f"the source is a {type(items).__name__}{keys}; give a path, documents, or rows (of a "
            "dataset with splits, one split)"
        )
    return _read(items, settings, problems)


def _read(
    items: Iterable[Document | Mapping[str, Any]], settings: SourceSettings, problems: Problems
) -> Iterator[Document]:
    iterator = iter(items)
    first = next(iterator, None)
    if first is None:
        return
    whole = chain([first], iterator) if iterator is items else items
    if isinstance(first, Document):
        yield from _documents(whole, settings.on_error, problems)
    else:
        # Where the items come only once, nothing is found when a duplicate's first row is sought.
        rows = lambda: _rows(whole, settings)  # noqa: E731
        yield from documents_from_rows(rows, SOURCE, settings.on_error, problems)


def _documents(
    items: Iterable[object], on_error: OnError, problems: Problems
) -> Iterator[Document]:
    seen = SeenIds()
    for number, item in enumerate(items, 1):
        if not isinstance(item, Document):
            raise _other_kind(item, "Document", number)
        if not seen.add(item.id):
            told = f"the id {item.id!r} is also that of an earlier document; ids must be unique"
            if on_error == "raise":
                raise IdError(f"{told}: change one", [item.id], source=SOURCE, line=number)
            problems.add(f"{SOURCE}:{number}", f"{told}: the first is kept", hides=False)
            continue
        if item.metadata:
            metadata = clean_metadata(item.metadata, item.source or SOURCE)
            item = item if metadata == item.metadata else replace(item, metadata=metadata)
        yield item


def _rows(items: Iterable[object], settings: SourceSettings) -> Iterator[Row | InputError]:
    known: dict[tuple[str, ...], Columns] = {}
    wanted = dict.fromkeys((SPREAD, *settings.metadata_columns))
    # A row may lack what is only kept with it.
    settings = replace(settings, metadata_columns=())
    for number, item in enumerate(items, 1):
        if not isinstance(item, Mapping):
            yield _other_kind(item, "mapping from column to value", number)
            continue
        names = tuple(item)
        try:
            if names not in known:
                known[names] = choose_columns(settings, names, f"{SOURCE}:{number}")
        except InputError as error:
            yield error
            continue
        columns = known[names]
        title = "" if columns.title is None else item[columns.title]
        metadata = {name: item[name] for name in wanted if name in item}
        yield number, item[columns.id], item[columns.text], title, metadata


def _other_kind(item: object, expected: str, number: int) -> InputError:
    return InputError(
        f"is {repr(item)[:60]} ({type(item).__name__}); expected a {expected}",
        source=SOURCE,
        line=number,
    )
