"""What can be wrong with one training sample: its question, its passages, and these together.

Takes a sample and what a survey knows of all others; gives hits: the kind of finding, which
passage, in words. Knows nothing of files, counts or what is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from dpr.evaluation.matching import Matcher
from dpr.samples.answers import AMID, amid_question, is_telling
from dpr.samples.files import Context, TrainingSample
from dpr.samples.findings import excerpt
from dpr.samples.heldout import HeldOut
from dpr.samples.likeness import digest, form, jaccard, plain, sequences, words
from dpr.samples.survey import Asked, Survey, asked

POSITIVES, NEGATIVES, HARD = "positive_ctxs", "negative_ctxs", "hard_negative_ctxs"

_LETTERS = 0.5  # of the characters that are no white space, at least
_JUDGED = 20  # characters, from which on their kinds are counted
_HOLDS_ALL, _ALL = 0.95, 10  # of a positive's sequences, of at least so many
# UTF-8 read as Latin-1 or Windows-1252: pairs and triples that no language's words hold.
_MOJIBAKE = re.compile("[ÂÃ][\u0080-\u00bf]|â[\u0080-\u00bf€‚„†‡ˆ‰‹Œ™˜›œ][\u0080-\u00bf‘-›œ™š]")
_ASCII_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Hit:
    """A finding in a sample: ``key`` and ``at`` say which passage; without a key, the whole."""

    kind: str
    what: str
    excerpts: tuple[str, ...] = ()
    key: str = ""
    at: int = 0

    @property
    def part(self) -> str:
        return f"{self.key}[{self.at}]" if self.key else ""


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a sample is found fault with; see ``DoctorSettings``."""

    near: float
    common: float
    short_words: int
    passage_length: int
    strict: bool = False


def check_sample(
    sample: TrainingSample,
    number: int,
    survey: Survey,
    held_out: HeldOut | None,
    limits: Limits,
    unanswerable: bool = False,
) -> Iterator[Hit]:
    """All that is found in a sample, the ``number``-th of the survey."""
    if not form(sample.question):
        yield Hit("empty-question", "the question has no word", (excerpt(sample.question),))
    if unanswerable:
        yield Hit("unanswerable", "has no answer, and no positive", (sample.question,))
    elif not sample.positives:
        yield Hit("no-positive", "has no positive passage", (excerpt(sample.question),))
    if any(not form(answer) for answer in sample.answers):
        yield Hit("blank-answer", "an answer has no letter or digit", (excerpt(sample.question),))
    for key, at, context in contexts(sample):
        yield from _check_text(context, key, at, limits)
    looked = Looked(sample)
    yield from _check_positives(looked)
    others = [
        one for one in survey.questions.get(form(sample.question), ()) if one.number != number
    ]
    if form(sample.question):
        yield from _check_repeats(sample, number, others)
    yield from _check_negatives(looked, others, survey, limits)
    yield from _check_repeated(sample, limits.near)
    if held_out is not None:
        yield from _check_leaks(sample, number, others, held_out)


def contexts(sample: TrainingSample) -> Iterator[tuple[str, int, Context]]:
    """All passages of a sample, with their list and place in it."""
    for key, some in (
        (POSITIVES, sample.positives),
        (NEGATIVES, sample.negatives),
        (HARD, sample.hard_negatives),
    ):
        yield from ((key, at, one) for at, one in enumerate(some))


def _check_text(context: Context, key: str, at: int, limits: Limits) -> Iterator[Hit]:
    text = context.text
    if not plain(text):
        yield Hit("empty-text", "has no text", (excerpt(context.title),), key, at)
        return
    shown = (excerpt(text),)
    if len(text) < 10 * limits.short_words and len(words(text)) < limits.short_words:
        yield Hit("short-passage", f"has {len(words(text))} words", shown, key, at)
    # Each word is a token at least, and two are special ones.
    if len(text) > 2 * (limits.passage_length - 2) and len(words(text)) > limits.passage_length - 2:
        what = f"has {len(words(text))} words, and no more than {limits.passage_length} tokens fit"
        yield Hit("long-passage", what, shown, key, at)
    if (
        len(text) >= _JUDGED
        and _may_lack_letters(text)
        and (share := letters_share(text)) < _LETTERS
    ):
        yield Hit("not-letters", f"{share:.0%} of it are letters", shown, key, at)
    if not text.isascii() and (found := broken(text)):
        what = f"holds {found[0]!r}, {len(found)} of its kind"
        start = text.index(found[0])
        yield Hit("broken-characters", what, (excerpt(text, start, start + 1),), key, at)


def _may_lack_letters(text: str) -> bool:
    """Cheap, and true of all texts that lack letters: most have enough of ASCII's."""
    data = text.encode("utf-8", "replace")
    return len(data) - len(data.translate(None, _ASCII_LETTERS)) < _LETTERS * len(text)


def letters_share(text: str) -> float:
    """The share of letters and their marks among all characters that are no white space."""
    seen = [one for one in text if not one.isspace()]
    return sum(unicodedata.category(one)[0] in "LM" for one in seen) / max(len(seen), 1)


