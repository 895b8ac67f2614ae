"""``convert``: from and to sentence-transformers folders, and from a checkpoint to an index.
More of checkpoints in tests/models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from dpr.interchange.dual import DualEncoder
from dpr.models import DPRQuestionEncoder

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


def test_convert_gives_folders_that_index(
    run: Run, model: Path, documents: Path, tmp_path: Path
) -> None:
    stack = DPRQuestionEncoder.from_pretrained(model / "question_encoder").state_dict()
    bare = {key.split("bert_model.", 1)[1]: value for key, value in stack.items()}
    saved = {f"{t}_model.{key}": value for t in ("question", "ctx") for key, value in bare.items()}
    # A base configuration is given since 4 heads of 8 cannot be told from the weights.
    torch.save({"model_dict": saved}, tmp_path / "tiny.cp")
    base = model / "question_encoder"
    convert = ("convert", tmp_path / "tiny.cp", "--to", tmp_path / "m", "--base-config", base)
    without = run(*convert)
    assert without.exit_code == 0, without.stderr
    assert "--tokenizer-from" in without.stderr
    converted = run(*convert, "--tokenizer-from", model, "--json")
    assert converted.exit_code == 0, converted.stderr
    folders = [Path(one) for one in json.loads(converted.stdout)["folders"]]
    assert [folder.name for folder in folders] == ["question_encoder", "ctx_encoder"]
    made = run("index", documents, "--to", tmp_path / "c", "--model", tmp_path / "m")
    assert made.exit_code == 0, made.stderr

    nonsense = run("convert", documents, "--to", tmp_path / "n")
    assert nonsense.exit_code == 1
    assert nonsense.stderr.startswith("error: ")
