from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpr.corpus import Problems, SourceSettings, read_documents
from dpr.errors import InputError


def write(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=700)
    return path


def test_rows_over_several_batches(tmp_path: Path) -> None:
    count = 2500
    path = write(
        tmp_path / "a.parquet",
        id=pa.array(range(count), pa.int32()),
        other=[None] * count,
        text=pa.array([f"text {n}" for n in range(count)], pa.large_string()),
        title=pa.array([f"T{n % 2}" for n in range(count)]).dictionary_encode(),
    )
    documents = list(read_documents(path))
    assert [(d.id, d.text, d.title, d.source) for d in documents] == [
        (str(n), f"text {n}", f"T{n % 2}", f"{path}:{n + 1}") for n in range(count)
    ]


def test_named_columns_and_none_for_titles(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", key=["a"], passage=["one"])
    settings = SourceSettings(id_column="key", text_column="passage")
    assert [(d.id, d.text, d.title) for d in read_documents(path, settings)] == [("a", "one", "")]
    with pytest.raises(InputError, match="the columns are key, passage"):
        list(read_documents(path))


def test_malformed_rows(tmp_path: Path) -> None:
    bad = pa.array([b"\xff"]).cast(pa.binary())
    texts = pa.concat_arrays([pa.array([b"a", None, b"", b"d"]), bad]).view(pa.string())
    path = write(tmp_path / "a.parquet", id=["1", "2", "3", "1", "5"], text=texts)
    problems = Problems()
    documents = list(read_documents(path, SourceSettings(on_error="skip"), problems))
    assert [document.id for document in documents] == ["1"]
    assert [item.source for item in problems.items] == [f"{path}:{n}" for n in (2, 3, 4, 5)]
    with pytest.raises(InputError, match=r"a\.parquet:2: the text of id '2' is missing"):
        list(read_documents(path))


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        list(read_documents(path))