def broken(text: str) -> list[str]:
    """Replacement characters, and what is UTF-8 read as another encoding."""
    return ["\ufffd"] * text.count("\ufffd") + _MOJIBAKE.findall(text)


class Looked:
    """A sample, with what several checks need of it, made when it is needed."""

    def __init__(self, sample: TrainingSample) -> None:
        self.sample = sample
        self.answers = [answer for answer in sample.answers if form(answer)]

    @cached_property
    def matcher(self) -> Matcher:
        return Matcher(self.answers)

    @cached_property
    def plain_positives(self) -> list[str]:
        return [plain(one.text) for one in self.sample.positives]

    @cached_property
    def first_of(self) -> dict[str, int]:
        """Plain text of a positive -> its place."""
        found: dict[str, int] = {}
        for at, text in enumerate(self.plain_positives):
            found.setdefault(text, at)
        return found

    @cached_property
    def positive_words(self) -> list[frozenset[str]]:
        return [frozenset(text.split()) for text in self.plain_positives]

    @cached_property
    def positive_sequences(self) -> list[frozenset[int]]:
        return [sequences(text) for text in self.plain_positives]

    @cached_property
    def answered(self) -> list[bool]:
        """Of each positive, whether it holds an answer."""
        return [self.matcher.matches(one.text) for one in self.sample.positives]

    def says_answer(self, text: str) -> bool:
        """Whether a text has the words of an answer one after the other, punctuation aside."""
        said = f" {form(text)} "
        return any(f" {form(answer)} " in said for answer in self.answers)


def _check_positives(looked: Looked) -> Iterator[Hit]:
    sample = looked.sample
    if not looked.answers:
        return
    accepted = {plain(answer) for answer in sample.answers}
    for at, context in enumerate(sample.positives):
        pieces = [context.text[start:end] for start, end in context.answers]
        for piece in pieces:
            if plain(piece) not in accepted and not looked.matcher.matches(piece):
                what = (
                    f"the span holds {piece[:60]!r}, none of the answers {_listed(looked.answers)}"
                )
                start = context.answers[0][0]
                shown = (excerpt(context.text, start, start + len(piece)),)
                yield Hit("misplaced-answer", what, shown, POSITIVES, at)
                break
        if pieces or not plain(context.text) or looked.answered[at]:
            continue
        if not looked.says_answer(context.text):
            what = f"holds none of the answers {_listed(looked.answers)}"
            both = (excerpt(sample.question), excerpt(context.text))
            yield Hit("positive-without-answer", what, both, POSITIVES, at)


def _check_negatives(
    looked: Looked, others: Sequence[Asked], survey: Survey, limits: Limits
) -> Iterator[Hit]:
    sample = looked.sample
    elsewhere = {one: other for other in others for one in other.positives}
    for key, some in ((NEGATIVES, sample.negatives), (HARD, sample.hard_negatives)):
        for at, context in enumerate(some):
            text = plain(context.text)
            if not text:
                continue
            same = looked.first_of.get(text)
            other = elsewhere.get(digest(text)) if elsewhere else None
            if same is not None:
                title = plain(sample.positives[same].title) != plain(context.title)
                what = f"equals {POSITIVES}[{same}]" + (", under another title" if title else "")
                yield Hit("negative-is-positive", what, (excerpt(context.text),), key, at)
            elif other is not None:
                what = f"is a positive of the same question in {other.file}, {other.place}"
                shown = (excerpt(sample.question), excerpt(context.text))
                yield Hit("negative-is-positive-elsewhere", what, shown, key, at)
            elif (near := _near_positive(looked, context, text, limits.near)) is not None:
                yield Hit(*near, key, at)
            elif (held := _held_answer(looked, context, survey, limits)) is not None:
                yield Hit(*held, key, at)


def _check_repeated(sample: TrainingSample, least: float) -> Iterator[Hit]:
    """Positives that equal or nearly equal a positive before them, and negatives a negative: they
    teach nothing more."""
    met_of: dict[str, list[tuple[str, frozenset[str], str]]] = {}
    for key, at, context in contexts(sample):
        text = plain(context.text)
        if not text:
            continue
        kind = "repeated-positive" if key == POSITIVES else "repeated-negative"
        met = met_of.setdefault(kind, [])
        own = frozenset(text.split())
        for earlier, theirs, place in met:
            if 4 * len(own & theirs) < max(len(own), len(theirs)):
                continue  # cheap: texts with few words in common have fewer sequences
            likeness = 1.0 if text == earlier else jaccard(sequences(text), sequences(earlier))
            if likeness >= least:
                how = "equals" if likeness == 1 else f"shares {likeness:.0%} of its sequences with"
                yield Hit(kind, f"{how} {place}", (excerpt(context.text),), key, at)
                break
        else:
            met.append((text, own, f"{key}[{at}]"))


