"""What is shown of a training run while it goes on, and at its end.

Takes the loop's events, gives a bar or lines on stderr, the run's picture, and its measures. Knows
nothing of how models are trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.table import Table
from rich.text import Text

from dpr.cli import terminal
from dpr.errors import MissingExtraError
from dpr.training.curve import PICTURE, draw_curve
from dpr.training.loop import Event

LINE_SECONDS = 30.0  # between lines of progress where there is no terminal


class Curve:
    """The picture of a run, drawn as long as matplotlib is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path: Path | None = None
        self._missing = False

    def draw(self) -> None:
        if self._missing or not (self.folder / "log.jsonl").is_file():
            return
        try:
            self.path = draw_curve(self.folder)
        except MissingExtraError as error:
            self._missing = True
            terminal.note(f"no {PICTURE}: {error}")


@contextmanager
def reporting() -> Iterator[Callable[[Event], None]]:
    """What to call with the loop's events: a bar on a terminal, lines where there is none."""
    console = terminal.err()
    if not console.is_terminal:
        yield Lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("step {task.completed:,.0f} of {task.fields[steps]}"),
        BarColumn(),
        TextColumn("{task.fields[loss]} {task.fields[speed]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=None, steps="?", loss="", speed="")

        def tell(event: Event) -> None:
            if "loss" in event:
                progress.update(
                    bar,
                    total=event["steps"],
                    completed=event["step"],
                    steps=f"{event['steps']:,}",
                    loss=f"loss {event['loss']:.4f}",
                    speed=f"{event['seconds_a_step']:.2f} s/step",
                )
            else:
                line = note_of(event) or _measures(event)
                progress.console.print(Text(line), soft_wrap=True)

        yield tell


class Lines:
    """Events as lines on stderr: every evaluation, and a logged step now and then."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self, event: Event) -> None:
        if "loss" not in event:
            terminal.err().print(Text(note_of(event) or _measures(event)), soft_wrap=True)
        elif time.monotonic() - self._last > LINE_SECONDS:
            self._last = time.monotonic()
            text = (
                f"step {event['step']:,} of {event['steps']:,}: loss {event['loss']:.4f}, "
                f"{event['seconds_a_step']:.2f} s/step"
            )
            terminal.err().print(Text(text), soft_wrap=True)


def note_of(event: Event) -> str:
    """What to say of an event that is neither a step nor an evaluation; of those nothing."""
    if "resumed" in event:
        return f"going on after step {event['resumed']:,}"
    if "stopping" in event:
        return "stopping after this step; Ctrl-C again stops at once and loses what is not kept yet"
    return ""


def _measures(event: Event) -> str:
    figures = [f"{name} {value:.4g}" for name, value in event.items() if name != "step"]
    return f"step {event['step']:,}: {', '.join(figures)}"


def show(to: Path, measures: dict[str, float], picture: Path | None, as_json: bool) -> None:
    best = to / "best"
    if as_json:
        terminal.json_line(
            {
                "run": str(to),
                "best": str(best),
                "measures": measures,
                "picture": None if picture is None else str(picture),
            }
        )
        return
    if measures:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in measures.items():
            table.add_row(name, f"{value:.4g}")
        terminal.out().print(table)
    else:
        terminal.line("no dev samples: best/ is the last model")
    terminal.line(f"model: {best}")
    if picture is not None:
        terminal.line(f"curve: {picture}")
