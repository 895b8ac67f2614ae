"""``dpr ask``: questions to answers, shown in the passages that they stand in.

Takes what a person typed, gives answers. Knows nothing of how they are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from dpr.cli import asking
from dpr.cli.options import CollectionFolder, Json, Model, ReaderPlace
from dpr.records import Asked, Question


def ask(
    collection: CollectionFolder,
    question: asking.QuestionText = None,
    questions: asking.QuestionsFile = None,
    k: asking.K = 10,
    passages: Annotated[
        int | None,
        typer.Option(
            min=1, show_default="the reader's own", help="Passages to read, of those found."
        ),
    ] = None,
    no_answer_below: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            show_default="the reader's own",
            help="Give no answer below this score.",
        ),
    ] = None,
    mode: asking.SearchMode = asking.Mode.auto,
    where: asking.Where = None,
    per_document: asking.PerDocument = None,
    model: Model = None,
    reader: ReaderPlace = None,
    batch: asking.Batch = 64,
    as_json: Json = False,
) -> None:
    """Answer a question from a collection.

    With --json: one object a line, in the order of the questions:
    {"id", "question", "answers": [{"text", "score", "passage_id", "start", "end", ...}],
    "version", "hits": [...]}; start and end are character offsets in the passage. No answer: an
    empty list. Hits are as [bold]dpr search[/] gives them.

    [bold]Examples[/]

      dpr ask docs.dpr "Who wrote the parser?"

      dpr ask docs.dpr --questions questions.txt --json > answers.jsonl

      dpr ask docs.dpr "Who wrote the parser?" --where 'year>=1990' --per-document 1

      echo "Who wrote the parser?" | dpr ask docs.dpr
    """
    asking.check_question(question, questions)
    narrowed = asking.narrowed(mode, where, per_document)
    from dpr.pipeline import Pipeline

    given = {"passages": passages, "no_answer_below": no_answer_below}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    depth = max(k, passages or 0)  # what is to be read has to be found
    with Pipeline.open(collection, model=model, reader=reader, settings=settings) as pipeline:

        def answering(many: Sequence[Question]) -> list[Asked]:
            found = pipeline.ask_many(many, depth, **narrowed)
            return [replace(asked, hits=asked.hits[:k]) for asked in found]

        asking.run(answering, question, questions, batch=batch, as_json=as_json, answers=True)
