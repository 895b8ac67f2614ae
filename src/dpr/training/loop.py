"""The training loop that retriever and reader share.

Takes a ``Task`` (batches, a step, an evaluation) and settings; fills a run folder (``folder.py``).
A run continues from its checkpoint exactly: batches are a function of (seed, epoch), dropout of
(seed, step, process), so that no generator's state has to be kept. Ctrl-C lets the step that is
under way end and keeps the state. In several processes the first one writes, and all stop together.
Knows nothing of questions or passages.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor

from dpr.collection.storage import make_folder, writer_lock
from dpr.errors import DPRError
from dpr.training.checkpointing import Position, load_checkpoint, save_checkpoint
from dpr.training.engine import Engine
from dpr.training.folder import RunFolder
from dpr.training.settings import LoopSettings as LoopSettings
from dpr.training.task import Batch, Step, seed_of
from dpr.training.task import Task as Task

Event = dict[str, Any]


class Run(Generic[Batch]):
    """One training run in one folder.

    Args:
        describe: what, beside the settings of the loop, the run is to be continued with; kept.
        report: told of every line of the log, and of what else a person would want to know.
        engine: where and in how many processes it runs; by default as accelerate finds it.
        card: gives the text of the model's card from the description and the measures.
    """

    def __init__(
        self,
        task: Task[Batch],
        settings: LoopSettings,
        folder: str | Path,
        describe: dict[str, Any],
        report: Callable[[Event], None] = lambda event: None,
        engine: Engine | None = None,
        card: Callable[[dict[str, Any], dict[str, float]], str] | None = None,
    ) -> None:
        self.task = task
        self.settings = settings
        self.report = report
        self.engine = engine or Engine(settings.precision)
        self.card = card
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
        self._stepper = self.engine.prepare(self.optimizer)
        self.position = Position()
        self._stopping = False
        self._saved = time.monotonic()  # when the state was kept, or the run was made
        self._measured: dict[str, float] = {}
        self.description = describe | {"loop": asdict(settings)}
        if self.engine.processes.count > 1:
            self.description["processes"] = self.engine.processes.count
        self.folder = RunFolder(folder, self.description)

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
        batches = len(self.task.batches(0))
        if batches == 0:
            raise DPRError("there is nothing to train on: no batch could be made of the samples")
        with self._alone():
            self._train(batches, self.settings.updates(batches))
        return self.position.best

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The folder is this run's: another one in it would write over its files."""
        if not self.engine.is_main:
            yield
            return
        make_folder(self.folder.path)
        with writer_lock(self.folder.path):
            yield

    def _train(self, batches: int, per_epoch: int) -> None:
        self._start()
        total, begun = per_epoch * self.settings.epochs, self.position.step
        if self.position.evaluating:
            self._evaluate()
        with self._whole_steps():
            while self.position.step < total and not self._had_enough():
                self._epoch(self.position.step // per_epoch, batches, per_epoch, total)
        self._checkpoint()  # first: a folder with models and no checkpoint is none to go on in
        if self.position.step > begun or not self.folder.has("last"):
            self._keep("last", self._measured)
        if self.engine.is_main and not self.folder.has("best"):
            self._keep("best", self._measured)
        self.engine.processes.wait()
        self.engine.end()

    def _had_enough(self) -> bool:
        """Whether as many evaluations as ``patience`` allows have brought nothing better."""
        return 0 < self.settings.patience <= self.position.without_better

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

    def _epoch(self, epoch: int, count: int, per_epoch: int, total: int) -> None:
        batches = self.task.batches(epoch)
        if len(batches) != count:
            raise DPRError(f"epoch {epoch} has {len(batches)} batches, the first {count}")
        every = math.ceil(per_epoch / self.settings.evaluations)
        last_logged = time.monotonic()
        sums: dict[str, float] = {}
        steps, size = 0, self.settings.accumulate
        for index in range(self.position.step % per_epoch, per_epoch):
            for key, value in self._step(batches[index * size : (index + 1) * size], total).items():
                sums[key] = sums.get(key, 0.0) + value
            steps += 1
            step, ends = self.position.step, index + 1 == per_epoch
            if step % self.settings.log_steps == 0 or ends:
                now = time.monotonic()
                means = {key: value / steps for key, value in sums.items()}
                timing = {"seconds_a_step": (now - last_logged) / steps}
                self._log({"step": step, "steps": total, "epoch": epoch} | means | timing)
                sums, steps, last_logged = {}, 0, now
            if ends:
                self.task.epoch_ended(epoch)
            if (index + 1) % every == 0 or ends:
                self._evaluate()
                last_logged = time.monotonic()
            stopping = self.engine.stopped(self._stopping)
            if stopping or time.monotonic() - self._saved > self.settings.checkpoint_seconds:
                self._checkpoint()
            if stopping:
                self.engine.processes.wait()  # or the launcher ends who is writing still
                raise KeyboardInterrupt
            if self._had_enough():
                return

    def _step(self, batches: Sequence[Batch], total: int) -> dict[str, float]:
        """One update; gives the figures of its batches together."""
        for module in self.task.modules.values():
            module.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.position.step, total)
        self.optimizer.zero_grad(set_to_none=True)
        figures: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            step = self._of_batch(number, len(batches))
            torch.manual_seed(step.seed)
            for key, value in self.task.step(batch, step).items():
                part = torch.as_tensor(value, dtype=torch.float32, device=self.engine.device)
                figures[key] = figures.get(key, torch.zeros_like(part)) + part * step.share
        self.engine.finish_gradients(self.optimizer, list(self.parameters.values()))
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.clip_norm)
        # One wait for the device a step.
        together = self.engine.processes.add(torch.stack(list(figures.values()))).tolist()
        found = dict(zip(figures, together, strict=True)) | {"gradient_norm": float(norm)}
        if not math.isfinite(found["loss"]) or not (
            math.isfinite(float(norm)) or self.engine.overflowed(float(norm))
        ):
            self._fail(batches, found)
        self._stepper.step()
        self.position.step += 1
        return found

    def _of_batch(self, number: int, count: int) -> Step:
        engine, step = self.engine, self.position.step
        seed = seed_of(self.settings.seed, step, number, engine.processes.rank)
        return Step(step, seed, 1 / count, engine.backward, engine.autocast)

    def _fail(self, batches: Sequence[Batch], found: dict[str, float]) -> None:
        step = self.position.step
        described = [self.task.describe(batch) for batch in batches]
        kept = ""
        if self.engine.is_main:
            path = self.folder.keep_failed({"step": step} | found | {"batches": described})
            kept = f"; its batch is in {path.name}"
        stands = ""
        if self.folder.checkpoint.exists():
            stands = ", and the last checkpoint before it stands"
        self.engine.processes.wait()
        raise DPRError(
            f"step {step}: loss {found['loss']}, gradient norm {found['gradient_norm']}; training "
            f"stops here{stands}{kept}: look for faulty samples, or begin in another folder with a "
            "lower learning rate"
        )

    def _evaluate(self) -> None:
        for module in self.task.modules.values():
            module.eval()
        if self.engine.is_main and not self.folder.checkpoint.exists():
            self.position.evaluating = True  # what is best is not kept without a checkpoint
            self._checkpoint()
        measures = self.task.evaluate()
        self.position.evaluating = False
        if not measures:
            return
        # The first process's, for all: the devices of others may differ in a last digit, and
        # whether to stop is decided by it.
        figures = torch.tensor(list(measures.values()), dtype=torch.float64)
        shared = self.engine.processes.of_first(figures.to(self.engine.device)).tolist()
        measures = self._measured = dict(zip(measures, shared, strict=True))
        name = next(iter(measures))
        self._log({"step": self.position.step} | measures)
        self.position.without_better += 1
        if measures[name] > self.position.best.get(name, float("-inf")):
            self.position.best, self.position.without_better = measures, 0
            self._keep("best", measures)
        self._checkpoint()

    def _keep(self, name: str, measures: dict[str, float]) -> None:
        def fill(folder: Path) -> None:
            self.task.save(folder)
            if self.card is not None:
                text = self.card(self.description, measures)
                (folder / "README.md").write_text(text, encoding="utf-8")

        if self.engine.is_main:
            self.folder.keep(name, fill)

    def _start(self) -> None:
        processes = self.engine.processes
        goes_on = False
        for rank in range(processes.count):  # one after the other: the first makes the folder
            if rank == processes.rank:
                goes_on = self.folder.begin()
            processes.wait()
        if goes_on:
            self.position = load_checkpoint(self.folder.checkpoint, self.parameters, self.optimizer)
            self.engine.restore(self.position.scaler)
            self.report({"resumed": self.position.step})
        if self.engine.is_main:
            self.folder.trim_log(self.position.step)
            self.engine.track(self.folder.path.name, _plain(self.description))
        processes.wait()

    def _log(self, event: Event) -> None:
        if self.engine.is_main:
            self.folder.log(event)
            figures = {name: value for name, value in event.items() if name != "step"}
            self.engine.log(figures, event["step"])
            self.report(event)

    def _checkpoint(self) -> None:
        if self.engine.is_main:
            self.position.scaler = self.engine.state()
            save_checkpoint(self.folder.checkpoint, self.parameters, self.optimizer, self.position)
        self._saved = time.monotonic()


def _plain(values: dict[str, Any], prefix: str = "") -> dict[str, str | int | float]:
    """Nested settings as one level of plain values, which is what trackers take."""
    found: dict[str, str | int | float] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _plain(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value if isinstance(value, str | int | float) else str(value)
    return found
