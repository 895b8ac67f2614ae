"""The parts of a faiss index of cells and codes, and what is changed of them for a moment.

Takes and gives faiss objects. Knows nothing of how they are trained or searched. The index is
``IndexPreTransform`` (axes) of ``IndexRefine`` (where codes order candidates again) of an
``IndexIVF``, whose quantizer finds the nearest cells: a list of centroids or codes of them,
behind an ``IndexPreTransform`` where distances are of other axes than codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dpr.indexes.faiss_files import library
from dpr.indexes.index import Floats

MORE, LEAST = 4, 64
"""Cells are looked up by codes: so many times as many as are wanted, and at least so many, are then
compared by distance."""


class Parts:
    """The parts of an index.

    Attributes:
        cells: the cells and the codes that are scanned.
        codes: what orders candidates again; None where there is nothing.
        coarse: what finds the nearest cells.
        coded: whether it looks them up by codes.
    """

    def __init__(self, index: Any) -> None:
        faiss = library()
        self.inner = self.cells = faiss.downcast_index(index.index)
        self.codes = None
        if hasattr(self.inner, "refine_index"):
            self.cells = faiss.downcast_index(self.inner.base_index)
            self.codes = faiss.downcast_index(self.inner.refine_index)
        self.coarse = faiss.downcast_index(self.cells.quantizer)
        self.turned = hasattr(self.coarse, "chain")
        self.nearest = faiss.downcast_index(self.coarse.index) if self.turned else self.coarse
        self.coded = hasattr(self.nearest, "refine_index")

    @contextmanager
    def by_list(self) -> Iterator[None]:
        """Within it all cells are looked at: codes may leave one out."""
        whole = library().downcast_index(self.nearest.refine_index)
        with (
            _replaced(self.coarse, "index", whole)
            if self.turned
            else _replaced(self.cells, "quantizer", whole)
        ):
            yield

    def oversampled(self, count: int) -> Any:
        """How to look for so many cells; None where all are looked at anyway."""
        if not self.coded:
            return None
        faiss = library()
        how = faiss.IndexRefineSearchParameters(k_factor=max(MORE, LEAST / count))
        return faiss.SearchParametersPreTransform(index_params=how) if self.turned else how

    @contextmanager
    def assigning(self) -> Iterator[None]:
        """Within it the cells nearest to rows are found, not those nearest to queries."""
        nearest, coarse, factor = self.nearest, self.coarse, None
        if self.turned:
            faiss = library()
            weights = matrix_of(faiss.downcast_VectorTransform(self.coarse.chain.at(0)))
            squares = np.square(weights).sum(axis=0)
            squares[squares == 0] = 1  # axes that cells do not depend on
            rows = weights / squares
            coarse = faiss.IndexPreTransform(linear(rows), nearest)
        if self.coded:
            factor, nearest.k_factor = nearest.k_factor, LEAST
        try:
            with _replaced(self.cells, "quantizer", coarse):
                yield
        finally:
            if self.coded:
                nearest.k_factor = factor


def linear(matrix: Floats) -> Any:
    """A faiss transform that multiplies vectors by this matrix (out, in)."""
    faiss = library()
    turn = faiss.LinearTransform(matrix.shape[1], matrix.shape[0], False)
    faiss.copy_array_to_vector(np.ascontiguousarray(matrix, dtype=np.float32).ravel(), turn.A)
    turn.is_trained = True
    return turn


def matrix_of(turn: Any) -> Floats:
    """The matrix (out, in) of a faiss transform."""
    matrix: Floats = library().vector_to_array(turn.A).reshape(turn.d_out, turn.d_in)
    return matrix


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Within it a part of a faiss index is another one."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
