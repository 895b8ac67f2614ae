"""Filters on what is known of a passage: its source, section, document and metadata.

Takes conditions as text (``year>=1990``, from the command line) or as mappings (from Python or
JSON); gives records that say whether a mapping of fields satisfies them all. Knows nothing of
collections, which decide for what, and how often, they ask.

A condition is a name, an operator and one or more values with ``|`` between them:

=========  ================================================================================
``=``      the field is one of the values
``<``, ``<=``, ``>``, ``>=``  the field is less than the one value, and so on
``~``      the field's text matches one of the patterns: ``*`` stands for any characters, none
           included, ``?`` for one
``!=``, ``!~``  just where ``=``, ``~`` do not hold, so also where there is no such field
=========  ================================================================================

A backslash makes any character after it plain: ``a\\|b`` is one value, ``\\*`` a star. White space
around the name and around the values is not theirs.

How a field is compared with a value, which is always a text:

- a number: by its worth, with a value that spells a number; with no other.
- a text: as texts, by code point, exactly as they stand; ``<`` and its like by worth where field
  and value both spell numbers, as columns of CSV do. ISO dates so come in their order.
- true and false: as ``true`` and ``false``, with ``=`` and ``~``.
- a list: it satisfies a condition if one of its elements does.
- null, no such field, and objects: they satisfy none of ``=``, ``<``, ``>`` and ``~``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from dpr.errors import SettingsError
from dpr.records import Passage

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "~", "!~"]

OPERATORS: tuple[str, ...] = get_args(Operator)
SECTION = "section"
_OWN = ("source", "section", "document", "title")
_NO_FIELDS = ("id", "text")
_NEGATED: Mapping[str, Operator] = {"!=": "=", "!~": "~"}
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"((?:\\.|[^\\=!<>~])+)(!=|!~|<=|>=|=|<|>|~)(.*)", re.DOTALL)
_TOKEN = re.compile(r"\\.|.", re.DOTALL)
_PATTERN_SPECIAL = "*?\\"
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 300
_EXPECTED = (
    "write a name, an operator and a value, such as lang=en|de, year>=1990, source~*.md or "
    "draft!=true"
)

Test = Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition; see the module for what it means.

    Attributes:
        name: of the field: ``source``, ``section``, ``document``, ``title``, or of metadata.
        operator: how to compare.
        values: texts to compare with: one or more, of which one is enough. Those of ``~`` and
            ``!~`` are patterns, in which a backslash makes the next character plain.

    Raises:
        SettingsError: an empty name, a name that is no field, an unknown operator, no value, or
            several where one is needed.
    """

    name: str
    operator: Operator
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.name or self.name.isspace():
            raise SettingsError(f"a filter has no name; {_EXPECTED}")
        if self.name in _NO_FIELDS:
            raise SettingsError(
                f"passages cannot be filtered by {self.name!r}; allowed are {', '.join(_OWN)} and "
                "the names of metadata"
            )
        if self.operator not in OPERATORS:
            raise SettingsError(
                f"the filter on {self.name!r} has the operator {self.operator!r}; choose one of "
                f"{' '.join(OPERATORS)}"
            )
        if not self.values or (self.operator in _ORDER and len(self.values) > 1):
            raise SettingsError(
                f"the filter {self.name}{self.operator} has {len(self.values)} values; give "
                + ("one" if self.operator in _ORDER else "at least one")
            )

    @classmethod
    def parse(cls, text: str) -> Filter:
        """The condition that a text spells.

        Raises:
            SettingsError: it spells none.
        """
        match = _CONDITION.fullmatch(text)
        if match is None or not match[1].strip():
            raise SettingsError(f"cannot filter by {text!r}; {_EXPECTED}")
        name, sign, rest = match[1], match[2], match[3]
        if sign == "=" and rest.startswith("="):
            raise SettingsError(
                f"cannot filter by {text!r}: write one =, or \\= where a value begins so"
            )
        parts = [_stripped(tokens) for tokens in _split(rest, "|")]
        if parts[-1][-1:] == ["\\"]:
            raise SettingsError(
                f"cannot filter by {text!r}: a backslash stands at the end, where it makes nothing "
                "plain; write two for one"
            )
        special = _PATTERN_SPECIAL if sign in ("~", "!~") else ""
        values = (
            "".join(token if token[-1] in special else token[-1] for token in part)
            for part in parts
        )
        [tokens] = _split(name, None)
        plain = "".join(token[-1] for token in _stripped(tokens))
        return cls(plain, sign, tuple(values))  # type: ignore[arg-type]

    def __str__(self) -> str:
        """The text that ``parse`` takes for this condition."""
        patterns = self.operator in ("~", "!~")
        values = (_escaped(value, "|", "=", patterns) for value in self.values)
        return f"{_escaped(self.name, '=!<>~', '')}{self.operator}{'|'.join(values)}"

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether the field of this name satisfies the condition."""
        test = _test(_NEGATED.get(self.operator, self.operator), self.values)
        value = fields.get(self.name)
        found = any(map(test, value)) if isinstance(value, list | tuple) else test(value)
        return found != (self.operator in _NEGATED)


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions that are all to hold; none hold always, and are false as a truth value."""

    filters: tuple[Filter, ...] = ()

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Filters:
        """Conditions as Python and JSON write them.

        Each name has a value (``{"lang": "en"}``), a list of which one is enough
        (``{"lang": ["en", "de"]}``), or a mapping from operators to either
        (``{"year": {">=": 1990, "<": 2000}}``). Values are texts, numbers, true or false.

        Raises:
            SettingsError: anything else.
        """
        if not isinstance(given, Mapping):
            raise SettingsError(
                f"filters are {given!r}; give a mapping, such as {{'lang': ['en', 'de'], "
                "'year': {'>=': 1990}}"
            )
        found: list[Filter] = []
        for name, wanted in given.items():
            if not isinstance(name, str):
                raise SettingsError(f"a filter has the name {name!r}; names are texts")
            pairs: Mapping[Any, object] = wanted if isinstance(wanted, Mapping) else {"=": wanted}
            if not pairs:
                raise SettingsError(
                    f"the filter on {name!r} has no operator; give one of {' '.join(OPERATORS)}"
                )
            found += (Filter(name, sign, _values(name, value)) for sign, value in pairs.items())
        return cls(tuple(found))

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether all conditions hold for these fields (see ``passage_fields``)."""
        return all(one.matches(fields) for one in self.filters)

    @property
    def names(self) -> frozenset[str]:
        """The fields that the conditions look at."""
        return frozenset(one.name for one in self.filters)

    @property
    def of_documents(self) -> Filters:
        """The conditions that all passages of a document answer alike."""
        return Filters(tuple(one for one in self.filters if one.name != SECTION))

    @property
    def of_sections(self) -> Filters:
        """The other ones. Both together are the same as these."""
        return Filters(tuple(one for one in self.filters if one.name == SECTION))

    def __bool__(self) -> bool:
        return bool(self.filters)

    def __str__(self) -> str:
        return " and ".join(map(str, self.filters))


def parse_filters(texts: Iterable[str]) -> Filters:
    """The conditions that texts spell, one each.

    Raises:
        SettingsError: a text spells none.
    """
    return Filters(tuple(Filter.parse(text) for text in texts))


def document_fields(
    document: str, source: str, title: str, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """What filters can look at of a document."""
    return {**metadata, "document": document, "source": source, "title": title}


def passage_fields(passage: Passage) -> dict[str, Any]:
    """What filters can look at of a passage."""
    document = passage.document or passage.id
    fields = document_fields(document, passage.source, passage.title, passage.metadata)
    fields[SECTION] = passage.section
    return fields


def _split(text: str, mark: str | None) -> list[list[str]]:
    """The parts between marks, each as its characters, those with a backslash before them as two.

    A backslash at the very end is a character of its own.
    """
    parts: list[list[str]] = [[]]
    for token in _TOKEN.findall(text):
        if token == mark:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _stripped(tokens: list[str]) -> list[str]:
    plain = [at for at, token in enumerate(tokens) if not token.isspace()]
    return tokens[plain[0] : plain[-1] + 1] if plain else []


def _escaped(text: str, anywhere: str, first: str, pattern: bool = False) -> str:
    """A name, value or pattern as ``parse`` takes it, white space around it kept."""
    tokens = _split(text, None)[0] if pattern else list(text)
    last = len(tokens) - 1
    return "".join(
        "\\" + token
        if token == "\\"
        or token in anywhere
        or (at == 0 and token in first)
        or (at in (0, last) and token.isspace())
        else token
        for at, token in enumerate(tokens)
    )


def _values(name: str, given: object) -> tuple[str, ...]:
    several = given if isinstance(given, list | tuple | set | frozenset) else (given,)
    texts = []
    for value in several:
        text = _text(value)
        if text is None:
            raise SettingsError(
                f"the filter on {name!r} has the value {value!r}; give texts, numbers, true or "
                "false, or a list of them"
            )
        texts.append(text)
    return tuple(sorted(texts) if isinstance(given, set | frozenset) else texts)


def _text(value: object) -> str | None:
    """A scalar as JSON writes it, texts without quotes; None for what is no scalar."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return None


