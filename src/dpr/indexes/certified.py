"""Exact search that reads a byte a number of some numbers of every row, and proves the rest away.

Takes stored vectors and a bench to build on; gives an index whose results, ids included, are those
of ``FlatIndex`` over the same vectors. Knows nothing of passages, models or where files lie.

Vectors are rotated so that their first numbers, the head, hold most of their length
(``rotation``), and both head and tail are kept as int8 codes with the lengths of what the codes
lose (``blocks``). For each row the codes of the head bound the inner product from above. Only where
that bound reaches what k rows are known to reach, the codes of the tail are read too, and only
where the narrower bound still does, the stored vector. The proof: docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from dpr.errors import CorruptionError, SettingsError
from dpr.indexes.blocks import ROWS_AT_ONCE, Block, encoded, width_of
from dpr.indexes.flat import FlatIndex
from dpr.indexes.index import (
    Bench,
    Floats,
    Ids,
    Mask,
    Progress,
    Rows,
    checked_allowed,
    checked_k,
    checked_queries,
)
from dpr.indexes.narrowing import Narrowing, asked
from dpr.indexes.ordering import best
from dpr.indexes.products import FEW_ALLOWED
from dpr.indexes.rotation import Doubles, deviation, mixed, principal_axes
from dpr.indexes.scan import best_scan, plain_scan
from dpr.indexes.stored import StoredVectors

ROTATION, HEAD, TAIL = "certified.safetensors", "certified-head.bin", "certified-tail.bin"

TOGETHER = 8  # queries of one pass
SCORES = 1 << 27  # bounds of a pass that are kept until it ends, four bytes each
MOST = 1 / 16
"""Of all rows; where more are asked for, all rows are read at once."""

DOUBTFUL = 1 / 256
"""Of all rows; where so many more than k may be among the best of a query, all rows are read."""

SMALL = 1e-30
"""Vectors and products below this, or above its inverse, are too near to the ends of float32."""


@dataclass(frozen=True, slots=True)
class CertifiedSettings:
    """How a certified index is built.

    Attributes:
        tail: the share of the vectors' mean squared length that is left to the tail.
        sample: rows from which the rotation is learnt.
        seed: of the rotation's random part.
    """

    tail: float = 0.1
    sample: int = 1 << 16
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.tail < 1 or self.sample < 1 or self.seed < 0:
            raise SettingsError(
                f"tail={self.tail}, sample={self.sample}, seed={self.seed}; allowed: tail of 0 to "
                f"below 1, sample of 1 or more, seed of 0 or more"
            )


def build_certified(
    stored: StoredVectors,
    bench: Bench,
    settings: CertifiedSettings | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Builds a certified index; what the bench has kept already is not made again.

    Memory does not grow with the rows. Every row is read twice (three times where ``stored`` does
    not know how long its vectors are) and rotated once, in float64.

    Returns:
        The names of its files on the bench.

    Raises:
        InputError: a vector that is not finite.
        CorruptionError: a kept file that is not of these vectors.
    """
    settings, tell = settings or CertifiedSettings(), progress or (lambda stage, done, total: None)
    path = bench.kept(ROTATION)
    if path is None:
        data = _learnt(stored, settings)
        path = bench.keep(ROTATION, [data])
    rotation = _Rotation.read(path, stored)
    tell("rotation", 1, 1)
    blocks = {HEAD: rotation.axes[: rotation.head], TAIL: rotation.axes[rotation.head :]}
    names = [ROTATION]
    for name, axes in blocks.items():
        if not len(axes):
            continue
        if bench.kept(name) is None:
            last = name == TAIL or rotation.head == stored.dim
            pieces = encoded(stored, axes, rotation.stray, last=last)
            bench.keep(name, _told(pieces, name, stored, tell))
        names.append(name)
    return tuple(names)


def _learnt(stored: StoredVectors, settings: CertifiedSettings) -> bytes:
    """The file of the rotation and of what searches must know besides."""
    energies, axes = principal_axes(stored, settings.sample)
    behind = 1 - np.cumsum(energies) / max(float(energies.sum()), 1e-300)
    if not settings.tail:
        behind[:] = 1
    head = min(width_of(int((behind > settings.tail).sum()) + 1), stored.dim)
    rotation = mixed(axes, [head, stored.dim - head], settings.seed)
    return save(
        {
            "rotation": rotation,
            "sizes": np.array([len(stored), stored.dim, head]),
            "lengths": np.array([stored.longest(), deviation(rotation)]),
        }
    )


def _told(
    pieces: Iterator[bytes], name: str, stored: StoredVectors, tell: Progress
) -> Iterator[bytes]:
    stage = name.removeprefix("certified-").removesuffix(".bin")
    for number, piece in enumerate(pieces):
        yield piece
        tell(stage, min(number * ROWS_AT_ONCE, len(stored)), len(stored))
    tell(stage, len(stored), len(stored))


