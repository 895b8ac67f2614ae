"""What ``dpr search`` and ``dpr ask`` share: where questions come from, how results are shown.

Takes a function from questions to results; feeds it from the command line, a file, a pipe or a
prompt, in order and in batches. Knows nothing of how they are answered.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr.cli import terminal
from dpr.cli.shapes import asked_shape
from dpr.cli.show import show_asked
from dpr.corpus.lines import open_bytes
from dpr.errors import InputError
from dpr.filters import parse_filters
from dpr.questions import batches, read_questions
from dpr.questions.dpr import read_dpr_qa
from dpr.records import Asked, Question

if TYPE_CHECKING:
    from dpr.pipeline.asking import Narrowed


class Mode(StrEnum):
    """How passages are searched for; see ``dpr.search.settings``."""

    auto = "auto"
    dense = "dense"
    bm25 = "bm25"
    hybrid = "hybrid"


QuestionText = Annotated[
    str | None, typer.Argument(metavar="QUESTION", help="Leave out to be prompted, or to pipe.")
]
QuestionsFile = Annotated[
    Path | None,
    typer.Option(
        "--questions",
        metavar="FILE",
        help="A question a line, BEIR's queries.jsonl, or DPR's table (.tsv, .csv); - reads stdin.",
    ),
]
Batch = Annotated[
    int,
    typer.Option(min=1, help="Questions at once from a file or pipe; 1 gives each answer at once."),
]
K = Annotated[int, typer.Option("--k", "-k", min=1, help="Passages to find.")]
SearchMode = Annotated[
    Mode,
    typer.Option(
        "--mode",
        help="By vectors (dense), by words (bm25), or by both (hybrid); auto: as the collection "
        "keeps it.",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COND",
        help="Only what satisfies it, such as 'document~manual/*', 'lang=en|de', 'year>=1990', "
        "'draft!=true'. Repeatable; all must hold.",
    ),
]
PerDocument = Annotated[
    int | None,
    typer.Option(min=1, show_default="any number", help="Passages of one document at most."),
]
Answering = Callable[[Sequence[Question]], list[Asked]]


def check_question(question: str | None, file: Path | None) -> None:
    """Refuses what makes no sense before any model is loaded."""
    if question is not None and file is not None:
        raise typer.BadParameter("give a question or --questions, not both")
    if question is not None and not question.strip():
        raise typer.BadParameter("the question is empty")
    if file is not None and str(file) != "-" and not file.is_file():
        raise InputError("no such file; give a file with a question a line", source=str(file))


def narrowed(mode: Mode, where: list[str] | None, per_document: int | None) -> Narrowed:
    """How the search differs from the usual, checked before any model is loaded."""
    filters = parse_filters(where or ())
    return {"mode": mode.value, "where": filters or None, "per_document": per_document}


def run(
    answering: Answering,
    question: str | None,
    file: Path | None,
    *,
    batch: int,
    as_json: bool,
    answers: bool,
) -> None:
    """Answers one question, those of a file or pipe, or those typed at a prompt, and shows what
    came of it."""
    shown = 0
    for asked in answered(answering, question, file, batch):
        if as_json:
            terminal.json_line(asked_shape(asked, answers=answers))
            continue
        new = asked.version != shown
        show_asked(terminal.out(), asked, answers=answers, name=question is None, version=new)
        shown = asked.version


def answered(
    answering: Answering, question: str | None, file: Path | None, batch: int
) -> Iterator[Asked]:
    """The same, as it comes."""
    if question is not None:
        yield from answering([Question("1", question)])
    elif file is None and sys.stdin.isatty():
        for typed in _prompted():
            yield from answering([typed])
    else:
        for questions in batches(_streamed(file), batch):
            yield from answering(questions)


def _streamed(file: Path | None) -> Iterator[Question]:
    if file is None or str(file) == "-":
        yield from read_questions(sys.stdin.buffer, "stdin")
        return
    if Path(file.name.removesuffix(".gz")).suffix.lower() in (".tsv", ".csv"):
        # A line of it is more than a question: the answers would be searched for as well.
        yield from (entry.question for entry in read_dpr_qa(file))
        return
    with open_bytes(file) as stream:
        yield from read_questions(stream, str(file))


def _prompted() -> Iterator[Question]:
    """Questions typed at a prompt, until the end of input (Ctrl-D)."""
    with suppress(ImportError):
        import readline  # noqa: F401  (gives input() editing and history)
    number = 0
    prompt = "question> "
    while True:
        try:
            if sys.stdout.isatty():
                text = input(prompt)
            else:  # stdout is for results
                print(prompt, end="", file=sys.stderr, flush=True)
                text = input()
        except EOFError:
            print(file=sys.stderr)
            return
        if text.strip():
            number += 1
            yield Question(str(number), text.strip())
