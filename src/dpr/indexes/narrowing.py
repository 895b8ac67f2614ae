"""Which rows can be among the k best of a query, from int8 codes alone.

Takes queries that are rotated already and blocks of codes; gives pairs of a query and a row, among
them every one of the k best. Knows nothing of stored vectors, ids or files. All scores here are
those of queries of length 1. The proof: docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dpr.indexes.blocks import CHUNK, Block, BlockChunk, width_of
from dpr.indexes.index import Floats, Mask, Rows
from dpr.indexes.rotation import Doubles
from dpr.indexes.scan import Scan

_ROUNDED = 2.0**-8
"""Largest relative error of a product that a scan gives: bfloat16's 2⁻⁹, and sums in float32."""

_SINGLE = 2.0**-19
"""For the few sums in float32 behind the scan, and for scores that float32 makes equal."""

_SLACK = 1.01  # for the bounds' own rounding


@dataclass(frozen=True, slots=True)
class AskedBlock:
    """One block of some queries.

    Attributes:
        numbers: (q, width) bfloat16.
        reach: (q, 1) float32, at least the length of the block.
        error: (q,) largest error of a product with codes, what codes lose of a vector apart.
    """

    numbers: torch.Tensor
    reach: torch.Tensor
    error: Doubles


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of a query and a row: (n,) each, with the product and its largest error."""

    queries: npt.NDArray[np.int64]
    rows: Rows
    near: Floats
    error: Floats

    def taken(self, which: npt.NDArray[np.bool_]) -> Candidates:
        return Candidates(
            self.queries[which], self.rows[which], self.near[which], self.error[which]
        )


def asked(rotated: Doubles, longest: float) -> AskedBlock:
    """A block (q, numbers) of rotated queries, for vectors no longer than ``longest``."""
    width = width_of(rotated.shape[1])
    padded = np.zeros((len(rotated), width))
    padded[:, : rotated.shape[1]] = rotated
    numbers = torch.from_numpy(padded).bfloat16()
    off = np.linalg.norm(numbers.double().numpy() - padded, axis=1)
    reach = np.linalg.norm(padded, axis=1)
    # Rounding to a 254th of the largest number makes codes this much longer than the vector.
    codes = (1 + width**0.5 / 250) * longest
    error = _SLACK * (off + _ROUNDED * (reach + off)) * codes
    return AskedBlock(numbers, torch.from_numpy(_SLACK * reach[:, None]).float(), error)


class Narrowing:
    """The candidates of some queries while the chunks go by.

    Args:
        head, tail: the queries' blocks; tail None where the head is all.
        k: at most the number of rows that are allowed.
        longest, stray: of the vectors and of the rotation.
    """

    def __init__(
        self,
        head: AskedBlock,
        tail: AskedBlock | None,
        k: int,
        longest: float,
        stray: float,
        scan: Scan,
    ) -> None:
        self.head, self.tail, self.k, self.scan = head, tail, k, scan
        self.count = len(head.error)
        self.rest = _SLACK * (stray + _SINGLE) * longest
        self.floor = np.full(self.count, -np.inf)
        none = np.empty(0, np.int64)
        self.found = Candidates(none, none, none.astype(np.float32), none.astype(np.float32))

    def narrow(
        self, blocks: Sequence[Block], rows: int, allowed: Mask | None, most: int
    ) -> Candidates | None:
        """All candidates; None where more than ``most`` of them came together."""
        for first in range(0, rows, CHUNK):
            chunks = [block.chunk(first) for block in blocks]
            mask = None if allowed is None else allowed[first : first + CHUNK]
            if mask is not None and not mask.any():
                continue
            self._narrow(chunks, first, None if mask is None else torch.from_numpy(mask))
            if len(self.found.rows) > most:
                return None
        return self.found

    def _narrow(
        self, chunks: Sequence[BlockChunk], first: int, allowed: torch.Tensor | None
    ) -> None:
        head = chunks[0]
        near = self.scan(self.head.numbers, head.codes).float().mul_(head.scales)
        if np.isneginf(self.floor).any():
            self._sow(chunks, near, allowed)
        upper = near.addcmul(self.head.reach, head.lost)
        if self.tail is not None:
            upper.addcmul_(self.tail.reach, head.behind)
        may = upper >= _below(self.floor - self.head.error - self.rest)
        if allowed is not None:
            may &= allowed
        places = np.flatnonzero(may.any(dim=0).numpy())
        if not len(places):
            return
        wanted = torch.from_numpy(places)
        total, error = self._closer(chunks, near, wanted)
        queries, which = np.nonzero(may[:, wanted].numpy())
        found = Candidates(
            queries, places[which] + first, total[queries, which], error[queries, which]
        )
        self._take(found.taken(found.near + found.error >= self._limit()[found.queries]))

    def _sow(
        self, chunks: Sequence[BlockChunk], near: torch.Tensor, allowed: torch.Tensor | None
    ) -> None:
        """A first floor: what the k rows that look best so far are proven to reach."""
        if allowed is not None:
            near = near.masked_fill(~allowed, -torch.inf)
            if int(allowed.sum()) < self.k:
                return
        elif near.shape[1] < self.k:
            return
        best = torch.topk(near, self.k, dim=1, sorted=False).indices
        wanted, inverse = torch.unique(best, return_inverse=True)
        total, error = self._closer(chunks, near, wanted)
        lowest = np.take_along_axis(total - error, inverse.numpy(), axis=1).min(axis=1)
        self.floor = np.maximum(self.floor, lowest)

    def _closer(
        self, chunks: Sequence[BlockChunk], near: torch.Tensor, wanted: torch.Tensor
    ) -> tuple[Floats, Floats]:
        """Products with all numbers of some rows, and their largest errors, both (q, n)."""
        total, fixed = near[:, wanted], self.head.error + self.rest
        error = self.head.reach * chunks[0].lost[wanted]
        if self.tail is not None:
            tail = chunks[1]
            more = self.scan(self.tail.numbers, tail.codes[wanted]).float()
            total += more.mul_(tail.scales[wanted])
            error.addcmul_(self.tail.reach, tail.lost[wanted])
            fixed = fixed + self.tail.error
        error += torch.from_numpy(fixed[:, None]).float()
        return total.numpy(), (error * _SLACK).numpy()

    def _take(self, found: Candidates) -> None:
        """Add candidates, raise the floor to the k-th best lower bound, drop what is below it."""
        old = self.found
        queries, rows, near, error = (
            np.concatenate([getattr(old, name), getattr(found, name)])
            for name in ("queries", "rows", "near", "error")
        )
        lower = near - error
        for query in range(self.count):
            own = lower[queries == query]
            if len(own) >= self.k:
                kth = np.partition(own, len(own) - self.k)[len(own) - self.k]
                self.floor[query] = max(self.floor[query], float(kth))
        kept = near + error >= self._limit()[queries]
        self.found = Candidates(queries, rows, near, error).taken(kept)

    def _limit(self) -> Floats:
        return _below(self.floor)[:, 0].numpy()


def _below(limit: Doubles) -> torch.Tensor:
    """(q, 1) float32, no more than the limits."""
    rounded = limit.astype(np.float32)
    return torch.from_numpy(np.nextafter(rounded, np.float32(-np.inf))[:, None])
