"""Binary codes (BPR: Yamada, Asai & Hajishirzi 2021): signs of numbers, by Hamming distance.

Takes stored vectors; gives a finder that looks at the codes of all rows. A code takes a 32nd of a
float32 vector; what is found has to be scored again by the stored vectors. The distances are
faiss's. Knows nothing of how that is done.

The file: the origin, dim float32; then for each row its code of dim / 8 bytes, rounded up, in which
a bit says whether the number is larger than the origin's; little-endian, first number lowest. A
query's bits say whether its numbers are larger than 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dpr.errors import CollectionError, SettingsError
from dpr.indexes.coarse import sample
from dpr.indexes.faiss_files import library
from dpr.indexes.index import Bench, Floats, Mask, Progress, Rows
from dpr.indexes.stored import StoredVectors

TRAINING_ROWS = 1 << 16
BLOCK_ROWS = 1 << 18  # allowed rows that are copied together
NAME = "binary.codes"

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class BinarySettings:
    """How to build.

    Attributes:
        centred: signs are those of the difference from the mean vector; False: of the vector, as
            for encoders that were trained to have such codes.

    Raises:
        SettingsError: a value outside what is allowed.
    """

    centred: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.centred, bool):
            raise SettingsError(f"centred is {self.centred!r}; allowed are true and false")

    def bytes(self, rows: int, dim: int) -> int:
        """What an index of so many rows will take."""
        return 4 * dim + rows * ((dim + 7) // 8)


@dataclass(frozen=True, slots=True)
class BinaryEffort:
    """How hard to look.

    Attributes:
        candidates: how many rows are scored again; k where that is more.

    Raises:
        SettingsError: a value outside what is allowed.
    """

    candidates: int = 1000

    def __post_init__(self) -> None:
        if type(self.candidates) is not int or not 0 <= self.candidates <= 1 << 20:
            raise SettingsError(
                f"candidates={self.candidates!r}; allowed are whole numbers up to {1 << 20}"
            )


class BinaryFinder:
    """Compares signs; see ``dpr.indexes.approximate.Finder``.

    Raises:
        CollectionError: the file has another length than codes of so many numbers.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self._faiss = library()
        self.bytes = path.stat().st_size
        width = (dim + 7) // 8
        self.rows, rest = divmod(self.bytes - 4 * dim, width)
        if self.rows < 1 or rest:
            raise CollectionError(
                f"{path}: {self.bytes} bytes are no binary codes of {dim} numbers; build the index "
                f"again"
            )
        self._codes = np.memmap(path, np.uint8, "r", 4 * dim, (self.rows, width))

    def rescored(self, effort: BinaryEffort, k: int) -> int:
        """How many rows the stored vectors should score again."""
        return max(k, effort.candidates)

    def find(
        self, queries: Floats, count: int, allowed: Mask | None, effort: BinaryEffort, times: float
    ) -> tuple[Floats, Rows]:
        """Rows (q, count) whose codes differ in the fewest bits, and minus how many."""
        # <q, x> differs from <q, x - origin> by what is the same for all rows.
        signs = _signs(queries)
        if allowed is None:
            return self._nearest(signs, np.asarray(self._codes), count)
        scores = np.empty((len(queries), 0), np.float32)
        rows = np.empty((len(queries), 0), np.int64)
        chosen = np.flatnonzero(allowed)
        for first in range(0, len(chosen), BLOCK_ROWS):
            block = chosen[first : first + BLOCK_ROWS]
            near, places = self._nearest(signs, self._codes[block], min(count, len(block)))
            scores = np.concatenate([scores, near], axis=1)
            rows = np.concatenate([rows, block[places]], axis=1)
            if scores.shape[1] > count:
                best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
                scores = np.take_along_axis(scores, best, axis=1)
                rows = np.take_along_axis(rows, best, axis=1)
        return scores, rows

    def _nearest(self, signs: Codes, codes: Codes, count: int) -> tuple[Floats, Rows]:
        differing, rows = self._faiss.knn_hamming(signs, codes, count)
        return -differing.astype(np.float32), rows


def build(
    settings: BinarySettings, stored: StoredVectors, bench: Bench, progress: Progress | None = None
) -> str:
    """Writes the codes; returns the name under which the bench keeps them.

    Raises:
        InputError: a vector that is not finite.
    """
    if bench.kept(NAME) is None:
        stored.longest()  # refuses what is not finite
        origin = np.zeros(stored.dim, "<f4")
        if settings.centred:
            rows = sample(stored, TRAINING_ROWS, seed=0)
            origin = rows.mean(axis=0, dtype=np.float64).astype("<f4")
        bench.keep(NAME, _file(origin, stored, progress))
    return NAME


def _file(origin: Floats, stored: StoredVectors, progress: Progress | None) -> Iterator[bytes]:
    yield origin.tobytes()
    for row, values in stored.values():
        yield _signs(values, origin).tobytes()
        stored.let_go()
        if progress is not None:
            progress("codes", row + len(values), len(stored))


def _signs(vectors: Floats, origin: Floats | float = 0.0) -> Codes:
    return np.packbits(vectors > origin, axis=1, bitorder="little")
