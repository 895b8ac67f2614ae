"""When two texts of training data are the same, or nearly: their plain forms, and sets compared.

Takes strings; gives forms that equal texts share, sets that similar texts share much of, and of
many sets those that are similar to a given one. Knows nothing of samples.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from hashlib import blake2b

from dpr.corpus.split import CJK

SEQUENCE = 5
"""Words in a sequence, as in ``dpr.corpus.duplicates``."""

_WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+")
# Words, and the signs that tell "C++" and "C#", or an amount of money, from what is none.
_WORD_OR_SIGN = re.compile(rf"[{CJK}]|[^\W_{CJK}]+|[+#%$€£¥°]")
_SAME = (
    dict.fromkeys("‘’‛`´", "'")
    | dict.fromkeys("“”„«»", '"')
    | dict.fromkeys("‐‑‒–—−", "-")
    | dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", "")
)
_ODD = re.compile(f"[{''.join(_SAME)}]")
_ARTICLES = {"a", "an", "the"}
FUNCTION_WORDS = _ARTICLES | set(
    "is are was were be been do does did has have had of in on at to for from by with and or as "
    "that this these those it its s there".split()
)
"""Words that say nothing of what a question is about; what asks (who, when) is none."""


def plain(text: str) -> str:
    """The form that texts share which differ only in white space, case, Unicode's ways of writing
    the same, kinds of quotation marks and dashes, and characters without width."""
    if "`" in text or not text.isascii():
        text = unicodedata.normalize("NFKC", _ODD.sub(lambda found: _SAME[found[0]], text))
    return " ".join(text.casefold().split())


def words(text: str) -> list[str]:
    """The words of a plain text; Chinese and Japanese characters are words by themselves."""
    return _WORD.findall(text)


@lru_cache(1 << 15)
def form(text: str) -> str:
    """Words and signs of a question or answer with spaces between: "Who's he?" is "who s he"."""
    return " ".join(_WORD_OR_SIGN.findall(plain(text)))


@lru_cache(1 << 15)
def answer_form(text: str) -> str:
    """The same without articles, unless nothing else is left."""
    found = form(text).split()
    return " ".join([word for word in found if word not in _ARTICLES] or found)


def digest(text: str) -> bytes:
    """16 bytes that stand for a text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def text_key(text: str) -> bytes:
    """What stands for a passage's text; equal texts share it."""
    return digest(plain(text))


def passage_key(title: str, text: str) -> bytes:
    """What stands for a passage: its text; titles count only where there is no text."""
    return text_key(text) if plain(text) else text_key(f"\0{title}")


def sequences(text: str) -> frozenset[int]:
    """All sequences of five words of a plain text, as hashes of this process; fewer words are one
    sequence."""
    found = words(text)
    last = max(len(found) - SEQUENCE + 1, 1)
    return frozenset(hash(tuple(found[at : at + SEQUENCE])) for at in range(last if found else 0))


def jaccard(one: AbstractSet[object], other: AbstractSet[object]) -> float:
    """|A ∩ B| / |A ∪ B|; 0 for two empty sets."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if both else 0.0


class Wording:
    """A question's form in the ways by which it is compared with others."""

    def __init__(self, question_form: str) -> None:
        self.form = question_form

    @cached_property
    def trigrams(self) -> frozenset[str]:
        """All runs of three characters, with spaces at the ends."""
        padded = f" {self.form} "
        return frozenset(padded[at : at + 3] for at in range(len(padded) - 2))

    @cached_property
    def content(self) -> frozenset[str]:
        """The words that say what it asks, and of what."""
        return frozenset(self.form.split()) - FUNCTION_WORDS

    @cached_property
    def numbers(self) -> Counter[str]:
        """The words with digits in them: other numbers make another question."""
        return Counter(word for word in self.form.split() if any(map(str.isdigit, word)))


