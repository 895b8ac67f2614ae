"""What the train verbs do: samples and models loaded, the loop run, progress and results shown.

Takes checked settings, gives a run folder. Knows nothing of options.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from rich.text import Text
from torch import nn

from dpr.cli import terminal
from dpr.corpus.sources import read_documents
from dpr.errors import CheckpointError, InputError, MissingExtraError, SettingsError
from dpr.models.checkpoint import weights_fingerprint
from dpr.models.dpr import DPRContextEncoder, DPRQuestionEncoder, DPRReader
from dpr.records import Passage
from dpr.shipped import ModelNames, find_models
from dpr.tokens import DPRQuestionEncoderTokenizer, DPRReaderTokenizer
from dpr.training.card import model_card
from dpr.training.curve import PICTURE, draw_curve
from dpr.training.engine import Engine
from dpr.training.loop import Event, Run, Task
from dpr.training.reader import ReaderTask
from dpr.training.retriever import Refresher, RetrieverTask, tie
from dpr.training.samples import SampleCounts, TrainingSample, read_samples
from dpr.training.settings import LoopSettings, ReaderSettings, RefreshSettings, RetrieverSettings

LINE_SECONDS = 30.0  # between lines of progress where there is no terminal


def train_retriever(
    train: Sequence[Path],
    dev: Sequence[Path],
    *,
    start: str,
    to: Path,
    tied: bool | None,
    on_error: str,
    pool: Sequence[Path],
    pool_size: int,
    trackers: Sequence[str],
    loop: LoopSettings,
    settings: RetrieverSettings,
    refresh: RefreshSettings,
    as_json: bool,
) -> None:
    engine = Engine(loop.precision, trackers, to)
    samples = read_all(train, on_error), read_all(dev, on_error)
    passages = read_pool(pool, pool_size, loop.seed)
    names = towers(start)
    torch.manual_seed(loop.seed)  # of weights that the start does not have
    question = DPRQuestionEncoder.from_pretrained(names.question, dtype="float32")
    context = DPRContextEncoder.from_pretrained(names.context, dtype="float32")
    share = tied if tied is not None else has_one_tower(names) and not settings.question_tower_only
    if share:
        tie(question, context)
    for model in (question, context):
        model.to(engine.device)
    for name in ("question_length", "passage_length"):
        _fits(name, getattr(settings, name), question.config.max_position_embeddings)
    tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(names.question)
    task = RetrieverTask(
        question,
        context,
        tokenizer,
        *samples,
        settings,
        loop.seed,
        processes=engine.processes,
        pool=passages,
        refresher=_refresher(samples[0], to, refresh, loop.epochs, engine),
    )
    if loop.accumulate > 1:
        size = settings.batch_size
        terminal.note(
            f"{loop.accumulate} batches of {size} questions make an update; each batch has the "
            f"passages of its own {size} as negatives, no more: --cached --batch-size "
            f"{loop.accumulate * size} has them all, in the same memory"
        )
    description = {
        "trained": "retriever",
        "data": _data(train, dev, on_error, passages),
        "start": _weights({"question": question, "context": context}),
        "tied": share,
        "retriever": asdict(settings),
        **({"refresh": asdict(refresh)} if refresh.refresh_every else {}),
    }
    _run(task, loop, to, description, engine, as_json)


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
    engine = Engine(loop.precision, trackers, to)
    samples = read_all(train, on_error, settings.null), read_all(dev, on_error)
    place = reader_start(start)
    torch.manual_seed(loop.seed)
    model = DPRReader.from_pretrained(place, dtype="float32")
    model.to(engine.device)
    _fits("max_length", settings.max_length, model.config.max_position_embeddings)
    tokenizer = DPRReaderTokenizer.from_pretrained(place)
    task = ReaderTask(model, tokenizer, *samples, settings, loop.seed, processes=engine.processes)
    if task.without_span:
        terminal.note(f"left out {task.without_span:,} samples whose passages hold no answer")
    description = {
        "trained": "reader",
        "data": _data(train, dev, on_error),
        "start": _weights({"reader": model}),
        "reader": asdict(settings),
    }
    _run(task, loop, to, description, engine, as_json)


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
        processes=engine.processes,
        tell=terminal.note,
    )


def read_all(
    files: Sequence[Path], on_error: str, unanswerable: bool = False
) -> list[TrainingSample]:
    """The samples of all files; where there are several, unnamed ones take their file's name."""
    samples: list[TrainingSample] = []
    for file in files:
        counts = SampleCounts()
        for sample in read_samples(file, counts, on_error, unanswerable):
            named = sample.dataset or len(files) == 1
            samples.append(sample if named else replace(sample, dataset=file.stem))
        for count, why in (
            (counts.without_positive, "without a positive passage"),
            (counts.misplaced, "with an answer that does not stand at its offset"),
        ):
            if count:
                terminal.note(f"{file}: left out {count:,} samples {why}")
        if not counts.read:
            raise InputError("no sample with a positive passage", source=str(file))
    return samples


def read_pool(places: Sequence[Path], size: int, seed: int) -> list[Passage]:
    """Passages that the dev questions are searched among, beside those of the dev samples: each
    document whole, all or so many drawn at random; which ones, the seed decides."""
    passages = [
        Passage(document.id, document.text, document.title)
        for place in places
        for document in read_documents(place)
    ]
    if not size or size >= len(passages):
        return passages
    return random.Random(seed).sample(passages, size)


