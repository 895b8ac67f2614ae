"""HNSW (Malkov & Yashunin 2018), by faiss: a graph of near neighbours over a copy of the vectors.

Takes stored vectors; gives a finder that follows the graph. Few candidates make it quick, at the
price of memory: the copy, and 8 bytes for each of ``neighbours`` of each row. Knows nothing of how
what is found is scored again.

How a graph comes out depends on the order in which threads add rows, so two builds differ a little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from dpr.errors import SettingsError
from dpr.indexes.coarse import sample
from dpr.indexes.faiss_files import chunks, library, read, selector
from dpr.indexes.index import Bench, Floats, Mask, Progress, Rows
from dpr.indexes.stored import StoredVectors

Storage = Literal["float32", "float16", "int8"]
Refine = Literal["none", "vectors"]

PART_ROWS = 1 << 19  # a build that goes on does at most so many rows again
STEP_ROWS = 1 << 14
TRAINING_ROWS = 1 << 16
NAME = "hnsw.faiss"
EXHAUSTIVE = 16  # looking at more than a 16th of the rows by the graph takes longer than at all


@dataclass(frozen=True, slots=True)
class HNSWSettings:
    """How to build.

    Attributes:
        storage: the numbers in which the graph keeps its copy of the vectors; int8 in 255 equal
            steps between the least and the largest value of each dimension.
        neighbours: how many each row has; twice as many in the lowest layer.
        effort: how many candidates a row's neighbours are chosen from (efConstruction).
        refine: "vectors" scores what is found again by the stored vectors; "none" goes by the copy.

    Raises:
        SettingsError: a value outside what is allowed.
    """

    storage: Storage = "float16"
    neighbours: int = 32
    effort: int = 200
    refine: Refine = "vectors"

    def __post_init__(self) -> None:
        if self.storage not in get_args(Storage) or self.refine not in get_args(Refine):
            raise SettingsError(
                f"storage={self.storage!r}, refine={self.refine!r}; allowed are the storages "
                f"{', '.join(get_args(Storage))} and the refinements {', '.join(get_args(Refine))}"
            )
        if not (_whole(self.neighbours, 2, 256) and _whole(self.effort, 1, 10_000)):
            raise SettingsError(
                f"neighbours={self.neighbours!r}, effort={self.effort!r}; allowed are 2 to 256 "
                f"neighbours and an effort of 1 to 10,000"
            )

    def bytes(self, rows: int, dim: int) -> int:
        """What an index of so many rows will take, about."""
        return rows * (dim * _NUMBERS[self.storage] + 8 * self.neighbours + 24)


@dataclass(frozen=True, slots=True)
class HNSWEffort:
    """How hard to look.

    Attributes:
        breadth: how many rows the search keeps to go on from (efSearch); k where that is more.
        candidates: how many rows are scored again; k where that is more.

    Raises:
        SettingsError: a value outside what is allowed.
    """

    breadth: int = 128
    candidates: int = 0

    def __post_init__(self) -> None:
        if not (_whole(self.breadth, 1, 1 << 20) and _whole(self.candidates, 0, 1 << 20)):
            raise SettingsError(
                f"breadth={self.breadth!r}, candidates={self.candidates!r}; allowed are whole "
                f"numbers up to {1 << 20}, a breadth of 1 or more"
            )


_NUMBERS = {"float32": 4, "float16": 2, "int8": 1}


class HNSWFinder:
    """Follows the graph; see ``dpr.indexes.approximate.Finder``."""

    def __init__(self, path: Path) -> None:
        self._faiss = library()
        self._index = read(path)
        self._storage = self._faiss.downcast_index(self._index.storage)
        self.rows = int(self._index.ntotal)
        self.bytes = path.stat().st_size

    def rescored(self, effort: HNSWEffort, k: int) -> int:
        """How many rows the stored vectors should score again."""
        return max(k, effort.candidates)

    def find(
        self, queries: Floats, count: int, allowed: Mask | None, effort: HNSWEffort, times: float
    ) -> tuple[Floats, Rows]:
        """Rows (q, count), -1 for none, and their scores by the graph's copy."""
        chosen, _bits = selector(allowed)
        breadth = max(effort.breadth, count) * times
        found: tuple[Floats, Rows]
        if breadth * EXHAUSTIVE > self.rows:
            found = self._storage.search(
                queries, count, params=self._faiss.SearchParameters(sel=chosen)
            )
        else:
            found = self._index.search(
                queries,
                count,
                params=self._faiss.SearchParametersHNSW(efSearch=math.ceil(breadth), sel=chosen),
            )
        return found


def build(
    settings: HNSWSettings, stored: StoredVectors, bench: Bench, progress: Progress | None = None
) -> str:
    """Builds the graph; returns the name under which the bench keeps the index.

    Every ``PART_ROWS`` rows the graph so far is kept, so that another run can go on from there.

    Raises:
        MissingExtraError: faiss is not installed.
        InputError: a vector that is not finite.
    """
    if bench.kept(NAME) is not None:
        return NAME
    stored.longest()  # refuses what is not finite
    index = _begun(settings, stored, bench)
    index.hnsw.efConstruction = settings.effort
    for first in range(int(index.ntotal), len(stored), STEP_ROWS):
        last = min(first + STEP_ROWS, len(stored))
        index.add(np.concatenate([values.copy() for _, values in stored.values(first, last)]))
        stored.let_go()
        if progress is not None:
            progress("graph", last, len(stored))
        if last % PART_ROWS == 0 and last < len(stored):
            bench.keep(_part(last), chunks(index))
    bench.keep(NAME, chunks(index))
    return NAME


def _begun(settings: HNSWSettings, stored: StoredVectors, bench: Bench) -> Any:
    """The graph of the last part that was kept, or an empty one."""
    for rows in range(len(stored) // PART_ROWS * PART_ROWS, 0, -PART_ROWS):
        if (path := bench.kept(_part(rows))) is not None:
            return read(path, mapped=False)
    faiss = library()
    metric = faiss.METRIC_INNER_PRODUCT
    if settings.storage == "float32":
        return faiss.IndexHNSWFlat(stored.dim, settings.neighbours, metric)
    quantizer = faiss.ScalarQuantizer
    kind = quantizer.QT_fp16 if settings.storage == "float16" else quantizer.QT_8bit
    index = faiss.IndexHNSWSQ(stored.dim, kind, settings.neighbours, metric)
    index.train(sample(stored, TRAINING_ROWS, seed=0))
    return index


def _part(rows: int) -> str:
    return f"hnsw-{rows}.faiss"


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
