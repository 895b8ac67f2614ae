"""What can be evaluated: collections, runs, and baselines, each as hits for the same questions.

Takes open collections, files of runs, passages; gives what they found, how long it took and what it
takes to repeat it. Knows nothing of measures.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
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
from dpr.search.parts import WORDS
from dpr.search.settings import Mode
from dpr.training.retriever import tie

BM25, DENSE, UNTRAINED = BASELINES = ("bm25", "dense", "untrained")
TIMED = 100  # questions asked one by one, for the latencies
READ_TIMED = 20
AT_ONCE = 256  # questions searched for
READ_AT_ONCE = 32  # and read for
MODES = {
    "dense": "its vectors alone (dense)",
    "bm25": "its words alone (bm25)",
    "hybrid": "its vectors and words together (hybrid)",
}
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
    """Where the texts of passages are: a collection, or passages in memory. They are counted from
    0, those that a collection deleted left out."""

    def __init__(self, source: Collection | Sequence[Passage]) -> None:
        self._source = source
        self._live = source.live_rows() if isinstance(source, Collection) else None
        self._places: dict[str, int] = {}
        self._taken: dict[int, Passage] = {}  # found for many questions, and held once

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Passage]:
        return iter(self._source)

    def take(self, places: Sequence[int]) -> list[Passage]:
        if self._live is None or not isinstance(self._source, Collection):
            return [self._source[place] for place in places]  # type: ignore[index]
        if new := [one for one in dict.fromkeys(places) if one not in self._taken]:
            found = self._source.passages(self._live[new].tolist())
            self._taken.update(zip(new, found, strict=True))
        return [self._taken[place] for place in places]

    def ids(self) -> list[str]:
        if self._live is None or not isinstance(self._source, Collection):
            return [passage.id for passage in self._source]
        return self._source.ids(self._live.tolist())

    def find(self, ids: Sequence[str]) -> list[Passage | None]:
        """The passages with these ids; None where there is none."""
        if not self._places:
            self._places = {one: place for place, one in enumerate(self.ids())}
        places = [self._places.get(one) for one in ids]
        found = iter(self.take([place for place in places if place is not None]))
        return [None if place is None else next(found) for place in places]


def of_collection(
    name: str,
    pipeline: Pipeline,
    questions: Sequence[Question],
    depth: int,
    read: int,
    encode_seconds: float | None = None,
    tell: Callable[[str], None] = lambda text: None,
    mode: Mode | None = None,
) -> Found:
    """A collection's hits, and the readings of the first ``read`` of them where it has a reader.

    Args:
        mode: how to search, in place of what the collection keeps.
    """
    mode = pipeline.searcher.mode if mode in (None, "auto") else mode
    texts = [question.text for question in questions]
    known: dict[str, Passage] = {}  # found for many questions, and held once
    hits: Hits = []
    for first in range(0, len(texts), AT_ONCE):
        hits += [
            tuple(replace(h, passage=known.setdefault(h.passage.id, h.passage)) for h in one)
            for one in pipeline.search_many(texts[first : first + AT_ONCE], depth, mode=mode)
        ]
    about = {"mode": mode} | describe(pipeline.collection.path)
    notes = [f"{name}: searched by {MODES[str(mode)]}."]
    if about["truncated"] and mode != "bm25":
        notes.append(
            f"{name}: of {about['truncated']:,} passages only the first "
            f"{about['encoder']['settings'].get('max_length')} tokens were encoded."
        )
    cost = Cost(
        _index_bytes(pipeline, mode),
        encode_seconds,
        about["rows"],
        _latencies(lambda text: pipeline.search(text, depth, mode=mode), texts[:TIMED]),
    )
    found = Found(name, "collection", about, cost, hits, notes=tuple(notes))
    return _read(found, pipeline, texts, min(read, depth), tell) if read else found


def _index_bytes(pipeline: Pipeline, mode: str | None) -> int:
    """Of what a mode searches: vectors with their indexes, counted words, or both."""
    searcher = pipeline.searcher
    dense = searcher.dense.bytes + searcher.dense.touched
    parts = [part for one in searcher.collection.manifest.segments for part in one.parts]
    words = sum(entry.bytes for part in parts if part.kind == WORDS for entry in part.files)
    return (words if mode != "dense" else 0) + (dense if mode != "bm25" else 0)


def _read(
    found: Found, pipeline: Pipeline, texts: Sequence[str], read: int, tell: Callable[[str], None]
) -> Found:
    """What the reader makes of the first ``read`` hits; nothing where there is no reader."""
    reader = pipeline.reader
    if reader is None:
        return found
    reader = Reader(reader.model, reader.tokenizer, replace(reader.settings, passages=read))
    readings: list[list[tuple[Hit, Reading]]] = []
    for first in range(0, len(texts), READ_AT_ONCE):
        tell(f"{found.name}: reading for question {first + 1:,} of {len(texts):,}")
        some = slice(first, first + READ_AT_ONCE)
        readings += reader.read_hits(texts[some], found.hits[some])

    def ask(text: str) -> None:
        reader.answer(text, pipeline.search(text, read, mode=found.settings["mode"]))

    cost = replace(found.cost, reading=_latencies(ask, texts[:READ_TIMED]))
    return replace(found, cost=cost, readings=readings, reading=reader.settings)


def of_run(name: str, path: Path, questions: Sequence[Question], shelves: Sequence[Shelf]) -> Found:
    """A TREC run, all of it. Its passages have texts where a shelf has them.

    Raises:
        InputError: it is about none of the questions.
    """
    run = read_run(path)
    hits: Hits = []
    missing: set[str] = set()
    for question in questions:
        # Equal scores as trec_eval orders them: the later id first.
        pairs = run.get(question.id, {}).items()
        ranked = sorted(pairs, key=lambda pair: (pair[1], pair[0]), reverse=True)
        ids = [one for one, _ in ranked]
        passages = _texts(ids, shelves)
        missing.update(one for one in ids if one not in passages)
        hits.append(
            tuple(Hit(passages.get(one) or Passage(one, ""), score) for one, score in ranked)
        )
    notes = _answered(name, path, hits, "ids")
    if shelves and missing:
        notes.append(
            f"{name}: the texts of {len(missing):,} of its passages are not at hand; they count as "
            "holding no answer."
        )
    return Found(name, "run", _file(path), Cost(), hits, notes=tuple(notes))


def _texts(ids: Sequence[str], shelves: Sequence[Shelf]) -> dict[str, Passage]:
    found: dict[str, Passage] = {}
    for shelf in shelves:
        left = [one for one in ids if one not in found]
        pairs = zip(left, shelf.find(left) if left else [], strict=True)
        found.update((one, passage) for one, passage in pairs if passage is not None)
    return found


def of_results(name: str, path: Path, questions: Sequence[Question]) -> Found:
    """The original's results JSON; its questions are recognised by their text, and those that come
    several times by their order.

    Raises:
        InputError: it is about none of the questions.
    """
    given: dict[str, list[tuple[Hit, ...]]] = {}
    for asked in iterate_results(path):
        given.setdefault(asked.question.text, []).append(asked.hits)
    used: Counter[str] = Counter()
    hits: Hits = []
    for question in questions:
        lists = given.get(question.text, [])
        hits.append(lists[min(used[question.text], len(lists) - 1)] if lists else ())
        used[question.text] += 1
    notes = _answered(name, path, hits, "texts")
    return Found(name, "results", _file(path), Cost(), hits, notes=tuple(notes))


def _answered(name: str, path: Path, hits: Hits, known_by: str) -> list[str]:
    """A note of the questions that a file has nothing for."""
    without = sum(not one for one in hits)
    if without == len(hits):
        raise InputError(
            f"holds hits for none of the {len(hits):,} questions; they are known by their "
            f"{known_by}: give the file that belongs to these questions",
            source=str(path),
        )
    if not without:
        return []
    return [f"{name}: holds no hits for {without:,} of {len(hits):,} questions; they count 0."]


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return {"file": path.name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


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
    settings: dict[str, Any] = {
        "k1": index.settings.k1,
        "b": index.settings.b,
        "mode": BM25,
        "language": "english",
    }
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

    def once(text: str) -> None:
        shelf.take(index.search(asking.encode([text]), depth)[1][0].tolist())

    latencies = _latencies(once, [one.text for one in questions[:TIMED]])
    cost = Cost(len(index) * index.dim * 4, seconds, len(shelf), latencies)
    note = f"{name} has the encoders of {folder.name} with random weights: a floor, not a rival."
    return Found(name, UNTRAINED, {"seed": seed, "mode": DENSE}, cost, hits, notes=(note,))


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
