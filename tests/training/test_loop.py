"""The loop, on a linear model: what it learns, keeps and goes on from."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.line import SETTINGS, Task, weights

from dpr.errors import DPRError, SettingsError
from dpr.training.loop import LoopSettings, Run
from dpr.training.task import Figures, Step, seed_of


def test_a_run_that_was_cut_ends_bit_equal_to_one_that_was_not(tmp_path: Path) -> None:
    whole = Task()
    Run(whole, SETTINGS, tmp_path / "whole", {})()
    for cut in (1, 9, 5):
        with pytest.raises(KeyboardInterrupt):
            Run(Task(stop_after=cut), SETTINGS, tmp_path / "cut", {})()
    resumed = Task()
    Run(resumed, SETTINGS, tmp_path / "cut", {})()
    assert resumed.done == 21 - (2 + 10 + 6)  # the step that was under way is done to its end
    assert weights(resumed) == weights(whole)

    def log(name: str) -> list[dict[str, float]]:
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        return [{k: v for k, v in row.items() if k in ("step", "measure")} for row in rows]

    assert [row for row in log("cut") if "measure" in row] == [
        row for row in log("whole") if "measure" in row
    ]


def test_a_second_interrupt_stops_at_once_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    def twice(task: Task) -> None:
        step = task.step

        def pressed(batch: torch.Tensor, of_loop: Step) -> Figures:
            if task.done == 4:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return step(batch, of_loop)

        task.step = pressed  # type: ignore[method-assign]

    whole, cut, resumed = Task(), Task(), Task()
    Run(whole, SETTINGS, tmp_path / "whole", {})()
    twice(cut)
    events: list[dict[str, float]] = []
    with pytest.raises(KeyboardInterrupt):
        Run(cut, SETTINGS, tmp_path / "cut", {}, events.append)()
    assert events[-1] == {"stopping": 4}
    assert cut.done == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    Run(resumed, SETTINGS, tmp_path / "cut", {})()
    assert resumed.done == 21 - 4
    assert weights(resumed) == weights(whole)


def test_a_handler_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    seen: list[int] = []
    usual = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        Run(Task(stop_after=3), SETTINGS, tmp_path, {})()
    finally:
        signal.signal(signal.SIGINT, usual)
    assert seen == [signal.SIGINT]


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    best = Run(Task(), SETTINGS, tmp_path, {})()
    again = Task()
    assert Run(again, SETTINGS, tmp_path, {})() == best
    assert again.done == 0


def test_learning_lowers_the_loss(tmp_path: Path) -> None:
    events: list[dict[str, float]] = []
    settings = LoopSettings(epochs=20, learning_rate=0.05, warmup_steps=5, log_steps=7)
    Run(Task(), settings, tmp_path, {}, events.append)()
    losses = [event["loss"] for event in events if "loss" in event]
    assert losses[-1] < losses[0] / 2


def test_rate_rises_and_falls(tmp_path: Path) -> None:
    run = Run(Task(), LoopSettings(learning_rate=1.0, warmup_steps=10), tmp_path, {})
    rates = [run.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(1 / 90)
    short = [run.rate(step, 20) for step in range(20)]  # warm-up is a tenth at most
    assert short[1] == pytest.approx(1.0)


def test_frozen_embeddings_stay(tmp_path: Path) -> None:
    task = Task()
    before = task.model.word_embeddings.weight.clone()
    Run(task, LoopSettings(epochs=1, freeze_embeddings=True), tmp_path, {})()
    assert torch.equal(task.model.word_embeddings.weight, before)
    assert task.model.word_embeddings.weight.grad is None


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DPRError, match=r"step 4: loss nan.*its batch is in failed-batch\.json"):
        Run(Task(poison=4), SETTINGS, tmp_path, {})()
    failed = json.loads((tmp_path / "failed-batch.json").read_text())
    assert failed["step"] == 4
    assert failed["batches"] == [Task().batches(0)[4].tolist()]


def test_what_stands_after_a_loss_that_is_not_finite_is_told(tmp_path: Path) -> None:
    with pytest.raises(DPRError, match="training stops here; its batch"):
        Run(Task(poison=0), SETTINGS, tmp_path / "first", {})()
    often = replace(SETTINGS, checkpoint_seconds=0)
    with pytest.raises(DPRError, match="stops here, and the last checkpoint before it stands; its"):
        Run(Task(poison=1), often, tmp_path / "later", {})()


def test_batches_that_are_accumulated_are_one_update(tmp_path: Path) -> None:
    """As one batch of their size would be: the loss is a mean, and all batches are of a size."""

    class Whole(Task):
        def batches(self, epoch: int) -> list[torch.Tensor]:
            parts = super().batches(epoch)[:6]
            return [torch.cat(parts[i : i + 3]) for i in (0, 3)]

    class Parts(Task):
        def batches(self, epoch: int) -> list[torch.Tensor]:
            return super().batches(epoch)[:6]

    whole, parts = Whole(), Parts()
    for task in (whole, parts):
        task.model.dropout.p = 0.0
    Run(whole, SETTINGS, tmp_path / "whole", {})()
    Run(parts, replace(SETTINGS, accumulate=3), tmp_path / "parts", {})()
    assert parts.done == 3 * whole.done
    for name, value in parts.model.state_dict().items():
        torch.testing.assert_close(value, whole.model.state_dict()[name])
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    rows = [[json.loads(line) for line in log.splitlines()] for log in logs]
    losses = [[row["loss"] for row in of_one if "loss" in row] for of_one in rows]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert len(losses[0]) == 3


def test_training_ends_when_nothing_gets_better(tmp_path: Path) -> None:
    task = Task()
    figures = iter([1.0, 3.0, 2.0, 3.0, 4.0])
    task.evaluate = lambda: {"measure": next(figures)}  # type: ignore[method-assign]
    settings = replace(SETTINGS, epochs=5, patience=2)
    assert Run(task, settings, tmp_path, {})() == {"measure": 3.0}
    assert task.ended == [0, 1, 2, 3]
    again = Task()
    assert Run(again, settings, tmp_path, {})() == {"measure": 3.0}
    assert again.done == 0


def test_a_card_is_written_beside_what_is_kept(tmp_path: Path) -> None:
    def card(description: dict[str, object], measures: dict[str, float]) -> str:
        return f"{description['a']} {sorted(measures)}"

    Run(Task(), SETTINGS, tmp_path, {"a": 1}, card=card)()
    for name in ("best", "last"):
        assert (tmp_path / name / "README.md").read_text() == "1 ['measure']"


def test_a_kill_between_the_first_best_and_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, checkpoint_seconds=1e9)
    whole = Run(Task(), settings, tmp_path / "whole", {})()
    cut = Run(Task(), settings, tmp_path / "cut", {})
    keep = cut._keep

    def killed(name: str, measures: dict[str, float]) -> None:
        keep(name, measures)
        raise KeyboardInterrupt

    monkeypatch.setattr(cut, "_keep", killed)
    with pytest.raises(KeyboardInterrupt):
        cut()
    resumed = Task()
    assert Run(resumed, settings, tmp_path / "cut", {})() == whole
    assert resumed.done == 14


def test_a_kill_loses_no_more_than_was_said_where_epochs_are_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing to evaluate on, which would keep the state each time."""

    class Slow(Task):
        seconds = 0.0

        def step(self, batch: torch.Tensor, step: Step) -> Figures:
            Slow.seconds += 1
            if self.done == self.stop_after:
                raise RuntimeError("killed")
            return super().step(batch, step)

        def evaluate(self) -> dict[str, float]:
            return {}

    monkeypatch.setattr("dpr.training.loop.time.monotonic", lambda: Slow.seconds)
    settings = replace(SETTINGS, checkpoint_seconds=9.5)
    with pytest.raises(RuntimeError):
        Run(Slow(stop_after=19), settings, tmp_path, {})()
    resumed = Slow()
    Run(resumed, settings, tmp_path, {})()
    assert resumed.done == 21 - 17  # kept at the end of the first epoch, and ten steps later


