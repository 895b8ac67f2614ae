"""What the models' thread does: the tasks of a round together, all on one version.

Takes tasks; gives an outcome or an error for each. Only one thread may call ``run``, since torch
uses all cores for what it does. Knows nothing of requests, queues or HTTP.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.errors import CollectionError
from dpr.pipeline.asking import Opened, Pipeline
from dpr.pipeline.models import Model, made_with, model_names, shown_name
from dpr.search.parts import words_settings
from dpr.serve.finding import Finding, apart
from dpr.serve.work import Embed, Embedded, Find, Judge, Outcome, Task

logger = logging.getLogger(__name__)
_SPECIAL = 3  # tokens around question, title and text
_BYTES = 2  # a token has at least so many, in all but strings of signs


class Engine:
    """Models, and the version of a collection that they are asked about.

    Args:
        passages: what makes vectors of passages; None: nothing does.
        model_id: what the model is called in answers.

    Attributes:
        model: where the models are, if not where the collection says.
        opened: the version. It is replaced as a whole, and a round keeps what it began with.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        passages: ContextEncoder | None,
        model_id: str,
        model: Model | None = None,
    ) -> None:
        self.pipeline, self.passages, self.model_id = pipeline, passages, model_id
        self.model = model
        self.opened: Opened = pipeline.newest

    @classmethod
    def open(
        cls, folder: str | os.PathLike[str], *, model: Model | None = None, **options: Any
    ) -> Engine:
        """Opens a collection with its models.

        Args:
            model, options: as ``Pipeline.open`` takes them; raises as it does.
        """
        pipeline = Pipeline.open(folder, model=model, **options)
        names = made_with(os.fspath(folder)) if model is None else model_names(model)
        passages = ContextEncoder.from_pretrained(names.context) if names.context else None
        expected = pipeline.collection.manifest.encoder_fingerprint
        if passages is not None and passages.fingerprint != expected:
            logger.warning("the model's encoder of passages is not the collection's: left out")
            passages = None
        # The name alone would be the same for what was trained anew in the same place.
        shown = f"{shown_name(names)}@{pipeline.encoder.fingerprint[:12]}"
        return cls(pipeline, passages, shown, model)

    @property
    def version(self) -> int:
        """Of the collection, that the next round asks."""
        return self.opened.searcher.collection.version

    @property
    def has_words(self) -> bool:
        """Whether the collection can be searched by words."""
        return words_settings(self.opened.searcher.collection) is not None

    def size(self, task: Task) -> int:
        """About how many tokens a task is, told from its length alone; rather too many."""
        encoder, reader = self.pipeline.encoder.encoding, self.opened.reader
        if isinstance(task, Find):
            count = min(_tokens(task.question), encoder.max_length)
            if task.read and reader is not None:
                read = min(task.how.k, reader.settings.passages)
                count += read * reader.settings.max_length
            return count
        if isinstance(task, Embed):
            tower = self.passages if task.tower == "passage" else None
            return min(_tokens(task.text), (tower.encoding if tower else encoder).max_length)
        count = _tokens(task.question) + _tokens(task.title) + _tokens(task.text)
        in_one = reader is not None and count <= reader.settings.max_length
        return count if in_one else 2 * count  # windows overlap

    def run(self, tasks: Sequence[Task]) -> list[Outcome | Exception]:
        """The outcome of each task, in their order; an error touches only those that share it."""
        outcomes: dict[int, Outcome | Exception] = {}
        finds = [(n, one) for n, one in enumerate(tasks) if isinstance(one, Find)]
        judges = [(n, one) for n, one in enumerate(tasks) if isinstance(one, Judge)]
        if finds:
            finding = Finding([one for _, one in finds], self.opened, self.pipeline.encoder)
            outcomes |= apart([n for n, _ in finds], lambda: finding.run(self.model_id))
        if judges:
            outcomes |= apart(
                [n for n, _ in judges], lambda: self._judge([one for _, one in judges])
            )
        for encoder, tower in ((self.pipeline.encoder, "query"), (self.passages, "passage")):
            embeds = [
                (n, one.text)
                for n, one in enumerate(tasks)
                if isinstance(one, Embed) and one.tower == tower
            ]
            if embeds:
                texts = [text for _, text in embeds]
                outcomes |= apart(
                    [n for n, _ in embeds],
                    lambda encoder=encoder, texts=texts: _embed(encoder, texts),  # type: ignore[misc]
                )
        return [outcomes[n] for n in range(len(tasks))]

    def _judge(self, judges: Sequence[Judge]) -> list[float]:
        reader = self.opened.reader
        if reader is None:
            raise CollectionError("there is no reader; open the collection with one")
        readings = reader.read(
            [one.question for one in judges],
            [one.title for one in judges],
            [one.text for one in judges],
        )
        best = [-np.inf] * len(judges)
        for reading in readings:  # a long text has several, and counts as its most relevant part
            best[reading.item] = max(best[reading.item], reading.relevance)
        return [float(one) for one in best]


def _embed(
    encoder: QuestionEncoder | ContextEncoder | None, texts: Sequence[str]
) -> list[Embedded]:
    if encoder is None:
        raise CollectionError("there is no encoder of passages; open the collection with one")
    tokens = encoder.tokens(texts)
    vectors = encoder.encode_ids(tokens.ids)
    return [
        Embedded(vector, len(ids), cut)
        for vector, ids, cut in zip(vectors, tokens.ids, tokens.cut, strict=True)
    ]


def _tokens(text: str) -> int:
    return len(text.encode("utf-8", "replace")) // _BYTES + _SPECIAL
