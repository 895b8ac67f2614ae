"""Progress of indexing on a terminal: how many passages, how fast, how long still.

Takes a count as it grows; shows a bar on stderr, or nothing where nobody watches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dpr.cli import terminal

if TYPE_CHECKING:
    from dpr.corpus import SourceSettings, SplitSettings

COUNT_SECONDS = 2.0  # spent on learning the total, so that time left can be shown


def count_passages(source: str, reading: SourceSettings, split: SplitSettings) -> int | None:
    """How many passages a source has; None where finding out takes more than a moment."""
    from dpr.corpus import Problems, read_passages
    from dpr.errors import DPRError

    path = Path(source)
    if path.exists() and not (path.is_dir() or path.is_file()):
        return None  # a pipe can be read only once
    if path.is_file() and path.stat().st_size > 50_000_000:
        return None
    until, count = time.monotonic() + COUNT_SECONDS, 0
    try:
        for _ in read_passages(source, reading, split, Problems()):
            count += 1
            if time.monotonic() > until:
                return None
    except (DPRError, OSError):
        return None  # met again, and told, when the source is read in earnest
    return count


@contextmanager
def bar(what: str, total: Callable[[], int | None]) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on a terminal; gives what to call with the number done, or None."""
    console = terminal.err()
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]} {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("loading the model", total=None, done="", rate="")
        full: int | None = None
        first: tuple[float, int] | None = None

        def tell(done: int) -> None:
            nonlocal first, full
            now = time.monotonic()
            if first is None:
                full = total()
                first = now, done
            seconds, count = now - first[0], done - first[1]
            progress.update(
                task,
                description=what,
                total=full,
                completed=done,
                done=f"{done:,}" + (f" of {full:,}" if full else ""),
                rate=f"{count / seconds:,.0f}/s" if seconds > 1 else "",
            )

        yield tell
