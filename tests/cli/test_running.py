"""How verbs run: warnings and log records become notes, errors one line and an exit code."""

from __future__ import annotations

import logging
import warnings

import pytest
import typer
from typer.testing import CliRunner, Result

from dpr.cli.options import attribute_texts
from dpr.cli.running import Commands
from dpr.cli.terminal import duration, size
from dpr.errors import DPRError


def outcome(act: object) -> Result:
    app = typer.Typer(cls=Commands)

    @app.callback()
    def options(verbose: bool = False) -> None: ...

    @app.command()
    def verb() -> None:
        act()  # type: ignore[operator]

    return CliRunner().invoke(app, ["verb"])


def fail(error: BaseException) -> Result:
    def act() -> None:
        raise error

    return outcome(act)


def test_errors_that_a_person_can_mend_are_one_line() -> None:
    result = fail(DPRError("the [red] thing\x1b[2J is wrong"))
    assert result.exit_code == 1
    assert result.stderr == "error: the [red] thing\N{REPLACEMENT CHARACTER}[2J is wrong\n"
    assert fail(PermissionError(13, "Permission denied", "x")).exit_code == 1
    assert fail(KeyboardInterrupt()).exit_code == 130
    assert fail(BrokenPipeError()).exit_code == 141


def test_bugs_are_not_hidden() -> None:
    assert isinstance(fail(ZeroDivisionError()).exception, ZeroDivisionError)


def test_warnings_and_log_records_are_notes_for_the_time_of_the_command() -> None:
    shown = warnings.showwarning

    def act() -> None:
        warnings.warn("first\n  second", UserWarning, stacklevel=1)
        logging.getLogger("dpr.room").warning("of %s", "the log")
        logging.getLogger("dpr.room").info("not shown")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = outcome(act)
    assert result.stderr == "note: first second\nnote: of the log\n"
    assert warnings.showwarning is shown
    assert not logging.getLogger("dpr").handlers


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (75, "1 min 15 s"), (7260, "2 h 1 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes() -> None:
    assert [size(n) for n in (7, 1536, 2_000_000, 13e12)] == [  # type: ignore[arg-type]
        "7 bytes",
        "1.5 kB",
        "2.0 MB",
        "13000.0 GB",
    ]


def test_texts_of_attributes() -> None:
    """Names of one line share its text; further lines belong to it."""
    doc = """Title.

    Attributes:
        one, two: some
            more.
        three: ``x``: y.

    Raises:
        Error: never.
    """
    assert attribute_texts(doc) == {"one": "some more.", "two": "some more.", "three": "'x': y."}
