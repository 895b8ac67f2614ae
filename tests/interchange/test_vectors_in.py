"""Files of vectors as one table: what NumPy and pyarrow wrote is given, and faults by file, row."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpr.errors import InputError
from dpr.interchange.vector_tables import BATCH_ROWS
from dpr.interchange.vectors_in import VectorFiles, VectorSettings, find_files

RANDOM = np.random.default_rng(0)


def matrix(rows: int, dim: int = 4, dtype: str = "float32") -> np.ndarray[Any, Any]:
    return RANDOM.normal(size=(rows, dim)).astype(dtype)


def npy(path: Path, array: np.ndarray[Any, Any]) -> Path:
    np.save(path, array)
    return path


def parquet(path: Path, ids: list[Any], vectors: Any, kind: Any = None, **more: Any) -> Path:
    values = list(vectors) if isinstance(vectors, np.ndarray) else vectors
    table = pa.table({"id": ids, "vector": pa.array(values, kind), **more})
    pq.write_table(table, path, row_group_size=more.get("size", 1000))
    return path


KINDS = {
    "list": lambda number, dim: pa.list_(number),
    "large list": lambda number, dim: pa.large_list(number),
    "fixed size list": lambda number, dim: pa.list_(number, dim),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_files(dtype: str, order: Any, tmp_path: Path) -> None:
    arrays = [np.asarray(matrix(rows, 4, dtype), order=order) for rows in (7, 0, 13, 1)]
    for number, array in enumerate(arrays):
        npy(tmp_path / f"{number}.npy", array)
    table = VectorFiles(tmp_path / "*.npy")
    whole = np.concatenate(arrays)
    assert (table.rows, table.dim, table.has_ids) == (21, 4, False)
    for wanted in ([0, 1, 2], [20, 0, 7, 6, 13], [5], [20], list(range(21))):
        assert np.array_equal(table.take(np.array(wanted)), whole[wanted])
    assert table.place(7) == f"{tmp_path / '2.npy'}: row 0 (counted from 0)"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_parquet_files(kind: str, dtype: str, tmp_path: Path) -> None:
    arrays = [matrix(rows, 3, dtype) for rows in (BATCH_ROWS + 5, 2500)]
    arrow = pa.from_numpy_dtype(np.dtype(dtype))
    for number, array in enumerate(arrays):
        ids = [f"{number}/{n}" for n in range(len(array))]
        parquet(tmp_path / f"{number}.parquet", ids, array, KINDS[kind](arrow, 3))
    whole = np.concatenate(arrays)
    table = VectorFiles([tmp_path / "0.parquet", tmp_path / "1.parquet"], scratch=tmp_path)
    assert list(table.ids()) == [f"{k}/{n}" for k, a in enumerate(arrays) for n in range(len(a))]
    assert table.take(np.arange(0)).shape == (0, 3)
    for wanted in (np.arange(10), np.arange(10, 5000, 7), np.arange(5000, len(whole))):
        assert np.array_equal(table.take(wanted), whole[wanted])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["0.parquet", "1.parquet"]
    table.close()


def test_parquet_in_another_order_is_copied_once_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = matrix(3 * BATCH_ROWS)
    path = parquet(tmp_path / "a.parquet", list(range(len(whole))), whole)
    table = VectorFiles(path, scratch=tmp_path)
    order = RANDOM.permutation(len(whole))
    for first in range(0, len(whole), 1000):
        wanted = order[first : first + 1000]
        assert np.array_equal(table.take(wanted), whole[wanted])
    assert len([one for one in caplog.records if "another order" in one.message]) == 1
    table.close()
    assert [one.name for one in tmp_path.iterdir()] == ["a.parquet"]


def test_files_of_different_precision(tmp_path: Path) -> None:
    small, large = matrix(3, 4, "float16"), matrix(3, 4, "float32") * np.float32(1e6)
    both = np.concatenate([small.astype(np.float32), large])
    npy(tmp_path / "0.npy", small)
    npy(tmp_path / "1.npy", large)
    assert np.array_equal(VectorFiles(tmp_path / "*.npy").take(np.arange(6)), both)
    parquet(tmp_path / "0.parquet", ["a", "b", "c"], small, pa.list_(pa.float16()))
    parquet(tmp_path / "1.parquet", ["d", "e", "f"], large, pa.list_(pa.float32()))
    assert np.array_equal(VectorFiles(tmp_path / "*.parquet").take(np.arange(6)), both)


def test_what_other_writers_call_their_columns(tmp_path: Path) -> None:
    table = pa.table({"docid": [7, 8], "text": ["a", "b"], "emb": [[1.0, 2.0], [3.0, 4.0]]})
    pq.write_table(table, tmp_path / "a.parquet")
    found = VectorFiles(tmp_path / "a.parquet")
    assert list(found.ids()) == ["7", "8"]
    assert found.take(np.array([1])).tolist() == [[3.0, 4.0]]
    table = table.append_column("other", table["emb"]).append_column("key", pa.array(["x", "y"]))
    pq.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"has 2 columns of lists of floats \(emb, other\)"):
        VectorFiles(tmp_path / "b.parquet")
    chosen = VectorFiles(tmp_path / "b.parquet", (), VectorSettings("key", "other"))
    assert list(chosen.ids()) == ["x", "y"]
    for wrong in (VectorSettings("absent"), VectorSettings(vector_column="text")):
        with pytest.raises(InputError, match=r"b\.parquet: (has no column|the column 'text' is)"):
            VectorFiles(tmp_path / "b.parquet", (), wrong)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match="has none of the columns id, _id"):
        VectorFiles(tmp_path / "c.parquet")


@pytest.mark.parametrize("written", ["txt", "gz", "crlf", "json", "str", "bytes", "int"])
def test_files_of_ids(written: str, tmp_path: Path) -> None:
    npy(tmp_path / "v.npy", matrix(5000))
    names = [str(n) if written == "int" else f"wiki: {n} é\u2028x" for n in range(5000)]
    path = tmp_path / {"str": "i.npy", "bytes": "i.npy", "int": "i.npy", "json": "i.json"}.get(
        written, "i.txt"
    )
    lines = "".join(f"{name}\n" for name in names)
    if path.suffix == ".npy":
        array = {
            "str": lambda: np.array(names),
            "bytes": lambda: np.array([name.encode() for name in names]),
            "int": lambda: np.arange(5000),
        }[written]()
        np.save(path, array)
    elif written == "json":
        path.write_text(json.dumps(names))
    elif written == "gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_bytes(lines.replace("\n", "\r\n" if written == "crlf" else "\n").encode())
    prefix = "" if written == "int" else "wiki: "
    found = list(VectorFiles(tmp_path / "v.npy", path, VectorSettings(id_prefix=prefix)).ids())
    assert found == [name.removeprefix(prefix) for name in names]


def test_ids_for_each_file_must_fit_it(tmp_path: Path) -> None:
    for number, rows in enumerate((3, 4)):
        npy(tmp_path / f"{number}.npy", matrix(rows))
    (tmp_path / "0.txt").write_text("a\nb\nc\nd\n")
    (tmp_path / "1.txt").write_text("e\nf\ng\n")
    with pytest.raises(InputError, match=r"0\.txt: holds 4 ids; .*0\.npy has 3 vectors"):
        list(VectorFiles(tmp_path / "*.npy", tmp_path / "*.txt").ids())
    (tmp_path / "all.ids").write_text("a\nb\nc\nd\ne\nf\ng\n")
    assert list(VectorFiles(tmp_path / "*.npy", tmp_path / "all.ids").ids()) == list("abcdefg")
    for text in ("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nd\ne\nf\ng\nh\n"):
        (tmp_path / "all.ids").write_text(text)
        with pytest.raises(InputError, match=r"there are [68] ids for 7 vectors"):
            list(VectorFiles(tmp_path / "*.npy", tmp_path / "all.ids").ids())


BAD_IDS: dict[str, tuple[str, bytes, str]] = {
    "an empty line": ("i.txt", b"a\n\nb\n", "i.txt:2: the id is empty"),
    "no UTF-8": ("i.txt", b"a\n\xff\nc\n", "i.txt:2: not UTF-8"),
    "a NUL": ("i.txt", b"a\n\0\nc\n", "i.txt:2: NUL"),
    "no JSON": ("i.json", b"[1, 2", "is no JSON"),
    "a JSON object": ("i.json", b"{}", "holds dict"),
    "a number with a point": ("i.json", b"[1, 2.5, 3]", "holds float .entry 1"),
    "true": ("i.json", b"[1, true, 3]", "holds bool .entry 1"),
    "truncated gzip": ("i.txt", gzip.compress(b"a\nb\nc\n")[:-9], "truncated"),
    "no prefix": ("i.txt", b"p:a\nq:b\np:c\n", r"v\.npy: row 1 .* does not begin with 'p:'"),
    "nothing but the prefix": ("i.txt", b"p:a\np:\np:c\n", r"v\.npy: row 1 .* is empty or"),
}


@pytest.mark.parametrize("case", BAD_IDS)
def test_ids_that_are_none(case: str, tmp_path: Path) -> None:
    name, data, what = BAD_IDS[case]
    npy(tmp_path / "v.npy", matrix(3))
    (tmp_path / name).write_bytes(data)
    prefix = "p:" if "prefix" in case else ""
    with pytest.raises(InputError, match=what):
        list(VectorFiles(tmp_path / "v.npy", tmp_path / name, VectorSettings("", "", prefix)).ids())


class _Mkdir:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return eval, (f"__import__('os').mkdir({self.path!r})",)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    """Arrays of objects, pickles and torch's files: none of them runs anything."""
    canary = tmp_path / "fired"
    objects = np.empty((2, 2), object)
    objects[:] = _Mkdir(str(canary))
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    npy(tmp_path / "v.npy", matrix(2))
    with pytest.raises(InputError, match=r"objects\.npy: cannot be read as a NumPy file"):
        VectorFiles(tmp_path / "objects.npy")
    np.save(tmp_path / "ids.npy", objects[0], allow_pickle=True)
    with pytest.raises(InputError, match=r"ids\.npy: cannot be read.*dtype=str"):
        list(VectorFiles(tmp_path / "v.npy", tmp_path / "ids.npy").ids())
    (tmp_path / "a.npy").write_bytes(pickle.dumps([_Mkdir(str(canary))]))
    (tmp_path / "b.pkl").write_bytes(pickle.dumps([_Mkdir(str(canary))], 0))
    for name in ("a.npy", "b.pkl"):
        with pytest.raises(InputError, match=r"is a pickle, which could run code.*dpr convert"):
            VectorFiles(tmp_path / name)
    assert not canary.exists()


