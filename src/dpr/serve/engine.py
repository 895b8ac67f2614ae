"""What the models' thread does: the tasks of a round together, all on one version.

Takes tasks; gives an outcome or an error for each. Only one thread may call ``run``, since torch
uses all cores for what it does. Knows nothing of requests, queues or HTTP.
"""

from __future__ import annotations

import logging
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

import numpy as np

from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.errors import CollectionError
from dpr.pipeline.asking import Opened, Pipeline
from dpr.pipeline.models import Model, made_with, model_names, shown_name
from dpr.reading import ReadingSettings
from dpr.search.parts import words_settings
from dpr.serve.batching import Check
from dpr.serve.finding import Finding, apart, deepest
from dpr.serve.steps import step
from dpr.serve.work import Embed, Embedded, Encode, Encoded, Find, How, Judge, Outcome, Task
from dpr.tokens.inputs import MIN_TEXT

logger = logging.getLogger(__name__)
_SPECIAL = 3  # tokens around question, title and text
_BYTES = 2  # of a client's text a token has about so many at least: less only in strings of signs
_OWN_BYTES = 4  # of the collection's texts, about
# A token has fewer, in what is written in words. White space, or a run of more letters than a word
# may have, so lose what comes after them, and are said to be truncated.
_CHARACTERS = 32
_SAMPLE = 64  # passages
_LOOKED = 32  # passages, of as many as it may take, that are looked through in it: most take fewer


@dataclass(frozen=True, slots=True)
class Open:
    """A version that may be asked.

    Attributes:
        number: see ``Found``.
        reading_tokens: that are read of one of its passages, about.
    """

    number: int
    opened: Opened
    reading_tokens: int


