"""The command line: ``dpr VERB``. One module a verb; heavy imports only where a verb needs them.

Takes argv, gives lines on stdout and stderr and an exit code (see ``dpr.cli.running``). All that
the verbs do is done by the library below.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dpr.cli.add import add
from dpr.cli.ask import ask
from dpr.cli.calibrate import calibrate
from dpr.cli.compact import compact
from dpr.cli.convert import convert
from dpr.cli.demo import demo
from dpr.cli.doctor import doctor
from dpr.cli.evaluate import evaluate
from dpr.cli.export import export
from dpr.cli.import_ import import_vectors
from dpr.cli.index import index
from dpr.cli.info import info
from dpr.cli.learning_curve import learning_curve
from dpr.cli.mcp import mcp
from dpr.cli.mine import mine
from dpr.cli.pairs import pairs
from dpr.cli.remove import remove
from dpr.cli.repair import repair
from dpr.cli.report import report
from dpr.cli.running import Commands
from dpr.cli.search import search
from dpr.cli.serve import serve
from dpr.cli.sync import sync
from dpr.cli.train import train
from dpr.cli.tune import tune
from dpr.cli.verify import verify

app = typer.Typer(
    name="dpr",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done · 1 failed, or what was checked is not as it should be · "
    "2 wrong usage · 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from dpr import __version__

        typer.echo(f"dpr {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show tracebacks and all notes.")
    ] = False,
) -> None:
    """Ask questions of your own documents: find the passages, read the answers out of them.

    [bold]dpr index[/] docs/ --to docs.dpr   then   [bold]dpr ask[/] docs.dpr "Who wrote it?"

    Or begin with [bold]dpr demo[/], which does both with Python's own documentation.
    """


app.command(rich_help_panel="Documents and questions")(index)
app.command(rich_help_panel="Documents and questions")(ask)
app.command(rich_help_panel="Documents and questions")(search)
app.command(rich_help_panel="Documents and questions")(serve)
app.command(rich_help_panel="Documents and questions")(mcp)
app.command(rich_help_panel="Documents and questions")(demo)
app.command(rich_help_panel="What a collection holds")(sync)
app.command(rich_help_panel="What a collection holds")(add)
app.command(rich_help_panel="What a collection holds")(remove)
app.command(rich_help_panel="What a collection holds")(compact)
app.command("import", rich_help_panel="Vectors from and to elsewhere")(import_vectors)
app.command(rich_help_panel="Vectors from and to elsewhere")(export)
app.command(rich_help_panel="How good it is")(evaluate)
app.command(rich_help_panel="How good it is")(report)
app.add_typer(train, name="train", rich_help_panel="Models")
app.command("learning-curve", rich_help_panel="Models")(learning_curve)
app.command(rich_help_panel="Models")(mine)
app.command(rich_help_panel="Models")(pairs)
app.command(rich_help_panel="Models")(doctor)
app.command(rich_help_panel="Models")(convert)
app.command(rich_help_panel="Looking after them")(tune)
app.command(rich_help_panel="Looking after them")(calibrate)
app.command(rich_help_panel="Looking after them")(info)
app.command(rich_help_panel="Looking after them")(verify)
app.command(rich_help_panel="Looking after them")(repair)


def main() -> None:
    """What the console script ``dpr`` runs."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show “é” is no error
    app(prog_name="dpr")
