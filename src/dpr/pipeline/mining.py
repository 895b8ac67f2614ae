"""Training samples to a file of them with hard negatives, through any number of kills.

Takes samples, further passages, and the names of what ranks and teaches; gives DPR JSON lines.
Wires the pool, BM25, vectors, teachers and the growing file together.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dpr.collection import BuildSettings, Collection, build_collection
from dpr.corpus import Problems, SourceSettings, SplitSettings, read_passages
from dpr.corpus.settings import OnError
from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.errors import InputError, SettingsError
from dpr.indexes.index import Rows
from dpr.pipeline.building import Telling, is_collection
from dpr.pipeline.growing import Growing, finished, growing
from dpr.pipeline.models import Model, made_with, model_names, reader_place
from dpr.reading import Reader
from dpr.records import Passage
from dpr.samples.files import Context, TrainingSample, sample_to_json
from dpr.samples.mining import AT_ONCE, Mined, Searcher, mined
from dpr.samples.negatives import MiningCounts, MiningSettings, Pool
from dpr.samples.searchers import BM25Searcher, DenseSearcher, PoolVectors
from dpr.samples.teachers import BM25Teacher, CrossEncoderTeacher, ReaderTeacher
from dpr.search.dense import stored_vectors
from dpr.shipped import DEFAULT

BY = ("bm25", "dense", "both")
SHARD = 1024  # passages that are encoded again after a kill, at most
FORMAT = 2  # of the lines: other filters make others
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MinedFile:
    """What mining gives.

    Attributes:
        path: the file.
        counts: of all its samples, those that an interrupted call had done included.
        pool: passages that were ranked.
        resumed: samples that earlier calls had done.
        problems: what was met in reading further passages.
    """

    path: Path
    counts: MiningCounts
    pool: int
    resumed: int
    problems: Problems


def mine_file(
    samples: Sequence[TrainingSample],
    to: str | os.PathLike[str],
    *,
    passages: Sequence[str | os.PathLike[str]] = (),
    by: str = "bm25",
    model: Model | None = None,
    teacher: str = "",
    split: str | SplitSettings = "words:100",
    settings: MiningSettings | None = None,
    on_error: OnError = "raise",
    overwrite: bool = False,
    tell: Tell | None = None,
) -> MinedFile:
    """Writes the samples with hard negatives, or goes on where it was interrupted: to the same
    bytes as if it had not been, on the same machine.

    Args:
        to: a file of DPR JSON lines, which appears when it is whole; gzipped where its name ends in
            .gz.
        passages: collections and sources of documents whose passages are added to those of the
            samples.
        by: ``bm25``, ``dense``, or ``both``.
        model: whose vectors rank, by ``dense`` or ``both``; None: that of the first collection,
            else the package's.
        teacher: ``reader:PLACE``, ``cross-encoder:PLACE`` or ``bm25``; empty for none.
        split: how documents become passages.
        on_error: ``skip`` leaves malformed documents out and tells of them in ``problems``.
        overwrite: see ``growing``.

    Raises:
        DPRError: see ``dpr.pipeline.growing``, ``dpr.samples.mining`` and ``dpr.corpus``.
    """
    settings, tell = settings or MiningSettings(), tell or (lambda text: None)
    _check(by, teacher, model)
    cut = SplitSettings.parse(split) if isinstance(split, str) else split
    tell("reading passages")
    sources = gather(samples, passages, cut, on_error)
    tell("loading models")
    models = _models(by, model, teacher, sources)
    made_from = {"by": by, "settings": asdict(settings), **_inputs(samples, sources.pool, models)}
    path, size = Path(to), len(sources.pool)
    if record := finished(path, made_from):
        counts = MiningCounts(**record["counts"])
        return MinedFile(path, counts, size, len(samples), sources.problems)
    with growing(path, made_from, overwrite=overwrite) as file:
        resumed, counts = file.done, MiningCounts(**file.state.get("counts", {}))
        found = mined(
            samples,
            sources.pool,
            _searchers(by, models, sources, file.folder, tell),
            settings,
            teacher=models.teacher,
            counts=counts,
            first=resumed,
        )
        _write(found, file, counts, len(samples), tell)
    return MinedFile(path, counts, size, resumed, sources.problems)


def _check(by: str, teacher: str, model: Model | None) -> None:
    if by not in BY:
        raise SettingsError(f"by={by!r}; allowed are {', '.join(map(repr, BY))}")
    if by == "bm25" and model is not None:
        raise SettingsError(
            f"model={model!r} would not be used, since by='bm25' ranks by words alone; give "
            "by='dense' or by='both', or leave model out"
        )
    kind, _, place = teacher.partition(":")
    if teacher not in ("", "bm25") and not (kind in ("reader", "cross-encoder") and place):
        raise SettingsError(
            f"teacher={teacher!r}; allowed are 'reader:PLACE', 'cross-encoder:PLACE' and 'bm25'"
        )


@dataclass(frozen=True, slots=True)
class Gathered:
    """What negatives are looked for in.

    Attributes:
        collections: with the row of the pool of each of a collection's rows; -1: the pool has the
            passage from elsewhere, or it is deleted.
        problems: what was skipped or passed over.
    """

    pool: Pool
    collections: list[tuple[Collection, Rows]] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)


def gather(
    samples: Iterable[TrainingSample],
    passages: Sequence[str | os.PathLike[str]],
    split: SplitSettings,
    on_error: OnError = "raise",
) -> Gathered:
    """The passages of collections and other sources, then those of the samples that are not among
    them.

    Raises:
        InputError, CollectionError: a source that cannot be read.
    """
    gathered = Gathered(Pool())
    pool = gathered.pool
    for place in passages:
        if is_collection(place):
            collection = Collection.open(os.fspath(place))
            rows = np.full(collection.starts[-1], -1, np.int64)
            for row, passage in zip(collection.live_rows().tolist(), collection, strict=True):
                before = len(pool)
                at = pool.add(_context(passage))
                rows[row] = at if at == before else -1
            gathered.collections.append((collection, rows))
        else:
            for passage in read_passages(
                os.fspath(place), SourceSettings(on_error=on_error), split, gathered.problems
            ):
                pool.add(_context(passage))
    pool.extend(samples)
    if not len(pool):
        raise InputError("there are no passages to find negatives in; give samples that have some")
    return gathered


def _context(passage: Passage) -> Context:
    return Context(passage.text, passage.title, passage.id)


@dataclass(frozen=True, slots=True)
class _Models:
    """What ranks and teaches, loaded; None where it is not asked for."""

    towers: tuple[QuestionEncoder, ContextEncoder] | None
    bm25: BM25Searcher | None
    teacher: ReaderTeacher | CrossEncoderTeacher | BM25Teacher | None

    @property
    def fingerprints(self) -> list[str] | None:
        return None if self.towers is None else [one.fingerprint for one in self.towers]


def _models(by: str, model: Model | None, teacher: str, sources: Gathered) -> _Models:
    towers = None if by == "bm25" else _towers(model, sources)
    bm25 = BM25Searcher(sources.pool) if by != "dense" or teacher == "bm25" else None
    kind, _, place = teacher.partition(":")
    if kind == "reader":
        return _Models(towers, bm25, ReaderTeacher(Reader.from_pretrained(reader_place(place))))
    if kind == "cross-encoder":
        return _Models(towers, bm25, CrossEncoderTeacher(place))
    return _Models(towers, bm25, BM25Teacher(bm25, sources.pool) if bm25 and teacher else None)


def _towers(model: Model | None, sources: Gathered) -> tuple[QuestionEncoder, ContextEncoder]:
    if model is None and sources.collections:
        names = made_with(str(sources.collections[0][0].path))
    else:
        names = model_names(DEFAULT if model is None else model)
    question = QuestionEncoder.from_pretrained(names.question)
    return question, ContextEncoder.from_pretrained(names.context)


def _searchers(
    by: str, models: _Models, sources: Gathered, folder: Path, tell: Tell
) -> list[Searcher]:
    searchers: list[Searcher] = []
    if by != "dense" and models.bm25 is not None:
        searchers.append(models.bm25)
    if models.towers is not None:
        searchers.append(_dense(sources, models.towers, folder, tell))
    return searchers


def _inputs(samples: Iterable[TrainingSample], pool: Pool, models: _Models) -> dict[str, Any]:
    """What decides the lines, besides the settings."""
    return {
        "format": FORMAT,
        "samples": _digest(map(sample_to_json, samples)),
        "pool": _digest([one.title, one.text, one.id] for one in pool),
        "model": models.fingerprints,
        "teacher": None if models.teacher is None else models.teacher.identity,
    }


def _dense(
    sources: Gathered,
    towers: tuple[QuestionEncoder, ContextEncoder],
    folder: Path,
    tell: Tell,
) -> DenseSearcher:
    """The vectors of collections where the model's own are stored; all others are made and kept in
    the folder."""
    question, context = towers
    size = len(sources.pool)
    left = np.ones(size, np.bool_)
    parts = []
    for collection, rows in sources.collections:
        if collection.manifest.encoder_fingerprint == context.fingerprint and (rows >= 0).any():
            left[rows[rows >= 0]] = False
            parts.append(PoolVectors(stored_vectors(collection.segments), rows))
    if left.any():
        parts.append(_encoded(sources.pool, np.flatnonzero(left), context, folder, tell))
    return DenseSearcher(question, parts, size)


def _encoded(
    pool: Pool, rows: Rows, encoder: ContextEncoder, folder: Path, tell: Tell
) -> PoolVectors:
    place = folder / "vectors"
    if not is_collection(place):

        def told(done: int) -> None:
            tell(f"encoding passages: {done:,} of {len(rows):,}")

        passages = (Passage(str(row), pool[row].text, pool[row].title) for row in rows.tolist())
        telling = Telling(encoder, told)
        build = BuildSettings("float32", SHARD)
        build_collection(passages, telling, place, build, progress=telling.shard_done)
    return PoolVectors(stored_vectors(Collection.open(place).segments), rows)


def _write(
    found: Iterable[Mined], file: Growing, counts: MiningCounts, total: int, tell: Tell
) -> None:
    """A block at a time, as they are made: then the counts are those of the blocks written."""
    waiting, zipped = iter(found), file.path.suffix == ".gz"
    tell(f"mining: {file.done:,} of {total:,} questions")
    while block := list(islice(waiting, AT_ONCE)):
        lines = b"".join(_line(mined_to_json(one)) for one in block)
        if zipped:  # a member of its own each: together they are one gzipped file
            lines = gzip.compress(lines, mtime=0)
        file.append(lines, len(block), {"counts": asdict(counts)})
        tell(f"mining: {file.done:,} of {total:,} questions")
    file.finish()


def mined_to_json(one: Mined) -> dict[str, Any]:
    """The record of a sample, with the list and rank of each hard negative; positives that were
    scored by several searchers have the score of each under its name."""
    record = sample_to_json(one.sample)
    for context, found in zip(record["hard_negative_ctxs"], one.found, strict=True):
        context |= {"list": found.list, "rank": found.rank}
    if len(one.positives) > 1:
        for name, scores in one.positives.items():
            for context, score in zip(record["positive_ctxs"], scores, strict=True):
                context[f"{name}_score"] = score
    return record


def _line(record: dict[str, Any]) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can hold
        return json.dumps(record, allow_nan=False).encode() + b"\n"


def _digest(records: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record).encode() + b"\n")
    return digest.hexdigest()
