from __future__ import annotations

import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import SettingsError
from dpr.filters import (
    OPERATORS,
    Filter,
    Filters,
    document_fields,
    parse_filters,
    passage_fields,
)
from dpr.records import Passage

FIELDS: dict[str, Any] = {
    "source": "docs/guide.md",
    "section": "C|D",
    "document": "guide.md",
    "title": "",
    "year": 1990,
    "price": 2.5,
    "draft": False,
    "csv": "1990",
    "date": "2020-02-01",
    "lang": "en",
    "tags": ["new", "a b", 7],
    "none": None,
    "object": {"a": 1},
    "a=b": "x",
    "empty": "",
    "spaced": " x ",
    "large": 2**70,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("source=docs/guide.md", True),
        ("source=guide.md", False),
        ("source~*.md", True),
        ("source~*guide*", True),
        ("source~docs", False),
        ("source~docs/*|other", True),
        ("source!~*.md", False),
        ("document=guide.md", True),
        ("title=", True),
        ("empty=", True),
        ("lang=", False),
        # alternatives and escapes
        ("lang=de|en", True),
        ("lang!=de|en", False),
        ("lang!=de|fr", True),
        (" lang =  de | en ", True),
        (r"section=C\|D", True),
        ("section=C|D", False),
        (r"section~C\|*", True),
        (r"section~\*", False),
        ("section~???", True),
        (r"section~?\??", False),
        (r"a\=b=x", True),
        (r"spaced=\ x\ ", True),
        ("spaced=x", False),
        # numbers
        ("year=1990", True),
        ("year=1990.0", True),
        ("year=01990", True),
        ("year=19e2", False),
        ("year!=1990", False),
        ("year>=1990", True),
        ("year>1990", False),
        ("year<1990.5", True),
        ("year<=abc", False),
        ("year>abc", False),
        ("year=abc", False),
        ("year~19*", True),
        ("price>2", True),
        ("price=2.50", True),
        (f"large={2**70}", True),
        (f"large>{2**70 - 1}", True),
        # numbers that are texts
        ("csv=1990", True),
        ("csv=1990.0", False),
        ("csv>200", True),
        ("csv<200", False),
        ("csv<abc", True),
        # dates and other texts
        ("date>=2020-01-31", True),
        ("date<2020-02-01", False),
        ("lang<f", True),
        # true and false
        ("draft=false", True),
        ("draft=0", False),
        ("draft!=true", True),
        ("draft<1", False),
        # lists: one element is enough; != is the negation
        ("tags=new", True),
        ("tags=7", True),
        ("tags=a b", True),
        ("tags!=new", False),
        ("tags!=old", True),
        ("tags>6", True),
        ("tags~n*", True),
        # what is not there
        ("other=x", False),
        ("other!=x", True),
        ("other~*", False),
        ("other!~*", True),
        ("other<x", False),
        ("none=null", False),
        ("none~*", False),
        ("none!=x", True),
        ("object~*", False),
    ],
)
def test_what_a_condition_means(text: str, expected: bool) -> None:
    one = Filter.parse(text)
    assert one.matches(FIELDS) is expected
    assert parse_filters([text]).matches(FIELDS) is expected
    assert Filter.parse(str(one)) == one


