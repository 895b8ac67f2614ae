"""Vectors are taken over by document, and nothing is held of documents that are not asked for."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa

from dpr.collection.copying import Reusing
from dpr.collection.documents import SCHEMA, TEXTS
from dpr.records import Passage

DOCUMENTS = 50_000


class Rows:
    """Stands for a collection of many documents of two passages each; the last row is deleted."""

    def __init__(self) -> None:
        columns: dict[str, Any] = {name: [""] * DOCUMENTS for name in TEXTS}
        columns["document"] = [f"d{n}" for n in range(DOCUMENTS)]
        columns["first"] = np.arange(0, 2 * DOCUMENTS, 2)
        columns["rows"] = np.full(DOCUMENTS, 2)
        self.segments = [SimpleNamespace(documents=pa.table(columns, schema=SCHEMA))]
        self.starts = [0, 2 * DOCUMENTS]
        self.live = np.arange(2 * DOCUMENTS) < 2 * DOCUMENTS - 1

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        return [Passage(f"d{n // 2}#{n % 2}", str(n), document=f"d{n // 2}") for n in rows]


def test_rows_are_looked_up_when_they_are_needed() -> None:
    rows, encoder = Rows(), SimpleNamespace(dim=4, fingerprint="", settings={})
    known = {f"d{n}" for n in range(DOCUMENTS)}
    tracemalloc.start()
    try:
        reusing = Reusing(cast(Any, encoder), cast(Any, rows), known)
        last = DOCUMENTS - 1
        asked = [
            Passage("d7#0", "15", document="d7"),
            Passage("d7#1", "other", document="d7"),
            Passage("new", "14", document="new"),
            Passage(f"d{last}", str(2 * last), document=f"d{last}"),
            Passage(f"d{last}", str(2 * last + 1), document=f"d{last}"),
        ]
        assert reusing._known(asked) == [15, -1, -1, 2 * last, -1]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
