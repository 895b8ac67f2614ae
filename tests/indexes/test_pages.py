"""Pages of memory maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pytest

from dpr.indexes import pages
from dpr.indexes.pages import fetch, let_go, outgrows_memory
from dpr.indexes.stored import StoredVectors

ROWS, DIM = 1 << 15, 256


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """32 MB."""
    np.save(tmp_path / "v.npy", np.arange(ROWS * DIM, dtype=np.float32).reshape(ROWS, DIM))
    return tmp_path / "v.npy"


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def test_what_was_read_of_a_map_is_given_back_and_can_be_read_again(path: Path) -> None:
    values = np.load(path, mmap_mode="r")
    before = resident()
    total = float(np.asarray(values).sum(dtype=np.float64))
    held = resident() - before
    let_go(np.asarray(values)[5:].T)  # any view of it will do
    assert held > 25e6
    assert resident() - before < held - 25e6
    assert float(values.sum(dtype=np.float64)) == total


def test_what_was_written_is_never_dropped(path: Path) -> None:
    values = np.load(path, mmap_mode="c")
    values[7] = -1
    let_go(values)
    assert (values[7] == -1).all()
    plain = np.ones(3)
    let_go(plain)
    assert (plain == 1).all()


def test_what_is_asked_for_is_what_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.load(path, mmap_mode="r")
    wanted = np.array(values)
    fetch(values, [(0, 1), (ROWS - 1, ROWS + 5), (17, 17), (5, 300)])
    fetch(values[100:], [(0, ROWS)])
    fetch(np.ones((3, 4)), [(0, 3)])
    np.testing.assert_array_equal(values, wanted)
    assert not outgrows_memory(values) and not outgrows_memory(wanted)
    monkeypatch.setattr(pages, "_memory", lambda: values.nbytes)
    assert outgrows_memory(values) and not outgrows_memory(wanted)
    rows = np.array([5, 17, 5, ROWS - 1])
    np.testing.assert_array_equal(StoredVectors([values]).take(rows), wanted[rows])


def test_reading_all_vectors_holds_little(path: Path) -> None:
    stored = StoredVectors([np.load(path, mmap_mode="r")])
    before = resident()
    assert stored.longest() > 0
    assert resident() - before < 30e6
