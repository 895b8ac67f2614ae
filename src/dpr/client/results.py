"""What a service answers, as records: JSON in, the library's own nouns out.

Takes parsed JSON; fields that it does not know are passed over, so that newer services can be
asked. Raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is not what a service says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from dpr.records import Answer, Hit, Passage

T = TypeVar("T")

_PASSAGE = tuple(field.name for field in fields(Passage))
_SCORES = ("score", "dense_score", "dense_rank", "bm25_score", "bm25_rank")
_ANSWER = tuple(field.name for field in fields(Answer) if field.name != "support")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for a question.

    Attributes:
        version: of the collection, that was asked.
        model: its name and the beginning of its fingerprint.
        mode: how it was searched: ``dense``, ``bm25`` or ``hybrid``.
        truncated: the question was longer than the model reads.
        hits: best first.
    """

    version: int
    model: str
    mode: str
    truncated: bool
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Answered(Found):
    """``Found``, with the answers: best first, and none where nothing convinces."""

    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did: the version that it made, and passages that came and went."""

    version: int
    added: int
    removed: int


def found(given: Mapping[str, Any]) -> Found:
    """One of ``/v1/search``'s results."""
    return Found(**_common(given))


def answered(given: Mapping[str, Any]) -> Answered:
    """One of ``/v1/answer``'s results."""
    return Answered(**_common(given), answers=tuple(map(_answer, given["answers"])))


def results(given: Mapping[str, Any], each: Callable[[Any], T], count: int) -> list[T]:
    """The results of so many questions."""
    if len(given["results"]) != count:
        raise ValueError(f"{len(given['results'])} results of {count} questions")
    return [each(one) for one in given["results"]]


def vectors(given: Sequence[Sequence[float]], count: int) -> list[list[float]]:
    """The vectors of so many texts."""
    if len(given) != count:
        raise ValueError(f"{len(given)} vectors of {count} texts")
    return [[float(number) for number in one] for one in given]


def change(given: Mapping[str, Any]) -> Change:
    """What ``/v1/documents`` says."""
    return Change(given["version"], given["added"], given["removed"])


def _common(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": given["index_version"],
        "model": given["model_id"],
        "mode": given["mode"],
        "truncated": given["truncated"],
        "hits": tuple(map(_hit, given["hits"])),
    }


def _hit(given: Mapping[str, Any]) -> Hit:
    passage = Passage(**{name: given[name] for name in _PASSAGE})
    return Hit(passage, **{name: given[name] for name in _SCORES})


def _answer(given: Mapping[str, Any]) -> Answer:
    return Answer(**{name: given[name] for name in _ANSWER}, support=tuple(given["support"]))