class SimilarWordings:
    """Of many questions those that are worded nearly like a given one.

    Two are, where they hold the same numbers and share 0.7 of their runs of three characters (other
    spellings, a word more) or 0.8 of three content words or more (another order). Not where each
    has a rare word in place of the other's, as names are: "who is Anna's father", "Peter's".
    """

    SPELLING, CONTENT, CONTENT_WORDS = 0.7, 0.8, 3
    RARE, AKIN = 2, 0.7

    def __init__(self, forms: Sequence[str]) -> None:
        self._wordings = [Wording(one) for one in forms]
        self._counts = Counter(word for one in self._wordings for word in one.content)
        self._spelled = SimilarSets((one.trigrams for one in self._wordings), self.SPELLING)
        self._said = SimilarSets((one.content for one in self._wordings), self.CONTENT)

    def find(self, question_form: str) -> list[tuple[int, float]]:
        """(place among the questions, similarity) of each, the most similar first."""
        given = Wording(question_form)
        found = dict(self._spelled.find(given.trigrams))
        if len(given.content) >= self.CONTENT_WORDS:
            for row, similarity in self._said.find(given.content):
                if len(self._wordings[row].content) >= self.CONTENT_WORDS:
                    found[row] = max(similarity, found.get(row, 0.0))
        alike = [pair for pair in found.items() if not self._differ(given, self._wordings[pair[0]])]
        return sorted(alike, key=lambda pair: (-pair[1], pair[0]))

    def _differ(self, one: Wording, other: Wording) -> bool:
        """Whether two questions ask of different things, as their numbers or rare words tell."""
        if one.numbers != other.numbers:
            return True
        mine, theirs = (
            [word for word in some if self._counts[word] <= self.RARE]
            for some in (one.content - other.content, other.content - one.content)
        )
        akin = any(SequenceMatcher(None, a, b).ratio() >= self.AKIN for a in mine for b in theirs)
        return bool(mine and theirs) and not akin


class SimilarSets:
    """Sets, and of them all that reach a similarity (Jaccard's coefficient) with a given one.

    None is missed. Put the values of all sets in one order, rarest first. Sets A and B of
    similarity t have at least t|A| values in common, and the first l of these stand among the
    first |A| - ⌈t|A|⌉ + l values of A, and likewise of B (Chaudhuri, Ganti and Kaushik, 2006; Wang,
    Li and Feng, 2012). So only these are looked up; sets with l in common are compared in full.
    """

    _COMMON = 3  # l; less where a set is smaller

    def __init__(self, sets: Iterable[frozenset[int] | frozenset[str]], least: float) -> None:
        self._sets: list[frozenset[int] | frozenset[str]] = list(sets)
        self._least = least
        counts = Counter(value for one in self._sets for value in one)
        self._counts = {value: count for value, count in counts.items() if count > 1}
        self._wanted = [self._common(one)[1] for one in self._sets]
        self._rows: dict[int | str, list[int]] = {}
        for row, one in enumerate(self._sets):
            for value in self._first(one):
                self._rows.setdefault(value, []).append(row)

    def _common(self, one: frozenset[int] | frozenset[str]) -> tuple[int, int]:
        """How many values a similar set shares at least, and of these how many are looked for."""
        # The hair's breadth is for products such as 0.7 * 10, which comes to more than 7.
        shared = math.ceil(self._least * len(one) - 1e-9)
        return shared, min(self._COMMON, shared)

    def _first(self, one: frozenset[int] | frozenset[str]) -> list[int | str]:
        ordered: list[int | str] = sorted(one, key=self._rank)
        shared, wanted = self._common(one)
        return ordered[: len(one) - shared + wanted]

    def _rank(self, value: int | str) -> tuple[int, int | str]:
        return self._counts.get(value, 1), value

    def find(self, one: frozenset[int] | frozenset[str]) -> list[tuple[int, float]]:
        """(row, similarity) of all sets that are similar enough, the most similar first."""
        met: Counter[int] = Counter()
        for value in self._first(one):
            met.update(self._rows.get(value, ()))
        _, wanted = self._common(one)
        found = []
        for row, count in met.items():
            if count >= wanted or count >= self._wanted[row]:
                similarity = jaccard(one, self._sets[row])
                if similarity >= self._least:
                    found.append((row, similarity))
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))
