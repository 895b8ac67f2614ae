"""What can be evaluated: collections, runs, and baselines, each as hits for the same questions.

Takes open collections, files of runs, passages; gives what they found, how long it took and what it
takes to repeat it. Knows nothing of measures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from dpr.collection import Collection, describe
from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.errors import InputError, SettingsError
from dpr.evaluation.records import Cost
from dpr.indexes.bm25 import BM25Index
from dpr.indexes.flat import FlatIndex
from dpr.models.dpr import DPRContextEncoder, DPRQuestionEncoder
from dpr.pipeline.asking import Pipeline
from dpr.pipeline.models import made_with
from dpr.questions import iterate_results, read_run
from dpr.reading import Reader, Reading, ReadingSettings
from dpr.records import Hit, Passage, Question
from dpr.training.retriever import tie

BM25, UNTRAINED = BASELINES = ("bm25", "untrained")
TIMED = 100  # questions asked one by one, for the latencies
READ_TIMED = 20
ROWS_AT_ONCE = 4096
AT_ONCE = 256  # questions searched for
READ_AT_ONCE = 32  # and read for
Hits = list[tuple[Hit, ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a system gave, question by question.

    Attributes:
        settings: what it takes to repeat it.
        readings: of each question's first hits, for ``combine``; empty where nothing was read.
        reading: how they were read.
        notes: what a reader of the figures must know.
    """

    name: str
    kind: str
    settings: dict[str, Any]
    cost: Cost
    hits: Hits
    readings: list[list[tuple[Hit, Reading]]] = field(default_factory=list)
    reading: ReadingSettings | None = None
    notes: tuple[str, ...] = ()


class Shelf:
    """Where the texts of passages are: a collection, or passages in memory."""

    def __init__(self, source: Collection | Sequence[Passage]) -> None:
        self._collection = source if isinstance(source, Collection) else None
        self._passages = [] if isinstance(source, Collection) else list(source)
        self._rows: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._passages if self._collection is None else self._collection)

    def __iter__(self) -> Iterator[Passage]:
        if self._collection is None:
            yield from self._passages
            return
        for first in range(0, len(self), ROWS_AT_ONCE):
            yield from self._collection.passages(range(first, min(first + ROWS_AT_ONCE, len(self))))

    def take(self, rows: Sequence[int]) -> list[Passage]:
        if self._collection is None:
            return [self._passages[row] for row in rows]
        return self._collection.passages(rows)

    def ids(self) -> list[str]:
        if self._collection is None:
            return [passage.id for passage in self._passages]
        return self._collection.ids(range(len(self)))

    def find(self, ids: Sequence[str]) -> list[Passage | None]:
        """The passages with these ids; None where there is none."""
        if not self._rows:
            self._rows = {one: row for row, one in enumerate(self.ids())}
        rows = [self._rows.get(one) for one in ids]
        found = iter(self.take([row for row in rows if row is not None]))
        return [None if row is None else next(found) for row in rows]


