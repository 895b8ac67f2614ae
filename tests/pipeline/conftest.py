"""Collections that are changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dpr.encoding import ContextEncoder, Vectors
from dpr.pipeline import index

from .changes import FLOAT32, SPLIT, TEXTS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for name, text in TEXTS.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    return source


@pytest.fixture
def made(folder: Path, tiny_model: Path, tmp_path: Path) -> Path:
    place = tmp_path / "made"
    index(folder, place, model=tiny_model, split=SPLIT, build=FLOAT32)
    return place


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of all passages that are encoded from now on."""
    texts: list[str] = []
    encode = ContextEncoder.encode

    def counting(self: ContextEncoder, passages: Sequence[Any], *more: Any) -> Vectors:
        texts.extend(passage.text for passage in passages)
        return encode(self, passages, *more)

    monkeypatch.setattr(ContextEncoder, "encode", counting)
    return texts
