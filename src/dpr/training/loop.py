"""The training loop that retriever and reader share.

Takes a ``Task`` (batches, a step, an evaluation) and settings; gives a run folder:

    settings.json           what was asked for
    log.jsonl               one line a logged step or evaluation
    loss.png                the loss and the dev measure, as a picture
    checkpoint.safetensors  weights, optimizer and position, replaced atomically
    best/, last/            models in the ordinary layout, replaced as a whole

A run continues from its checkpoint exactly: batches are a function of (seed, epoch), dropout of
(seed, step), so that no generator's state has to be kept. Ctrl-C lets the step that is under way
end and keeps the state. Knows nothing of questions or passages.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from dpr.errors import DPRError, SettingsError
from dpr.training.checkpointing import (
    Position,
    load_checkpoint,
    mend_folder,
    replace_folder,
    replace_text,
    save_checkpoint,
)
from dpr.training.settings import LoopSettings as LoopSettings

Batch = TypeVar("Batch")
Event = dict[str, Any]


class Task(Protocol[Batch]):
    """What the loop needs to know of what is trained."""

    modules: dict[str, nn.Module]
    """The modules to train, by the name under which their weights are kept."""

    def batches(self, epoch: int) -> Sequence[Batch]:
        """The batches of an epoch: a function of the task's seed and the epoch alone."""

    def step(self, batch: Batch) -> dict[str, float]:
        """Computes gradients (adds to ``.grad``); gives figures for the log, ``loss`` first."""

    def evaluate(self) -> dict[str, float]:
        """Measures on the dev set; the first is what the best model is chosen by. May be empty."""

    def save(self, folder: Path) -> None:
        """Saves the models in the ordinary layout."""


