from __future__ import annotations

from dpr.corpus import Problem, Problems
from dpr.errors import InputError, MissingExtraError


def test_all_are_counted_and_the_first_are_kept() -> None:
    problems = Problems(keep=2)
    for number in range(5):
        problems.add(f"a:{number}", "bad")
        problems.ignore(f"b{number}")
    assert (problems.count, problems.ignored) == (5, 5)
    assert problems.items == [Problem("a:0", "bad"), Problem("a:1", "bad")]
    assert problems.ignored_items == ["b0", "b1"]
    assert problems.summary() == (
        "skipped 5:\n  a:0: bad\n  a:1: bad\n  and 3 more\n"
        "ignored 5 of other types:\n  b0\n  b1\n  and 3 more"
    )


def test_nothing_wrong_needs_no_words() -> None:
    assert Problems().summary() == ""


def test_an_error_is_taken_apart_into_place_and_reason() -> None:
    problems = Problems()
    problems.add_error(InputError("is odd", source="x.tsv", line=3), "elsewhere")
    problems.add_error(InputError("is odd", source="x.tsv"), "elsewhere")
    problems.add_error(InputError("is odd"), "elsewhere")
    problems.add_error(MissingExtraError("pypdf", "docs", "reading a.pdf"), "a.pdf")
    assert [item.source for item in problems.items] == ["x.tsv:3", "x.tsv", "elsewhere", "a.pdf"]
    assert [item.reason for item in problems.items[:3]] == ["is odd"] * 3
    assert "[docs]" in problems.items[3].reason
