"""Which rows of a collection satisfy filters.

Takes an open collection and ``Filters``; gives a mask. What filters ask of a document is asked once
for each different document, of a section once for each different heading.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dpr.collection import Collection
from dpr.collection.segment import SegmentReader
from dpr.filters import SECTION, Filters, document_fields

Mask = npt.NDArray[np.bool_]
_REMEMBERED = 32


class Masks:
    """The masks of one version of a collection; the last few are remembered."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._known: OrderedDict[Filters, Mask] = OrderedDict()
        self._lock = Lock()

    def known(self, filters: Filters) -> bool:
        """Whether ``allowed`` need not go through all documents."""
        with self._lock:
            return not filters or filters in self._known

    def allowed(self, filters: Filters) -> Mask | None:
        """(rows,) the rows that are not deleted and satisfy the filters; None: all rows.

        Raises:
            CorruptionError: what the filters look at was altered.
        """
        live = self._collection.live
        if not filters:
            return live
        with self._lock:
            if filters in self._known:
                self._known.move_to_end(filters)
                return self._known[filters]
        mask = filter_mask(self._collection, filters)
        if live is not None:
            mask &= live
        with self._lock:
            self._known[filters] = mask
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return mask


def filter_mask(collection: Collection, filters: Filters) -> Mask:
    """(rows,) the rows that satisfy the filters, those deleted not left out."""
    mask = np.ones(collection.starts[-1], np.bool_)
    if of_documents := filters.of_documents:
        mask &= collection.documents_mask(lambda table: documents_chosen(table, of_documents))
    if of_sections := filters.of_sections:
        parts = [_sections_chosen(segment, of_sections) for segment in collection.segments]
        mask &= np.concatenate(parts)
    return mask


def documents_chosen(table: pa.Table, filters: Filters) -> Mask:
    """(documents,) those of a table (see ``dpr.collection.documents``) that satisfy the filters."""
    own = [name for name in ("document", "source", "title") if name in filters.names]
    columns = [table[name].to_pylist() for name in own]
    more = filters.names - set(own)
    columns.append(table["metadata"].to_pylist() if more else [""] * len(table))
    answers: dict[tuple[str, ...], bool] = {}

    def answer(key: tuple[str, ...]) -> bool:
        if key not in answers:
            known = dict(zip(own, key, strict=False))
            metadata: dict[str, Any] = json.loads(key[-1]) if key[-1] else {}
            fields = document_fields(
                known.get("document", ""), known.get("source", ""), known.get("title", ""), metadata
            )
            answers[key] = filters.matches(fields)
        return answers[key]

    return np.fromiter((answer(key) for key in zip(*columns, strict=True)), np.bool_, len(table))


def _sections_chosen(segment: SegmentReader, filters: Filters) -> Mask:
    answers: dict[str, bool] = {}
    found = []
    for number in range(len(segment.blocks)):
        sections = segment.batch(number).column(SECTION).to_pylist()
        for section in set(sections) - answers.keys():
            answers[section] = filters.matches({SECTION: section})
        found += [answers[section] for section in sections]
    return np.array(found, np.bool_)
