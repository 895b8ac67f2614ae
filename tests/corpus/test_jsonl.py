from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dpr.corpus import Problems, SourceSettings, read_documents
from dpr.errors import InputError


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("zipped", [False, True])
def test_usual_keys(tmp_path: Path, zipped: bool) -> None:
    data = (
        '\ufeff{"id": "a", "text": "one", "title": "T", "more": [1]}\r\n'
        "\n"
        '{"_id": 7, "contents": "two\\nlines", "title": null}\n'
        '{"id": "c", "body": "U+2028 \u2028 here"}'
    ).encode()
    path = write(tmp_path / "a.jsonl", gzip.compress(data) if zipped else data)
    documents = list(read_documents(path))
    assert [(d.id, d.text, d.title) for d in documents] == [
        ("a", "one", "T"),
        ("7", "two\nlines", ""),
        ("c", "U+2028 \u2028 here", ""),
    ]
    assert [d.source for d in documents] == [f"{path}:{line}" for line in (1, 3, 4)]


def test_named_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"key": "a", "id": "b", "passage": "one", "name": "T"}\n')
    settings = SourceSettings(id_column="key", text_column="passage", title_column="name")
    [document] = read_documents(path, settings)
    assert (document.id, document.text, document.title) == ("a", "one", "T")


BAD = [
    ("{", "not JSON"),
    ("[1]", "holds list"),
    ('{"text": "a"}', "no id or _id among the keys text"),
    ('{"id": "1"}', "no text or contents or body"),
    ('{"id": null, "text": "a"}', "the id is missing"),
    ('{"id": 1.5, "text": "a"}', r"the id is 1\.5 \(float\)"),
    ('{"id": true, "text": "a"}', "the id is True"),
    ('{"id": "", "text": "a"}', "the id is empty"),
    ('{"id": "1", "text": ""}', "the text of id '1' is empty"),
    ('{"id": "1", "text": null}', "the text of id '1' is missing"),
    ('{"id": "1", "text": ["a"]}', "expected a text"),
    ('{"id": "1", "text": "a", "title": 3}', "the title of id '1' is 3"),
    ('{"id": "1", "text": "a\\ud800b"}', r"lone surrogate, U\+D800, at character 1"),
    ('{"id": "\\udc00", "text": "a"}', "lone surrogate"),
    ('{"id": "1", "text": "a\\u0000b"}', "NUL character at character 1"),
    ('{"id": "1", "text": "a\0b"}', "NUL byte"),
    ('{"id": "ok", "text": "a"}', "the id 'ok' is also that of line 1"),
    ('{"id": ' + "9" * 5000 + ', "text": "a"}', "not JSON"),
    ("[" * 100_000, "not JSON"),
]


@pytest.mark.parametrize(("line", "told"), BAD)
def test_malformed_lines_are_told(tmp_path: Path, line: str, told: str) -> None:
    path = write(tmp_path / "a.jsonl", '{"id": "ok", "text": "b"}\n' + line + "\n")
    with pytest.raises(InputError, match=told) as caught:
        list(read_documents(path))
    assert (caught.value.source, caught.value.line) == (str(path), 2)


def test_all_that_is_malformed_is_skipped_counted_and_listed(tmp_path: Path) -> None:
    lines = ['{"id": "ok", "text": "b"}', *(line for line, _ in BAD), '{"id": "z", "text": "c"}']
    path = write(tmp_path / "a.jsonl", "\n".join(lines).encode() + b'\n{"id": "\xe9"}')
    problems = Problems()
    documents = list(read_documents(path, SourceSettings(on_error="skip"), problems))
    assert [document.id for document in documents] == ["ok", "z"]
    assert problems.count == len(BAD) + 1
    assert [item.source for item in problems.items] == [
        f"{path}:{line}" for line in [*range(2, len(BAD) + 2), len(BAD) + 3]
    ]
    assert "first row with it is kept" in problems.items[16].reason
    assert "0xe9 at byte 8" in problems.items[-1].reason


def test_a_pair_of_surrogates_is_a_character(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"id": "1", "text": "\\ud83d\\ude42"}')
    assert [document.text for document in read_documents(path)] == ["🙂"]


def test_a_beir_folder_and_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", '{"_id": "d1", "title": "T", "text": "one"}\n')
    write(tmp_path / "queries.jsonl", "not read")
    [by_folder] = read_documents(tmp_path)
    [by_file] = read_documents(path)
    assert by_folder == by_file
    assert (by_folder.id, by_folder.title, by_folder.text) == ("d1", "T", "one")


def test_beir_folders_keep_to_their_keys(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl", '{"id": "d1", "text": "one"}\n')
    with pytest.raises(InputError, match="no _id"):
        list(read_documents(tmp_path))
    (tmp_path / "corpus.jsonl").unlink()
    with pytest.raises(InputError, match=r"corpus\.jsonl"):
        read_documents(tmp_path, SourceSettings(format="beir"))
