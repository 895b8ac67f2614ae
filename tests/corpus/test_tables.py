from __future__ import annotations

import csv
import gzip
import tracemalloc
from pathlib import Path

import pytest

from dpr.corpus import Problems, SourceSettings, read_documents, read_passages
from dpr.corpus.tables import FIELD_LIMIT
from dpr.errors import InputError
from dpr.records import Document

HEADER = "id\ttext\ttitle\n"
SKIP = SourceSettings(on_error="skip")


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(path: Path, settings: SourceSettings = SourceSettings()) -> list[Document]:  # noqa: B008
    return list(read_documents(path, settings))


def skipped(path: Path) -> tuple[list[str], list[str]]:
    problems = Problems()
    ids = [document.id for document in read_documents(path, SKIP, problems)]
    assert problems.count == len(problems.items)
    return ids, [item.source.removeprefix(f"{path}:") for item in problems.items]


def test_what_the_csv_module_writes_comes_back(tmp_path: Path) -> None:
    rows = [
        ("1", 'He said "no".', "Quotes"),
        ("2", "two\nlines\r\nand a\ttab", 'A "title"'),
        ("3", "line\u2028separators\u2029do\x85not\x0bsplit\x1crows", "Breaks"),
        ("4", "été 日本 🙂", ""),
    ]
    path = tmp_path / "psgs.tsv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(["id", "text", "title"])
        writer.writerows(rows)
    documents = read(path)
    assert [(d.id, d.text, d.title) for d in documents] == rows
    # Sources name the line at which a row begins; row 2 takes three lines.
    assert [d.source for d in documents] == [f"{path}:{line}" for line in (2, 3, 6, 7)]


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    data = (HEADER + "1\tone\tA\n").encode()
    for name in ("psgs.tsv.gz", "psgs.tsv"):
        path = write(tmp_path / name, gzip.compress(data))
        assert read(path) == [Document("1", "one", "A", f"{path}:2")]


def test_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", b"\xef\xbb\xbfid\ttext\ttitle\r\n1\tone\tA\r\n\r\n2\ttwo\tB")
    assert [(d.id, d.text, d.title) for d in read(path)] == [("1", "one", "A"), ("2", "two", "B")]


def test_csv_takes_named_columns_and_needs_no_title(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'key,body,kind\nx,"a, b",K\n')
    [document] = read(path, SourceSettings(id_column="key"))
    assert (document.id, document.text, document.title) == ("x", "a, b", "")
    [document] = read(path, SourceSettings(id_column="key", title_column="kind"))
    assert document.title == "K"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("", "empty"),
        ("\nid,text\n", "first line is empty"),
        ("id,text\n", "no document"),
        ("a,b\n1,2\n", "no column of ids: the columns are a, b"),
        ("id,b\n1,2\n", "no column of texts"),
        ("id,text,id\n1,2,3\n", "more than once"),
        ("id;text\n1;2\n", "separated by ','"),
        ("id,text\n1\n", r"a\.csv:2: 1 fields, beginning '1'; expected 2"),
        ('id,text\n1,"a"b\n', r"a\.csv:2: not a well-formed row"),
        ('id,text\n1,a\n2,"b\nc\n', r"a\.csv:3: .*lines 3 to 4 were taken as one"),
        ("id,text\n1,a\rb\n", r"a\.csv:2: not a well-formed row"),
        ("id,text\n,a\n", r"a\.csv:2: the id is empty"),
        ("id,text\n \t,a\n", r"a\.csv:2: the id is empty"),
        ("id,text\n1, \u3000\n", r"a\.csv:2: the text of id '1' is empty"),
        ("id,text\n1,a\nx,b\n1,c\n", r"a\.csv:4: the id '1' is also that of line 2"),
        ("id,text\nx,a\ny,b\nx,c\n", r"a\.csv:4: the id 'x' is also that of line 2"),
        ("id,text\n1,a\0b\n", r"a\.csv:2: NUL byte at byte 3"),
        (b"id,text\n1,a\n2,\xff\n", r"a\.csv:3: not UTF-8: byte 0xff at byte 2"),
        ("id,text\n1,a\n".encode("utf-16"), r"a\.csv:1: .*UTF-16"),
        (gzip.compress(b"id,text\n" + b"1,a\n" * 999, mtime=0)[:-20], "truncated"),
        (gzip.compress(b"id,text\n1,a\n", mtime=0)[:-8] + b"00000000", "damaged"),
    ],
)
def test_malformed_tables_are_told(tmp_path: Path, data: str | bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read(write(tmp_path / "a.csv", data))


def test_gz_in_name_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not hold gzip data"):
        read(write(tmp_path / "a.csv.gz", "id,text\n1,a\n"))


def test_skipping_goes_on_after_each_kind_of_fault(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        b'id,text\n1,ok\n2\n3,"a"b\n4,\xff\n5,\0\n,x\n6, \n1,again\n7,"two\nlines"\n8,fine\n',
    )
    assert skipped(path) == (["1", "7", "8"], ["3", "4", "5", "6", "7", "8", "9"])


def test_skipping_does_not_hide_a_truncated_file(tmp_path: Path) -> None:
    rows = b"".join(b"%d,text of row %d\n" % (n, n * n) for n in range(5000))
    path = write(tmp_path / "a.csv.gz", gzip.compress(b"id,text\n" + rows)[:-100])
    documents = read_documents(path, SKIP)
    with pytest.raises(InputError, match="truncated"):
        for _ in documents:
            pass


def test_long_fields_and_the_limit_that_stops_an_open_quote(tmp_path: Path) -> None:
    long = "word " * 60_000  # the csv module's own limit is 131,072 characters
    [document] = read(write(tmp_path / "a.csv", f"id,text\n1,{long}\n"))
    assert document.text == long
    path = write(tmp_path / "b.csv", 'id,text\n1,"' + "x" * 80 + "\n" + ("y" * 1023 + "\n") * 17000)
    assert path.stat().st_size > FIELD_LIMIT
    with pytest.raises(InputError, match=r"b\.csv:2: .*field larger than field limit"):
        read(path)


def test_psgs_needs_its_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "id\ttitle\ttext\n1\tA\tone\n")
    with pytest.raises(InputError, match=r"'text', 'title'"):
        read(path, SourceSettings(format="psgs"))
    assert [(d.title, d.text) for d in read(path)] == [("A", "one")]


def test_a_question_file_of_dpr_is_no_corpus(shared_data: Path) -> None:
    with pytest.raises(InputError, match="no column of ids"):
        read(shared_data / "dpr" / "nq.dev.tsv")


@pytest.mark.parametrize("prefix", ["", "0"])
def test_a_large_file_never_sits_in_memory(tmp_path: Path, prefix: str) -> None:
    rows = 10_000
    text = "word " * 99 + "end"
    path = tmp_path / "psgs.tsv"
    with path.open("w", encoding="utf-8") as stream:
        stream.write(HEADER)
        stream.writelines(f"{prefix}{n}\t{text}\tTitle {n // 20}\n" for n in range(1, rows + 1))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_passages(path)) == rows
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 5_000_000
    # Ids that count up cost nothing; other ids (with a leading zero) cost a digest each.
    assert peak < (500_000 if not prefix else 500_000 + 200 * rows)