class Engine:
    """Models, and the version of a collection that they are asked about.

    Args:
        passages: what makes vectors of passages; None: nothing does.
        model_id: what the model is called in answers.

    Attributes:
        model: where the models are, if not where the collection says.
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
        self._numbers = count(1)
        self._open = self.opening(pipeline.newest)

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
    def opened(self) -> Opened:
        """The version. It is replaced as a whole, and a round keeps what it began with."""
        return self._open.opened

    @property
    def number(self) -> int:
        """Of what is open, see ``Found``."""
        return self._open.number

    def opening(self, opened: Opened) -> Open:
        """A version, measured; raises CorruptionError where its passages cannot be read."""
        return Open(next(self._numbers), opened, _reading_tokens(opened))

    def put(self, newest: Open) -> None:
        """Puts another version in the place of the one that is asked."""
        self._open = newest

    @property
    def version(self) -> int:
        """Of the collection, that the next round asks."""
        return self.opened.searcher.collection.version

    @property
    def has_words(self) -> bool:
        """Whether the collection can be searched by words."""
        return words_settings(self.opened.searcher.collection) is not None

    @property
    def modes(self) -> list[Literal["dense", "bm25", "hybrid"]]:
        """How the collection can be searched."""
        return ["dense", "bm25", "hybrid"] if self.has_words else ["dense"]

    def size(self, task: Task) -> int:
        """About how many tokens a task is, or takes as long as, told from lengths alone."""
        encoder, reader = self.pipeline.encoder.encoding, self.opened.reader
        if isinstance(task, Find):
            tokens = min(_tokens(task.question), encoder.max_length)
            tokens += self._hits(task.how)
            if task.read and reader is not None:
                tokens += min(task.how.k, reader.settings.passages) * self._open.reading_tokens
            return tokens
        if isinstance(task, Embed):
            tower = self.passages if task.tower == "passage" else None
            most = (tower.encoding if tower else encoder).max_length
            return min(_tokens(task.text), most)
        if isinstance(task, Encode):
            most = self.passages.encoding.max_length if self.passages else 0
            return sum(min(_tokens(one.title) + _tokens(one.text), most) for one in task.passages)
        if reader is None:
            return 0
        heads = _tokens(task.question) + _tokens(task.title)
        return _windows_tokens(reader.settings, heads, _tokens(task.text))

    def _hits(self, how: How) -> int:
        """A hit takes about as long as a token; to have enough documents, more are looked at."""
        if not how.per_document:
            return how.k
        looked = min(len(self.opened.searcher.collection), deepest(how))
        return max(4 * how.k, looked // _LOOKED)

    def parts(self, judge: Judge, round_tokens: int) -> list[Judge]:
        """A text to judge as texts of which each takes a round at most. The most relevant counts,
        as the most relevant window does."""
        reader = self.opened.reader
        if reader is None or not judge.text:
            return [judge]
        settings = reader.settings
        heads = _tokens(judge.question) + _tokens(judge.title)
        room, step = _room(settings, heads)
        windows = max(1, round_tokens // settings.max_length)
        share = len(judge.text) / len(judge.text.encode("utf-8", "replace")) * _BYTES
        tokens = room + (windows - 1) * step - _SPECIAL - 1
        most = max(1, int(share * tokens))
        ahead = max(1, int(share * (tokens - (room - step))))  # parts overlap as windows do
        starts = range(0, max(1, len(judge.text) - (most - ahead)), ahead)
        return [replace(judge, text=judge.text[at : at + most]) for at in starts]

    def run(
        self, tasks: Sequence[Task], check: Check = lambda *_: None
    ) -> list[Outcome | Exception]:
        """The outcome of each task, in their order; an error touches its task alone.

        Args:
            check: called between steps; what it raises ends the round.
        """
        asked = self._open
        number, opened = asked.number, asked.opened

        def find(which: Sequence[int]) -> Sequence[Outcome | Exception]:
            finds = [task for n in which if isinstance(task := tasks[n], Find)]
            return Finding(finds, opened, self.pipeline.encoder, check).run(self.model_id, number)

        def judge(which: Sequence[int]) -> Sequence[Outcome | Exception]:
            return _judge(
                opened, [task for n in which if isinstance(task := tasks[n], Judge)], check
            )

        def embed(which: Sequence[int]) -> Sequence[Outcome | Exception]:
            embeds = [task for n in which if isinstance(task := tasks[n], Embed)]
            encoder = self.passages if embeds[0].tower == "passage" else self.pipeline.encoder
            return _embed(encoder, embeds, check)

        def encode(which: Sequence[int]) -> Sequence[Outcome | Exception]:
            return _encode(
                self.passages, [t for n in which if isinstance(t := tasks[n], Encode)], check
            )

        together: dict[Any, list[int]] = defaultdict(list)
        for n, task in enumerate(tasks):
            tower = task.tower if isinstance(task, Embed) else None
            together[type(task), tower].append(n)
        done = {Find: find, Judge: judge, Embed: embed, Encode: encode}
        outcomes: dict[int, Outcome | Exception] = {}
        for (kind, _), which in together.items():
            outcomes |= apart(which, done[kind])
        return [outcomes[n] for n in range(len(tasks))]


@step("reading", Judge)
def _judge(opened: Opened, judges: Sequence[Judge], check: Check) -> list[float]:
    if opened.reader is None:
        raise CollectionError("there is no reader; open the collection with one")
    readings = opened.reader.read(
        [one.question for one in judges],
        [one.title for one in judges],
        [one.text for one in judges],
        check,
    )
    best = [-np.inf] * len(judges)
    for reading in readings:  # a long text has several, and counts as its most relevant part
        best[reading.item] = max(best[reading.item], reading.relevance)
    return [float(one) for one in best]


@step("encoding", Embed)
def _embed(
    encoder: QuestionEncoder | ContextEncoder | None, embeds: Sequence[Embed], check: Check
) -> list[Embedded]:
    if encoder is None:
        raise CollectionError("there is no encoder of passages; open the collection with one")
    # Far beyond what the model reads nothing is even tokenized: that alone would take long.
    most = _CHARACTERS * encoder.encoding.max_length
    tokens = encoder.tokens([one.text[:most] for one in embeds])
    vectors = encoder.encode_ids(tokens.ids, check)
    return [
        Embedded(vector, len(ids), cut or len(one.text) > most)
        for one, vector, ids, cut in zip(embeds, vectors, tokens.ids, tokens.cut, strict=True)
    ]


def _encode(encoder: ContextEncoder | None, tasks: Sequence[Encode], check: Check) -> list[Encoded]:
    if encoder is None:
        raise CollectionError("there is no encoder of passages; open the collection with one")
    found = []
    for one in tasks:  # each alone: who else is there must not decide how they are rounded
        tokens = encoder.tokens(one.passages)
        found.append(Encoded(encoder.encode_ids(tokens.ids, check), sum(tokens.cut)))
    return found


def _tokens(text: str, size: int = _BYTES) -> int:
    return len(text.encode("utf-8", "replace")) // size + _SPECIAL


def _room(settings: ReadingSettings, heads: int) -> tuple[int, int]:
    """Tokens of text in a window beside so many of question and title, and from one to the next."""
    least = min(MIN_TEXT, settings.max_length // 2)
    room = max(least, settings.max_length - heads - _SPECIAL)
    return room, max(1, room - min(settings.stride, room // 2))


def _windows_tokens(settings: ReadingSettings, heads: int, text: int) -> int:
    """Tokens that are read of a text, in as many windows as it takes."""
    room, step = _room(settings, heads)
    if text <= room:
        return min(settings.max_length, heads + text)
    return settings.max_length * (1 + math.ceil((text - room) / step))


def _reading_tokens(opened: Opened) -> int:
    """Tokens that are read of one of a version's passages, with a question: the mean of some."""
    if opened.reader is None:
        return 0
    collection, settings = opened.searcher.collection, opened.reader.settings
    rows = np.unique(np.linspace(0, collection.starts[-1] - 1, _SAMPLE).astype(int)).tolist()
    counts = [
        _windows_tokens(
            settings, 32 + _tokens(one.title, _OWN_BYTES), _tokens(one.text, _OWN_BYTES)
        )
        for one in collection.passages(rows)
    ]
    return math.ceil(np.mean(counts))
