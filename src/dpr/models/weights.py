"""Weight files: tensors by name, in and out, and a hash over them.

Takes folders or hub names and dictionaries of tensors, gives the same. Reads safetensors and
PyTorch .bin files (only through ``torch.load(weights_only=True)``, never a plain pickle), whole
or in shards; writes safetensors only. Knows nothing of models and configurations.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from dpr.errors import CheckpointError, SettingsError
from dpr.models.files import is_plain_name, read_json_object, write_text
from dpr.models.hub import HubOptions, find_files
from dpr.models.keys import map_keys

SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
BIN = "pytorch_model.bin"
BIN_INDEX = "pytorch_model.bin.index.json"

_SHARD = re.compile(r"model-[0-9]{5}-of-[0-9]{5}\.safetensors")
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def find_weights(
    name_or_path: str | os.PathLike[str],
    options: HubOptions | None = None,
    use_safetensors: bool | None = None,
) -> Path:
    """The file to load: model.safetensors, its shard index, pytorch_model.bin, or its index.

    Args:
        name_or_path: a folder, or ``owner/name`` on the hub.
        options: where to look and how.
        use_safetensors: True: no .bin files; False: only these; None: either.

    Raises:
        CheckpointError: there is none of them.
    """
    candidates = [
        *([] if use_safetensors is False else [SAFETENSORS, SAFETENSORS_INDEX]),
        *([] if use_safetensors is True else [BIN, BIN_INDEX]),
    ]
    options = options or HubOptions()
    path = find_files(name_or_path, candidates, options)
    if path is None:
        where = f"{name_or_path}" + (f" ({options.subfolder})" if options.subfolder else "")
        raise CheckpointError(
            f"{where}: has no weights; looked for {', '.join(candidates)} (offline, they must "
            "have been downloaded before)"
        )
    return path


def read_tensors(
    path: Path, fetch_shard: Callable[[str], Path | None] | None = None
) -> dict[str, Tensor]:
    """All tensors of a weight file, or of the shards that an index names.

    They may be memory-mapped: copy what is kept, and do not write to them.

    Args:
        path: what ``find_weights`` gave.
        fetch_shard: from a shard's plain file name to its path; where absent, beside the index.

    Raises:
        CheckpointError: a file is missing, truncated, corrupt or not what the index says.
    """
    if not path.name.endswith(".json"):
        return _read_file(path)
    weight_map = _weight_map(path)
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(weight_map.values())):
        shard = path.with_name(name) if fetch_shard is None else fetch_shard(name)
        if shard is None or not shard.is_file():
            raise CheckpointError(f"{path}: names the shard {name}, which is not there")
        for key, tensor in _read_file(shard).items():
            if weight_map.get(key) != name:
                raise CheckpointError(
                    f"{shard}: holds {key!r}, which {path.name} does not place there"
                )
            tensors[key] = tensor
    lost = sorted(set(weight_map) - set(tensors))
    if lost:
        raise CheckpointError(
            f"{path}: places {lost[0]!r} (and {len(lost) - 1} more) in {weight_map[lost[0]]}, "
            "which does not hold it; the shards are of another save than the index"
        )
    return tensors


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], max_shard_size: int | str) -> None:
    """Write tensors as safetensors into a folder, in shards if they exceed ``max_shard_size``.

    Each file is written under a temporary name, flushed to disk and renamed; files of an earlier
    save that would now be wrong are removed last.

    Args:
        folder: is made if need be.
        tensors: none of them may share memory with another.
        max_shard_size: bytes, or a string such as "5GB" or "200MiB".

    Raises:
        SettingsError: ``max_shard_size`` is neither.
        CheckpointError: a file cannot be written.
    """
    shards = _split(tensors, parse_size(max_shard_size))
    names = [SAFETENSORS]
    if len(shards) > 1:
        count = len(shards)
        names = [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, shard in zip(names, shards, strict=True):
            _write_file(folder / name, {key: tensors[key] for key in shard})
        keep = set(names)
        if len(shards) > 1:
            index = {
                "metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
                "weight_map": {k: n for n, s in zip(names, shards, strict=True) for k in s},
            }
            write_text(
                folder / SAFETENSORS_INDEX, json.dumps(index, indent=2, sort_keys=True) + "\n"
            )
            keep.add(SAFETENSORS_INDEX)
        for old in list(folder.iterdir()):
            ours = old.name in (SAFETENSORS, SAFETENSORS_INDEX) or _SHARD.fullmatch(old.name)
            if ours and old.name not in keep:
                old.unlink()
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written: {error.strerror or error}") from error


def weights_fingerprint(weights: Mapping[str, Tensor] | str | os.PathLike[str]) -> str:
    """SHA-256 over the names, dtypes, shapes and bytes of a model's weights.

    Names are taken without their prefix, and what no model uses (a pooler, ``position_ids``) is
    left out, so that a BERT has one fingerprint whether it is kept as question encoder, context
    encoder or plain BERT. Equal fingerprints: equal outputs, given the same configuration.

    Args:
        weights: a ``state_dict()``, or the folder of a saved model.
    """
    if not isinstance(weights, Mapping):
        weights = read_tensors(find_weights(weights))
    try:
        names = map_keys(weights).keys
    except CheckpointError:  # no BERT in it, or two: each tensor under its own name
        names = {key: key for key in weights}
    ordered = sorted(names.items())
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        digests = pool.map(_digest, [weights[key] for _, key in ordered])
        lines = [
            f"{name} {str(weights[key].dtype).removeprefix('torch.')} "
            f"{list(weights[key].shape)} {digest}\n"
            for (name, key), digest in zip(ordered, digests, strict=True)
        ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def parse_size(size: int | str) -> int:
    """Bytes of a size such as 5_000_000, "5GB" (10^9) or "5GiB" (2^30).

    Raises:
        SettingsError: it is neither, or below one byte.
    """
    if isinstance(size, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMG]I?B)?\s*", size.upper())
        number = int(float(match[1]) * _UNITS[match[2] or ""]) if match else 0
    else:
        number = size
    if number < 1:
        raise SettingsError(f"max_shard_size={size!r}: must be bytes, or such as '5GB' or '200MB'")
    return number


def _digest(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().flatten()
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()


def _split(tensors: Mapping[str, Tensor], limit: int) -> list[list[str]]:
    """Names in their order, filled into shards of at most ``limit`` bytes (or one tensor)."""
    shards: list[list[str]] = [[]]
    size = 0
    for key, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(key)
        size += tensor.nbytes
    return shards


def _write_file(path: Path, tensors: dict[str, Tensor]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # safetensors makes files that only their owner reads; these are as open as any new file.
        temporary.unlink(missing_ok=True)
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        save_file(tensors, temporary, metadata={"format": "pt"})
        temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        raise
    except Exception as error:  # safetensors raises its own kinds, a full disk among them
        raise CheckpointError(f"{path}: cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _weight_map(path: Path) -> dict[str, str]:
    """Key to shard name, from an index file; only plain names with the right ending."""
    weight_map = read_json_object(path).get("weight_map")
    ending = ".safetensors" if path.name == SAFETENSORS_INDEX else ".bin"
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{path}: has no object 'weight_map' of weights to files")
    for key, name in weight_map.items():
        if not isinstance(name, str) or not is_plain_name(name) or not name.endswith(ending):
            raise CheckpointError(
                f"{path}: places {key!r} in {name!r}; allowed are files {'*' + ending!r} in the "
                "same folder, without '/', '\\', ':' or '..'"
            )
    return weight_map


def _read_file(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        with _told(path):
            tensors: dict[str, Tensor] = {}
            with safe_open(path, framework="pt", device="cpu") as file:
                for key in file.keys():  # noqa: SIM118 (not a dictionary)
                    tensors[key] = file.get_tensor(key)
            return tensors
    return checked_tensors(load_bin(path), path)


def is_zip(path: Path) -> bool:
    """True for the format of PyTorch 1.6 and later, which alone can be memory-mapped."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def load_bin(path: Path) -> object:
    """What a PyTorch file holds, if that is tensors and plain values only.

    Raises:
        CheckpointError: unreadable, or it holds anything that would run code.
    """
    with _told(path), warnings.catch_warnings():
        # Of old storages and new protocols torch warns, although it reads or refuses them.
        warnings.filterwarnings("ignore", message="TypedStorage is deprecated")
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip(path))
        except Exception as error:
            # torch's message advises how to run such a file after all; do not pass that on.
            if match := re.search(r"(?:GLOBAL|global|class) ([\w.]+\.\w+)", str(error)):
                refused = match[1]
            else:
                raise
    raise CheckpointError(
        f"{path}: refuses the name {refused}: only tensors and plain values are read from such "
        "a file, because anything else could run code; save the weights as safetensors"
    )


def checked_tensors(loaded: object, path: Path) -> dict[str, Tensor]:
    """``loaded`` if it is a dictionary of ordinary tensors in memory.

    Raises:
        CheckpointError: it is something else.
    """
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path}: holds a {type(loaded).__name__}, not named tensors")
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: {key!r} is a {type(value).__name__}; only named tensors are allowed"
            )
        if value.device.type != "cpu" or value.layout != torch.strided or value.is_quantized:
            raise CheckpointError(
                f"{path}: {key!r} is quantised, sparse or without data; "
                "save it as an ordinary tensor"
            )
    return {str(key): value for key, value in loaded.items()}


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever a corrupt file makes the readers raise, as a CheckpointError with its name."""
    try:
        yield
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: is not there") from error
    except Exception as error:  # the readers raise a dozen kinds, from KeyError to SystemError
        reason = str(error).split("\n", 1)[0][:300] or type(error).__name__
        if "Weights only load failed" in reason:
            reason = "its pickle holds more than tensors, or is damaged"
        raise CheckpointError(
            f"{path}: cannot be read as weights ({reason}); it is truncated, corrupt or holds "
            "something other than tensors: fetch or save it again"
        ) from error
