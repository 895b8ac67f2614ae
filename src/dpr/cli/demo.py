"""``dpr demo``: Python's documentation indexed and asked, with what should be found for judgement.

Takes what a person typed, gives it to ``dpr.demo`` and shows what comes back.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from dpr.cli import terminal
from dpr.cli.options import Json, ReaderPlace
from dpr.cli.progress import bar, count_passages
from dpr.cli.running import FAILED
from dpr.cli.shapes import asked_shape
from dpr.cli.show import NO_ANSWER, ROOM, coloured, heading, indented, mark, one_line

if TYPE_CHECKING:
    from rich.console import Console

    from dpr.demo import Judged


def demo(
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep the collection here.", show_default="a temporary folder"
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the temporary folder, to go on asking.")
    ] = False,
    model: Annotated[
        str, typer.Option(help="A model of the package, or a folder that training made.")
    ] = "dpr-mini",
    reader: ReaderPlace = None,
    as_json: Json = False,
) -> None:
    """Index Python's own documentation and ask it ten questions.

    Shows for each whether a right section is among the first three passages and whether the answer
    is an accepted one; exits with 1 below 9 sections or 6 answers of 10. Needs no download.

    [bold]Examples[/]

      dpr demo

      dpr demo --to pydoc.dpr    then    dpr ask pydoc.dpr
    """
    folder = to or Path(tempfile.mkdtemp(prefix="dpr-demo-")) / "pydoc.dpr"
    try:
        began = time.monotonic()
        made = _make(folder, model)
        indexed = time.monotonic()
        judged = _ask(folder, model, reader)
        seconds = indexed - began if made else None, time.monotonic() - indexed
    finally:
        if to is None and not keep:
            shutil.rmtree(folder.parent, ignore_errors=True)
    summary = _summary(folder if to or keep else None, judged, *seconds)
    if as_json:
        terminal.json_line(summary)
    else:
        console = terminal.out()
        for number, one in enumerate(judged, 1):
            _show(console, number, one)
        _close(console, summary)
    if not summary["passed"]:
        raise typer.Exit(FAILED)


def _make(to: Path, model: str) -> bool:
    """Indexes Python's documentation; False where the folder already holds just that."""
    from dpr.collection import read_manifest
    from dpr.corpus import SourceSettings, SplitSettings
    from dpr.demo import SOURCE
    from dpr.errors import CollectionError
    from dpr.pipeline import index

    if (to / "manifest.json").is_file():
        sources = [one["source"] for one in read_manifest(to).made_from.get("sources", [])]
        if sources == [SOURCE]:
            return False
        source = ", ".join(sources)
        raise CollectionError(
            f"{to}: is a collection of {source}; give a folder that is new or that the demo made"
        )

    def count() -> int | None:
        return count_passages(SOURCE, SourceSettings(), SplitSettings())

    with bar("passages", count) as progress:
        index(SOURCE, to, model=model, progress=progress)
    return True


def _ask(folder: Path, model: str, reader: str | None) -> list[Judged]:
    from dpr.demo import judge, read_questions
    from dpr.pipeline import Pipeline
    from dpr.records import Question

    questions = read_questions()
    with Pipeline.open(folder, model=model, reader=reader) as pipeline:
        asked = pipeline.ask_many([Question(one.id, one.question) for one in questions])
    return [judge(question, given) for question, given in zip(questions, asked, strict=True)]


def _summary(
    folder: Path | None, judged: list[Judged], index_seconds: float | None, ask_seconds: float
) -> dict[str, Any]:
    from dpr.demo import passed, tally

    sections, answers = tally(judged)
    return {
        "path": None if folder is None else str(folder),
        "questions": [
            asked_shape(one.asked, answers=True)
            | {"section_found": one.section_found, "answer_accepted": one.answer_accepted}
            for one in judged
        ],
        "sections": sections,
        "answers": answers,
        "passed": passed(judged),
        "index_seconds": None if index_seconds is None else round(index_seconds, 3),
        "ask_seconds": round(ask_seconds, 3),
    }


def _show(console: Console, number: int, one: Judged) -> None:
    """A question with its answer inside the passage it stands in."""
    console.print(Text(f"{number:>2}  {one.question.question}", style="bold cyan"))
    answer = next(iter(one.asked.answers), None)
    hit = next((h for h in one.asked.hits if answer and h.passage.id == answer.passage_id), None)
    if answer is None or hit is None:
        console.print(Text(f"    {NO_ANSWER}", style="bold yellow"))
        hit = next(iter(one.asked.hits), None)
    else:
        console.print(Text(f"    {one_line(answer.text)}", style="bold green"))
    if hit is not None:
        marked = mark(
            hit.passage.text,
            [answer] if answer else [],
            best=True,
            room=ROOM // 2,
            plain=not coloured(console),
        )
        indented(console, Text(heading(hit.passage), style="bold"))
        indented(console, marked)
    verdicts = (("section", one.section_found), ("answer", one.answer_accepted))
    text = Text("    ")
    for name, right in verdicts:
        text.append(f"{'✓' if right else '✗'} {name}  ", style="green" if right else "red")
    console.print(text)
    console.print()


def _close(console: Console, summary: dict[str, Any]) -> None:
    count = len(summary["questions"])
    console.print(
        Text(
            f"sections {summary['sections']}/{count}, answers {summary['answers']}/{count}",
            style="bold",
        )
    )
    indexed = summary["index_seconds"]
    first = "was indexed before" if indexed is None else f"index {terminal.duration(indexed)}"
    console.print(f"{first}, ask {terminal.duration(summary['ask_seconds'])}")
    if summary["path"]:
        terminal.line(f"go on with: dpr ask {summary['path']}")
