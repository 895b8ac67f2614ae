"""What a file is, by its content, and what is said of one that is none of the formats."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from dpr.errors import InputError
from dpr.samples.formats import check_file, has_lines, load_json, squad_articles

SQUAD = {"version": "1.1", "data": [{"title": "t", "paragraphs": []}]}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('{"question": "q"}', True),
        ('\n{"question": "q"}\n{"question": "q"}\n', True),
        ('{"questoin": "q"}\n{"question": "q"}\n', True),
        ('{"questoin": "q"}\n\n', False),
        (json.dumps(SQUAD), False),
        (json.dumps(SQUAD) + "\n{}\n", False),
        (json.dumps(SQUAD, indent=2), False),
        ('{"data": 3}\n{"question": "q"}\n', True),
        ('{"question":\n"q"}', False),
        ("[1]\n[2]", False),
        ('{"a": ' + "[" * 100_000 + "\n{}", False),
    ],
)
def test_lines_are_told_by_the_first_and_whether_more_follow(
    tmp_path: Path, text: str, lines: bool
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    assert has_lines(path) is lines


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_called_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: is empty; give a DPR .* or a SQuAD JSON"):
        squad_articles(path)


@pytest.mark.parametrize("text", ["question,answer\nq,a\n", '"text"', '{"rows": []}', "  5"])
def test_other_files_are_told_what_they_begin_with(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        squad_articles(path)
    assert "is neither a DPR training JSON (a list of samples" in str(caught.value)
    assert str(caught.value).endswith(f"it begins {text.lstrip()!r}")


def test_a_place_in_json_is_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\n{"data": [\n"cut', encoding="utf-8")
    said = r"a\.json:3: not valid JSON: Unterminated string starting at character 12$"
    with pytest.raises(InputError, match=said):
        squad_articles(path)
    with pytest.raises(InputError, match=r"Invalid control character at character 1$"):
        load_json('"\n"', path, None)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file; give .* or a BEIR folder \(with corpus"):
        check_file(tmp_path / "absent.json")
    with pytest.raises(InputError, match=r"is a folder; give .* or a BEIR folder \(with corpus"):
        check_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(InputError, match=r"no regular file .* save what comes out of it to a"):
            check_file(path)