@dataclass(frozen=True, slots=True)
class _Rotation:
    """The rotation's rows, how many of them make the head, how long the longest vector is and how
    far the rotation is from orthogonal."""

    axes: Doubles
    head: int
    longest: float
    stray: float

    @classmethod
    def read(cls, path: Path, stored: StoredVectors) -> _Rotation:
        try:
            arrays = load_file(path)
            rows, dim, head = arrays["sizes"].tolist()
            longest, stray = arrays["lengths"].tolist()
            axes = arrays["rotation"]
        except (SafetensorError, KeyError, ValueError) as error:
            raise CorruptionError(f"{path}: is damaged ({error}); build the index again") from None
        if (rows, dim) != (len(stored), stored.dim) or axes.shape != (dim, dim):
            raise CorruptionError(
                f"{path}: was made for {rows} vectors of {dim} numbers, there are {len(stored)} of "
                f"{stored.dim}; build the index again"
            )
        return cls(axes, head, longest, stray)


def _path(name: str, files: Mapping[str, Path]) -> Path:
    if name not in files:
        raise CorruptionError(f"the file {name} of the index is missing; build the index again")
    return files[name]


class CertifiedIndex:
    """A certified index that is open for searching.

    Args:
        rotation: of the vectors.
        blocks: of the rotated vectors: the head, and the tail where there is one.
        stored: the vectors it was built from.
        ids: as in ``FlatIndex``.
    """

    exact = True

    def __init__(
        self,
        rotation: _Rotation,
        blocks: Sequence[Block],
        stored: StoredVectors,
        ids: Ids | None = None,
    ) -> None:
        self._rotation, self._blocks, self._stored, self._ids = rotation, blocks, stored, ids
        self._flat = FlatIndex(stored, ids)
        self._scan = best_scan()
        self.dim = stored.dim

    @classmethod
    def load(
        cls, files: Mapping[str, Path], stored: StoredVectors, ids: Ids | None = None
    ) -> CertifiedIndex:
        """Opens what ``build_certified`` built.

        Args:
            files: the path of each of its files, by name; they are mapped.

        Raises:
            CorruptionError: a file is missing, or is not of these vectors.
        """
        rotation = _Rotation.read(_path(ROTATION, files), stored)
        blocks = [Block(_path(HEAD, files), len(stored), rotation.head)]
        if rotation.head < stored.dim:
            blocks.append(Block(_path(TAIL, files), len(stored), stored.dim - rotation.head))
        return cls(rotation, blocks, stored, ids)

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def bytes(self) -> int:
        """Of its codes, mapped, and of the rotation."""
        return sum(block.bytes for block in self._blocks) + self._rotation.axes.nbytes

    @property
    def touched(self) -> int:
        """Bytes of the stored vectors: of some rows, all where the bounds prove nothing."""
        return self._stored.bytes

    def search(
        self, queries: npt.NDArray[Any], k: int, allowed: Mask | None = None
    ) -> tuple[Floats, Rows]:
        """As ``FlatIndex.search``, with the same result."""
        k, checked = checked_k(k), checked_queries(queries, self.dim)
        mask = checked_allowed(allowed, len(self))
        count = len(self) if mask is None else int(np.count_nonzero(mask))
        few = count < FEW_ALLOWED * len(self)
        k = min(k, count)
        if few or k > MOST * len(self):
            return self._flat.search(checked, max(k, 1), mask)
        scores = np.empty((len(checked), k), np.float32)
        rows = np.empty((len(checked), k), np.int64)
        step = max(1, min(TOGETHER, SCORES // len(self)))
        for first in range(0, len(checked), step):
            some = slice(first, first + step)
            found = self._search(checked[some], k, mask)
            scores[some], rows[some] = found or self._flat.search(checked[some], k, mask)
        return scores, rows

    def _search(self, queries: Floats, k: int, allowed: Mask | None) -> tuple[Floats, Rows] | None:
        """None where nothing is proven and all rows have to be read."""
        rotation, wide = self._rotation, queries.astype(np.float64)
        lengths = np.linalg.norm(wide, axis=1)
        sizes = np.array([rotation.longest, *(lengths * rotation.longest)])
        if not ((sizes > SMALL) & (sizes < 1 / SMALL)).all():
            return None
        rotated = (wide / lengths[:, None]) @ rotation.axes.T
        head = asked(rotated[:, : rotation.head], rotation.longest)
        tail = asked(rotated[:, rotation.head :], rotation.longest)
        narrowing = Narrowing(
            head,
            tail if len(self._blocks) > 1 else None,
            self._blocks,
            len(self),
            allowed,
            k,
            rotation.longest,
            rotation.stray,
            self._scan,
        )
        most = len(queries) * int(16 * k + DOUBTFUL * len(self))
        found = narrowing.candidates(most)
        if found is None:
            return None
        scores = self._stored.exact(queries, found.queries, found.rows)
        off = np.abs(scores / lengths[found.queries] - found.near)
        if (off > found.error).any():
            self._scan = plain_scan  # this machine's kernel is worse than its bound
            return None
        order = best(found.queries, found.rows, scores, len(queries), k, self._ids)
        shape = (len(queries), k)
        return scores[order].reshape(shape), found.rows[order].reshape(shape)
