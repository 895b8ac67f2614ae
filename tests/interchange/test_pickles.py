"""Pickled vectors as rows: equal to what an unpickler gives, and nothing in them ever runs."""

from __future__ import annotations

import io
import pickle
import pickletools
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.hostile import PAYLOADS, UNVERIFIED, call, reduced, text

from dpr.errors import InputError
from dpr.interchange.pickles import convert_vectors, read_pickled


def rows(count: int, dim: int = 8, dtype: str = "float32", first: int = 0) -> list[Any]:
    random = np.random.default_rng(first)
    vectors = random.normal(size=(count, dim)).astype(dtype)
    return [(f"wiki:{first + n}", vectors[n]) for n in range(count)]


def read(path: Path) -> tuple[list[str], np.ndarray[Any, Any]]:
    portions = list(read_pickled(path))
    ids = [one for some, _ in portions for one in some]
    return ids, np.concatenate([vectors for _, vectors in portions])


def pickled(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def older(data: bytes) -> bytes:
    """As a NumPy before 2 names its own functions."""
    return data.replace(b"numpy._core.", b"numpy.core.")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_rows_are_those_that_were_pickled(protocol: int, dtype: str, tmp_path: Path) -> None:
    given_rows = rows(2500, 8, dtype)
    ids, vectors = read(pickled(tmp_path / "a.pkl", given_rows, protocol))
    assert ids == [one for one, _ in given_rows]
    assert vectors.dtype.newbyteorder("=") == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(vectors, np.stack([vector for _, vector in given_rows]))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3])