def towers(start: str) -> ModelNames:
    """Where both towers begin: a model's own, or one plain checkpoint for both."""
    if (Path(start) / "config.json").is_file():
        return ModelNames(start, start)
    try:
        return find_models(start)
    except CheckpointError:
        if Path(start).is_dir():
            raise
        return ModelNames(start, start)  # a hub id; loading says where it is none


def has_one_tower(names: ModelNames) -> bool:
    """Whether a start is a model whose towers are tied. A plain BERT becomes two, as in the
    paper."""
    return names.question == names.context and Path(names.question).name == "encoder"


def reader_start(start: str) -> str:
    """Where a reader begins: a model's own reader, or a folder or hub id of its weights."""
    folder = Path(start)
    if (folder / "config.json").is_file():
        return start
    if (folder / "reader").is_dir():
        return str(folder / "reader")
    try:
        names = find_models(start)
    except CheckpointError:
        if folder.is_dir():
            raise CheckpointError(
                f"{folder} holds no reader: expected a folder 'reader' in it, or a config.json"
            ) from None
        return start
    if not names.reader:
        raise CheckpointError(f"{start} has no reader; start from a BERT, a folder or a hub id")
    return names.reader


def _fits(name: str, length: int, positions: int) -> None:
    if length > positions:
        option = name.replace("_", "-")
        raise SettingsError(
            f"{name}={length}; the model has {positions} positions: give --{option} {positions} "
            "or less"
        )


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
    for file in files:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        found.append({"name": file.name, "sha256": digest})
    return found


def _weights(models: dict[str, nn.Module]) -> dict[str, str]:
    return {name: weights_fingerprint(model.state_dict()) for name, model in models.items()}


def _run(
    task: Task[Any],
    loop: LoopSettings,
    to: Path,
    description: dict[str, Any],
    engine: Engine,
    as_json: bool,
) -> None:
    curve = Curve(to)
    if not engine.is_main:
        Run(task, loop, to, description, engine=engine)()
        return
    if engine.processes.count > 1 or loop.precision != "float32":
        terminal.note(engine.describe())
    try:
        with reporting() as report:

            def told(event: Event) -> None:
                report(event)
                if not _note(event) and "loss" not in event:
                    curve.draw()

            measures = Run(task, loop, to, description, told, engine, model_card)()
    except KeyboardInterrupt:
        terminal.note("the state is kept; run the same command again to go on")
        raise
    curve.draw()
    _show(to, measures, curve.path, as_json)


class Curve:
    """The picture of a run, drawn as long as matplotlib is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path: Path | None = None
        self._missing = False

    def draw(self) -> None:
        if self._missing or not (self.folder / "log.jsonl").is_file():
            return
        try:
            self.path = draw_curve(self.folder)
        except MissingExtraError as error:
            self._missing = True
            terminal.note(f"no {PICTURE}: {error}")


@contextmanager
def reporting() -> Iterator[Callable[[Event], None]]:
    """What to call with the loop's events: a bar on a terminal, lines where there is none."""
    console = terminal.err()
    if not console.is_terminal:
        yield Lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("step {task.completed:,.0f} of {task.fields[steps]}"),
        BarColumn(),
        TextColumn("{task.fields[loss]} {task.fields[speed]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=None, steps="?", loss="", speed="")

        def tell(event: Event) -> None:
            if "loss" in event:
                progress.update(
                    bar,
                    total=event["steps"],
                    completed=event["step"],
                    steps=f"{event['steps']:,}",
                    loss=f"loss {event['loss']:.4f}",
                    speed=f"{event['seconds_a_step']:.2f} s/step",
                )
            else:
                line = _note(event) or _measures(event)
                progress.console.print(Text(line), soft_wrap=True)

        yield tell


class Lines:
    """Events as lines on stderr: every evaluation, and a logged step now and then."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self, event: Event) -> None:
        if "loss" not in event:
            terminal.err().print(Text(_note(event) or _measures(event)), soft_wrap=True)
        elif time.monotonic() - self._last > LINE_SECONDS:
            self._last = time.monotonic()
            text = (
                f"step {event['step']:,} of {event['steps']:,}: loss {event['loss']:.4f}, "
                f"{event['seconds_a_step']:.2f} s/step"
            )
            terminal.err().print(Text(text), soft_wrap=True)


def _note(event: Event) -> str:
    """What to say of an event that is neither a step nor an evaluation; of those nothing."""
    if "resumed" in event:
        return f"going on after step {event['resumed']:,}"
    if "stopping" in event:
        return "stopping after this step; Ctrl-C again stops at once and loses what is not kept yet"
    return ""


def _measures(event: Event) -> str:
    figures = [f"{name} {value:.4g}" for name, value in event.items() if name != "step"]
    return f"step {event['step']:,}: {', '.join(figures)}"


def _show(to: Path, measures: dict[str, float], picture: Path | None, as_json: bool) -> None:
    best = to / "best"
    if as_json:
        terminal.json_line(
            {
                "run": str(to),
                "best": str(best),
                "measures": measures,
                "picture": None if picture is None else str(picture),
            }
        )
        return
    if measures:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in measures.items():
            table.add_row(name, f"{value:.4g}")
        terminal.out().print(table)
    else:
        terminal.line("no dev samples: best/ is the last model")
    terminal.line(f"model: {best}")
    if picture is not None:
        terminal.line(f"curve: {picture}")
