"""What a first reading learns of training data: who asks what, and how common answers are.

Takes samples with their places; keeps of each question the words, answers and digests, and some
passages. Knows nothing of what is right or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from dpr.samples.answers import Background
from dpr.samples.files import TrainingSample
from dpr.samples.likeness import answer_form, digest, form, plain


@dataclass(frozen=True, slots=True)
class Asked:
    """One asking of a question: in which sample, and what answers it there, in plain forms."""

    number: int
    file: str
    place: str
    answers: tuple[str, ...]
    positives: frozenset[bytes]

    def agrees(self, other: Asked) -> bool | None:
        """Whether an answer of one is one of the other, or most of it; None where one has none."""
        if not self.answers or not other.answers:
            return None
        return any(_covers(one, two) for one in self.answers for two in other.answers)

    def shares_a_word(self, other: Asked) -> bool:
        """Whether answers of the two have a word in common."""
        mine = {word for answer in self.answers for word in answer.split()}
        return any(not mine.isdisjoint(answer.split()) for answer in other.answers)


def asked(sample: TrainingSample, number: int, file: str, place: str) -> Asked:
    """What is kept of a sample's question."""
    return Asked(
        number,
        file,
        place,
        tuple(dict.fromkeys(answer_form(one) for one in sample.answers if form(one))),
        frozenset(digest(text) for one in sample.positives if (text := plain(one.text))),
    )


def _covers(one: str, other: str) -> bool:
    """Equal, or one stands in the other and is at least half of its words."""
    short, long = sorted((one, other), key=len)
    if f" {short} " not in f" {long} ":
        return False
    return 2 * len(short.split()) >= len(long.split())


class Survey:
    """What all samples say, gathered in a first reading.

    Attributes:
        samples: how many there are.
        questions: form of a question -> its askings, in order.
        background: the positive passages, as far as they tell what is common.
    """

    def __init__(self) -> None:
        self.samples = 0
        self.questions: dict[str, list[Asked]] = {}
        self.background = Background()

    def add(self, sample: TrainingSample, file: str, place: str) -> None:
        """Take in one sample."""
        one = asked(sample, self.samples, file, place)
        self.samples += 1
        self.questions.setdefault(form(sample.question), []).append(one)
        self.background.add(context.text for context in sample.positives)
