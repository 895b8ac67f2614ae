"""What the train verbs do: samples and models loaded, the loop run, progress and results shown.

Takes checked settings, gives a run folder. Knows nothing of options.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dpr.cli import advice, terminal
from dpr.cli.following import Curve, note_of, reporting, show
from dpr.collection import Collection
from dpr.corpus import Problems, SourceSettings, read_documents
from dpr.corpus.settings import OnError
from dpr.errors import InputError
from dpr.models.checkpoint import weights_fingerprint
from dpr.models.dpr import DPRReader
from dpr.pipeline.building import is_collection
from dpr.pipeline.models import reader_place
from dpr.pipeline.starting import check_length, load_towers
from dpr.records import Passage
from dpr.samples.beir import beir_files, is_beir, read_beir_samples
from dpr.samples.files import SampleCounts, TrainingSample, read_samples
from dpr.samples.naming import short_names
from dpr.tokens import DPRReaderTokenizer
from dpr.training.card import measured_on, model_card
from dpr.training.engine import Engine
from dpr.training.folder import check_folder
from dpr.training.loop import Event, Run, Task
from dpr.training.reader import ReaderTask
from dpr.training.retriever import Refresher, RetrieverTask
from dpr.training.sampling import searched
from dpr.training.settings import LoopSettings, ReaderSettings, RefreshSettings, RetrieverSettings

Card = Callable[[Mapping[str, Any], Mapping[str, float]], str]


def train_retriever(
    train: Sequence[Path],
    dev: Sequence[Path],
    *,
    start: str,
    to: Path,
    tied: bool | None,
    on_error: OnError,
    pool: Sequence[Path],
    pool_size: int,
    trackers: Sequence[str],
    loop: LoopSettings,
    settings: RetrieverSettings,
    refresh: RefreshSettings,
    as_json: bool,
) -> None:
    check_folder(to)
    engine = Engine(loop.precision, trackers, to)
    samples = read_all(train, on_error), read_all(dev, on_error, split="dev")
    _note(engine, advice.idle(loop, bool(dev), bool(pool), pool_size))
    _note(engine, advice.idle_without(settings))
    _note(engine, advice.idle_refreshing(refresh, loop, settings))
    _note(engine, advice.known(*samples))
    _note(engine, advice.negatives(samples[0], settings))
    _note(engine, advice.accumulated(loop, settings))
    passages = read_pool(pool, pool_size, loop.seed, on_error)
    towers = load_towers(start, settings, loop.seed, tied, engine.device)
    task = RetrieverTask(
        towers.question,
        towers.context,
        towers.tokenizer,
        *samples,
        settings,
        loop.seed,
        processes=engine.processes,
        pool=passages,
        refresher=_refresher(samples[0], to, refresh, loop.epochs, engine),
    )
    _note(engine, advice.other_length(towers.names, settings))
    keys = searched(samples[1], passages)
    _note(engine, advice.cut(task, keys))
    measured = measured_on(len(samples[1]), len(keys))
    if samples[1]:
        _note(engine, [f"{measured} (--pool adds passages)"])
    description = {
        "trained": "retriever",
        "data": _data(train, dev, on_error, passages),
        "start": towers.fingerprints(),
        "tied": towers.tied,
        "retriever": asdict(settings),
        **({"refresh": asdict(refresh)} if refresh.refresh_every else {}),
    }
    _run(task, loop, to, description, engine, as_json, partial(model_card, measured=measured))


def train_reader(
    train: Sequence[Path],
    dev: Sequence[Path],
    *,
    start: str,
    to: Path,
    on_error: str,
    trackers: Sequence[str],
    loop: LoopSettings,
    settings: ReaderSettings,
    as_json: bool,
) -> None:
    check_folder(to)
    engine = Engine(loop.precision, trackers, to)
    samples = (
        read_all(train, on_error, settings.null),
        read_all(dev, on_error, settings.null, "dev"),
    )
    _note(engine, advice.idle(loop, bool(dev)))
    _note(engine, advice.known(*samples))
    place = reader_place(start)
    torch.manual_seed(loop.seed)
    model = DPRReader.from_pretrained(place, dtype="float32")
    model.to(engine.device)
    check_length("max_length", settings.max_length, model.config.max_position_embeddings)
    tokenizer = DPRReaderTokenizer.from_pretrained(place)
    task = ReaderTask(model, tokenizer, *samples, settings, loop.seed, processes=engine.processes)
    if task.without_span:
        text = f"left out {task.without_span:,} samples whose passages hold no answer"
        _note(engine, [text])
    if not any(task.negatives):
        text = (
            "no sample has negatives: which passage answers is not learned, only where the answer "
            "is (dpr mine finds negatives)"
        )
        _note(engine, [text])
    description = {
        "trained": "reader",
        "data": _data(train, dev, on_error),
        "start": {"reader": weights_fingerprint(model.state_dict())},
        "reader": asdict(settings),
    }
    _run(task, loop, to, description, engine, as_json)


def _note(engine: Engine, texts: Iterable[str]) -> None:
    """Tells once, however many processes there are."""
    for text in texts if engine.is_main else ():
        terminal.note(text)


def _refresher(
    samples: Sequence[TrainingSample],
    to: Path,
    settings: RefreshSettings,
    epochs: int,
    engine: Engine,
) -> Refresher | None:
    if not settings.refresh_every:
        return None
    from dpr.pipeline.refreshing import MinedNegatives

    return MinedNegatives(
        samples,
        to / "negatives",
        settings,
        epochs,
        checkpoint=to / "checkpoint.safetensors",
        processes=engine.processes,
        tell=terminal.note,
    )


def read_all(
    files: Sequence[Path], on_error: str, unanswerable: bool = False, split: str = "train"
) -> list[TrainingSample]:
    """The samples of all files; where there are several, unnamed ones take their file's name.

    Args:
        split: of BEIR folders, see ``dpr.questions.beir``.
    """
    samples: list[TrainingSample] = []
    for file, name in zip(files, short_names(files), strict=True):
        counts = SampleCounts()
        for sample in (
            read_beir_samples(file, counts, on_error, split)
            if is_beir(file)
            else read_samples(file, counts, on_error, unanswerable)
        ):
            named = sample.dataset or len(files) == 1
            samples.append(sample if named else replace(sample, dataset=name))
        for count, why in (
            (counts.without_positive, "without a positive passage"),
            (counts.misplaced, "with an answer that does not stand at its offset"),
        ):
            if count:
                terminal.note(f"{file}: left out {count:,} samples {why}")
        terminal.notes(counts.problems.summary())
        if not counts.read:
            raise InputError("no sample with a positive passage", source=str(file))
    return samples


def read_pool(places: Sequence[Path], size: int, seed: int, on_error: OnError) -> list[Passage]:
    """Passages that the dev questions are searched among, beside those of the dev samples: those of
    collections, and each document of other sources whole; all or so many drawn at random, which
    ones, the seed decides."""
    passages: list[Passage] = []
    for place in places:
        if is_collection(place):
            with Collection.open(str(place)) as collection:
                passages += collection
        else:
            problems = Problems()
            documents = read_documents(place, SourceSettings(on_error=on_error), problems)
            passages += [Passage(one.id, one.text, one.title) for one in documents]
            terminal.notes(problems.summary())
    if not size or size >= len(passages):
        return passages
    return random.Random(seed).sample(passages, size)


def _data(
    train: Sequence[Path], dev: Sequence[Path], on_error: str, pool: Sequence[Passage] = ()
) -> dict[str, Any]:
    data: dict[str, Any] = {"train": _files(train), "dev": _files(dev), "on_error": on_error}
    if pool:
        texts = json.dumps([[one.title, one.text] for one in pool], ensure_ascii=False)
        digest = hashlib.sha256(texts.encode()).hexdigest()
        data["pool"] = [{"name": f"{len(pool):,} passages", "sha256": digest}]
    return data


def _files(files: Sequence[Path]) -> list[dict[str, str]]:
    """Names and hashes: a run goes on only with the samples that it began with."""
    found = []
    for place in files:
        for file in beir_files(place) if place.is_dir() else [place]:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            found.append({"name": file.name, "sha256": digest})
    return found


def _run(
    task: Task[Any],
    loop: LoopSettings,
    to: Path,
    description: dict[str, Any],
    engine: Engine,
    as_json: bool,
    card: Card = model_card,
) -> None:
    curve = Curve(to)
    if not engine.is_main:
        Run(task, loop, to, description, engine=engine)()
        return
    _note(engine, advice.few_steps(len(task.batches(0)), loop))
    if engine.processes.count > 1 or loop.precision != "float32":
        terminal.note(engine.describe())
    try:
        with reporting() as report:

            def told(event: Event) -> None:
                report(event)
                if not note_of(event) and "loss" not in event:
                    curve.draw()

            measures = Run(task, loop, to, description, told, engine, card)()
    except KeyboardInterrupt:
        terminal.note("the state is kept; run the same command again to go on")
        raise
    curve.draw()
    show(to, measures, curve.path, as_json)
