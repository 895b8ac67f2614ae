"""How every verb runs: errors to one line and an exit code, warnings to notes, logging to stderr.

Exit codes: 0 done; 1 it failed, or what was checked is not as it should be; 2 wrong usage;
130 interrupted; 141 the reader of the output went away. Knows nothing of the verbs.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from dpr.cli import terminal
from dpr.errors import DPRError

FAILED, INTERRUPTED, PIPE_CLOSED = 1, 130, 141


class Commands(TyperGroup):
    """The group of all verbs; errors that a person can mend end here."""

    def invoke(self, ctx: Any) -> Any:
        verbose = bool(ctx.params.get("verbose"))
        with _notes(verbose):
            try:
                result = super().invoke(ctx)
                sys.stdout.flush()  # here, not at exit, a closed pipe can still be met in silence
            except KeyboardInterrupt:
                terminal.error("interrupted")
                raise typer.Exit(INTERRUPTED) from None
            except BrokenPipeError:
                _leave_stdout()
                raise typer.Exit(PIPE_CLOSED) from None
            except (DPRError, OSError) as error:
                if verbose:
                    traceback.print_exc()
                terminal.error(str(error))
                raise typer.Exit(FAILED) from error
            return result


@contextmanager
def _notes(verbose: bool) -> Iterator[None]:
    """Warnings and log records of the library as notes, for the time of one command."""
    logger, handler = logging.getLogger("dpr"), _Notes()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    # catch_warnings would also forget the filters that were asked for; only the showing changes.
    shown = warnings.showwarning
    warnings.showwarning = _show_warning
    try:
        yield
    finally:
        warnings.showwarning = shown
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        terminal.note(record.getMessage())


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    terminal.note(str(message))


def _leave_stdout() -> None:
    """So that Python's flush at exit does not complain of the closed pipe either."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
