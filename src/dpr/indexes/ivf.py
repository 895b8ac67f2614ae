"""Cells of short codes (IVF), by faiss: a scan of the codes in the cells nearest to a query.

Takes stored vectors; gives a finder that probes cells. Codes take an eighth of the vectors' memory
or less. Knows nothing of how what is found is scored again by the stored vectors.

A vector is turned to the axes along which vectors vary most, cut to the first ``dims`` of them, and
put into the cell of the nearest centroid. Its code is one of these: codes of a cell are scanned
by tables in registers (fast scan: André, Kermarrec & Le Scouarnec 2015), 32 rows at a time:
"rabitq" keeps the sign of each number, and more bits if wanted (Gao & Long 2024; Gao et al. 2025);
"pq" one of 16 prototypes for each group of numbers (Jégou, Douze & Schmid 2011). A second, longer
code of each row, one of 256 prototypes for each of smaller groups, may order the best candidates
again.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from dpr.errors import SettingsError
from dpr.indexes.axes import other_side, weighted
from dpr.indexes.cells import Parts, linear, matrix_of
from dpr.indexes.coarse import ROWS_A_CELL, STEP_ROWS, centroids, nearest, sample
from dpr.indexes.faiss_files import chunks, library, read, selector
from dpr.indexes.index import Bench, Floats, Mask, Progress, Rows
from dpr.indexes.rotation import mixed, principal_axes
from dpr.indexes.stored import StoredVectors

Code = Literal["rabitq", "pq"]
Refine = Literal["none", "codes", "vectors"]

PART_ROWS = 1 << 23  # a build that goes on does at most so many rows again
TRAINING_ROWS = 1 << 16  # for axes and codes
PROTOTYPE_ROWS = 1 << 14
COARSE_DIMS = 256  # of the axes of pq, so many decide on the cell
LONGER = 2.0
"""How much longer than rows queries are made before the nearest cells are looked for. The length of
a query says nothing; by distance, a cell gains whose rows are far from its centroid and so from
each other, and the longer the query, the less."""

NAME = "ivf.faiss"
_BITS = {"rabitq": tuple(range(1, 9)), "pq": (1, 2)}


@dataclass(frozen=True, slots=True)
class IVFSettings:
    """How to build.

    Attributes:
        cells: how many; about four times the root of the number of rows is usual.
        dims: how many principal axes are kept; 0: as many as the vectors have.
        code: what is scanned: "rabitq", or "pq" with four bits for every 4 / ``bits`` numbers.
        bits: of the scanned code for each number; 1 to 8 for rabitq, 1 or 2 for pq.
        refine: what orders the candidates again: codes of a byte for every two numbers (with pq
            only), the stored vectors, or nothing.
        seed: of the sample, the k-means and the rotation.

    Raises:
        SettingsError: a value outside what is allowed.
    """

    cells: int = 4096
    dims: int = 0
    code: Code = "rabitq"
    bits: int = 1
    refine: Refine = "vectors"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.code not in get_args(Code) or self.refine not in get_args(Refine):
            raise SettingsError(
                f"code={self.code!r}, refine={self.refine!r}; allowed are the codes "
                f"{', '.join(get_args(Code))} and the refinements {', '.join(get_args(Refine))}"
            )
        if type(self.bits) is not int or self.bits not in _BITS[self.code]:
            raise SettingsError(
                f"bits={self.bits!r}; allowed for {self.code} are "
                f"{', '.join(map(str, _BITS[self.code]))}"
            )
        if self.refine == "codes" and self.code != "pq":
            raise SettingsError(
                "refine='codes' goes with code='pq' only; give more bits to code='rabitq' instead"
            )
        whole = all(type(value) is int for value in (self.cells, self.dims, self.seed))
        if not whole or not 1 <= self.cells <= 1 << 20 or self.dims < 0 or self.seed < 0:
            raise SettingsError(
                f"cells={self.cells!r}, dims={self.dims!r}, seed={self.seed!r}; allowed are whole "
                f"numbers: 1 to {1 << 20} cells, dims and seed of 0 or more"
            )

    def bytes(self, rows: int, dim: int) -> int:
        """What an index of so many rows will take, about."""
        dims = self.dims or dim
        code = dims * self.bits / 8
        if self.code == "rabitq":
            code += 8 if self.bits == 1 else 20
        refined = dims / 2 if self.refine == "codes" else 0
        prototypes = (16 if self.code == "pq" else 0) + (256 if refined else 0)
        cells = self.cells * (4 * dims + 16 * code)  # the last block of a cell is half empty
        return int(rows * (code + refined + 8) + cells + 4 * dims * (dim + prototypes))


@dataclass(frozen=True, slots=True)
class IVFEffort:
    """How hard to look.

    Attributes:
        probes: how many cells are scanned; all where that is more.
        candidates: how many rows are scored again; k where that is more.
        vectors: with refine="codes", how many of these are scored once more, by the stored
            vectors, k where that is more; 0: none, and scores are estimates.

    Raises:
        SettingsError: a value outside what is allowed.
    """

    probes: int = 32
    candidates: int = 0
    vectors: int = 0

    def __post_init__(self) -> None:
        given = (self.probes, self.candidates, self.vectors)
        whole = all(type(one) is int and 0 <= one <= 1 << 20 for one in given)
        if not whole or self.probes < 1:
            raise SettingsError(
                f"probes={self.probes!r}, candidates={self.candidates!r}, "
                f"vectors={self.vectors!r}; allowed are whole numbers up to {1 << 20}, one probe "
                f"or more"
            )


class IVFFinder:
    """Probes cells; see ``dpr.indexes.approximate.Finder``."""

    def __init__(self, path: Path) -> None:
        self._faiss = library()
        self._index = read(path)
        self._parts = Parts(self._index)
        self._axes = matrix_of(self._faiss.downcast_VectorTransform(self._index.chain.at(0)))
        self._all_cells = threading.Lock()
        self.rows = int(self._index.ntotal)
        self.bytes = path.stat().st_size

    def rescored(self, effort: IVFEffort, k: int) -> int:
        """How many rows the stored vectors should score again."""
        if self._parts.codes is None:
            return max(k, effort.candidates)
        return max(k, effort.vectors) if effort.vectors else 0

    def find(
        self, queries: Floats, count: int, allowed: Mask | None, effort: IVFEffort, times: float
    ) -> tuple[Floats, Rows]:
        """Rows (q, count), -1 for none, and their scores by the codes."""
        cells = int(self._parts.cells.nlist)
        probes = cells if math.isinf(times) else min(cells, math.ceil(effort.probes * times))
        chosen, _bits = selector(allowed)
        how = self._faiss.SearchParametersIVF(
            nprobe=probes, sel=chosen, quantizer_params=self._parts.oversampled(probes)
        )
        if self._parts.codes is not None:
            factor = max(effort.candidates, count) / count
            how = self._faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=how)
        lengths = np.linalg.norm(queries, axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        turned = np.ascontiguousarray((queries / lengths) @ self._axes.T)
        if self._parts.coded and 4 * probes > cells:
            with self._all_cells, self._parts.by_list():
                scores, rows = self._parts.inner.search(turned, count, params=how)
        else:
            scores, rows = self._parts.inner.search(turned, count, params=how)
        return np.where(rows < 0, -np.inf, scores) * lengths, rows


def build(
    settings: IVFSettings, stored: StoredVectors, bench: Bench, progress: Progress | None = None
) -> str:
    """Builds the index; returns the name under which the bench keeps it.

    Axes, cells and codes are trained first and kept, and then the index so far every ``PART_ROWS``
    rows. Another run goes on from what was kept. Parts are not made apart and joined: faiss 1.15
    writes beyond a cell of as many rows as a block has bytes (``BlockInvertedLists::add_entries``).

    Raises:
        MissingExtraError: faiss is not installed.
        SettingsError: more dims than the vectors have.
        InputError: a vector that is not finite.
    """
    if bench.kept(NAME) is not None:
        return NAME
    index = None
    for first in reversed(range(0, len(stored), PART_ROWS)):
        if (path := bench.kept(_part(first))) is not None:
            index = read(path, mapped=False)
            break
    if index is None:
        index = _trained(settings, stored, progress)
        bench.keep(_part(0), chunks(index))
    for first in range(int(index.ntotal), len(stored), PART_ROWS):
        _fill(index, stored, first, progress)
        if first + PART_ROWS < len(stored):
            bench.keep(_part(first + PART_ROWS), chunks(index))
    bench.keep(NAME, chunks(index))
    return NAME


def _part(rows: int) -> str:
    return f"ivf-{rows}.faiss"


def _trained(settings: IVFSettings, stored: StoredVectors, progress: Progress | None) -> Any:
    """An index without rows."""
    faiss = library()
    dims = settings.dims or stored.dim
    if dims > stored.dim:
        raise SettingsError(
            f"dims is {dims}; the vectors have {stored.dim} numbers: give at most so many, or 0"
        )
    if settings.code == "pq":
        dims -= dims % (4 // settings.bits)
    if not dims:
        raise SettingsError(
            f"vectors of {stored.dim} numbers are too short for a pq of {settings.bits} bits a "
            f"number, which codes {4 // settings.bits} numbers together; choose code='rabitq'"
        )
    stored.longest()  # refuses what is not finite
    energies, axes = principal_axes(stored, TRAINING_ROWS)
    if settings.code == "rabitq":
        queries = mixed(axes[:dims], [dims], settings.seed).astype(np.float32)
    else:
        queries = weighted(axes[:dims], energies[:dims], 2)
    # Queries come with length 1, and leave as so much longer than rows.
    scale = math.sqrt(LONGER * math.sqrt(max(float(energies.sum()), 1e-30)))
    queries *= scale
    rows = other_side(queries)
    some = sample(stored, TRAINING_ROWS, settings.seed, rows)
    if len(some) < 256:
        some = np.resize(some, (256, len(rows)))  # faiss wants one for each prototype
    index = _cells(settings, *_coarse(settings, stored, queries, scale, progress))
    parts = Parts(faiss.IndexPreTransform(linear(queries), index))
    with parts.assigning():
        index.train(some)
    if settings.refine == "codes":
        codes = faiss.IndexPQ(len(rows), max(1, len(rows) // 2), 8, faiss.METRIC_INNER_PRODUCT)
        _quicken(codes.pq.cp, 256)
        codes.train(some)
        index = faiss.IndexRefine(index, codes)
    return faiss.IndexPreTransform(linear(queries), index)


def _coarse(
    settings: IVFSettings,
    stored: StoredVectors,
    queries: Floats,
    scale: float,
    progress: Progress | None,
) -> tuple[Any, int]:
    """What finds the cells nearest to a query, given in these axes; and how many cells there are.

    The axes of pq are weighted: distances between rows are to be unweighted, and those along the
    first axes tell enough.
    """
    faiss = library()
    axes = other_side(queries)
    if settings.code == "pq":
        weights = scale / np.linalg.norm(queries, axis=1)
        leading = np.argsort(-weights, kind="stable")[:COARSE_DIMS]
        mix = mixed(np.eye(len(leading)), [len(leading)], settings.seed)
        axes = (mix @ (axes[leading] / weights[leading, None])).astype(np.float32)
    count = max(TRAINING_ROWS, settings.cells * ROWS_A_CELL)
    rows = sample(stored, count, settings.seed, axes)
    middles = centroids(rows, min(settings.cells, len(rows)), settings.seed, progress)
    found = nearest(middles)
    if settings.code == "pq":
        turn = np.zeros((len(axes), len(queries)), np.float32)
        turn[:, leading] = mix * weights[leading]
        found = faiss.IndexPreTransform(linear(turn), found)
    return found, len(middles)


def _cells(settings: IVFSettings, coarse: Any, cells: int) -> Any:
    faiss = library()
    metric = faiss.METRIC_INNER_PRODUCT
    dims = int(coarse.d)
    if settings.code == "rabitq":
        return faiss.IndexIVFRaBitQFastScan(coarse, dims, cells, metric, 32, True, settings.bits)
    groups = max(1, dims * settings.bits // 4)
    index = faiss.IndexIVFPQFastScan(coarse, dims, cells, groups, 4, metric)
    index.by_residual = False
    _quicken(index.pq.cp, 16)
    return index


def _quicken(clustering: Any, prototypes: int) -> None:
    """Hundreds of small clusterings: more rounds or rows change little, and take long."""
    clustering.niter = 10
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = PROTOTYPE_ROWS // prototypes


def _fill(index: Any, stored: StoredVectors, first: int, progress: Progress | None) -> None:
    """Adds the rows from ``first`` on, as many as go between what is kept."""
    parts = Parts(index)
    turn = library().downcast_VectorTransform(index.chain.at(0))
    axes = other_side(matrix_of(turn))
    last = min(first + PART_ROWS, len(stored))
    with parts.assigning():
        for start in range(first, last, STEP_ROWS):
            end = min(start + STEP_ROWS, last)
            for _, values in stored.values(start, end):
                parts.inner.add(values @ axes.T)
            stored.let_go()
            if progress is not None:
                progress("codes", end, len(stored))
    index.ntotal = parts.cells.ntotal