def test_all_conditions_are_to_hold() -> None:
    assert parse_filters(["year>1900", "lang=en"]).matches(FIELDS)
    assert not parse_filters(["year>1900", "lang=de"]).matches(FIELDS)
    assert Filters().matches({})
    assert not Filters()
    assert parse_filters(["year>1900"])
    assert str(parse_filters(["year > 1900", "lang=en|de"])) == "year>1900 and lang=en|de"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "write a name, an operator and a value"),
        ("year", "such as lang=en"),
        ("=x", "cannot filter by '=x'"),
        (" =x", "cannot filter by"),
        ("a==x", r"write one =, or \\="),
        ("a=x\\", "a backslash stands at the end"),
        ("a=x|\\", "a backslash stands at the end"),
        ("year>1|2", "has 2 values; give one"),
        ("text=x", "cannot be filtered by 'text'; allowed are source, section"),
        ("id=x", "cannot be filtered by 'id'"),
    ],
)
def test_what_spells_no_condition(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Filter.parse(text)


def test_conditions_as_python_writes_them() -> None:
    assert Filters.from_mapping({}) == Filters()
    assert Filters.from_mapping(
        {
            "year": {">=": 1990, "<": 2000.5},
            "lang": ["en", "de"],
            "draft": False,
            "source": {"~": "*.md", "!~": ("a*", "b|*")},
            "name": " x|y\\ ",
        }
    ) == Filters(
        (
            Filter("year", ">=", ("1990",)),
            Filter("year", "<", ("2000.5",)),
            Filter("lang", "=", ("en", "de")),
            Filter("draft", "=", ("false",)),
            Filter("source", "~", ("*.md",)),
            Filter("source", "!~", ("a*", "b|*")),
            Filter("name", "=", (" x|y\\ ",)),
        )
    )
    assert Filters.from_mapping({"a": {"b", "a", "c"}}).filters[0].values == ("a", "b", "c")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ([("a", 1)], "give a mapping"),
        ({"": 1}, "a filter has no name"),
        ({3: 1}, "the name 3; names are texts"),
        ({"a": {}}, "has no operator"),
        ({"a": {"==": 1}}, "the operator '=='; choose one of = != <"),
        ({"a": []}, "has 0 values"),
        ({"a": None}, "has the value None; give texts"),
        ({"a": [["b"]]}, r"has the value \['b'\]"),
        ({"a": {"<": [1, 2]}}, "has 2 values; give one"),
        ({"text": "x"}, "cannot be filtered by 'text'"),
    ],
)
def test_what_is_no_mapping_of_conditions(wrong: Any, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Filters.from_mapping(wrong)


SCALARS = st.one_of(
    st.integers(-20, 20),
    st.sampled_from([0.5, 2.0, -1.5, True, False, None, "", "true", "7", "-3", "2.0", "1e1", "x"]),
    st.text("ab|\\=*? !<~1.", max_size=6),
)
WANTED = SCALARS.filter(lambda value: value is not None)
NAMES = st.sampled_from(["a", "b c", "a=b", "x!", "\\"])


def plain(value: Any) -> str:
    return value if isinstance(value, str) else str(value).lower()


def number(text: str) -> float | None:
    try:
        return float(text) if text.strip() == text and "_" not in text else None
    except ValueError:
        return None


def slow(value: Any, sign: str, wanted: list[Any]) -> bool:
    """The rules of the module, written down once more."""
    if sign.startswith("!"):
        return not slow(value, sign[1:], wanted)
    if isinstance(value, list):
        return any(slow(one, sign, wanted) for one in value)
    if value is None:
        return False
    texts = [plain(one) for one in wanted]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if sign == "=":
        return any(number(one) == value if is_number else one == plain(value) for one in texts)
    [limit] = texts
    if isinstance(value, bool) or (is_number and number(limit) is None):
        return False
    both: tuple[Any, Any] = (value, number(limit)) if is_number else (value, limit)
    if isinstance(value, str) and number(value) is not None and number(limit) is not None:
        both = number(value), number(limit)
    less, equal = both[0] < both[1], both[0] == both[1]
    return {"<": less, "<=": less or equal, ">": not (less or equal), ">=": not less}[sign]


@given(
    NAMES,
    st.sampled_from([sign for sign in OPERATORS if "~" not in sign]),
    st.lists(WANTED, min_size=1, max_size=3),
    SCALARS | st.lists(SCALARS, max_size=3),
)
def test_against_the_rules_written_down_once_more(
    name: str, sign: str, wanted: list[Any], value: Any
) -> None:
    wanted = wanted if "=" in (sign, sign[1:]) and sign[0] not in "<>" else wanted[:1]
    filters = Filters.from_mapping({name: {sign: wanted}})
    assert filters.matches({name: value}) == slow(value, sign, wanted)
    assert parse_filters(map(str, filters.filters)) == filters


@given(st.text("ab\n*?", max_size=8), st.text("ab\n", max_size=8))
def test_patterns_against_python_s_own(pattern: str, text: str) -> None:
    one = Filter("a", "~", (pattern,))
    assert one.matches({"a": text}) == fnmatch.fnmatchcase(text, pattern)


@given(st.text("ab*?\\|= ", max_size=8), st.text("ab*?\\|= ", max_size=8))
def test_a_pattern_written_down_means_the_same(pattern: str, text: str) -> None:
    one = Filter("a", "~", (pattern, "b"))
    again = Filter.parse(str(one))
    assert again.matches({"a": text}) == one.matches({"a": text})
    assert Filter.parse(str(again)) == again


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    pattern = "*a" * 40 + "b"
    assert not Filter("a", "~", (pattern,)).matches({"a": "a" * 5000})


def test_what_conditions_look_at() -> None:
    filters = parse_filters(["section=A", "year>1", "section!=B", "source~x"])
    assert filters.names == {"section", "year", "source"}
    assert filters.of_documents == parse_filters(["year>1", "source~x"])
    assert filters.of_sections == parse_filters(["section=A", "section!=B"])
    for section, year in (("A", 2), ("B", 2), ("A", 0)):
        fields = {"section": section, "year": year, "source": "x"}
        parts = filters.of_documents.matches(fields) and filters.of_sections.matches(fields)
        assert parts == filters.matches(fields)


def test_the_fields_of_a_passage() -> None:
    passage = Passage("d#1", "x", "T", "S", "f.md", 0, 1, "d", {"year": 1, "source": "no"})
    expected = {"document": "d", "source": "f.md", "title": "T", "section": "S", "year": 1}
    assert passage_fields(passage) == expected
    assert passage_fields(Passage("p", "x"))["document"] == "p"
    of_document = document_fields("d", "f.md", "T", {"year": 1})
    assert {**of_document, "section": "S"} == expected


def test_equal_conditions_are_one_key() -> None:
    assert len({parse_filters(["a=1"]), Filters.from_mapping({"a": 1})}) == 1