def _near_positive(
    looked: Looked, context: Context, text: str, least: float
) -> tuple[str, str, tuple[str, ...]] | None:
    """Kind, words and excerpts, where a negative nearly equals a positive or holds all of it."""
    mine = set(text.split())
    for at, theirs in enumerate(looked.positive_words):
        # Cheap, and true of all that passes the test below.
        if 2 * len(mine & theirs) < len(theirs) or not theirs:
            continue
        of_positive, of_negative = looked.positive_sequences[at], sequences(text)
        likeness = jaccard(of_positive, of_negative)
        held = len(of_positive & of_negative) / max(len(of_positive), 1)
        if likeness >= least:
            what = f"shares {likeness:.0%} of its word sequences with {POSITIVES}[{at}]"
        elif held >= _HOLDS_ALL and len(of_positive) >= _ALL:
            what = f"holds {held:.0%} of the word sequences of {POSITIVES}[{at}]"
        else:
            continue
        # In texts of one pattern the answer may be the one thing that differs.
        other = (
            looked.answers
            and likeness < 1
            and looked.answered[at]
            and not looked.matcher.matches(context.text)
        )
        kind = "negative-resembles-positive" if other else "negative-near-positive"
        return kind, what, (excerpt(looked.sample.positives[at].text), excerpt(context.text))
    return None


def _held_answer(
    looked: Looked, context: Context, survey: Survey, limits: Limits
) -> tuple[str, str, tuple[str, ...]] | None:
    """Kind, words and excerpts, where a negative holds an answer."""
    if not looked.answers or not looked.matcher.matches(context.text):
        return None
    question, known = looked.sample.question, survey.background
    held = [answer for answer in looked.answers if Matcher([answer]).matches(context.text)]
    telling = [answer for answer in held if is_telling(answer, known, limits.common)]
    amid = [
        answer
        for answer in (held if limits.strict else telling)
        if limits.strict
        or amid_question(question, answer, context.title, context.text, known) >= AMID
    ]
    best = max(amid or telling or held, key=len)
    spans = Matcher([best]).spans(context.text) or [(0, 0)]
    shown = (excerpt(question), excerpt(context.text, *spans[0]))
    kind = "answer-in-negative" if amid else "answer-suspected"
    why = "" if amid else ", without the question's words" if telling else ", as many passages do"
    return kind, f"holds the answer {best[:60]!r}{why}", shown


def _check_repeats(sample: TrainingSample, number: int, others: Sequence[Asked]) -> Iterator[Hit]:
    earlier = [one for one in others if one.number < number]
    if not earlier:
        return
    mine = asked(sample, number, "", "")
    conflicts = [
        one
        for one in earlier
        if mine.answers and one.answers and not mine.shares_a_word(one)
        and not mine.positives & one.positives
    ]  # fmt: skip
    first = (conflicts or earlier)[0]
    where = f"also stands in {first.file}, {first.place}"
    shown = (excerpt(sample.question),)
    if conflicts:
        what = f"{where}, answered {_listed(first.answers)}, and here {_listed(sample.answers)}"
        yield Hit("other-answers", what, shown)
    else:
        yield Hit("repeated-question", where, shown)


def _check_leaks(
    sample: TrainingSample, number: int, others: Sequence[Asked], held_out: HeldOut
) -> Iterator[Hit]:
    mine = asked(sample, number, "", "")
    alike = held_out.questions(sample.question)
    # Answered otherwise of other passages, here or there: what is asked depends on the passage.
    askings = [*others, *(one.asked for one in alike if one.similarity == 1)]
    depends = any(
        mine.agrees(one) is False and not mine.positives & one.positives for one in askings
    )
    leaks, suspected = [], []
    for one in alike:
        agrees, same = mine.agrees(one.asked), one.similarity == 1
        passage = bool(mine.positives & one.asked.positives)
        if (same and passage) or (agrees and (passage or not depends)):
            leaks.append(one)
        elif agrees is None or same:
            suspected.append(one)
    if leaks or suspected:
        first = (leaks or suspected)[0]
        how = "also stands" if first.similarity == 1 else f"{first.similarity:.0%} alike, stands"
        what = f"{how} in {first.asked.file}, {first.asked.place}"
        if not leaks and mine.answers and first.asked.answers:
            what += f", answered {_listed(first.asked.answers)}, and here {_listed(mine.answers)}"
        shown = (excerpt(sample.question), excerpt(first.text))
        yield Hit("leaked-question" if leaks else "question-in-test", what, shown)
    for at, context in enumerate(sample.positives):
        if (other := held_out.passage(context.text)) is not None:
            like = (
                "equals"
                if other.similarity == 1
                else f"is {min(other.similarity, 0.99):.0%} alike to"
            )
            what = f"{like} a positive of {other.file}, {other.place}"
            shown = (excerpt(context.text), excerpt(other.text))
            yield Hit("passage-in-test", what, shown, POSITIVES, at)


def _listed(answers: Sequence[str]) -> str:
    """The first answers, for a message."""
    some = ", ".join(repr(excerpt(answer)[:60]) for answer in answers[:3])
    return some + (", ..." if len(answers) > 3 else "")
