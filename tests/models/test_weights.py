"""Weight files: what is read, what is refused, what is written, and the hash over it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dpr.errors import CheckpointError, SettingsError
from dpr.models.weights import (
    find_weights,
    parse_size,
    read_tensors,
    weights_fingerprint,
    write_tensors,
)

WORDS = "embeddings.word_embeddings.weight"
NORM = "embeddings.LayerNorm.weight"


def tensors() -> dict[str, torch.Tensor]:
    return {WORDS: torch.arange(20.0).reshape(5, 4), NORM: torch.ones(4)}


def test_files_are_looked_for_in_the_documented_order(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no weights; looked for model\.safetensors"):
        find_weights(tmp_path)
    names = [
        "pytorch_model.bin.index.json",
        "pytorch_model.bin",
        "model.safetensors.index.json",
        "model.safetensors",
    ]
    for name in names:
        (tmp_path / name).touch()
        assert find_weights(tmp_path).name == name
    assert find_weights(tmp_path, use_safetensors=False).name == "pytorch_model.bin"
    (tmp_path / names[2]).unlink()
    (tmp_path / names[3]).unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        find_weights(tmp_path, use_safetensors=True)


@pytest.mark.parametrize("limit", ["5GB", 80, 1])
def test_what_is_written_is_read_again(tmp_path: Path, limit: int | str) -> None:
    write_tensors(tmp_path, tensors(), limit)
    found = read_tensors(find_weights(tmp_path))
    assert found.keys() == tensors().keys()
    assert all(torch.equal(found[key], value) for key, value in tensors().items())
    sharded = (tmp_path / "model.safetensors.index.json").exists()
    assert sharded == (limit != "5GB")
    if sharded:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == 96
        assert index["weight_map"] == {
            WORDS: "model-00001-of-00002.safetensors",
            NORM: "model-00002-of-00002.safetensors",
        }


def test_files_of_an_earlier_save_do_not_stay_in_force(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    write_tensors(tmp_path, tensors(), "5GB")
    write_tensors(tmp_path, {WORDS: torch.zeros(5, 4), NORM: torch.zeros(4)}, 1)
    assert float(read_tensors(find_weights(tmp_path))[WORDS].sum()) == 0
    write_tensors(tmp_path, tensors(), "5GB")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors", "notes.txt"]


def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tensors(tmp_path, tensors(), "5GB")
    before = (tmp_path / "model.safetensors").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write_tensors(tmp_path, {WORDS: torch.zeros(5, 4)}, "5GB")
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "size"), [(7, 7), ("5GB", 5 * 10**9), ("1.5 KB", 1500), ("2MiB", 2 * 2**20)]
)
def test_sizes(given: int | str, size: int) -> None:
    assert parse_size(given) == size


@pytest.mark.parametrize("given", [0, -1, "", "GB", "5TB", "much"])
def test_sizes_that_are_none(given: int | str) -> None:
    with pytest.raises(SettingsError, match="max_shard_size"):
        parse_size(given)


def index(folder: Path, weight_map: object, kind: str = "model.safetensors") -> Path:
    path = folder / f"{kind}.index.json"
    path.write_text(json.dumps({"weight_map": weight_map}))
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/model.safetensors",
        "a/b.safetensors",
        "a\\b.safetensors",
        "..\\x.safetensors",
        "C:x.safetensors",
        "..",
        "",
        "x.safetensors\0",
        "model.bin",
        "model.pkl",
        7,
        None,
    ],
)
def test_an_index_may_only_name_plain_files(tmp_path: Path, name: object) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    save_file(tensors(), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="allowed are files"):
        read_tensors(index(inside, {WORDS: name}))


def test_shards_that_do_not_fit_their_index(tmp_path: Path) -> None:
    save_file({WORDS: torch.zeros(2, 2)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="does not hold it"):
        read_tensors(index(tmp_path, {WORDS: "a.safetensors", NORM: "a.safetensors"}))
    with pytest.raises(CheckpointError, match=r"b\.safetensors, which is not there"):
        read_tensors(index(tmp_path, {WORDS: "b.safetensors"}))
    with pytest.raises(CheckpointError, match="does not place there"):
        read_tensors(index(tmp_path, {NORM: "a.safetensors"}))
    for wrong in ({}, [], None, "x"):
        with pytest.raises(CheckpointError, match="no object 'weight_map'"):
            read_tensors(index(tmp_path, wrong))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "legacy.bin"])
def test_every_truncation_and_many_flips_are_refused_or_change_only_numbers(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if name.startswith("model"):
        save_file(tensors(), path)
    else:
        torch.save(tensors(), path, _use_new_zipfile_serialization=name != "legacy.bin")
    whole = path.read_bytes()
    step = max(1, len(whole) // 60)
    for length in range(0, len(whole), step):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=name):
            read_tensors(path)
    for position in range(0, len(whole), step):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            found = read_tensors(path)
        except CheckpointError as error:
            assert name in str(error)
        else:
            assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([torch.ones(2)], "holds a list"),
        ({"x": 3}, "'x' is a int"),
        ({3: torch.ones(2)}, "only named tensors"),
        ({"x": torch.ones(2).to_sparse()}, "sparse or without data"),
        ({"x": torch.ones(2, device="meta")}, "sparse or without data"),
    ],
)
def test_a_bin_file_of_anything_but_tensors_is_refused(
    tmp_path: Path, value: object, says: str
) -> None:
    torch.save(value, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=says):
        read_tensors(tmp_path / "pytorch_model.bin")


def test_a_bin_file_wrapped_in_state_dict(tmp_path: Path) -> None:
    torch.save({"state_dict": tensors(), "epoch": 3}, tmp_path / "pytorch_model.bin")
    assert torch.equal(read_tensors(tmp_path / "pytorch_model.bin")[WORDS], tensors()[WORDS])


class Hostile:
    """Runs a command when unpickled by anything that would run it."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.canary),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bin_file_runs_nothing(tmp_path: Path, zipped: bool) -> None:
    canary = tmp_path / "fired"
    path = tmp_path / "pytorch_model.bin"
    torch.save({WORDS: Hostile(canary)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"refuses the name \w+\.mkdir") as error:
        read_tensors(path)
    assert not canary.exists()
    assert "weights_only" not in str(error.value)  # torch's advice to run it after all


def test_the_fingerprint_depends_on_names_shapes_dtypes_and_bytes_alone() -> None:
    base = weights_fingerprint(tensors())
    assert len(base) == 64
    assert weights_fingerprint(dict(reversed(tensors().items()))) == base
    assert weights_fingerprint({f"bert.{k}": v for k, v in tensors().items()}) == base
    extra = {
        "bert.pooler.dense.weight": torch.ones(1),
        "bert.embeddings.position_ids": torch.ones(1),
    }
    assert weights_fingerprint({f"bert.{k}": v for k, v in tensors().items()} | extra) == base
    changed = tensors()
    changed[WORDS][4, 3] += 1e-3
    different = {
        weights_fingerprint(changed),
        weights_fingerprint(tensors() | {WORDS: tensors()[WORDS].reshape(4, 5)}),
        weights_fingerprint({k: v.half() for k, v in tensors().items()}),
        weights_fingerprint({k: v.bfloat16() for k, v in tensors().items()}),
        weights_fingerprint({WORDS: tensors()[WORDS]}),
        weights_fingerprint(tensors() | {"qa_outputs.bias": torch.zeros(2)}),
        weights_fingerprint({"a": torch.ones(2)}),
        weights_fingerprint({"b": torch.ones(2)}),
        base,
    }
    assert len(different) == 9


def test_the_fingerprint_of_a_folder_is_that_of_its_weights(tmp_path: Path) -> None:
    write_tensors(tmp_path / "one", tensors(), "5GB")
    write_tensors(tmp_path / "two", tensors(), 1)
    strided = {WORDS: tensors()[WORDS].t().contiguous().t(), NORM: tensors()[NORM]}
    assert not strided[WORDS].is_contiguous()
    assert (
        weights_fingerprint(tmp_path / "one")
        == weights_fingerprint(str(tmp_path / "two"))
        == weights_fingerprint(strided)
    )


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_what_is_written_is_as_open_as_any_new_file(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_tensors(tmp_path, {"a": torch.zeros(2)}, "5GB")
        write_tensors(tmp_path, {"a": torch.zeros(2), "b": torch.zeros(2)}, 1)
    finally:
        os.umask(before)
    paths = list(tmp_path.iterdir())
    assert len(paths) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {mode}
