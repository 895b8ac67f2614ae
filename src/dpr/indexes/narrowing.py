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

from dpr.indexes.blocks import CHUNK, UP, Block, width_of
from dpr.indexes.index import Floats, Mask, Rows
from dpr.indexes.rotation import Doubles
from dpr.indexes.scan import Scan

_ROUNDED = 2.0**-8
"""Largest relative error of a product that a scan gives: bfloat16's 2⁻⁹, and sums in float32."""

_SINGLE = 2.0**-19
"""For the few sums in float32 behind the scan, and for scores that float32 makes equal."""

AT_ONCE = 1 << 16  # rows whose codes are copied, or scores compared, at once

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

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        names = ("queries", "rows", "near", "error")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


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
    return AskedBlock(numbers, torch.from_numpy(UP * reach[:, None]).float(), error)


class Narrowing:
    """A search by bounds.

    Args:
        head, tail: the queries' blocks; tail None where the head is all.
        blocks: of the vectors, as many.
        rows: how many vectors there are.
        allowed: (rows,) those that may be found; None: all.
        k: at most the number of rows that are allowed.
        longest, stray: of the vectors and of the rotation.
    """

    def __init__(
        self,
        head: AskedBlock,
        tail: AskedBlock | None,
        blocks: Sequence[Block],
        rows: int,
        allowed: Mask | None,
        k: int,
        longest: float,
        stray: float,
        scan: Scan,
    ) -> None:
        self.head, self.tail, self.k, self.scan = head, tail, k, scan
        self.blocks, self.rows = blocks, rows
        self.allowed = None if allowed is None else torch.from_numpy(allowed)
        self.count = len(head.error)
        self.rest = _SLACK * (stray + _SINGLE) * longest

    def candidates(self, most: int) -> Candidates | None:
        """All rows that can be among the best; None where these are more than ``most``."""
        upper, seeds = self._scanned()
        found: list[Candidates] = []
        for query in range(self.count):
            floor = self._floor(self._closer(query, seeds[query]))
            limit = _below(floor - self.head.error[query] - self.rest)
            rows = np.flatnonzero(upper[query].numpy() >= limit)
            parts = [
                self._closer(query, some)
                for some in np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
            ]
            own = Candidates.joined(parts)
            floor = max(floor, self._floor(own))
            found.append(own.taken(own.near + own.error >= _below(floor)))
            if sum(len(one.rows) for one in found) > most:
                return None
        return Candidates.joined(found)

    def _scanned(self) -> tuple[torch.Tensor, list[Rows]]:
        """What the head's codes allow each row to reach, the scan's error apart (q, rows), -inf
        where it is not allowed; and for each query the k rows that look best."""
        upper = torch.empty((self.count, self.rows))
        seeds = [_Seeds(self.k) for _ in range(self.count)]
        for first in range(0, self.rows, CHUNK):
            chunk, some = self.blocks[0].chunk(first), slice(first, first + CHUNK)
            scales, lost, behind = chunk.numbers
            reached = upper[:, some].copy_(self.scan(self.head.numbers, chunk.codes)).mul_(scales)
            if self.allowed is not None:
                reached.masked_fill_(~self.allowed[some], -torch.inf)
            for own, seed in zip(reached.numpy(), seeds, strict=True):
                seed.add(own, first)
            reached.addcmul_(self.head.reach, lost)
            if self.tail is not None:
                reached.addcmul_(self.tail.reach, behind)
        return upper, [np.sort(seed.rows) for seed in seeds]

    def _closer(self, query: int, rows: Rows) -> Candidates:
        """Rows, in ascending order, with their products over all numbers."""
        near, error = torch.zeros(len(rows)), torch.full((len(rows),), self.rest)
        asked_blocks = [self.head] if self.tail is None else [self.head, self.tail]
        for asked_block, block in zip(asked_blocks, self.blocks, strict=True):
            taken = block.take(rows)
            scales, lost, _ = taken.numbers
            own = slice(query, query + 1)
            near += self.scan(asked_block.numbers[own], taken.codes).float()[0].mul_(scales)
            error += asked_block.reach[own, 0] * lost + asked_block.error[query]
        queries = np.full(len(rows), query, np.int64)
        return Candidates(queries, rows, near.numpy(), error.mul_(_SLACK).numpy())

    def _floor(self, found: Candidates) -> float:
        """What k of these rows of a query are proven to reach; -inf where there are fewer."""
        lower = found.near - found.error
        if len(lower) < self.k:
            return -np.inf
        return float(np.partition(lower, len(lower) - self.k)[len(lower) - self.k])


class _Seeds:
    """The k rows that look best to a query while the chunks go by."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.scores = np.empty(0, np.float32)
        self.rows = np.empty(0, np.int64)
        self.least = -np.inf

    def add(self, scores: Floats, first: int) -> None:
        for at in range(0, len(scores), AT_ONCE):
            self._add(scores[at : at + AT_ONCE], first + at)

    def _add(self, scores: Floats, first: int) -> None:
        places = np.flatnonzero(scores > self.least)
        self.scores = np.concatenate([self.scores, scores[places]])
        self.rows = np.concatenate([self.rows, places + first])
        spare = len(self.rows) - self.k
        if spare > 0:
            best = np.argpartition(self.scores, spare)[spare:]
            self.scores, self.rows = self.scores[best], self.rows[best]
            self.least = float(self.scores.min())


def _below(limit: float) -> float:
    """A number of float32 that is no more than the limit."""
    return float(np.nextafter(np.float32(limit), np.float32(-np.inf)))
