"""What is wrong with a request, in words: pydantic's findings as places and sentences.

Takes findings and the body; gives places. Where a value may be of several kinds pydantic tells of
each of them, and names the kinds in the place: that is one sentence here, at the place as the
client knows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dpr.serve.bounds import ID, NO_NUL, SAYS, SAYS_NAME
from dpr.serve.problems import Place

_SHOWN = 20
_LONGEST = 200
_KINDS: Mapping[str, str] = {
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "none_required": "null",
}
_SPELLED: Mapping[str, str] = {
    SAYS: "has nothing but white space",
    NO_NUL: "has a NUL character, which no text may have here",
    SAYS_NAME: "has to be more than white space, without a NUL character",
    ID: "has to be without white space around it, and neither . nor .., which no URL can name",
}
_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is no field of this request",
    "string_too_short": "has to have at least {min_length} characters",
    "string_too_long": "may have at most {max_length} characters",
    "too_short": "has to have at least {min_length}, and has {actual_length}",
    "too_long": "may have at most {max_length}",
    "greater_than_equal": "has to be at least {ge}",
    "less_than_equal": "may be at most {le}",
    "literal_error": "is not known; allowed: {expected}",
    "finite_number": "has to be a finite number",
}


def places(found: Iterable[Mapping[str, Any]], body: Any) -> list[Place]:
    """Where, and what: the first of them.

    Args:
        found: as pydantic tells it, each with ``type``, ``loc``, ``msg`` and ``ctx``.
        body: what was sent.
    """
    kinds, others = dict[str, list[str]](), list[tuple[str, str]]()
    for one in found:
        place = ".".join(map(str, _known(one, body)))
        if kind := _KINDS.get(one["type"]):
            kinds.setdefault(place, []).append(kind)
        else:
            others.append((place, _sentence(one)))
    # A value of one kind has no other: what is wrong inside it says more.
    told = [place for place, _ in others]
    wrong = [
        (place, f"has to be {_either(names)}")
        for place, names in kinds.items()
        if place not in told and not any(one.startswith(place + ".") for one in [*told, *kinds])
    ]
    return [
        Place(place=place[:_LONGEST], message=message[:_LONGEST])
        for place, message in dict.fromkeys(wrong + others)
    ][:_SHOWN]


def _either(names: Iterable[str]) -> str:
    kept = dict.fromkeys(names)
    if "a number" in kept:
        kept.pop("a whole number", None)
    *first, last = kept
    return f"{', '.join(first)} or {last}" if first else last


def _known(one: Mapping[str, Any], body: Any) -> Sequence[str | int]:
    """The place without pydantic's names of kinds, which are neither in the body nor missing."""
    first, *rest = one["loc"]
    if first != "body":
        return [first, *rest]
    known: list[str | int] = [first]
    for number, part in enumerate(rest, 1):
        # A text is no place to look in: its letters are none.
        inside = range(len(body)) if isinstance(body, list) else body
        there = isinstance(inside, range | dict) and part in inside
        if there:
            body = body[part]
        if there or (one["type"] == "missing" and number == len(rest)):
            known.append(part)
    return known


def _sentence(one: Mapping[str, Any]) -> str:
    kind, context = one["type"], one.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return _SPELLED.get(context["pattern"], "is not spelled as /openapi.json says")
    if kind in _WORDS:
        return _WORDS[kind].format(**context)
    return str(one["msg"]).removeprefix("Value error, ")
