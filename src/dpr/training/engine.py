"""Devices, processes, precision and trackers of a training run, by accelerate.

Takes settings, gives what the loop asks for: where models run, how gradients are computed and what
is shown elsewhere. The same script runs on one CPU, one GPU, and under ``torchrun`` or ``accelerate
launch`` on many. Models are not wrapped: a step encodes questions and passages by methods of their
own and may go through them twice, so gradients are summed once, before the update. Needs the extra
``train``. Knows nothing of tasks.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dpr.errors import MissingExtraError, SettingsError
from dpr.training.processes import Processes
from dpr.training.settings import PRECISIONS

TRACKERS = ("tensorboard", "wandb")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_NAMES = dict(zip(PRECISIONS, ("no", "bf16", "fp16"), strict=True))


class Engine:
    """See the module.

    Attributes:
        device: where models run; move them there before the optimizer is made.
        processes: the processes of the run.

    Raises:
        MissingExtraError: accelerate, or a tracker, is not installed.
        SettingsError: a tracker that is not known, or a precision that cannot be had here.
    """

    def __init__(
        self, precision: str = "float32", trackers: Sequence[str] = (), folder: Path | None = None
    ) -> None:
        try:
            from accelerate import Accelerator
            from accelerate.utils import (
                GradientAccumulationPlugin,
                is_tensorboard_available,
                is_wandb_available,
            )
        except ImportError:
            raise MissingExtraError("accelerate", "train", "training") from None
        for name in trackers:
            if name not in TRACKERS:
                raise SettingsError(f"tracker {name!r}; allowed are {', '.join(TRACKERS)}")
            if name == "tensorboard" and not is_tensorboard_available():
                raise MissingExtraError(name, "track", "tracking by tensorboard")
            if name == "wandb" and not is_wandb_available():
                raise SettingsError("tracker 'wandb' needs the package wandb: pip install wandb")
        there = torch.accelerator.is_available()
        if precision == "float16" and not there:
            raise SettingsError("precision='float16' needs a GPU; on a CPU give 'bfloat16'")
        try:
            self._accelerator = Accelerator(
                mixed_precision=_NAMES[precision],
                log_with=list(trackers) or None,
                # The tracker makes a folder of the run's name in it, which is the run's own.
                project_dir=None if folder is None else folder.absolute().parent,
                cpu=not there,  # or else its processes would not know of each other
                # The loop accumulates; a launcher's setting would divide every loss once more.
                gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            )
        except ValueError as error:
            raise SettingsError(
                f"precision={precision!r}: {error}; train with one precision in a process"
            ) from error
        if not there:
            keep_freed_memory()
        self._trackers = tuple(trackers)
        self.device: torch.device = self._accelerator.device
        self.processes = Processes(self._accelerator.process_index, self._accelerator.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this process writes what all of them led to."""
        return self.processes.rank == 0

    def describe(self) -> str:
        """In words, for people: "2 processes on cuda, bfloat16"."""
        count = self.processes.count
        precision = {short: name for name, short in _NAMES.items()}
        return (
            f"{count} process{'es' if count > 1 else ''} on {self.device.type}, "
            f"{precision[str(self._accelerator.mixed_precision)]}"
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """Within it models run in the precision of the run."""
        context: AbstractContextManager[Any] = self._accelerator.autocast()
        return context

    def prepare(self, optimizer: torch.optim.Optimizer) -> Any:
        """The optimizer as the precision asks for it; its ``step`` may skip an overflow."""
        return self._accelerator.prepare_optimizer(optimizer, device_placement=False)

    def backward(self, loss: Tensor) -> None:
        self._accelerator.backward(loss)

    def finish_gradients(self, optimizer: Any, parameters: Sequence[Tensor]) -> None:
        """Gradients of the whole batch at their true size."""
        self.processes.add_gradients(parameters)
        self._accelerator.unscale_gradients(optimizer)

    def stopped(self, wanted: bool) -> bool:
        """Whether any process has been asked to stop: all of them stop after the same step."""
        if self.processes.count == 1:
            return wanted
        return bool(self.processes.add(torch.tensor(float(wanted), device=self.device)) > 0)

    def overflowed(self, norm: float) -> bool:
        """Whether a norm that is not finite comes of float16's scale, which then falls by itself;
        a scale below one has nowhere left to fall."""
        scaler = self._accelerator.scaler
        return scaler is not None and not math.isfinite(norm) and scaler.get_scale() > 1

    def state(self) -> dict[str, float]:
        """What a run has to keep beside weights and moments: float16's scale."""
        scaler = self._accelerator.scaler
        return {} if scaler is None else dict(scaler.state_dict())

    def restore(self, state: Mapping[str, float]) -> None:
        if self._accelerator.scaler is not None and state:
            self._accelerator.scaler.load_state_dict(dict(state))

    def track(self, name: str, settings: Mapping[str, Any]) -> None:
        """Begins to track a run."""
        if self._trackers:
            self._accelerator.init_trackers(name, dict(settings))

    def log(self, figures: Mapping[str, float], step: int) -> None:
        if self._trackers:
            self._accelerator.log(dict(figures), step=step)

    def end(self) -> None:
        """Closes the trackers."""
        if self._trackers:
            self._accelerator.end_training()


def keep_freed_memory() -> None:
    """Tells the C library to keep what is freed for the next step, until the process ends.

    Each step takes and frees the same large tensors. Given back to the system in between, their
    pages would be zeroed anew every time, which took 11% of a step of dpr-mini on a CPU. Does
    nothing where the library is not glibc.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
