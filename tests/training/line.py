"""A task small enough to see through: a linear model and a fixed target."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import torch
from torch import nn

from dpr.training.loop import LoopSettings
from dpr.training.task import Figures, Step


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Linear(3, 3, bias=False)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.out(self.dropout(self.word_embeddings(x)))
        return y


class Task:
    def __init__(self, stop_after: int | None = None, poison: int | None = None) -> None:
        torch.manual_seed(1)
        self.model = Line()
        self.modules: dict[str, nn.Module] = {"line": self.model}
        self.stop_after, self.poison = stop_after, poison
        self.done = 0
        self.ended: list[int] = []

    def batches(self, epoch: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(epoch)
        return [torch.randn(4, 3, generator=generator) for _ in range(7)]

    def step(self, batch: torch.Tensor, step: Step) -> Figures:
        if self.done == self.stop_after:
            signal.raise_signal(signal.SIGINT)
        loss = (self.model(batch).squeeze(1) - batch.sum(1)).square().mean()
        if self.done == self.poison:
            loss = loss * float("nan")
        step.backward(loss * step.share)
        self.done += 1
        return {"loss": loss.detach()}

    def epoch_ended(self, epoch: int) -> None:
        self.ended.append(epoch)

    def describe(self, batch: torch.Tensor) -> list[list[float]]:
        described: list[list[float]] = batch.tolist()
        return described

    def evaluate(self) -> dict[str, float]:
        return {"measure": -float(self.model.out.weight.detach().square().sum())}

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.json").write_text(json.dumps(self.model.out.weight.tolist()))


SETTINGS = LoopSettings(epochs=3, learning_rate=0.05, warmup_steps=2, checkpoint_seconds=0)


def weights(task: Task) -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in task.model.state_dict().items()}
