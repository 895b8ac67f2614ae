"""The folder of a training run: what it holds, what may go on in it, what is replaced as a whole.

    settings.json           what was asked for
    log.jsonl               one line a logged step or evaluation
    loss.png                the loss and the dev measure, as a picture
    checkpoint.safetensors  weights, optimizer and position, replaced atomically
    best/, last/            models in the ordinary layout, replaced as a whole
    negatives/              those that were found anew
    failed-batch.json       the batch that training could not go on with

Knows nothing of models.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dpr.errors import SettingsError
from dpr.training.checkpointing import mend_folder, replace_folder, replace_text

# What a run that is gone on with may have otherwise: no weight depends on it.
FREE = frozenset({"loop.log_steps", "loop.checkpoint_seconds"})
# What descriptions leave out where it is usual.
_USUAL = {"processes": 1}


def check_folder(path: Path) -> None:
    """Refuse a file where the folder of a run is to be.

    Raises:
        SettingsError: there is one.
    """
    for one in (path, *path.parents):
        if one.exists() and not one.is_dir():
            raise SettingsError(
                f"{one} is a file, and a run is kept in a folder; give a folder, a new one or that "
                "of the run to go on with"
            )


class RunFolder:
    """See the module.

    Raises:
        SettingsError: see ``check_folder``.
    """

    def __init__(self, path: str | Path, description: dict[str, Any]) -> None:
        self.path = Path(path)
        check_folder(self.path)
        self.checkpoint = self.path / "checkpoint.safetensors"
        self._text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"

    def begin(self) -> bool:
        """Makes the folder ready; whether there is a checkpoint to go on from.

        Raises:
            SettingsError: it holds a run that was begun with other settings, or models without the
                checkpoint of their run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        settings = self.path / "settings.json"
        goes_on = self.checkpoint.exists()
        if goes_on and settings.exists():
            self._check(settings)
        for name in ("best", "last"):
            mend_folder(self.path / name)
            if self.has(name) and not goes_on:
                raise SettingsError(
                    f"{self.path / name} is of a run whose checkpoint is gone; move it away, or "
                    "give another folder"
                )
        if not goes_on:  # what a run left that was killed before its first checkpoint
            shutil.rmtree(self.path / "negatives", ignore_errors=True)
            for name in ("log.jsonl", "failed-batch.json"):
                (self.path / name).unlink(missing_ok=True)
        replace_text(settings, self._text)
        return goes_on

    def _check(self, path: Path) -> None:
        try:
            begun = _USUAL | dict(_flat(json.loads(path.read_text(encoding="utf-8"))))
        except ValueError as error:
            raise SettingsError(
                f"{path} cannot be read as JSON: {error}; give another folder"
            ) from error
        given = _USUAL | dict(_flat(json.loads(self._text)))
        differences = [
            f"{name} was {_shown(begun, name)}, is {_shown(given, name)}"
            for name in sorted((begun.keys() | given.keys()) - FREE)
            if begun.get(name) != given.get(name)
        ]
        if differences:
            raise SettingsError(
                f"{self.path} holds a run with other settings: {'; '.join(differences)}; "
                "continue with the same ones or give another folder"
            )

    def trim_log(self, step: int) -> None:
        """Drops the lines of steps that were done after the checkpoint and are done again."""
        log = self.path / "log.jsonl"
        if log.exists():
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [
                line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step
            ]
            replace_text(log, "".join(kept))

    def log(self, event: dict[str, Any]) -> None:
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")

    def keep(self, name: str, fill: Callable[[Path], None]) -> None:
        """Replaces a folder of models as a whole."""
        replace_folder(self.path / name, fill)

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def keep_failed(self, batch: Any) -> Path:
        """Writes down a batch that training could not go on with."""
        path = self.path / "failed-batch.json"
        replace_text(path, json.dumps(_written(batch), indent=1, ensure_ascii=False) + "\n")
        return path


def _shown(values: dict[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "not given"


def _written(value: Any) -> Any:
    """The same as JSON can hold it: numbers that are none as words."""
    if isinstance(value, dict):
        return {key: _written(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
