"""``dpr search``: questions to passages.

Takes what a person typed, gives hits. Knows nothing of how they are found.
"""

from __future__ import annotations

from collections.abc import Sequence

from dpr.cli import asking
from dpr.cli.options import CollectionFolder, Json, Model
from dpr.records import Asked, Question


def search(
    collection: CollectionFolder,
    question: asking.QuestionText = None,
    questions: asking.QuestionsFile = None,
    k: asking.K = 10,
    model: Model = None,
    batch: asking.Batch = 64,
    as_json: Json = False,
) -> None:
    """Find the passages that belong to a question.

    With --json: one object a line, in the order of the questions:
    {"id", "question", "hits": [{"id", "title", "section", "text", "score", "source", "start",
    "end"}]}; start and end are character offsets in the document.

    [bold]Examples[/]

      dpr search docs.dpr "How do I open a file?"

      dpr search docs.dpr --questions queries.jsonl --k 100 --json > hits.jsonl

      dpr search docs.dpr
    """
    asking.check_question(question, questions)
    from dpr.pipeline import Pipeline

    with Pipeline.open(collection, model=model, read=False) as pipeline:

        def answering(many: Sequence[Question]) -> list[Asked]:
            found = pipeline.search_many([one.text for one in many], k)
            return [Asked(one, tuple(hits)) for one, hits in zip(many, found, strict=True)]

        asking.run(answering, question, questions, batch=batch, as_json=as_json, answers=False)
