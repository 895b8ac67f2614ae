from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.corpus import read_documents
from dpr.corpus.front_matter import front_matter_lines, read_front_matter
from dpr.corpus.headings import markdown_headings

SIMPLE = """---
title: A guide: to tea
'quoted': no name
year: 1990
price: 2.50
draft: false
Final: True
date: 2020-01-02
author: "Ada, Lovelace"  # the first
empty:
nothing: null
tags: [tea, "black, not", 3]
colours: [red, 2, true,]
none: []
list:
  - one
  # between
  - 'two'

more:
- 7
zip: 01234
---
# Heading
body: no
"""


def test_what_is_simple_is_read() -> None:
    assert read_front_matter(SIMPLE) == {
        "title": "A guide: to tea",
        "year": 1990,
        "price": 2.5,
        "draft": False,
        "Final": True,
        "date": "2020-01-02",
        "author": "Ada, Lovelace",
        "colours": ["red", 2, True],
        "none": [],
        "list": ["one", "two"],
        "more": [7],
        "zip": "01234",
    }


@pytest.mark.parametrize(
    "line",
    [
        "a: |\n  text",
        "a: one\n  two",
        "a:\n  b: c",
        "a:\n  - b: c",
        "a: {b: c}",
        "a: &anchor x",
        "a: *anchor",
        "a: !!str x",
        'a: "with \\n escape"',
        "a: 'it''s'",
        "a: [b, [c]]",
        "a: one\n- two",
        "no pair",
        "http://x.org",
    ],
)
def test_what_goes_beyond_it_is_passed_over(line: str) -> None:
    assert read_front_matter(f"---\nz: 1\n{line}\ny: 2\n---\n") == {"z": 1, "y": 2}


@pytest.mark.parametrize(
    "text", ["", "a: b", "\n---\na: b\n---\n", "---\na: b\n", "---x\na: b\n---\n", "----\n---\n"]
)
def test_what_is_no_front_matter(text: str) -> None:
    assert (front_matter_lines(text), read_front_matter(text)) == (0, {})


@given(st.text("-.: \n\r\ta#[]\"'1,|{", max_size=60))
def test_nothing_makes_it_fail_or_takes_headings_from_the_text(text: str) -> None:
    whole = f"---\n{text}\n---\n# Heading\n"
    values = read_front_matter(whole)
    assert all(isinstance(name, str) and name for name in values)
    assert [heading.title for heading in markdown_headings(whole)][-1:] == ["Heading"]
    read_front_matter(text)


def test_a_file_with_front_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(b"---\r\ntitle: T\r\nid: x7\r\nyear: 1990\r\n---\r\n# Heading\r\n\r\ntext\r\n")
    [document] = read_documents(path)
    assert document.title == "T"
    assert document.metadata == {"metadata.id": "x7", "year": 1990}
    assert document.text.encode() == path.read_bytes()
    assert document.text[document.sections[0].start :].startswith("# Heading")
    path.write_text("---\ntitle:\n---\n# Heading\n")
    [document] = read_documents(path)
    assert (document.title, document.metadata) == ("Heading", {})
