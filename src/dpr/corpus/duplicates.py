"""Passages that come again: texts equal to earlier ones, and near duplicates of earlier ones.

Takes passages in order, any number at a time; tells of each whether it is a duplicate of one that
came before and was none itself. Titles, sections and metadata are not looked at. Knows nothing of
what is done with duplicates.

Equal: the same text when case is folded and any white space is one space.

Near: two texts as sets of all sequences of five words (fewer than five words: one sequence of all)
have |A ∩ B| / |A ∪ B| (Jaccard's coefficient) of at least a threshold. Words are runs of letters
and digits, case folded; Chinese and Japanese characters are words by themselves. Candidates are
found by MinHash signatures in bands (Broder, 1997; Leskovec, Rajaraman and Ullman, Mining of
Massive Datasets, chapter 3) and then counted in full, so that nothing is called a duplicate that
is none; of pairs just at the threshold at most one in a thousand is missed, of others fewer.

Memory, for each passage that is kept: 20 bytes and its id to find equal texts; to find near
duplicates also 4 bytes a word and 12 bytes a band (18 bands at 0.8): about 600 bytes for a passage
of 100 words. Word sequences are held as hashes of 32 bits: of about 400,000 pairs of such passages
one is taken to share a sequence more than it does.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import cast

import numpy as np

from dpr.corpus.minhash import Buckets, Similar, SimilarSets, sequence_sets
from dpr.corpus.settings import DuplicateSettings
from dpr.corpus.split import CJK
from dpr.records import Passage

SEQUENCE = 5
EXAMPLES = 20
_AT_ONCE = 256
_WORDS_REMEMBERED = 1 << 18
_TEXTS_REMEMBERED = 1 << 12  # about 12 kB for a text of 100 words
_WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+")
_ASCII_APART = str.maketrans({code: " " for code in range(128) if not re.match(r"\w", chr(code))})


@dataclass(frozen=True, slots=True)
class Duplicate:
    """What an earlier passage is to a later one.

    Attributes:
        of: id of the earlier passage, which is itself no duplicate; of several the most similar,
            of those equally similar the first.
        similarity: Jaccard's coefficient of the two; 1 for equal texts.
        exact: the texts are equal but for case and white space.
    """

    of: str
    similarity: float
    exact: bool


class Duplicates:
    """Counts duplicates and keeps the first ``keep`` of them.

    Attributes:
        exact, near: how many of each.
        items: the first of them: id of the passage, and of what it is a duplicate.
    """

    def __init__(self, keep: int = EXAMPLES) -> None:
        self.keep = keep
        self.exact = 0
        self.near = 0
        self.items: list[tuple[str, Duplicate]] = []

    def add(self, identifier: str, duplicate: Duplicate) -> None:
        """Count one."""
        self.exact += duplicate.exact
        self.near += not duplicate.exact
        if len(self.items) < self.keep:
            self.items.append((identifier, duplicate))

    def summary(self) -> str:
        """A few lines for people; empty when there is nothing to tell."""
        count = self.exact + self.near
        if not count:
            return ""
        lines = [f"{count} duplicates, {self.exact} of them equal to an earlier passage:"]
        for identifier, one in self.items:
            how = "equals" if one.exact else f"shares {one.similarity:.0%} with"
            lines.append(f"  {identifier} {how} {one.of}")
        if count > len(self.items):
            lines.append(f"  and {count - len(self.items)} more")
        return "\n".join(lines)


def drop_duplicates(
    passages: Iterable[Passage],
    settings: DuplicateSettings,
    found: Duplicates,
    before: Iterable[Passage] = (),
) -> Iterator[Passage]:
    """The passages that are no duplicates, in order; the others are told to ``found``.

    Args:
        before: passages that come before all others, and are not given.
    """
    finder = DuplicateFinder(settings)
    earlier = iter(before)
    while some := list(islice(earlier, _AT_ONCE)):
        finder.find(some)
    remaining = iter(passages)
    while some := list(islice(remaining, _AT_ONCE)):
        for passage, duplicate in zip(some, finder.find(some), strict=True):
            if duplicate is None:
                yield passage
            else:
                found.add(passage.id, duplicate)


class DuplicateFinder:
    """Finds duplicates among all the passages that it was given, however they were portioned."""

    def __init__(self, settings: DuplicateSettings) -> None:
        self.settings = settings
        self._ids: list[str] = []  # of passages that are no duplicates, in order
        self._equal = Buckets()
        self._second = array("Q")  # the other half of the digest of each
        self._words = _WordHashes()
        self._near = None if settings.near is None else SimilarSets(float(settings.near))

    def find(self, passages: Sequence[Passage]) -> list[Duplicate | None]:
        """For each of these passages, of what it is a duplicate; None for those that are new."""
        found: list[Duplicate | None] = []
        for first in range(0, len(passages), _AT_ONCE):
            found += self._find(passages[first : first + _AT_ONCE])
        return found

    @property
    def memory(self) -> int:
        """Bytes that the passages given so far take, their ids aside."""
        near = 0 if self._near is None else self._near.memory
        return self._equal.memory + len(self._second) * 8 + near

    def _find(self, passages: Sequence[Passage]) -> list[Duplicate | None]:
        folded = [passage.text.casefold() for passage in passages]
        digests = [_digest(text) for text in folded]
        firsts: dict[bytes, int] = {}
        for at, digest in enumerate(digests):
            firsts.setdefault(digest, at)
        found = self._equal_to_earlier(list(firsts))
        new = {digest: at for digest, at in firsts.items() if digest not in found}
        near = self._similar_to_earlier([folded[at] for at in new.values()])
        kept = [at for at, one in zip(new.values(), near, strict=True) if one is None]
        self._keep([digests[at] for at in kept], [passages[at].id for at in kept])
        for digest, one in zip(new, near, strict=True):
            if one is not None:
                found[digest] = Duplicate(self._ids[one.row], one.similarity, False)
        return [
            Duplicate(passages[firsts[digest]].id, 1.0, True)
            if digest not in found and firsts[digest] < at
            else found.get(digest)
            for at, digest in enumerate(digests)
        ]

    def _equal_to_earlier(self, digests: list[bytes]) -> dict[bytes, Duplicate]:
        halves = np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)
        return {
            digests[at]: Duplicate(self._ids[row], 1.0, True)
            for at, row in zip(*self._equal.find(halves[:, 0]), strict=True)
            if self._second[row] == halves[at, 1]
        }

    def _similar_to_earlier(self, folded: list[str]) -> list[Similar | None]:
        if self._near is None or not folded:
            return [None] * len(folded)
        return self._near.find(sequence_sets([self._words(text) for text in folded], SEQUENCE))

    def _keep(self, digests: list[bytes], ids: list[str]) -> None:
        halves = np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)
        self._equal.add(halves[:, 0], np.arange(len(ids)) + len(self._ids))
        self._second.frombytes(np.ascontiguousarray(halves[:, 1]).tobytes())
        self._ids += ids


class TextSimilarity:
    """Compares texts two by two as near duplicates are told: all their word sequences, counted in
    full. The sequences of recent texts are remembered."""

    def __init__(self) -> None:
        self._words = _WordHashes()
        self._sequences = lru_cache(_TEXTS_REMEMBERED)(self._find)

    def __call__(self, one: str, other: str) -> float:
        """Jaccard's coefficient of the two; 0 where one has no words."""
        first, second = self._sequences(one), self._sequences(other)
        shared = len(first & second)
        return shared / (len(first) + len(second) - shared) if shared else 0.0

    def reaches(self, one: str, other: str, least: float) -> bool:
        """Whether it is at least so much, above 0; most pairs are told by their sizes, at once."""
        sizes = sorted((len(self._sequences(one)), len(self._sequences(other))))
        return sizes[0] >= least * sizes[1] and self(one, other) >= least

    def _find(self, text: str) -> frozenset[int]:
        sets = sequence_sets([self._words(text.casefold())], SEQUENCE)
        return frozenset(sets.values.tolist())


def _digest(folded: str) -> bytes:
    text = " ".join(folded.split())
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class _WordHashes:
    """64-bit hashes of words, the same on every machine; recent ones are remembered."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def __call__(self, folded: str) -> array[int]:
        """The hashes of a text's words, filled up with those of no word to a sequence's length."""
        if folded.isascii():  # the same words, sooner
            words = folded.translate(_ASCII_APART).split()
        else:
            words = _WORD.findall(folded)
        words += [""] * (SEQUENCE - len(words) if words else 0)
        hashes = list(map(self._known.get, words))
        if None in hashes:
            if len(self._known) > _WORDS_REMEMBERED:
                self._known.clear()
            hashes = [self._hash(word) for word in words]
        return array("Q", cast(list[int], hashes))

    def _hash(self, word: str) -> int:
        value = self._known.get(word)
        if value is None:
            digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            value = self._known[word] = int.from_bytes(digest, "little")
        return value
