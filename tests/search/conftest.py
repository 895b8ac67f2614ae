"""A collection that was changed several times, and what it should hold: a plain list."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dpr.collection import (
    BuildSettings,
    Collection,
    add_documents,
    build_collection,
    named,
    remove_documents,
)
from dpr.indexes.words import WordsSettings
from dpr.records import Passage
from dpr.search.parts import WordsMaker

DIM = 16
WORDS = "alps bread castle danube forest glacier harbour island king lake moon night queen".split()


class HashEncoder:
    """Vectors that are a function of id and text."""

    dim, fingerprint, truncated = DIM, "passages", 0
    settings: dict[str, Any] = {}  # noqa: RUF012

    def encode(self, passages: Sequence[Passage]) -> npt.NDArray[np.float32]:
        return np.stack([vector_of(f"{one.id} {one.text}") for one in passages])


def vector_of(text: str) -> npt.NDArray[np.float32]:
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)


def document(number: int, edition: int = 0) -> list[Passage]:
    """The passages of a document, one to five."""
    rng = random.Random(f"{number} {edition}")
    name = f"d{number}"
    facts: dict[str, Any] = {"year": 1950 + number, "tags": rng.sample(WORDS, 2)}
    if number % 4 == 0:
        facts["lang"] = "de"
    title = f"{rng.choice(WORDS)} {number}"
    return [
        Passage(
            f"{name}#{place}",
            " ".join(rng.choices(WORDS, k=rng.randint(1, 12))),
            title=title,
            section=rng.choice(["", "Intro", "Notes"]),
            source=f"{'old' if number % 3 else 'new'}/{name}.md",
            document=name,
            metadata=facts,
        )
        for place in range(rng.randint(1, 5))
    ]


def passages(numbers: Sequence[int], edition: int = 0) -> list[Passage]:
    return [one for number in numbers for one in document(number, edition)]


@dataclass
class Library:
    """A folder, and the passages that are in it, in order."""

    folder: Path
    passages: list[Passage]

    @property
    def vectors(self) -> npt.NDArray[np.float64]:
        """As they are stored: float16."""
        stored = HashEncoder().encode(self.passages).astype(np.float16)
        return stored.astype(np.float64)

    def without(self, gone: set[str]) -> list[Passage]:
        return [one for one in self.passages if one.document not in gone]

    def add(self, numbers: Sequence[int], edition: int = 0) -> None:
        new = passages(numbers, edition)
        add_documents(self.folder, new, HashEncoder(), makers=MAKERS)
        self.passages = self.without({one.document for one in new}) + new

    def remove(self, numbers: Sequence[int]) -> None:
        names = {f"d{number}" for number in numbers}
        remove_documents(self.folder, named(names))
        self.passages = self.without(names)


MAKERS = [WordsMaker(WordsSettings())]


def build(folder: Path, numbers: Sequence[int], makers: Any = MAKERS) -> Library:
    new = passages(numbers)
    settings = BuildSettings(shard_size=50)
    build_collection(new, HashEncoder(), folder, settings, "questions", makers=makers)
    return Library(folder, new)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Four segments with rows deleted in three of them. To look at, not to change."""
    made = build(tmp_path_factory.mktemp("search") / "library", range(60))
    made.add([*range(60, 80), *range(0, 30, 3)], edition=1)
    made.remove([1, 2, 40, 41, 65])
    made.add(range(80, 90))
    made.remove([80, 89])
    made.add([5, 66, 81], edition=2)
    with Collection.open(made.folder) as collection:
        assert list(collection) == made.passages
        deleted = [segment.segment.gone for segment in collection.segments]
        assert len(deleted) == 4
        assert all(deleted[:3])
    return made
