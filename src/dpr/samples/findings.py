"""What the doctor of training data tells: kinds of findings, findings, and the diagnosis.

Frozen records, and the collector that counts findings and keeps examples. Knows nothing of how
anything is found.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

Part = Literal["record", "sample", "positive", "negative", "question", "passage"]

EXCERPT = 120
"""Characters of a text that a finding shows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        name: what it is called, ``negative-is-positive``.
        fault: breaks a rule that such data keep, and is left out of a clean copy; else a remark,
            which leaves the judgement to people.
        part: what is at fault, and is left out: the record, the sample, or one passage of it.
        means: one sentence.
    """

    name: str
    fault: bool
    part: Part
    means: str


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("unreadable", True, "record", "The file gives out: what follows cannot be read."),
        Kind("malformed", True, "record", "A record is not what the format asks for."),
        Kind(
            "misplaced-answer",
            True,
            "sample",
            "An answer's offsets lie outside the passage, or hold something else.",
        ),
        Kind("empty-question", True, "sample", "A question without a word."),
        Kind("no-positive", True, "sample", "A sample without a positive passage."),
        Kind("empty-text", True, "passage", "A passage without text."),
        Kind(
            "negative-is-positive",
            True,
            "negative",
            "A negative equals a positive of its question (but for case, white space, Unicode, "
            "title).",
        ),
        Kind(
            "negative-near-positive",
            True,
            "negative",
            "A negative nearly equals a positive of its question, or holds all of it; where the "
            "answers are known, it holds one.",
        ),
        Kind(
            "negative-is-positive-elsewhere",
            True,
            "negative",
            "A negative is a positive of the same question in another sample.",
        ),
        Kind(
            "answer-in-negative",
            True,
            "negative",
            "A negative holds an accepted answer that few passages hold, amid the question's "
            "words.",
        ),
        Kind(
            "leaked-question",
            True,
            "sample",
            "A question also stands in the test, in the same words or nearly, and with the same "
            "answer or positive passage.",
        ),
        Kind(
            "answer-suspected",
            False,
            "negative",
            "A negative holds an accepted answer, but one that many passages hold, or without the "
            "question's words around it.",
        ),
        Kind(
            "negative-resembles-positive",
            False,
            "negative",
            "A negative nearly equals a positive of its question, but holds none of the answers.",
        ),
        Kind(
            "repeated-negative",
            False,
            "negative",
            "A negative equals, or nearly equals, an earlier negative of its question.",
        ),
        Kind(
            "repeated-positive",
            False,
            "positive",
            "A positive equals, or nearly equals, an earlier positive of its question.",
        ),
        Kind(
            "question-in-test",
            False,
            "sample",
            "A question also stands in the test; the answers differ, depend on the passage, or are "
            "not known.",
        ),
        Kind(
            "passage-in-test",
            False,
            "positive",
            "A positive passage is also one of the test, equal or nearly so.",
        ),
        Kind("repeated-question", False, "sample", "A question also stands in an earlier sample."),
        Kind(
            "other-answers",
            False,
            "sample",
            "A question also stands in an earlier sample, whose answers have no word in common "
            "with these.",
        ),
        Kind(
            "positive-without-answer",
            False,
            "positive",
            "A positive passage holds none of the answers, punctuation aside.",
        ),
        Kind(
            "blank-answer",
            False,
            "sample",
            "An answer without a letter or digit; it is passed over.",
        ),
        Kind("unanswerable", False, "sample", "SQuAD 2.0 says that the question has no answer."),
        Kind("short-passage", False, "passage", "A passage of a few words."),
        Kind("long-passage", False, "passage", "A passage that is cut at the model's length."),
        Kind("long-question", False, "question", "A question that is cut at the model's length."),
        Kind("not-letters", False, "passage", "A passage of which less than half is letters."),
        Kind(
            "broken-characters",
            False,
            "passage",
            "Replacement characters (U+FFFD), or UTF-8 that was read as another encoding.",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        kind: a name of ``KINDS``.
        file, place: where it stands: the path as given, and the line, record or member.
        part: which passage, ``hard_negative_ctxs[3]``; "" for the whole sample.
        what: what is the matter, in words.
        excerpts: the texts that show it, shortened.
    """

    kind: str
    file: str
    place: str
    part: str
    what: str
    excerpts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """All findings of a kind: how many, and the first of them."""

    kind: Kind
    count: int
    examples: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Token lengths: how many questions and passages were cut at the model's lengths."""

    question_length: int
    passage_length: int
    questions: int
    questions_cut: int
    passages: int
    passages_cut: int


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a clean copy holds: samples written; and what was left out."""

    path: str
    samples: int
    samples_dropped: int
    positives_dropped: int
    negatives_dropped: int


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was looked at, and what was found in it.

    Attributes:
        files, test_files: paths as given.
        samples, positives, negatives, test_questions: how many were read.
        found: kinds of which there are findings, faults first.
        lengths: None without a tokenizer.
        cleaned: None where no copy was asked for.
    """

    files: tuple[str, ...]
    test_files: tuple[str, ...]
    samples: int
    positives: int
    negatives: int
    test_questions: int
    found: tuple[Found, ...]
    lengths: Lengths | None = None
    cleaned: Cleaned | None = None

    @property
    def faults(self) -> int:
        """Findings that are faults."""
        return sum(one.count for one in self.found if one.kind.fault)

    @property
    def remarks(self) -> int:
        """Findings that are none."""
        return sum(one.count for one in self.found if not one.kind.fault)

    def count(self, kind: str) -> int:
        """How many findings there are of a kind of ``KINDS``."""
        name = KINDS[kind].name
        return sum(one.count for one in self.found if one.kind.name == name)


class Collector:
    """Counts findings, and keeps the first of each kind.

    Args:
        keep: how many of each; None keeps all.
    """

    def __init__(self, keep: int | None) -> None:
        self._keep = keep
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[Finding]] = {name: [] for name in KINDS}

    def add(self, finding: Finding) -> None:
        """Count one."""
        self._counts[finding.kind] += 1
        kept = self._examples[finding.kind]
        if self._keep is None or len(kept) < self._keep:
            kept.append(finding)

    def found(self) -> tuple[Found, ...]:
        """The kinds that were found, in the order of ``KINDS``."""
        return tuple(
            Found(kind, self._counts[name], tuple(self._examples[name]))
            for name, kind in KINDS.items()
            if self._counts[name]
        )


def excerpt(text: str, start: int = 0, end: int = 0, room: int = EXCERPT) -> str:
    """A short piece of a text on one line: its beginning, or what surrounds a part of it."""
    first = max(min(start - max(room - (end - start), 0) // 2, len(text) - room), 0)
    last = max(first + room, min(end, first + 2 * room))
    piece = " ".join(text[first:last].encode("utf-8", "replace").decode("utf-8").split())
    return ("… " if first else "") + piece + (" …" if last < len(text) else "")
