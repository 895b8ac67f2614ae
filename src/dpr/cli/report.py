"""``dpr report``: documents, and questions where there are any, to a report.

Takes what a person typed, gives it to ``dpr.pipeline.report``. Knows nothing of how it is done.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpr.cli import terminal
from dpr.cli.evaluate import Regex, show, telling
from dpr.cli.options import Json
from dpr.cli.sources import ModelName, Source, Split

Questions = Annotated[
    Path | None,
    typer.Argument(
        metavar="[QUESTIONS]",
        help="In any format of dpr evaluate; without them, those that the documents come with, or "
        "else some made from the documents.",
    ),
]
To = Annotated[Path, typer.Option(metavar="DIR", help="For the collection and the report.")]
Train = Annotated[
    bool,
    typer.Option("--train", help="Train on a part of the questions, test on the others."),
]
Made = Annotated[int, typer.Option(min=1, help="Questions to make where there are none.")]


def report(
    documents: Source,
    questions: Questions = None,
    to: To = Path("dpr-report"),
    model: ModelName = "dpr-mini",
    split: Split = "words:100",
    train: Train = False,
    regex: Regex = False,
    pseudo_questions: Made = 500,
    as_json: Json = False,
) -> None:
    """Index documents, ask them questions, and write a report to look at: all at once.

    If it is interrupted, run the same command again: it goes on where it stopped.

    [bold]Examples[/]

      dpr report fairytaleqa/validation

      dpr report docs/ questions.jsonl --to docs-report --train

      dpr report docs/
    """
    from dpr.pipeline import EvaluationSettings
    from dpr.pipeline import report as make

    with telling() as tell:
        found, files = make(
            documents,
            questions,
            to=to,
            model=model,
            split=split,
            train=train,
            pseudo=pseudo_questions,
            settings=EvaluationSettings(regex=regex),
            tell=tell,
        )
    if found.questions.get("made"):
        terminal.note("no questions were given: they were made from the documents")
    show(found, files, as_json)
