"""``dpr search``: questions to passages.

Takes what a person typed, gives hits. Knows nothing of how they are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dpr.cli import asking, terminal
from dpr.cli.options import CollectionFolder, Json, Model
from dpr.records import Asked, Question


class HitFormat(StrEnum):
    """Of a file of hits; see ``dpr.interchange.hits``."""

    trec = "trec"
    results = "results"
    jsonl = "jsonl"


Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the hits there; gzipped where it ends in .gz."),
]
OutputFormat = Annotated[
    HitFormat, typer.Option(help="Of FILE: TREC's run, DPR's results JSON, or JSON lines.")
]


def search(
    collection: CollectionFolder,
    question: asking.QuestionText = None,
    questions: asking.QuestionsFile = None,
    k: asking.K = 10,
    mode: asking.SearchMode = asking.Mode.auto,
    where: asking.Where = None,
    per_document: asking.PerDocument = None,
    output: Output = None,
    format: OutputFormat = HitFormat.trec,
    model: Model = None,
    batch: asking.Batch = 64,
    as_json: Json = False,
) -> None:
    """Find the passages that belong to a question.

    With --json: one object a line, in the order of the questions:
    {"id", "question", "version", "hits": [{"id", "document", "title", "section", "text", "source",
    "start", "end", "metadata", "score", "dense_score", "dense_rank", "bm25_score", "bm25_rank"}]};
    start and end are character offsets in the document, version is the collection's; a score or
    rank is null where there is none.

    [bold]Examples[/]

      dpr search docs.dpr "How do I open a file?"

      dpr search docs.dpr "pathlib" --mode bm25 --where 'document~library/*' --per-document 1

      dpr search docs.dpr --questions queries.jsonl --k 100 --output hits.run

      dpr search docs.dpr
    """
    asking.check_question(question, questions)
    narrowed = asking.narrowed(mode, where, per_document)
    from dpr.pipeline import Pipeline

    with Pipeline.open(collection, model=model, read=False) as pipeline:

        def answering(many: Sequence[Question]) -> list[Asked]:
            found = pipeline.search_many([one.text for one in many], k, **narrowed)
            version = pipeline.collection.version
            return [
                Asked(one, tuple(hits), (), version) for one, hits in zip(many, found, strict=True)
            ]

        if output is None:
            asking.run(answering, question, questions, batch=batch, as_json=as_json, answers=False)
            return
        from dpr.interchange.hits import write_hits

        found = asking.answered(answering, question, questions, batch)
        written = write_hits(output, found, format.value, tag=collection.stem or "dpr")
    if as_json:
        terminal.json_line({"path": str(output), "format": format.value, "questions": written})
    else:
        terminal.line(f"{output}: the hits of {written:,} questions")
