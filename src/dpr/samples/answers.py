"""When a passage that holds an answer's words may well give the answer, and when it is chance.

Takes questions, answers and passages; gives shares and verdicts. Knows nothing of samples. No rule
of words can tell what a passage says; these tell what is worth a look.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

from dpr.samples.likeness import FUNCTION_WORDS, answer_form, form, text_key

BACKGROUND = 5000
"""Distinct positive passages that tell how common an answer is."""

AMID = 0.6
"""The weight of a question's words that stand around an answer which is no chance."""

_FEWEST = 3  # passages; by fewer nothing is called common
# Stand in passages whatever these are about. One of them alone is no telling answer.
_ANYWHERE = set(
    "yes no true false not none both all some many one two three four five six seven eight nine "
    "ten eleven twelve hundred thousand first second third fourth fifth he she they it his her "
    "their its him them who what this that these those is are was were be been do does did has "
    "have had can could may might will would of in on at to for from by with and or as an a the "
    "people man woman men women time year years day days".split()
)


_AROUND = 20  # words before and after an answer
_FEWEST_WORDS = 2  # of the question, in the text around an answer
_ASKING = set("what who when where which how many much why whose whom name type kind".split())


class Background:
    """Some of the distinct passages, chosen by their digests: the same ones in any order.

    They tell how common a word or an answer is: one that many of them hold stands in another
    passage by chance.
    """

    def __init__(self, most: int = BACKGROUND) -> None:
        self._most = most
        self._heap: list[tuple[int, str]] = []  # negated, so that the largest is on top
        self._digests: set[int] = set()
        self._texts: list[str] = []
        self._rows: dict[str, set[int]] = {}
        self._shares: dict[str, float] = {}

    def add(self, texts: Iterable[str]) -> None:
        """Take in passages."""
        for text in texts:
            key = -int.from_bytes(text_key(text))
            if key in self._digests or (len(self._heap) == self._most and key <= self._heap[0][0]):
                continue
            self._digests.add(key)
            if len(self._heap) < self._most:
                heapq.heappush(self._heap, (key, text))
            else:
                self._digests.discard(heapq.heapreplace(self._heap, (key, text))[0])

    def share(self, answer: str) -> float:
        """The share of the passages that hold an answer; 0 where only a few do."""
        wanted = answer_form(answer)
        if wanted not in self._shares:
            self._shares[wanted] = self._share(wanted)
        return self._shares[wanted]

    def _share(self, wanted: str) -> float:
        rarest = min((self._holding(word) for word in wanted.split()), key=len, default=None)
        if rarest is None:
            return 1.0
        count = sum(f" {wanted} " in self._texts[row] for row in rarest)
        return count / len(self._texts) if count >= _FEWEST else 0.0

    def weight(self, word: str) -> float:
        """How much it says that a passage holds a word: the logarithm of how rare that is."""
        held = len(self._holding(word))
        return math.log((len(self._texts) + 1) / (held + 1))

    def _holding(self, word: str) -> set[int]:
        """The passages that hold a word."""
        if len(self._texts) != len(self._heap):
            self._texts = [f" {answer_form(text)} " for _, text in self._heap]
            self._rows = {}
            for row, text in enumerate(self._texts):
                for one in set(text.split()):
                    self._rows.setdefault(one, set()).add(row)
        return self._rows.get(word, set())


def is_telling(answer: str, background: Background, common: float) -> bool:
    """Whether a passage that holds this answer does so for a reason.

    Not telling are a number of up to three digits, a single letter, words that stand anywhere (yes,
    two, he), and answers that more than a share ``common`` of the positive passages hold.
    """
    found = answer_form(answer).split()
    weak = all(
        word in _ANYWHERE or len(word) < 2 or (word.isdigit() and len(word) < 4) for word in found
    )
    return not weak and background.share(answer) <= common


def amid_question(question: str, answer: str, title: str, text: str, known: Background) -> float:
    """How much of a question stands around an answer in a passage, 0 to 1.

    The words of the question that say what it is about, the answer's own left out, weighted by how
    rare they are; those that stand within 20 words of the answer, or in the title, over all. Where
    the answer stands several times, the highest. 0 where the text holds fewer than two of them.
    """
    wanted = answer_form(answer).split()
    asked = set(form(question).split()) - FUNCTION_WORDS - _ASKING - set(wanted)
    weights = {word: known.weight(word) for word in asked}
    total = sum(weights.values())
    found = answer_form(text).split()
    heading = set(answer_form(title).split())
    best = 0.0
    for at in range(len(found) - len(wanted) + 1):
        if found[at : at + len(wanted)] != wanted:
            continue
        around = set(found[max(at - _AROUND, 0) : at + len(wanted) + _AROUND])
        near = {word for word in asked if any(_akin(word, one) for one in around)}
        if len(near) >= min(_FEWEST_WORDS, len(asked)) and near:
            near |= {word for word in asked if any(_akin(word, one) for one in heading)}
            best = max(best, sum(weights[word] for word in near) / total if total else 0.0)
    return best


def _akin(one: str, other: str) -> bool:
    """Equal, or forms of one word as far as their first letters tell: invent and invention."""
    if one == other:
        return True
    if one[:4] != other[:4]:
        return False
    pairs = enumerate(zip(one, other, strict=False))
    common = next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
    return common >= 4 and common >= max(len(one), len(other)) - 3
