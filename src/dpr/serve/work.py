"""What the service does for requests, piece by piece: frozen records that pass between its modules.

Knows nothing of how any of it is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from dpr.filters import Filters
from dpr.records import Passage
from dpr.search.settings import Mode

Tower = Literal["query", "passage"]


@dataclass(frozen=True, slots=True)
class How:
    """How to search for a question; see ``Pipeline.search``."""

    k: int = 10
    mode: Mode = "auto"
    where: Filters = field(default_factory=Filters)
    per_document: int | None = None


@dataclass(frozen=True, slots=True)
class Find:
    """A question to search for and, where ``read``, to answer from what was found."""

    question: str
    how: How
    read: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it: JSON as ``SearchResult`` or ``AnswerResult`` say.

    Attributes:
        opened: which of the versions that the engine had open was asked, counted from its start: a
            collection that is made anew begins again with version 1.
    """

    body: bytes
    opened: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Embed:
    """A text to make a vector of, as a question or as a passage."""

    text: str
    tower: Tower


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector (dim,), how many tokens it was made of, and whether there were more."""

    vector: npt.NDArray[np.float32]
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Judge:
    """A text whose relevance to a question the reader is to tell."""

    question: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Encode:
    """Passages to make vectors of that will be kept: the same for the same list, always."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Their vectors (n, dim), and how many were longer than is read."""

    vectors: npt.NDArray[np.float32]
    truncated: int


Task = Find | Embed | Judge | Encode
Outcome = Found | Embedded | float | Encoded
"""Of a ``Judge``, the reader's relevance logit."""