class Run(Generic[Batch]):
    """One training run in one folder."""

    def __init__(
        self,
        task: Task[Batch],
        settings: LoopSettings,
        folder: str | Path,
        describe: dict[str, Any],
        report: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.task = task
        self.settings = settings
        self.folder = Path(folder)
        self.report = report
        self.parameters = {
            f"{name}.{key}": parameter
            for name, module in task.modules.items()
            for key, parameter in module.named_parameters()
            if not (settings.freeze_embeddings and key.endswith("word_embeddings.weight"))
        }
        for name, module in task.modules.items():
            for key, parameter in module.named_parameters():
                parameter.requires_grad_(f"{name}.{key}" in self.parameters)
        self.optimizer = self._optimizer()
        self.position = Position()
        self._stopping = False
        self._description = describe | {"loop": asdict(settings)}

    def _optimizer(self) -> torch.optim.Optimizer:
        matrices = [p for p in self.parameters.values() if p.dim() > 1]
        vectors = [p for p in self.parameters.values() if p.dim() <= 1]
        return torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": self.settings.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=self.settings.learning_rate,
            fused=True,
        )

    def rate(self, step: int, total: int) -> float:
        """The learning rate of a step (0-based): linear up, then linear down to zero."""
        warmup = min(self.settings.warmup_steps, total // 10)
        if step < warmup:
            return self.settings.learning_rate * (step + 1) / warmup
        return self.settings.learning_rate * (total - step) / max(1, total - warmup)

    def __call__(self) -> dict[str, float]:
        """Trains to the end, from the checkpoint where there is one; gives the best measures.

        Raises:
            KeyboardInterrupt: after Ctrl-C, at the end of the step, with the state kept; after a
                second Ctrl-C at once, with the state of the last checkpoint.
        """
        per_epoch = len(self.task.batches(0))
        if per_epoch == 0:
            raise DPRError("there is nothing to train on: no batch could be made of the samples")
        self._start()
        total = per_epoch * self.settings.epochs
        with self._whole_steps():
            while self.position.step < total:
                self._epoch(self.position.step // per_epoch, per_epoch, total)
        replace_folder(self.folder / "last", self.task.save)
        if not (self.folder / "best").exists():
            replace_folder(self.folder / "best", self.task.save)
        self._checkpoint()
        return self.position.best

    @contextmanager
    def _whole_steps(self) -> Iterator[None]:
        """Ctrl-C waits for the end of the step: half an update is no state to go on from."""

        def stop(signal_number: int, frame: object) -> None:
            if self._stopping:
                raise KeyboardInterrupt
            self._stopping = True
            with suppress(RuntimeError):  # what was interrupted may be writing to the same stream
                self.report({"stopping": self.position.step})

        self._stopping = False
        usual = signal.getsignal(signal.SIGINT)
        if (
            usual is not signal.default_int_handler
            or threading.current_thread() is not threading.main_thread()
        ):
            yield  # somebody else's handler, or none that could be set from here
            return
        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)

    def _epoch(self, epoch: int, per_epoch: int, total: int) -> None:
        batches = self.task.batches(epoch)
        if len(batches) != per_epoch:
            raise DPRError(f"epoch {epoch} has {len(batches)} batches, the first {per_epoch}")
        every = math.ceil(per_epoch / self.settings.evaluations)
        last_saved = last_logged = time.monotonic()
        sums: dict[str, float] = {}
        count = 0
        for index in range(self.position.step % per_epoch, per_epoch):
            for key, value in self._step(batches[index], total).items():
                sums[key] = sums.get(key, 0.0) + value
            count += 1
            step = self.position.step
            if step % self.settings.log_steps == 0 or index + 1 == per_epoch:
                now = time.monotonic()
                means = {key: value / count for key, value in sums.items()}
                timing = {"seconds_a_step": (now - last_logged) / count}
                self._log({"step": step, "steps": total, "epoch": epoch} | means | timing)
                sums, count, last_logged = {}, 0, now
            if (index + 1) % every == 0 or index + 1 == per_epoch:
                self._evaluate()
                last_logged = time.monotonic()
            waited = time.monotonic() - last_saved
            if self._stopping or waited > self.settings.checkpoint_seconds:
                self._checkpoint()
                last_saved = time.monotonic()
            if self._stopping:
                raise KeyboardInterrupt

    def _step(self, batch: Batch, total: int) -> dict[str, float]:
        step = self.position.step
        for module in self.task.modules.values():
            module.train()
        torch.manual_seed(self.settings.seed * 1_000_003 + step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step, total)
        self.optimizer.zero_grad(set_to_none=True)
        figures = self.task.step(batch)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.clip_norm)
        if not math.isfinite(figures["loss"]) or not bool(torch.isfinite(norm)):
            raise DPRError(
                f"step {step}: loss {figures['loss']}, gradient norm {float(norm)}; training stops "
                "here and the checkpoint before it stands: lower the learning rate or look for "
                "faulty samples"
            )
        self.optimizer.step()
        self.position.step += 1
        return figures | {"gradient_norm": float(norm)}

    def _evaluate(self) -> None:
        for module in self.task.modules.values():
            module.eval()
        measures = self.task.evaluate()
        if not measures:
            return
        name = next(iter(measures))
        self._log({"step": self.position.step} | measures)
        if measures[name] > self.position.best.get(name, float("-inf")):
            self.position.best = measures
            replace_folder(self.folder / "best", self.task.save)
        self._checkpoint()

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "settings.json"
        text = json.dumps(self._description, indent=2, ensure_ascii=False) + "\n"
        checkpoint = self.folder / "checkpoint.safetensors"
        if checkpoint.exists() and settings.exists():
            self._check_settings(settings, json.loads(text))
        replace_text(settings, text)
        for name in ("best", "last"):
            mend_folder(self.folder / name)
        if checkpoint.exists():
            self.position = load_checkpoint(checkpoint, self.parameters, self.optimizer)
            self.report({"resumed": self.position.step})
        self._trim_log()

    def _check_settings(self, path: Path, wanted: dict[str, Any]) -> None:
        """Refuses to go on with other settings than the run was begun with."""
        try:
            begun = dict(_flat(json.loads(path.read_text(encoding="utf-8"))))
        except ValueError as error:
            raise SettingsError(
                f"{path} cannot be read as JSON: {error}; give another folder"
            ) from error
        given = dict(_flat(wanted))
        differences = [
            f"{name} was {begun.get(name)!r}, is {given.get(name)!r}"
            for name in sorted(begun.keys() | given.keys())
            if begun.get(name) != given.get(name)
        ]
        if differences:
            raise SettingsError(
                f"{self.folder} holds a run with other settings: {'; '.join(differences)}; "
                "continue with the same ones or give another folder"
            )

    def _trim_log(self) -> None:
        """Drops the lines of steps that were done after the checkpoint and are done again."""
        log = self.folder / "log.jsonl"
        if log.exists():
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [
                line
                for line in lines
                if line.endswith("\n") and json.loads(line)["step"] <= self.position.step
            ]
            replace_text(log, "".join(kept))

    def _log(self, event: Event) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        self.report(event)

    def _checkpoint(self) -> None:
        path = self.folder / "checkpoint.safetensors"
        save_checkpoint(path, self.parameters, self.optimizer, self.position)


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
