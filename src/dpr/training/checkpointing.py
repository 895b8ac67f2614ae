"""One file that holds a training run's state: weights, optimizer moments, position. No pickle.

Files are written under another name, synced, then renamed; folders are renamed likewise, unsynced.
A kill leaves the old one or the new one whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dpr.errors import CheckpointError

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(slots=True)
class Position:
    """Where a run stands: steps done, the measures of the best model so far, evaluations since
    that were no better, the state of float16's scale, and whether the evaluation that is due
    there is still to be done."""

    step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    without_better: int = 0
    scaler: dict[str, float] = field(default_factory=dict)
    evaluating: bool = False


def save_checkpoint(
    path: Path,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    position: Position,
) -> None:
    tensors = {f"model.{name}": value.detach() for name, value in parameters.items()}
    for name, parameter in parameters.items():
        state = optimizer.state.get(parameter, {})
        tensors |= {f"{moment}.{name}": state[moment] for moment in MOMENTS if moment in state}
    temporary = path.with_name(path.name + ".tmp")
    try:
        save_file(tensors, temporary, {"position": json.dumps(asdict(position))})
        _settle(temporary, path)
    except (SafetensorError, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path} could not be written: {error}; what was there before still stands: free some "
            "space and run the same again"
        ) from error


@torch.no_grad()
def load_checkpoint(
    path: Path, parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
) -> Position:
    """Puts weights and moments back in place; gives the position."""
    try:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
            expected = {f"model.{name}" for name in parameters}
            if {name for name in names if name.startswith("model.")} != expected:
                raise CheckpointError(f"{path} is of a model with other weights than this one")
            for name, parameter in parameters.items():
                parameter.copy_(file.get_tensor(f"model.{name}"))
                state = {
                    m: file.get_tensor(f"{m}.{name}").to(parameter.device)
                    for m in MOMENTS
                    if f"{m}.{name}" in names
                }
                if state:
                    optimizer.state[parameter] = state
            position: dict[str, object] = json.loads(file.metadata()["position"])
        return Position(**position)  # type: ignore[arg-type]
    except (SafetensorError, OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}; begin anew in another folder"
        ) from error


def replace_text(path: Path, text: str) -> None:
    """Writes a small file so that readers see the old text or the new, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    _settle(temporary, path)


def replace_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Makes a folder anew, whole or not at all: what was there goes only when ``fill`` is done."""
    mend_folder(path)
    fresh, old = _beside(path)
    fill(fresh)
    if path.exists():
        path.rename(old)
    fresh.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def mend_folder(path: Path) -> None:
    """Puts right what a kill during ``replace_folder`` left."""
    fresh, old = _beside(path)
    if old.exists() and not path.exists():
        old.rename(path)
    for left in (fresh, old):
        if left.exists():
            shutil.rmtree(left)


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + ".new"), path.with_name(path.name + ".old")


def _settle(temporary: Path, path: Path) -> None:
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
