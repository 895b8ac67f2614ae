from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.corpus.headings import first_title, markdown_headings, rst_headings


def found(text: str, kind: str) -> list[tuple[str, str, int]]:
    """What the text reads where each heading begins, its title and level."""
    headings = markdown_headings(text) if kind == "md" else rst_headings(text)
    return [
        (text[heading.start :].splitlines()[0], heading.title, heading.level)
        for heading in headings
    ]


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# A\ntext\n### B ###\n", [("# A", "A", 1), ("### B ###", "B", 3)]),
        ("#no\n#\n####### seven\n# C# \n", [("# C# ", "C#", 1)]),
        ("A\n===\n\nB\n---\ntext\n", [("A", "A", 1), ("B", "B", 2)]),
        ("A\r\n===\r\n\r\n## B\r\n", [("A", "A", 1), ("## B", "B", 2)]),
        ("one\ntwo\n---\n\n---\n\n- item\n---\n", []),
        ("```sh\n# no\n```\n# A\n~~~~\n# no\n~~~\n# no\n~~~~\n", [("# A", "A", 1)]),
        ("text\n\n    # code\n\n   # A\n", [("   # A", "A", 1)]),
        ("---\ntitle: x\n# no\n---\n# A\n", [("# A", "A", 1)]),
        ("| a | b |\n---\n> quote\n---\n1. item\n---\n", []),
        ("# The `x` *y*\n", [("# The `x` *y*", "The `x` *y*", 1)]),
        ("# " + " " * 50_000 + "x\n", [("# " + " " * 50_000 + "x", "x", 1)]),
    ],
)
def test_markdown(text: str, headings: list[tuple[str, str, int]]) -> None:
    assert found(text, "md") == headings


LINES = [
    "# a",
    "## b ##",
    "text",
    "",
    "```",
    "~~~~",
    "    # code",
    "#no",
    "  ###",
    "====",
]


@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_markdown_as_markdown_it_reads_it(lines: list[str]) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    text = "\n".join(lines)
    expected = []
    tokens = markdown_it.MarkdownIt().parse(text)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and inline.content:
            several = "\n" in inline.content  # the one construct that is left out on purpose
            if not several:
                expected.append((token.map[0], inline.content, int(token.tag[1])))
    headings = markdown_headings(text)
    assert [(text[: h.start].count("\n"), h.title, h.level) for h in headings] == expected


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("A\n=\n\nBee\n---\n\nC c\n===\n", [("A", "A", 1), ("Bee", "Bee", 2), ("C c", "C c", 1)]),
        ("=====\n Top\n=====\n\nA\n=====\nB\n--\n", None),
        ("Title\n===\n\ntext\n\n----\n\nmore\n", []),  # too short, and a transition
        ("para\nTitle\n=====\n", []),
        (".. _label:\nTitle\n=====\n", [("Title", "Title", 1)]),
        ("   code\n   ----\n\n>>> x\n...\n", []),
        ("==== ====\na    b\n==== ====\n", []),
        ("A “b” — c\r\n*********\r\n\r\ntext", [("A “b” — c", "A “b” — c", 1)]),
    ],
)
def test_rst(text: str, headings: list[tuple[str, str, int]] | None) -> None:
    if headings is None:
        headings = [("=====", "Top", 1), ("A", "A", 2), ("B", "B", 3)]
    assert found(text, "rst") == headings


def test_the_title_is_the_first_of_the_topmost() -> None:
    assert first_title(markdown_headings("## A\n# B\n# C\n")) == "B"
    assert first_title([]) == ""
