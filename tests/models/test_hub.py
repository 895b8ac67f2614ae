"""Folders and hub names: what counts as which, and the hub's errors in our words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import huggingface_hub
import pytest
from huggingface_hub import errors

from dpr.errors import CheckpointError, SettingsError
from dpr.models.hub import HubOptions, find_files, local_folder

REVISION = "0123456789abcdef0123456789abcdef01234567"


def cached(cache: Path, repo: str, **files: str) -> Path:
    """A cache as huggingface_hub leaves it after downloads."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(REVISION)
    for name, text in files.items():
        (snapshot / name.replace("_json", ".json")).write_text(text)
    return snapshot


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("asked the hub")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)


@pytest.mark.usefixtures("no_network")
def test_a_local_folder_is_never_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "owner" / "name"
    (folder / "part").mkdir(parents=True)
    (folder / "b.json").touch()
    (folder / "part" / "a.json").touch()
    monkeypatch.chdir(tmp_path)
    options = HubOptions()
    assert find_files("owner/name", ["a.json", "b.json"], options) == Path("owner/name/b.json")
    assert find_files(folder, ["a.json"], options) is None
    assert find_files(folder, ["a.json"], HubOptions(subfolder="part")) is not None
    with pytest.raises(CheckpointError, match="has no folder 'other'"):
        find_files(folder, ["a.json"], HubOptions(subfolder="other"))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    "name",
    [
        "./none",
        "../none",
        "~/no-such-folder",
        "/none",
        "a/b/c",
        "a//b",
        "a b/c",
        "",
        "C:\\x",
        "a/..",
    ],
)
def test_what_is_no_folder_and_no_hub_name_says_so(name: str) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        find_files(name, ["config.json"], HubOptions())


@pytest.mark.usefixtures("no_network")
def test_files_paths_and_odd_names(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="is a file; give the folder"):
        local_folder(tmp_path / "model.safetensors", HubOptions())
    with pytest.raises(CheckpointError, match="no such folder"):
        local_folder(Path("owner/name"), HubOptions())  # a Path is never a hub name
    with pytest.raises(CheckpointError, match="NUL"):
        local_folder("a\0b", HubOptions())
    for name in ("../x", "a/b", "/x", "..", "", "a\\b", "C:x", "x\0"):
        with pytest.raises(CheckpointError, match="refuses the file name"):
            find_files(tmp_path, [name], HubOptions())


def test_a_filled_cache_is_enough_offline(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, "owner/name", config_json="{}")
    options = HubOptions(cache_dir=tmp_path, local_files_only=True)
    assert find_files("owner/name", ["other.json", "config.json"], options) == (
        snapshot / "config.json"
    )
    assert find_files("owner/name", ["other.json"], options) is None
    assert find_files("owner/unknown", ["config.json"], options) is None
    by_commit = HubOptions(cache_dir=tmp_path, local_files_only=True, revision=REVISION)
    assert find_files("owner/name", ["config.json"], by_commit) == snapshot / "config.json"


def test_a_model_loads_from_a_cache_offline(tmp_path: Path) -> None:
    from dpr.models.dpr import DPRQuestionEncoder

    from .small import same, tiny

    model = DPRQuestionEncoder(tiny())
    model.save_pretrained(tmp_path / "saved", max_shard_size="20KB")
    snapshot = cached(tmp_path / "cache", "owner/name")
    shutil.copytree(tmp_path / "saved", snapshot / "question_encoder")
    loaded = DPRQuestionEncoder.from_pretrained(
        "owner/name",
        cache_dir=tmp_path / "cache",
        local_files_only=True,
        subfolder="question_encoder",
    )
    assert same(model, loaded)
    assert loaded.name_or_path == "owner/name"
    with pytest.raises(CheckpointError, match=r"has no config\.json.*downloaded before"):
        DPRQuestionEncoder.from_pretrained(
            "owner/name", cache_dir=tmp_path / "cache", local_files_only=True
        )


class _Response:
    """As much of a response as the hub's errors look at."""

    headers: ClassVar[dict[str, str]] = {}
    request = None
    status_code = 404


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.RepositoryNotFoundError("x", response=_Response()), "no such repository"),
        (errors.GatedRepoError("x", response=_Response()), "is gated"),
        (errors.RevisionNotFoundError("x", response=_Response()), "no revision 'v9'"),
        (ConnectionError("reset by peer"), "reset by peer"),
        (errors.HFValidationError("bad name"), "bad name"),
    ],
)
def test_the_hubs_errors_say_what_to_do(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(CheckpointError, match=says):
        find_files("owner/name", ["config.json"], HubOptions(revision="v9"))


def test_options_are_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def download(repo_id: str, filename: str, **keywords: Any) -> str:
        seen.update(keywords, repo_id=repo_id, filename=filename)
        return str(tmp_path / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    keywords = {"revision": "v1", "token": "t", "subfolder": None, "force_download": True, "x": 1}
    options = HubOptions.take(keywords)
    assert keywords == {"x": 1}
    assert find_files("owner/name", ["config.json"], options) == tmp_path / "config.json"
    assert seen == {
        "repo_id": "owner/name",
        "filename": "config.json",
        "subfolder": None,
        "revision": "v1",
        "cache_dir": None,
        "local_files_only": False,
        "token": "t",
        "force_download": True,
    }


def test_a_subfolder_may_not_leave_the_folder() -> None:
    for subfolder in ("..", "a/../..", "/a", "\\a", "C:\\a", "a\0b"):
        with pytest.raises(SettingsError, match="subfolder"):
            HubOptions(subfolder=subfolder)
