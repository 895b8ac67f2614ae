"""``convert``: from and to sentence-transformers folders; checkpoints are tried in tests/models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dpr.interchange.dual import DualEncoder

from .conftest import Run

TEXTS = ["paris is the old city", "bread"]


def test_to_a_sentence_transformers_folder_and_back(run: Run, model: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "exported", tmp_path / "back"
    done = run("convert", model, "--to", there, "--sentence-transformers", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"folders": [str(there)]}
    assert (there / "modules.json").is_file()
    assert run("convert", there, "--to", back).exit_code == 0
    wanted = DualEncoder.from_pretrained(str(model)).encode_document(TEXTS)
    found = DualEncoder.from_pretrained(str(back)).encode_document(TEXTS)
    assert np.abs(np.asarray(wanted) - np.asarray(found)).max() < 1e-5


def test_a_folder_that_is_not_empty_stays(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    done = run("convert", model, "--to", tmp_path / "full", "--sentence-transformers")
    assert done.exit_code == 1
    assert [one.name for one in (tmp_path / "full").iterdir()] == ["mine.txt"]
