from __future__ import annotations

from pathlib import Path

import pytest

from dpr import shipped
from dpr.errors import CheckpointError
from dpr.shipped import ModelNames, find_models


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_tied_towers_share_a_folder(tmp_path: Path) -> None:
    root = folders(tmp_path, "encoder", "reader")
    encoder = str(root / "encoder")
    assert find_models(str(root)) == ModelNames(encoder, encoder, str(root / "reader"))


def test_two_towers_without_reader(tmp_path: Path) -> None:
    root = folders(tmp_path, "question_encoder", "ctx_encoder")
    assert find_models(str(root)) == ModelNames(
        str(root / "question_encoder"), str(root / "ctx_encoder"), ""
    )


def test_a_shipped_name_is_found_first_in_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = folders(tmp_path / "packaged", "some-model/encoder")
    checkout = folders(tmp_path / "checkout", "some-model/encoder", "other/encoder")
    monkeypatch.setattr(shipped, "_PLACES", (packaged, checkout))
    assert find_models("some-model").question == str(packaged / "some-model" / "encoder")
    assert find_models("other").question == str(checkout / "other" / "encoder")
    with pytest.raises(CheckpointError, match=r"no model 'none'.*other, some-model"):
        find_models("none")


def test_a_folder_without_towers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no dual encoder"):
        find_models(str(tmp_path))