def of_collection(
    name: str,
    pipeline: Pipeline,
    questions: Sequence[Question],
    depth: int,
    read: int,
    encode_seconds: float | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Found:
    """A collection's hits, and the readings of the first ``read`` of them where it has a reader."""
    texts = [question.text for question in questions]
    known: dict[str, Passage] = {}  # found for many questions, and held once
    hits: Hits = []
    for first in range(0, len(texts), AT_ONCE):
        hits += [
            tuple(Hit(known.setdefault(hit.passage.id, hit.passage), hit.score) for hit in one)
            for one in pipeline.search_many(texts[first : first + AT_ONCE], depth)
        ]
    about = describe(pipeline.collection.path)
    reader = pipeline.reader if read else None
    cost = Cost(
        about["bytes"],
        encode_seconds,
        about["rows"],
        _latencies(lambda text: pipeline.search(text, depth), texts[:TIMED]),
        _latencies(lambda text: pipeline.ask(text, depth), texts[:READ_TIMED]) if reader else (),
    )
    notes = []
    if about["truncated"]:
        notes.append(
            f"{name}: of {about['truncated']:,} passages only the first "
            f"{about['encoder']['settings'].get('max_length')} tokens were encoded."
        )
    found = Found(name, "collection", about, cost, hits, notes=tuple(notes))
    if reader is None:
        return found
    deep = replace(reader.settings, passages=read)
    reading = Reader(reader.model, reader.tokenizer, deep)
    readings: list[list[tuple[Hit, Reading]]] = []
    for first in range(0, len(texts), READ_AT_ONCE):
        tell(f"{name}: reading for question {first + 1:,} of {len(texts):,}")
        some = slice(first, first + READ_AT_ONCE)
        readings += reading.read_hits(texts[some], hits[some])
    return replace(found, readings=readings, reading=deep)


def of_run(
    name: str, path: Path, questions: Sequence[Question], depth: int, shelf: Shelf | None
) -> Found:
    """A TREC run. Its passages have texts where a shelf has them."""
    run = read_run(path)
    hits = []
    missing: set[str] = set()
    for question in questions:
        # Equal scores as trec_eval orders them: the later id first.
        pairs = run.get(question.id, {}).items()
        ranked = sorted(pairs, key=lambda pair: (pair[1], pair[0]), reverse=True)[:depth]
        passages = shelf.find([one for one, _ in ranked]) if shelf else [None] * len(ranked)
        missing.update(
            one for (one, _), passage in zip(ranked, passages, strict=True) if passage is None
        )
        hits.append(
            tuple(
                Hit(passage or Passage(one, ""), score)
                for (one, score), passage in zip(ranked, passages, strict=True)
            )
        )
    notes = []
    if shelf and missing:
        notes.append(
            f"{name}: the texts of {len(missing):,} of its passages are not at hand; they count as "
            "holding no answer."
        )
    return Found(name, "run", {"run": path.name}, Cost(), hits, notes=tuple(notes))


def of_results(name: str, path: Path, questions: Sequence[Question], depth: int) -> Found:
    """The original's results JSON; its questions are recognised by their text."""
    given = {asked.question.text: asked.hits[:depth] for asked in iterate_results(path)}
    hits = [given.get(question.text, ()) for question in questions]
    return Found(name, "results", {"results": path.name}, Cost(), hits)


def of_bm25(name: str, shelf: Shelf, questions: Sequence[Question], depth: int) -> Found:
    """BM25 over titles and texts."""
    began = time.perf_counter()
    index = BM25Index([f"{one.title} {one.text}" for one in shelf])
    seconds = time.perf_counter() - began
    texts = [question.text for question in questions]
    hits = []
    for found in index.search(texts, depth):
        passages = shelf.take([row for _, row in found])
        hits.append(tuple(Hit(p, s) for p, (s, _) in zip(passages, found, strict=True)))

    def once(text: str) -> None:
        shelf.take([row for _, row in index.search([text], depth)[0]])

    cost = Cost(index.bytes, seconds, len(shelf), _latencies(once, texts[:TIMED]))
    settings = {"k1": index.settings.k1, "b": index.settings.b, "language": "english"}
    return Found(name, BM25, settings, cost, hits)


def of_untrained(
    name: str, folder: Path, shelf: Shelf, questions: Sequence[Question], depth: int, seed: int
) -> Found:
    """The encoders of a collection with random weights: what their shape alone can do."""
    names = made_with(str(folder))
    trained = QuestionEncoder.from_pretrained(names.question)
    torch.manual_seed(seed)
    question = DPRQuestionEncoder(trained.model.config)
    context = DPRContextEncoder(trained.model.config)
    tie(question, context)
    asking = QuestionEncoder(question, trained.tokenizer)
    encoder = ContextEncoder(context, ContextEncoder.from_pretrained(names.context).tokenizer)
    began = time.perf_counter()
    index = FlatIndex([encoder.encode(list(shelf))])
    seconds = time.perf_counter() - began
    scores, rows = index.search(asking.encode([one.text for one in questions]), depth)
    hits: Hits = [
        tuple(Hit(p, float(s)) for p, s in zip(shelf.take(found.tolist()), own, strict=True))
        for own, found in zip(scores, rows, strict=True)
    ]
    cost = Cost(len(index) * index.dim * 4, seconds, len(shelf))
    note = f"{name} has the encoders of {folder.name} with random weights: a floor, not a rival."
    return Found(name, UNTRAINED, {"seed": seed}, cost, hits, notes=(note,))


def _latencies(ask: Callable[[str], Any], texts: Sequence[str]) -> tuple[float, ...]:
    """Milliseconds of each question asked by itself, the first ones once more to warm up."""
    for text in texts[:3]:
        ask(text)
    spent = []
    for text in texts:
        began = time.perf_counter()
        ask(text)
        spent.append(1e3 * (time.perf_counter() - began))
    return tuple(spent)


def named_places(places: Sequence[str]) -> Mapping[str, str]:
    """Systems by the name that a report calls them: NAME=PLACE, or the last part of the place.

    Raises:
        SettingsError: two of them have one name.
    """
    named: dict[str, str] = {}
    for given in places:
        name, separator, place = given.partition("=")
        if not separator or not name or "/" in name:
            place, name = given, Path(given).resolve().name if "/" in given else Path(given).name
            name = name.removesuffix(".dpr") if given not in BASELINES else given
        if name in named:
            raise SettingsError(
                f"two systems are called {name!r}: {named[name]} and {place}; name them, as in "
                f"first={named[name]} second={place}"
            )
        named[name] = place
    if not named:
        raise InputError("there is nothing to evaluate: give a collection, a run, or bm25")
    return named
