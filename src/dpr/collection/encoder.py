"""What a collection needs of whatever makes vectors of passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dpr.collection.vectors import Stored
from dpr.records import Passage


class PassageEncoder(Protocol):
    """What makes a vector of a passage.

    Attributes:
        dim: numbers in a vector.
        fingerprint: SHA-256 of the weights, the tokenizer and the settings: of all that decides
            what vector a passage gets.
        settings: the same for people, plain JSON values.
        truncated: passages encoded so far of which only the first part was read.
    """

    @property
    def dim(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def truncated(self) -> int: ...

    def encode(self, passages: Sequence[Passage]) -> npt.NDArray[np.float32] | Stored:
        """(len(passages), dim) float32; the same for the same list, always. Or vectors that are
        stored already, to be kept as they are."""
        ...
