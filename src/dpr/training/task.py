"""What the loop and the things that it trains agree on: the task, and one step of it.

Knows nothing of models, text or files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

Batch = TypeVar("Batch")
Figures = dict[str, Tensor | float]


def seed_of(*numbers: int) -> int:
    """A seed from several numbers. Torch's generator on CPUs takes 32 bits: sums and products of
    small numbers would meet again soon."""
    return int.from_bytes(blake2b(repr(numbers).encode(), digest_size=4).digest())


def _backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Step:
    """What a task may need of the loop for one batch.

    Attributes:
        number: updates done before.
        seed: what dropout is drawn from: a function of the run's seed, the step and the process.
        share: what the batch's loss counts in the update, where several batches make one.
        backward: computes gradients of a loss, scaled where the precision asks for it.
        autocast: within it models run in the precision of the run; losses stay outside.
    """

    number: int = 0
    seed: int = 0
    share: float = 1.0
    backward: Callable[[Tensor], None] = _backward
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext


class Task(Protocol[Batch]):
    """What the loop needs to know of what is trained."""

    modules: dict[str, nn.Module]
    """The modules to train, by the name under which their weights are kept."""

    def batches(self, epoch: int) -> Sequence[Batch]:
        """The batches of an epoch: a function of the task's seed, the epoch and, where negatives
        are found anew, what was found; always the same number."""

    def step(self, batch: Batch, step: Step) -> Figures:
        """Computes gradients (adds to ``.grad``); gives figures for the log, ``loss`` first.

        In several processes each gives its part: they are summed over the processes.
        """

    def epoch_ended(self, epoch: int) -> None:
        """Told when the last step of an epoch is done, before what it led to is kept."""

    def evaluate(self) -> dict[str, float]:
        """Measures on the dev set; the first is what the best model is chosen by. May be empty."""

    def describe(self, batch: Batch) -> Any:
        """A batch as JSON that a person can read, for one that training cannot go on with."""

    def save(self, folder: Path) -> None:
        """Saves the models in the ordinary layout."""