@lru_cache(maxsize=1024)
def _number(text: str) -> int | float | None:
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("+-").isdigit() else float(text)


@lru_cache(maxsize=256)
def _test(sign: Operator, values: tuple[str, ...]) -> Test:
    """What a scalar is asked."""
    if sign == "=":
        numbers = frozenset(number for one in values if (number := _number(one)) is not None)
        texts = frozenset(values)
        return lambda value: _equals(value, texts, numbers)
    if sign == "~":
        matching = re.compile("|".join(map(_pattern, values)), re.DOTALL).fullmatch
        return lambda value: (text := _text(value)) is not None and matching(text) is not None
    compare, [limit] = _ORDER[sign], values
    return lambda value: _compares(value, compare, limit, _number(limit))


def _equals(value: object, texts: frozenset[str], numbers: frozenset[int | float]) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value in numbers
    return _text(value) in texts


def _compares(
    value: object,
    compare: Callable[[Any, Any], bool],
    limit: str,
    number: int | float | None,
) -> bool:
    if isinstance(value, str):
        worth = None if number is None else _number(value)
        return compare(value, limit) if worth is None else compare(worth, number)
    if isinstance(value, bool) or not isinstance(value, int | float) or number is None:
        return False
    return compare(value, number)


def _pattern(glob: str) -> str:
    """The regular expression of a pattern. Each part between stars is tied to the first place where
    it fits, which loses no match and keeps the time from growing with the power of the stars."""
    parts = [
        "".join("." if token == "?" else re.escape(token[-1]) for token in part)
        for part in _split(glob, "*")
    ]
    if len(parts) == 1:
        return parts[0]
    first, *middle, last = parts
    return first + "".join(f"(?>.*?{one})" for one in middle) + f".*{last}"
