"""Memory maps that are read from end to end or here and there, and what that costs.

Takes arrays; knows nothing of what is in them.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt


def let_go(values: npt.NDArray[Any]) -> None:
    """Gives back the pages that were read of a read-only memory map; of other arrays, nothing.

    They stay in the system's cache as long as there is room, and come back when they are read.
    Without it, a pass over a file counts as much memory as the file has, up to what there is.
    """
    found = _map_of(values)
    if found is not None and not values.flags.writeable and hasattr(mmap, "MADV_DONTNEED"):
        found.madvise(mmap.MADV_DONTNEED)


def fetch(values: npt.NDArray[Any], ranges: Iterable[tuple[int, int]]) -> None:
    """Asks for the pages of some ranges of rows of a memory map, all at once, before they are read.

    Left to itself the system reads them one after the other, and around each as much as suits a
    pass over all: megabytes on some machines.

    Args:
        ranges: first row, and the one behind the last.
    """
    found = _map_of(values)
    if found is None or not hasattr(mmap, "MADV_WILLNEED"):
        return
    step = values.strides[0]
    start = values.ctypes.data - np.frombuffer(found, np.uint8).ctypes.data
    for first, last in ranges:
        begin = (start + first * step) // mmap.PAGESIZE * mmap.PAGESIZE
        end = min(start + last * step, len(found))
        if begin < end:
            found.madvise(mmap.MADV_WILLNEED, begin, end - begin)


def outgrows_memory(values: npt.NDArray[Any]) -> bool:
    """Whether a memory map is too large to stay in memory for sure: over half of what there is."""
    return _map_of(values) is not None and 2 * values.nbytes > _memory()


@cache
def _memory() -> int:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return 1 << 62
    return os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE


def _map_of(values: npt.NDArray[Any]) -> Any:
    """The map that an array is a view of, or None."""
    array: Any = values
    while isinstance(array, np.ndarray):
        found = getattr(array, "_mmap", None)
        if found is not None:
            return found
        array = array.base
    return None