def test_steps_have_dropout_of_their_own() -> None:
    seeds = {
        seed_of(seed, step, 0, rank)
        for seed in (0, 2048)
        for step in range(5000)
        for rank in (0, 1)
    }
    assert len(seeds) > 19_990  # of 20,000; 32 bits let a few meet
    assert max(seeds) < 2**32


def test_the_best_model_is_kept(tmp_path: Path) -> None:
    task = Task()
    figures = iter([1.0, 3.0, 2.0])
    task.evaluate = lambda: {"measure": next(figures)}  # type: ignore[method-assign]
    save = task.save
    kept: list[tuple[str, int]] = []

    def recorded(folder: Path) -> None:
        kept.append((folder.name, task.done))
        save(folder)

    task.save = recorded  # type: ignore[method-assign]
    assert Run(task, SETTINGS, tmp_path, {})() == {"measure": 3.0}
    assert kept == [("best.new", 7), ("best.new", 14), ("last.new", 21)]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"best", "last"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("inf")},
        {"clip_norm": -1.0},
        {"warmup_steps": -1},
        {"weight_decay": float("nan")},
        {"patience": -1},
        {"accumulate": 0},
        {"precision": "int8"},
    ],
)
def test_settings_outside_what_is_allowed(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        LoopSettings(**wrong)  # type: ignore[arg-type]
