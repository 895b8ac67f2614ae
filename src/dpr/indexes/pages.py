"""Memory maps that are read from end to end, and what they hold of memory meanwhile.

Takes arrays; knows nothing of what is in them.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt


def let_go(values: npt.NDArray[Any]) -> None:
    """Gives back the pages that were read of a read-only memory map; of other arrays, nothing.

    They stay in the system's cache as long as there is room, and come back when they are read.
    Without it, a pass over a file counts as much memory as the file has, up to what there is.
    """
    array: Any = values
    while isinstance(array, np.ndarray):
        found = getattr(array, "_mmap", None)
        if found is not None:
            if not values.flags.writeable and hasattr(mmap, "MADV_DONTNEED"):
                found.madvise(mmap.MADV_DONTNEED)
            return
        array = array.base
