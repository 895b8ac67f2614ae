from __future__ import annotations

from pathlib import Path

import pytest

from dpr import shipped
from dpr.errors import CheckpointError
from dpr.shipped import ModelNames, find_models, find_reader, is_shipped


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
    with pytest.raises(CheckpointError, match=r"no model 'none'.*other, some-model.*to dpr index"):
        find_models("none")


def test_a_folder_without_towers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no dual encoder"):
        find_models(str(tmp_path))


def test_a_folder_of_the_same_name_does_not_take_a_shipped_models_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = folders(tmp_path / "packaged", "mini/encoder")
    here = folders(tmp_path / "here", "mini/encoder", "own/encoder")
    monkeypatch.setattr(shipped, "_PLACES", (packaged,))
    monkeypatch.chdir(here)
    assert find_models("mini").question == str(packaged / "mini" / "encoder")
    assert find_models("./mini").question == str(Path("mini") / "encoder")
    assert find_models("own").question == str(Path("own") / "encoder")


def test_a_reader_may_be_one_level_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = folders(tmp_path / "run" / "best", "reader")
    packaged = folders(tmp_path / "packaged", "mini/encoder", "mini/reader")
    monkeypatch.setattr(shipped, "_PLACES", (packaged,))
    assert find_reader(str(trained)) == str(trained / "reader")
    assert find_reader(str(trained / "reader")) == str(trained / "reader")
    assert find_reader("mini") == str(packaged / "mini" / "reader")
    assert find_reader("owner/name") == "owner/name"
    (trained / "config.json").write_text("{}")  # then the folder is itself a model
    assert find_reader(str(trained)) == str(trained)


def test_what_is_shipped_is_told_from_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = folders(tmp_path / "packaged", "some-model/reader")
    own = folders(tmp_path / "own", "reader")
    (tmp_path / "link").symlink_to(packaged / "some-model")
    monkeypatch.setattr(shipped, "_PLACES", (packaged, tmp_path / "none"))
    assert is_shipped(str(packaged / "some-model" / "reader"))
    assert is_shipped(str(tmp_path / "link" / "reader"))
    assert not is_shipped(str(own / "reader")) and not is_shipped("a/hub-id")
