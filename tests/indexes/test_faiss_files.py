"""Streams and files against faiss's own."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import faiss
import numpy as np
import pytest

from dpr.errors import CollectionError, MissingExtraError
from dpr.indexes import faiss_files


def index(rows: int = 2000) -> faiss.Index:
    made = faiss.IndexHNSWFlat(64, 8)
    made.add(np.random.default_rng(0).standard_normal((rows, 64)).astype(np.float32))
    return made


def test_the_stream_is_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """In many pieces, more than may wait."""
    monkeypatch.setattr(faiss_files, "CHUNK_BYTES", 4096)
    made = index()
    pieces = list(faiss_files.chunks(made))
    assert len(pieces) > faiss_files.WAITING
    assert b"".join(pieces) == faiss.serialize_index(made).tobytes()


@pytest.mark.parametrize("taken", [0, 1, 40])
def test_a_stream_that_is_left_ends_its_thread(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_files, "CHUNK_BYTES", 4096)
    before = threading.active_count()
    stream = faiss_files.chunks(index())
    for _ in range(taken):
        next(stream)
    stream.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("mapped", [True, False])
def test_reads_what_was_written(mapped: bool, tmp_path: Path) -> None:
    made, path = index(), tmp_path / "index"
    path.write_bytes(b"".join(faiss_files.chunks(made)))
    query = np.ones((3, 64), np.float32)
    found = faiss_files.read(path, mapped=mapped).search(query, 5)
    np.testing.assert_array_equal(found[1], made.search(query, 5)[1])


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(b"none at all")
    with pytest.raises(CollectionError, match=r"index: faiss .* cannot read .* build the index"):
        faiss_files.read(path)


def test_the_selector_selects() -> None:
    rng = np.random.default_rng(1)
    for rows in (1, 7, 8, 1000):
        mask = rng.random(rows) < 0.5
        selector, _bits = faiss_files.selector(mask)
        assert [selector.is_member(row) for row in range(rows)] == mask.tolist()
    assert faiss_files.selector(None) == (None, None)


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"dense-passage-retrieval\[search\]"):
        faiss_files.library()