@pytest.mark.parametrize(
    "array",
    [
        np.ones(3, np.float32),
        np.ones((3, 2, 2), np.float32),
        np.ones((3, 2), np.int8),
        np.ones((3, 2), np.complex64),
        np.ones((3, 0), np.float32),
        np.ones((3, 2), "U3"),
        np.float32(1),
    ],
)
def test_arrays_that_are_no_vectors(array: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(InputError, match=r"v\.npy: holds an array of shape"):
        VectorFiles(tmp_path / "v.npy")


def test_kinds_and_lengths_are_one(tmp_path: Path) -> None:
    npy(tmp_path / "0.npy", matrix(3, 4))
    npy(tmp_path / "1.npy", matrix(3, 5))
    parquet(tmp_path / "a.parquet", ["a"], matrix(1))
    (tmp_path / "x.bin").write_bytes(b"whatever")
    npy(tmp_path / "none.dat.npy", matrix(0))
    for files, ids, what in (
        ("*.npy", (), r"1\.npy: has vectors of 5 numbers; .*0\.npy has 4"),
        ("[0a].*", (), "NumPy and in Parquet"),
        ("a.parquet", tmp_path / "x.bin", "give no files of ids"),
        ("x.bin", (), "is neither a NumPy file"),
        ("none.dat.npy", (), "no vectors in it"),
        ("absent.npy", (), "no such file"),
        ("absent*", (), "no such file"),
    ):
        with pytest.raises(InputError, match=what):
            VectorFiles(tmp_path / files, ids)
    with pytest.raises(InputError, match="given twice"):
        VectorFiles([tmp_path / "0.npy", tmp_path / "0.*"])
    with pytest.raises(InputError, match="no files of vectors"):
        VectorFiles([])


def row_faults() -> list[tuple[list[Any], Any, str]]:
    good = [[1.0, 2.0]] * 5000
    faults: list[tuple[Any, str]] = [
        (None, "has no vector"),
        ([1.0], "the vector has 1 numbers; expected 2"),
        ([], "the vector has 0 numbers; expected 2"),
        ([1.0, None], "the vector holds a null"),
    ]
    found = [([*good[:4500], value, *good], pa.list_(pa.float32()), what) for value, what in faults]
    fixed = pa.list_(pa.float32(), 2)
    return [*found, *(([*good[:4500], v, *good], fixed, w) for v, w in (faults[0], faults[3]))]


@pytest.mark.parametrize(("values", "kind", "what"), row_faults())
def test_parquet_vectors_that_are_none(values: Any, kind: Any, what: str, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", list(range(len(values))), values, kind)
    table = VectorFiles(path)
    with pytest.raises(InputError, match=rf"a\.parquet: row 4500, counted from 0: {what}"):
        for first in range(0, len(values), 500):
            table.take(np.arange(first, min(first + 500, len(values))))


@pytest.mark.parametrize("ids", [["a", None, "c"], [1.5, 2.5, 3.5], [b"a", b"b", b"c"]])
def test_parquet_ids_that_are_none(ids: Any, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", ids, matrix(3))
    with pytest.raises(InputError, match=r"a\.parquet: row [01], counted from 0: the id is"):
        list(VectorFiles(path).ids())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_vectors_must_be_finite_and_not_zero(bad: float, kind: str, tmp_path: Path) -> None:
    for number in range(2):
        array = matrix(10)
        if number:
            array[3, 2] = bad
            array[8] = 0
        name = tmp_path / f"{number}.{kind}"
        npy(name, array) if kind == "npy" else parquet(name, list(range(10)), array)
    table = VectorFiles(tmp_path / f"*.{kind}")
    table.take(np.arange(13))
    with pytest.raises(InputError, match=rf"1\.{kind}: row 3 \(counted from 0\).* NaN or infinity"):
        table.take(np.array([14, 13, 2]))
    with pytest.raises(InputError, match=rf"1\.{kind}: row 8 \(counted from 0\).* is all zero"):
        table.take(np.array([17, 18, 0]))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_give_documented_errors(tmp_path: Path, data: st.DataObject) -> None:
    """Bits flipped and ends cut off, in NumPy and Parquet files."""
    kind = data.draw(st.sampled_from(["npy", "parquet"]))
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        npy(path, np.ones((5, 3), np.float32))
    else:
        parquet(path, list("abcde"), np.ones((5, 3), np.float32))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))
    path.write_bytes(bytes(raw[:cut]))
    try:
        table = VectorFiles(path)
        list(table.ids() if kind == "parquet" else ())
        table.take(np.arange(table.rows))
    except InputError:
        pass


def test_a_pattern_counts_as_people_do(tmp_path: Path) -> None:
    for number in (10, 9, 1, 100, 2):
        (tmp_path / f"shard_{number}.npy").touch()
    found = [one.name for one in find_files(str(tmp_path / "shard_*.npy"), "vectors")]
    assert found == [f"shard_{number}.npy" for number in (1, 2, 9, 10, 100)]
    odd = tmp_path / "a[1].npy"
    odd.touch()
    assert find_files(odd, "vectors") == (odd,)


def test_the_digest_is_of_contents_and_reading(tmp_path: Path) -> None:
    npy(tmp_path / "v.npy", matrix(3))
    (tmp_path / "i.txt").write_text("a\nb\nc\n")

    def digest(prefix: str = "") -> str:
        files = VectorFiles(
            tmp_path / "v.npy", tmp_path / "i.txt", VectorSettings(id_prefix=prefix)
        )
        return files.digest()

    first = digest()
    assert len(bytes.fromhex(first)) == hashlib.sha256().digest_size
    assert digest() == first != digest("x")
    (tmp_path / "i.txt").write_text("a\nc\nb\n")
    assert digest() != first
