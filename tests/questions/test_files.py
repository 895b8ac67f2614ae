"""JSON records in a stream, and files written whole."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import InputError
from dpr.questions import files
from dpr.questions.files import read_records, write_lines

from .strategies import texts


def read(path: Path, data: str | bytes) -> list[tuple[int, dict[str, Any]]]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return list(read_records(path))


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(texts, values, max_size=4), max_size=6),
    st.sampled_from([None, 0, 3]),
    st.booleans(),
    st.integers(1, 40),
)
def test_pieces_give_what_the_whole_gives(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[dict[str, Any]],
    indent: int | None,
    ascii_only: bool,
    chunk: int,
) -> None:
    """The streaming reader against json.loads, however the file is cut."""
    text = json.dumps(records, indent=indent, ensure_ascii=ascii_only)
    path = tmp_path_factory.mktemp("files") / "a.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_CHUNK", chunk)
        assert [value for _, value in read(path, text)] == json.loads(text)


def test_lines_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for chunk in (1, 5, 2**20):
        monkeypatch.setattr(files, "_CHUNK", chunk)
        path = tmp_path / "a.json"
        expected = [(2, {"a": "\n"}), (2, {}), (5, {"b": [1]})]
        assert read(path, '[\n {"a": "\\n"}, {},\n\n\n{"b":\n[1]}\r\n]\n') == expected
        assert read(path, b"\xef\xbb\xbf" + b'\n{"a": 1}\n\n{"b": 2}') == [
            (2, {"a": 1}),
            (4, {"b": 2}),
        ]
        assert read(path, gzip.compress(b'[\n{"a": 1}]')) == [(2, {"a": 1})]
        assert read(path, "[ ]") == []
        assert read(path, "") == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("[\n1]", ":2: expected an object, found '1'"),
        ("[\n[]]", r":2: expected an object, found '\['"),
        ("[\n", ":2: expected an object, found 'the end'"),
        ('[{}\n{"a": 1}]', ":2: expected a comma or the end of the list, found '{'"),
        ("[{}\n", ":2: .*found the end of the file: is it truncated"),
        ("[{},\n]", ":2: a comma before the end"),
        ("[{},,{}]", ":1: expected an object, found ','"),
        ("[{}]\n[]", ":2: there is more after the end"),
        ('[{"a":\n "b}]', ":2: not JSON: Unterminated string$"),
        ('[{"a":\n}]', ":2: not JSON: Expecting value"),
        ('[{"a":' + "[" * 200_000, ":1: not JSON"),
        ('[{"a": ' + "9" * 5000 + "}]", ":1: not JSON"),
        (b'[{"a":\n "\xff"}]', ":2: not UTF-8: byte 0xff"),
        (b'[{"a":\n "\xe6"', ":2: not UTF-8"),
        (b"[{}]\n\xe6", ":2: not UTF-8"),
        ('{"a": 1}\n{"a"', ":2: .*expected a list of objects, or one object a line"),
        ('{"a": 1}\n3', ":2: the line holds int"),
        ('{"a": 1}\n[]', ":2: the line holds list"),
        (b'{"a": 1}\n\xff', ":2: not UTF-8"),
        (gzip.compress(b"[{}, {}]", mtime=0)[:-9], "truncated"),
    ],
)
def test_what_is_malformed(tmp_path: Path, data: str | bytes, told: str) -> None:
    with pytest.raises(InputError, match=rf"a\.json{told}" if told[0] == ":" else told):
        read(tmp_path / "a.json", data)


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_lines(path, ["one\n", "é\n"])
    assert path.read_bytes() == "one\né\n".encode()

    def failing() -> Any:
        yield "two\n"
        raise InputError("no")

    with pytest.raises(InputError, match=r"^no$"):
        write_lines(path, failing())
    with pytest.raises(InputError, match=r"a\.txt: not written: 'b\\ud800' holds half"):
        write_lines(path, ["b\ud800"])
    assert path.read_text(encoding="utf-8") == "one\né\n"
    assert [one.name for one in path.parent.iterdir()] == ["a.txt"]
    with pytest.raises(InputError, match="cannot be written: "):
        write_lines(path / "below.txt", ["x"])
    with pytest.raises(InputError, match="cannot be written: "):
        write_lines(path.parent, ["x"])


def test_a_name_that_ends_in_gz_is_gzipped_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_lines(tmp_path / name, ["one\n"])
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"one\n"
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
