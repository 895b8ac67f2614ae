"""Inner products of a few queries with many rows of int8 codes: what a certified search reads.

Takes and gives tensors. Knows nothing of bounds or of files. torch holds a kernel for language
models with int8 weights that does just this without unpacking the codes. It is not public, so it
is tried on a small product first, and where it is missing or wrong a plain product takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch

Scan = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Products (q, n) of queries (q, dim), bfloat16, and codes (n, dim), int8; ``dim`` a multiple of
``STEP``. Sums are float32, the result bfloat16 or float32."""

STEP = 32
PLAIN_ROWS = 4096
ONES = 1 << 20


def plain_scan(queries: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """The products by public operations only."""
    # numpy's products stay float32 whatever precision torch is told to use for matrices.
    wide, result = queries.float().numpy(), torch.empty((len(queries), len(codes)))
    for first in range(0, len(codes), PLAIN_ROWS):
        some = codes[first : first + PLAIN_ROWS].float().numpy()
        result[:, first : first + PLAIN_ROWS] = torch.from_numpy(np.matmul(wide, some.T))
    return result


def packed_scan(queries: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """The products by torch's kernel for int8 weights (``torch._weight_int8pack_mm``)."""
    result: torch.Tensor = torch._weight_int8pack_mm(queries, codes, _ones(len(codes)))
    return result


def _ones(count: int) -> torch.Tensor:
    return _made_ones()[:count] if count <= ONES else torch.ones(count, dtype=torch.bfloat16)


@cache
def _made_ones() -> torch.Tensor:
    return torch.ones(ONES, dtype=torch.bfloat16)


@cache
def best_scan() -> Scan:
    """The kernel where this torch has one that computes what it should, else the plain product."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(-127, 128, (67, 3 * STEP), dtype=torch.int8, generator=generator)
    queries = torch.randn((5, 3 * STEP), generator=generator).bfloat16()
    wanted = plain_scan(queries, codes)
    try:
        found = [packed_scan(queries[:count], codes).float() for count in (1, 2, 5)]
    except (AttributeError, RuntimeError, TypeError):
        return plain_scan
    right = all(
        torch.allclose(part, wanted[: len(part)], rtol=2.0**-8, atol=1e-2) for part in found
    )
    return packed_scan if right else plain_scan
