"""Training in several processes: what falls to each, and what they put together.

Every process sees the whole batch, encodes its own part of it, and gets the vectors of all, with
gradients that flow back to whoever encoded them. A process's loss is that of its own questions,
divided by the questions of all, so that gradients summed over the processes are those of one
process with the whole batch: the original's are smaller by the number of processes, which clipping
feels. Takes tensors, gives tensors. Knows nothing of models or text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run: which of them this is, and how many there are."""

    rank: int = 0
    count: int = 1

    def own(self, total: int) -> range:
        """The part of ``total`` things that falls to this process."""
        return range(*self._bounds(total, self.rank))

    def _bounds(self, total: int, rank: int) -> tuple[int, int]:
        return rank * total // self.count, (rank + 1) * total // self.count

    def gather(self, own: Tensor, total: int) -> Tensor:
        """The rows of all processes, (total, ...), from each one's ``own`` of them, in order.
        Gradients flow back to the process that each row came from, from all of them."""
        if self.count == 1:
            return own
        sizes = [len(range(*self._bounds(total, rank))) for rank in range(self.count)]
        gathered: Tensor = _Gather.apply(own, sizes, self.rank)  # type: ignore[no-untyped-call]
        return gathered

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Sums the gradients over the processes; a process that had none counts as zero."""
        if self.count == 1:
            return
        gradients = []
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        together = torch.cat([one.flatten() for one in gradients])  # one message, not hundreds
        dist.all_reduce(together)
        parts = torch.split(together, [one.numel() for one in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def add(self, figures: Tensor) -> Tensor:
        """A tensor summed over the processes."""
        if self.count > 1:
            dist.all_reduce(figures)
        return figures

    def of_first(self, figures: Tensor) -> Tensor:
        """The first process's tensor, for all."""
        if self.count > 1:
            dist.broadcast(figures, 0)
        return figures

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()


class _Gather(torch.autograd.Function):
    """All-gather of parts of different length. Its derivative sums what each process's loss says
    of a row, and gives it to the row's own process."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.first, ctx.size = sum(sizes[:rank]), sizes[rank]
        even = own.new_zeros(max(sizes), *own.shape[1:])  # what is gathered must be of one size
        even[: len(own)] = own
        parts = [torch.empty_like(even) for _ in sizes]
        dist.all_gather(parts, even)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.first : ctx.first + ctx.size], None, None
