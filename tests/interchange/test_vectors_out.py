"""Exports: what NumPy, pyarrow, pandas and faiss read is what the collection holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from dpr.collection import (
    BuildSettings,
    Collection,
    add_documents,
    build_collection,
    named,
    remove_documents,
)
from dpr.collection.vectors import stored
from dpr.errors import CollectionError, CorruptionError, InputError, SettingsError
from dpr.interchange.vectors_in import VectorFiles
from dpr.interchange.vectors_out import ROWS_AT_ONCE, export_vectors
from dpr.records import Passage

from .test_matched import Encoder, vector


def passages(first: int, last: int) -> list[Passage]:
    return [
        Passage(
            f"p{n}",
            f"text {n} é\n\0\u2028",
            "title" if n % 2 else "",
            "section",
            f"a.txt:{n}",
            n,
            n + 5,
            f"d{n // 2}",
            {"year": n, "tags": ["x", None]} if n % 3 else {},
        )
        for n in range(first, last)
    ]


@pytest.fixture(scope="module", params=["float16", "float32", "int8"])
def collection(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two segments, with deletions in both."""
    folder = tmp_path_factory.mktemp("c") / "c.dpr"
    build_collection(passages(0, 600), Encoder(), folder, BuildSettings(request.param, 100))
    add_documents(folder, passages(600, 5000), Encoder())
    remove_documents(folder, named([f"d{n}" for n in (0, 7, 299, 300, 2499)]))
    return folder


def kept() -> list[Passage]:
    gone = {f"d{n}" for n in (0, 7, 299, 300, 2499)}
    return [one for one in passages(0, 5000) if one.document not in gone]


def expected(folder: Path, dtype: str = "float32") -> Any:
    exact = np.stack([vector(one.id) for one in kept()])
    with Collection.open(folder) as opened:
        kind = opened.manifest.dtype
    if kind == "int8":
        return stored(exact, kept(), 8, "int8").values()
    return exact.astype(kind).astype("float32" if dtype == "float32" else kind)


@pytest.mark.parametrize("dtype", ["float32", "stored"])
def test_numpy(collection: Path, dtype: Any, tmp_path: Path) -> None:
    done = export_vectors(collection, tmp_path / "out.npy", dtype=dtype)
    assert [one.name for one in done.files] == ["out.npy", "out.ids.txt"]
    array = np.load(tmp_path / "out.npy")
    wanted = expected(collection, dtype)
    assert array.dtype == wanted.dtype == np.dtype(done.dtype)
    assert np.array_equal(array, wanted)
    ids = (tmp_path / "out.ids.txt").read_text().splitlines()
    assert ids == [one.id for one in kept()]
    assert (done.rows, done.dim) == array.shape
    assert done.version == 3
    assert len(list(tmp_path.iterdir())) == 2
    mapped = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert mapped.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float32", "stored"])
@pytest.mark.parametrize("texts", [False, True])
def test_parquet(collection: Path, dtype: Any, texts: bool, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    export_vectors(collection, path, dtype=dtype, texts=texts)
    table = pq.read_table(path)
    wanted = expected(collection, dtype)
    assert table["id"].to_pylist() == [one.id for one in kept()]
    flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    assert flat.dtype == wanted.dtype
    assert np.array_equal(flat.reshape(-1, 8), wanted)
    assert np.array_equal(np.stack(table["vector"].to_pandas()), wanted)
    if not texts:
        assert table.column_names == ["id", "vector"]
        return
    for name in ("title", "text", "section", "source", "document", "start", "end"):
        assert table[name].to_pylist() == [getattr(one, name) for one in kept()]
    found = [json.loads(one) for one in table["metadata"].to_pylist()]
    assert found == [dict(one.metadata) for one in kept()]


def test_faiss_finds_the_same_in_the_file(collection: Path, tmp_path: Path) -> None:
    export_vectors(collection, tmp_path / "out.npy")
    array = np.load(tmp_path / "out.npy")
    ids = np.array((tmp_path / "out.ids.txt").read_text().splitlines())
    index = faiss.IndexFlatIP(array.shape[1])
    index.add(array)
    questions = np.stack([vector(f"q{n}") for n in range(20)])
    scores, rows = index.search(questions, 10)
    wanted = questions @ expected(collection).T
    best = np.argsort(-wanted, axis=1)[:, :10]
    assert np.allclose(scores, np.take_along_axis(wanted, best, 1), rtol=1e-5)
    names = np.array([one.id for one in kept()])
    assert (ids[rows] == names[best]).mean() > 0.99  # near-ties may change places


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_what_is_exported_can_be_read_back(collection: Path, suffix: str, tmp_path: Path) -> None:
    done = export_vectors(collection, tmp_path / f"out.{suffix}")
    table = VectorFiles(done.files[0], done.files[1:])
    assert list(table.ids()) == [one.id for one in kept()]
    assert np.array_equal(table.take(np.arange(table.rows)), expected(collection))


def test_progress_counts_all(collection: Path, tmp_path: Path) -> None:
    told: list[int] = []
    export_vectors(collection, tmp_path / "a.npy", progress=told.append)
    assert told == [ROWS_AT_ONCE, len(kept())]


@pytest.mark.parametrize("odd", ["a\nb", "a\rb", "a\0b", "\ufeffa"])
def test_ids_that_are_no_line_go_into_parquet(odd: str, tmp_path: Path) -> None:
    build_collection([Passage("a", "x"), Passage(odd, "y")], Encoder(), tmp_path / "c")
    (tmp_path / "out.npy").write_bytes(b"old")
    with pytest.raises(InputError, match="does not fit into a line of a text file"):
        export_vectors(tmp_path / "c", tmp_path / "out.npy")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["c", "out.npy"]
    assert (tmp_path / "out.npy").read_bytes() == b"old"
    export_vectors(tmp_path / "c", tmp_path / "out.parquet", texts=True)
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == ["a", odd]


def test_odd_ids_come_back(tmp_path: Path) -> None:
    names = ["é\u2028x", " a ", "tab\t", '"q"', "1", "01", "𝄞"]
    build_collection([Passage(one, "x") for one in names], Encoder(), tmp_path / "c")
    done = export_vectors(tmp_path / "c", tmp_path / "out.npy")
    assert list(VectorFiles(done.files[0], done.files[1]).ids()) == names


def test_what_is_refused(collection: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"end in \.npy or \.parquet"):
        export_vectors(collection, tmp_path / "out.csv")
    with pytest.raises(SettingsError, match="dtype='int8'"):
        export_vectors(collection, tmp_path / "out.npy", dtype="int8")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="hold no texts"):
        export_vectors(collection, tmp_path / "out.npy", texts=True)
    with pytest.raises(CollectionError, match="no such folder"):
        export_vectors(tmp_path / "absent", tmp_path / "out.npy")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        export_vectors(collection, tmp_path / "file" / "out.npy")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_altered_vectors_are_not_exported(tmp_path: Path) -> None:
    build_collection(passages(0, 50), Encoder(), tmp_path / "c")
    [path] = (tmp_path / "c").rglob("vectors.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    for name in ("out.npy", "out.parquet"):
        with pytest.raises(CorruptionError, match="altered"):
            export_vectors(tmp_path / "c", tmp_path / name)
    assert [one.name for one in tmp_path.iterdir()] == ["c"]
