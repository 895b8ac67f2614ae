"""Binary codes against a slow twin in plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import FolderBench

from dpr.errors import CollectionError
from dpr.indexes import binary
from dpr.indexes.binary import BinaryEffort, BinaryFinder, BinarySettings
from dpr.indexes.stored import StoredVectors

VECTORS = np.random.default_rng(0).standard_normal((700, 13)).astype(np.float32) + 0.2
QUERIES = np.random.default_rng(1).standard_normal((9, 13)).astype(np.float32)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_finds_the_rows_that_differ_least(
    centred: bool, masked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "BLOCK_ROWS", 64)
    bench = FolderBench(tmp_path)
    binary.build(BinarySettings(centred), StoredVectors([VECTORS]), bench)
    finder = BinaryFinder(tmp_path / binary.NAME, 13)
    allowed = np.random.default_rng(2).random(700) < 0.4 if masked else None
    scores, rows = finder.find(QUERIES, 50, allowed, BinaryEffort(), 1)
    origin = VECTORS.astype(np.float64).mean(axis=0) if centred else 0
    differing = ((QUERIES > 0)[:, None] != (origin < VECTORS)[None]).sum(axis=2)
    np.testing.assert_array_equal(np.take_along_axis(differing, rows, axis=1), -scores)
    if allowed is not None:
        assert allowed[rows].all()
        differing[:, ~allowed] = 99
    np.testing.assert_array_equal(np.sort(-scores, axis=1), np.sort(differing, axis=1)[:, :50])


def test_vectors_that_are_signs_are_told_apart_as_without_a_centre(tmp_path: Path) -> None:
    signs = np.where(VECTORS > 0.5, np.float32(1), np.float32(-1))
    found = []
    for centred in (True, False):
        (tmp_path / str(centred)).mkdir()
        bench = FolderBench(tmp_path / str(centred))
        binary.build(BinarySettings(centred), StoredVectors([signs]), bench)
        finder = BinaryFinder(bench.folder / binary.NAME, 13)
        found.append(finder.find(QUERIES, 50, None, BinaryEffort(), 1))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_file_is_as_described(tmp_path: Path) -> None:
    binary.build(BinarySettings(), StoredVectors([VECTORS]), FolderBench(tmp_path))
    data = (tmp_path / binary.NAME).read_bytes()
    origin = np.frombuffer(data[: 4 * 13], "<f4")
    np.testing.assert_allclose(origin, VECTORS.mean(axis=0), rtol=1e-5)
    assert len(data) == BinarySettings().bytes(700, 13) == 4 * 13 + 700 * 2
    for row in (0, 5, 699):
        first, second = data[52 + 2 * row], data[53 + 2 * row]
        bits = [first >> place & 1 for place in range(8)] + [
            second >> place & 1 for place in range(5)
        ]
        assert bits == (VECTORS[row] > origin).astype(int).tolist()


@pytest.mark.parametrize("length", [0, 52, 53, 52 + 3])
def test_another_length_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "codes"
    path.write_bytes(b"x" * length)
    with pytest.raises(CollectionError, match="no binary codes of 13 numbers"):
        BinaryFinder(path, 13)
