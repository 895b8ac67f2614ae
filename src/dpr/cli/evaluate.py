"""``dpr evaluate``: systems and questions to figures, and a report where one is asked for.

Takes what a person typed, gives it to ``dpr.pipeline.evaluate``. Knows nothing of measures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr.cli import terminal
from dpr.cli.asking import Mode, SearchMode
from dpr.cli.options import Json, with_settings
from dpr.evaluation.settings import StatisticsSettings

if TYPE_CHECKING:
    from dpr.evaluation.records import Estimate, Evaluation
    from dpr.pipeline.evaluating import Tell
    from dpr.records import QuestionSet

LINE_SECONDS = 30.0  # between lines of progress where there is no terminal

Systems = Annotated[
    list[str],
    typer.Argument(
        metavar="SYSTEM...",
        help="Collections, TREC runs, DPR results (.json), models (with --documents), "
        "[bold]bm25[/], [bold]dense[/] (the first collection's vectors alone), "
        "[bold]untrained[/]; NAME=PLACE to name one.",
        show_default=False,
    ),
]
Questions = Annotated[
    Path,
    typer.Option(
        metavar="PATH", help="A BEIR folder, SQuAD JSON, DPR's QA table or results, JSON Lines."
    ),
]
QuestionSplit = Annotated[str, typer.Option(help="Of a BEIR folder: whose judgements.")]
Judgements = Annotated[
    Path | None, typer.Option(metavar="FILE", help="TREC qrels or BEIR's, beside the questions.")
]
Baseline = Annotated[
    str, typer.Option(metavar="SYSTEM", help="What the others are compared with; none: all pairs.")
]
Documents = Annotated[
    str | None,
    typer.Option(metavar="SOURCE", help="For models, bm25, and the texts of runs."),
]
Split = Annotated[str, typer.Option(help="Of --documents, as dpr index has it.")]
Depth = Annotated[int, typer.Option(min=1, help="Hits of a question that are looked at.")]
Measures = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        help="Of judgements, as ir_measures names them (nDCG@10, R@100, RR@10, AP, P@5); "
        "repeatable, the first decides.",
    ),
]
Regex = Annotated[bool, typer.Option("--regex", help="Answers are regular expressions.")]
Read = Annotated[int, typer.Option(min=0, help="Hits that a collection's reader reads; 0: none.")]
To = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write the report there: HTML, JSON, CSV, Markdown, card."),
]
Title = Annotated[str, typer.Option(help="Of the report.", show_default=False)]


@with_settings
def evaluate(
    statistics: StatisticsSettings,
    systems: Systems,
    questions: Questions,
    question_split: QuestionSplit = "test",
    judgements: Judgements = None,
    baseline: Baseline = "",
    documents: Documents = None,
    split: Split = "words:100",
    mode: SearchMode = Mode.auto,
    depth: Depth = 100,
    measure: Measures = None,
    regex: Regex = False,
    read: Read = 10,
    to: To = None,
    title: Title = "",
    as_json: Json = False,
) -> None:
    """Measure systems on the same questions, and say which differences are real.

    Every figure comes with a bootstrap interval, every difference with a paired test (Holm's
    correction) and its wins and losses. With --to DIR there is a report to look at.

    [bold]Examples[/]

      dpr evaluate docs.dpr dense --questions dev.jsonl --baseline bm25 --to report/

      dpr evaluate old=a.dpr new=b.dpr bm25.run --questions nfcorpus/ --measure nDCG@10

      dpr evaluate dpr-mini runs/mine/best --documents corpus/ --questions corpus/ --baseline bm25
    """
    from dpr.pipeline import EvaluationSettings
    from dpr.pipeline import evaluate as measured

    settings = EvaluationSettings(
        depth=depth,
        measures=tuple(measure or ()),
        regex=regex,
        read=read,
        statistics=statistics,
    )
    if to is not None:
        from dpr.evaluation.report import check_extras

        check_extras()
    with telling() as tell:
        found = measured(
            systems,
            asked(questions, question_split, judgements),
            baseline=baseline,
            documents=documents,
            split=split,
            mode=mode.value,
            work=(to or Path("dpr-evaluation")) / "collections",
            settings=settings,
            title=title,
            tell=tell,
        )
        files = _written(found, to, tell)
    show(found, files, as_json)


def asked(questions: Path, split: str, judgements: Path | None) -> QuestionSet:
    """The questions, with the judgements of another file where one is named."""
    from dpr.questions import read_judgements, read_question_set

    read = read_question_set(questions, split=split)
    return read if judgements is None else replace(read, judgements=read_judgements(judgements))


def _written(found: Evaluation, to: Path | None, tell: Tell) -> list[Path]:
    if to is None:
        return []
    from dpr.evaluation.report import write_report

    tell("writing the report")
    return write_report(found, to)


@contextmanager
def telling() -> Iterator[Tell]:
    """What to call with what is being done: a spinner on a terminal, elsewhere a line on stderr
    now and then."""
    console = terminal.err()
    if not console.is_terminal:
        yield _Lines()
        return
    with console.status("starting") as status:
        yield lambda text: status.update(terminal.clean(text))


class _Lines:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._last > LINE_SECONDS:
            self._last = time.monotonic()
            terminal.note(text)


def show(found: Evaluation, files: Sequence[Path], as_json: bool) -> None:
    """The figures on stdout: a table and words, or the JSON without the values of each question."""
    if as_json:
        terminal.json_line(_shape(found) | {"files": [str(file) for file in files]})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for system in found.systems:
        table.add_column(terminal.clean(system.name), justify="right")
    for name in dict.fromkeys(name for one in found.systems for name in one.measures):
        table.add_row(name, *(_cell(one.measures.get(name)) for one in found.systems))
    terminal.out().print(table)
    for text in (*found.summary, *found.notes):
        terminal.line()
        terminal.line(text)
    if files:
        terminal.line()
        terminal.line(f"report: {files[0]}")


def _cell(value: Estimate | None) -> str:
    if value is None:
        return "-"
    return f"{value.value:.3f} ({value.low:.3f}-{value.high:.3f})"


def _shape(found: Evaluation) -> dict[str, Any]:
    from dpr.evaluation.report.serial import plain_values

    shape: dict[str, Any] = plain_values(found)
    for name in ("per_question", "question_ids", "examples"):
        shape.pop(name)
    for comparison in shape["comparisons"]:
        comparison.pop("differences")
    for system in shape["systems"]:
        for name in ("latencies", "reading"):
            system["cost"].pop(name)
    return shape