def test_names_of_older_numpy(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(older(pickle.dumps(rows(3), protocol)))
    assert read(path)[0] == ["wiki:0", "wiki:1", "wiki:2"]


def test_python_pickler_and_streams_and_numbers_as_ids(tmp_path: Path) -> None:
    """The pickler in Python writes other opcodes than that in C; optimized pickles have no memo."""
    values = [(n, vector) for n, (_, vector) in enumerate(rows(1200))]
    buffer = io.BytesIO()
    pickle._Pickler(buffer, 3).dump(values)  # type: ignore[attr-defined]
    for data in (buffer.getvalue(), pickletools.optimize(buffer.getvalue())):
        path = tmp_path / "a.pkl"
        path.write_bytes(data)
        ids, vectors = read(path)
        assert ids == [str(n) for n in range(1200)]
        assert np.array_equal(vectors, np.stack([vector for _, vector in values]))


def test_views_and_repeated_objects(tmp_path: Path) -> None:
    """Slices, transposed and read-only arrays; one array and one id object under several rows."""
    base = np.arange(48, dtype=np.float32).reshape(6, 8)
    frozen = base[2].copy()
    frozen.setflags(write=False)
    values = [("a", base[0]), ("b", base[:, ::-1][1]), ("c", frozen), ("d", base[0])]
    for protocol in range(6):
        ids, vectors = read(pickled(tmp_path / "a.pkl", values, protocol))
        assert ids == ["a", "b", "c", "d"]
        assert np.array_equal(vectors, np.stack([vector for _, vector in values]))


def test_memory_is_that_of_a_portion(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = pickled(tmp_path / "a.pkl", rows(count, 256))
        tracemalloc.start()
        assert sum(len(ids) for ids, _ in read_pickled(path)) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    # The first portion is held for what refers to it; a later one would be a third.
    assert peak(5000) < 1.1 * peak(3000)


# Nothing runs.


def in_a_list(inner: bytes) -> bytes:
    """As a row among others."""
    return b"\x80\x04](" + text("1") + inner + b"\x86e."


def as_state(inner: bytes) -> bytes:
    """As the numbers of an array."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    return b"\x80\x04](" + text("1") + array + b"(K\x01K\x01\x85" + inner + b"\x89C\x00tb\x86e."


def objects(canary: str) -> bytes:
    """An array of objects, the only element of which is a call."""
    kind = (
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8\x89\x88tR(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xff"
    )
    kind += b"J\xff\xff\xff\xffK?tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    state = b"(K\x01K\x01\x85" + kind + b"\x89](" + call(canary) + b"etb"
    return b"\x80\x04](" + text("1") + array + state + b"\x86e."


MORE: dict[str, Callable[[str], bytes]] = {
    "as a vector": lambda c: in_a_list(call(c)),
    "as an id": lambda c: b"\x80\x04](" + call(c) + text("1") + b"\x86e.",
    "as a state": lambda c: as_state(call(c)),
    "an array of objects": objects,
    "before the list": lambda c: call(c) + b"0]" + b".",
    "after rows": lambda c: pickle.dumps(rows(3), 4)[:-1] + b"0" + call(c) + b".",
    "remembered": lambda c: call(c) + b"\x94" + b"0].",
    "instead of ndarray": lambda c: (
        b"\x80\x04](" + text("1") + b"cnumpy.core.multiarray\n_reconstruct\n(cposix\nmkdir\n"
        + text(c) + b"\x85C\x01btR\x86e."
    ),
    "a dtype of a call": lambda c: in_a_list(b"cnumpy\ndtype\n(" + call(c) + b"tR"),
    "numpy.load": lambda c: in_a_list(reduced("numpy", "load", c)),
    "numpy's scalar": lambda c: in_a_list(b"cnumpy.core.multiarray\nscalar\n(" + call(c) + b"tR"),
    "numpy.memmap": lambda c: in_a_list(reduced("numpy", "memmap", c)),
    "stack global": lambda c: b"\x80\x04" + text("posix") + text("mkdir") + b"\x93" + text(c)
    + b"\x85R.",
}  # fmt: skip


@pytest.mark.parametrize("name", [*PAYLOADS, *UNVERIFIED, *MORE])
def test_no_payload_fires(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "fired"
    path = tmp_path / "a.pkl"
    path.write_bytes((PAYLOADS | UNVERIFIED | MORE)[name](str(canary)))
    with pytest.raises(InputError, match=r"a\.pkl"):
        convert_vectors([path], tmp_path / "out")
    assert not canary.exists()
    assert not list((tmp_path / "out").iterdir())


HARMLESS = ("numpy.load", "numpy.memmap", "instead of ndarray")  # NumPy itself stops these


@pytest.mark.parametrize("name", [name for name in MORE if name not in HARMLESS])
def test_the_others_do_fire_in_an_unpickler(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "fired"
    with suppress(Exception):  # after the deed, some of them fall over
        pickle.loads(MORE[name](str(canary)))
    assert canary.exists()


VECTOR = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([], "holds no rows"),
        ({"a": VECTOR}, "refuses the opcode EMPTY_DICT"),
        ([[1, 2]], "a list within the list"),
        ([("a", [1.0, 2.0])], "a list within the list"),
        (("a", VECTOR), "refuses anything but a list"),
        ("text", "refuses anything but a list"),
        ([("a", VECTOR, 1)], "row 0, counted from 0: is no pair"),
        ([("a", VECTOR), ("b", None)], "row 1, counted from 0: its vector is NoneType"),
        ([(None, VECTOR)], "its id is NoneType"),
        ([(True, VECTOR)], "its id is bool"),
        ([("a", VECTOR.astype(np.int32))], "not of float16, float32 or float64"),
        ([("a", np.ones((2, 2), np.float32))], "not a single row"),
        ([("a", VECTOR), ("b", VECTOR[:3])], "row 1, counted from 0: its vector has 3 float32"),
        ([("a", VECTOR), ("b", VECTOR.astype(np.float64))], "4 float64 numbers, the first one 4"),
        ([("a\nb", VECTOR)], "does not fit into a line"),
    ],
)
def test_other_values_are_refused(value: Any, what: str, tmp_path: Path) -> None:
    for protocol in (2, 4, 5):
        path = pickled(tmp_path / "a.pkl", value, protocol)
        with pytest.raises(InputError, match=what):
            convert_vectors([path], tmp_path / "out")
        assert not list((tmp_path / "out").iterdir())


def test_arrays_whose_numbers_do_not_fit_their_shape(tmp_path: Path) -> None:
    data = pickle.dumps([("a", np.ones(4, np.float32))], 3)
    assert data.count(b"K\x04\x85") == 1
    for shape in (
        b"K\x05\x85",
        b"K\x03\x85",
        b"J\xff\xff\xff\xff\x85",
        b"K\x02K\x02\x86",
        b"K\x00\x85",
    ):
        path = tmp_path / "a.pkl"
        path.write_bytes(data.replace(b"K\x04\x85", shape))
        with pytest.raises(InputError, match="row 0, counted from 0"):
            list(read_pickled(path))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04]" + b"(" * 400_000,
        b"\x80\x04]N" + b"\x85" * 400_000,  # a tuple in a tuple in a tuple
        b"\x80\x04]" + b"\x94" * 400_000,
        b"\x80\x04]" + b"2" * 100,
        b"\x80\x05]\x96" + (2**62).to_bytes(8, "little") + b"x",
        b"\x80\x04]\x8e" + (2**40).to_bytes(8, "little") + b"x",
        b"\x80\x04]T\xff\xff\xff\x7fx",
        b"V" + b"x" * 3_000_000,
        b"\x80\x04]L" + b"9" * 100_000 + b"L\n.",
        b"\x80\x04]\x8b" + (2**20).to_bytes(4, "little") + b"\x7f" * 2**20 + b"\x85.",
        b"\x80\x04](h\x05e.",
        b"\x80\x04]]]a.",
        b"0000",
        b"",
        b"\x80\x04",
        b".",
    ],
    ids=range(16),
)  # fmt: skip
def test_hostile_sizes_take_no_memory(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"a\.pkl"):
        list(read_pickled(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_give_documented_errors(tmp_path: Path, data: st.DataObject) -> None:
    protocol = data.draw(st.integers(0, 5))
    good = pickle.dumps(rows(4, 3), protocol)
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(bad)), st.integers(0, len(bad))))
    path = tmp_path / "a.pkl"
    path.write_bytes(bytes(bad[:cut]))
    try:
        read(path)
    except (InputError, ValueError) as error:
        assert isinstance(error, InputError), error


def test_conversion_writes_what_numpy_and_people_read(tmp_path: Path) -> None:
    files = []
    for shard in range(3):
        path = tmp_path / f"wikipedia_passages_{shard}.pkl"
        files.append(pickled(path, rows(1500, first=1500 * shard), protocol=3 + shard % 2))
    told: list[int] = []
    written = convert_vectors(files, tmp_path / "out", lambda a, b, count: told.append(count))
    assert told == [count for _, _, count in written] == [1500] * 3
    for file, (numbers, ids, _) in zip(files, written, strict=True):
        expected = pickle.loads(file.read_bytes())
        array = np.load(numbers)
        assert array.dtype == np.float32
        assert np.array_equal(array, np.stack([vector for _, vector in expected]))
        assert ids.read_text().splitlines() == [one for one, _ in expected]
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_names_must_differ(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    files = [pickled(tmp_path / folder / "x.pkl", rows(1)) for folder in "ab"]
    with pytest.raises(InputError, match="several files have the name 'x'"):
        convert_vectors(files, tmp_path / "out")


def test_a_file_that_fails_leaves_the_one_before_it(tmp_path: Path) -> None:
    good = pickled(tmp_path / "good.pkl", rows(3))
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(good.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"bad\.pkl: is no pickle of vectors, or is truncated"):
        convert_vectors([good, bad], tmp_path / "out")
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["good.ids.txt", "good.npy"]
