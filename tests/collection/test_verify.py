"""Checking while somebody writes: a version whose files are gone is no damage, damage still is."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from builds import HashEncoder, build, passages

from dpr.collection import add_documents, compact, named, read_manifest, remove_documents, verify

VERIFY = import_module("dpr.collection.verify")  # the package calls the function the same


def between(monkeypatch: pytest.MonkeyPatch, name: str, write: Callable[[], Any]) -> None:
    """Something is written once, before a step of the checking."""
    step, left = getattr(VERIFY, name), [write]

    def patched(*args: Any) -> Any:
        if left:
            left.pop()()
        return step(*args)

    monkeypatch.setattr(VERIFY, name, patched)


@pytest.mark.parametrize("step", ["_check_bytes", "_check_copy", "check_files", "_check_vectors"])
def test_a_version_that_is_replaced_meanwhile_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    folder = tmp_path / "c"
    build(folder, 20)
    remove_documents(folder, named(["p3"]))
    between(monkeypatch, step, lambda: compact(folder))
    assert verify(folder) == []
    assert read_manifest(folder).version == 3


def test_damage_is_found_whatever_is_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "c"
    build(folder, 20)
    path = folder / "segments" / "0001" / "vectors.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    more = list(passages(25))[20:]
    between(monkeypatch, "check_files", lambda: add_documents(folder, more, HashEncoder()))
    (finding,) = verify(folder)
    assert finding.file == "segments/0001/vectors.npy"
    assert read_manifest(folder).version == 2
