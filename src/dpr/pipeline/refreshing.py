"""Negatives found anew by the model that is being trained (Xiong et al. 2021, ANCE, §4).

At the end of an epoch the model is kept as it is, and another process mines with it while training
goes on; what it finds is used from the epoch after the next (or, where training waits, from the
next). Which epoch uses what is decided by the settings and not by who is done first, so that a run
that was killed ends as one that was not: mining goes on where it stood. Takes samples and the
folder of a run, gives a ``Refresher``. Wires training and mining together.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from dpr.errors import DPRError, InputError
from dpr.pipeline.growing import record_of
from dpr.pipeline.mining import mine_file
from dpr.samples.files import TrainingSample, read_samples, sample_to_json
from dpr.samples.negatives import MiningCounts, MiningSettings
from dpr.training.checkpointing import replace_folder
from dpr.training.processes import Processes
from dpr.training.settings import RefreshSettings

ALONE = Processes()
LOOK_SECONDS = 0.5  # between looks whether the first process has found the negatives


class MinedNegatives:
    """A ``Refresher``: see the module. The folder is made when it is first needed.

    Several processes wait for the first one's file by looking whether it is there: what they wait
    for each other with would give up in the meantime.

    Args:
        folder: kept for as long as the run may be gone on with: a file of samples for each time.
        epochs: of the run; after the last that has a use for it, nothing is looked for.
        checkpoint: the run's; files that no epoch from it on can use are deleted. None: all stay.
        tell: told when mining begins, when training waits for it, and of what was found what was
            left out and why.
    """

    def __init__(
        self,
        samples: Sequence[TrainingSample],
        folder: Path,
        settings: RefreshSettings,
        epochs: int,
        *,
        checkpoint: Path | None = None,
        processes: Processes = ALONE,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._given, self._folder, self._settings = samples, folder, settings
        self._epochs, self._processes, self._tell = epochs, processes, tell
        self._checkpoint = checkpoint
        self._miner: tuple[int, Any] | None = None  # and with the model of which epoch
        self._written = False
        self._began: tuple[int, tuple[int, int] | None] = 0, None
        self._loaded: tuple[int, list[TrainingSample]] | None = None

    def epoch_ended(self, epoch: int, save: Callable[[Path], None]) -> None:
        """Keeps the model, where the settings want that after this epoch, and begins to mine with
        it, or lets it wait for its turn."""
        if self._processes.rank or not self._wanted(epoch):
            return
        if not self._file(epoch).exists():
            replace_folder(self._model(epoch), save)
            self._begin_next(epoch)

    def samples(self, epoch: int) -> Sequence[TrainingSample] | None:
        """The samples with the negatives that an epoch uses; waits until they are there."""
        source, first = self._source(epoch), self._processes.rank == 0
        if first and epoch:
            self._begin_next(epoch - 1)
        if source is not None and (self._loaded is None or self._loaded[0] != source):
            if first:
                self._finish(source)
                self._begin_next(epoch - 1)
            while not self._file(source).exists():
                time.sleep(LOOK_SECONDS)
            self._loaded = source, self._read(self._file(source))
        if first:
            self._tidy(epoch)
        return None if source is None or self._loaded is None else self._loaded[1]

    def _wanted(self, epoch: int) -> bool:
        """Whether negatives are looked for after an epoch."""
        used = epoch + 1 + self._settings.refresh_beside
        return (epoch + 1) % self._settings.refresh_every == 0 and used < self._epochs

    def _source(self, epoch: int) -> int | None:
        """After which epoch the negatives of an epoch were looked for."""
        last = epoch - 1 - self._settings.refresh_beside
        last -= (last + 1) % self._settings.refresh_every
        return last if last >= 0 else None

    def _begin_next(self, last: int) -> None:
        """Begins to mine with the oldest model that waits for it, of epochs up to ``last``, one at
        a time. The model of an epoch that a resumed run is in waits: it is made anew."""
        if self._miner is not None:
            epoch, process = self._miner
            if not self._file(epoch).exists():
                return  # at work, or failed; that is told when its negatives are needed
            process.join()
            self._miner = None
            shutil.rmtree(self._model(epoch), ignore_errors=True)
        for epoch in range(self._source(last + 1) or 0, last + 1):
            if self._model(epoch).exists() and not self._file(epoch).exists():
                self._begin(epoch)
                return

    def _begin(self, epoch: int) -> None:
        self._tell(f"looking for negatives with the model of epoch {epoch + 1}")
        given = self._folder / "samples.jsonl"
        if not self._written:  # whatever stands there
            _write_lines(given, map(sample_to_json, self._given))
            self._written = True
        settings = MiningSettings(
            negatives=self._settings.refresh_negatives,
            last_rank=self._settings.refresh_last_rank,
            share=self._settings.refresh_share,
        )
        process = multiprocessing.get_context("spawn").Process(
            target=_mine,
            args=(given, self._mined(epoch), self._file(epoch), self._model(epoch), settings),
            name="dpr-mine",
            daemon=True,  # Python ends it, and does not wait for it, when training ends
        )
        with _without_interrupts():
            process.start()
        self._miner = epoch, process

    def _finish(self, epoch: int) -> None:
        """Until the negatives that were looked for after an epoch are there."""
        file, model = self._file(epoch), self._model(epoch)
        if not file.exists():
            if self._miner is None or self._miner[0] != epoch:
                raise DPRError(
                    f"{model} is gone, and so are the negatives found with it; begin the run anew, "
                    "in another folder"
                )
            process = self._miner[1]
            if process.is_alive():
                self._tell("waiting for the negatives")
            process.join()
            if process.exitcode or not file.exists():
                raise DPRError(
                    f"looking for negatives with {model} failed; what went wrong is said above"
                )
        shutil.rmtree(model, ignore_errors=True)
        record = record_of(self._mined(epoch))
        if record.exists():  # not told yet, by a run that was killed neither
            counts = MiningCounts(**json.loads(record.read_text(encoding="utf-8"))["counts"])
            self._tell(f"negatives with the model of epoch {epoch + 1}: {counts.summary()}")
            record.unlink()

    def _tidy(self, epoch: int) -> None:
        """Deletes what no epoch can use that the run may yet go through. Where a checkpoint was
        written since an epoch began, the run never goes back behind that epoch."""
        if self._checkpoint is None:
            return
        try:
            status = self._checkpoint.stat()
            seen = status.st_mtime_ns, status.st_ino
        except FileNotFoundError:
            return
        began, before = self._began
        if seen != before:
            for old in range(self._source(began) or 0):
                mined = self._mined(old)
                for path in (self._file(old), mined, record_of(mined)):
                    path.unlink(missing_ok=True)
                shutil.rmtree(self._model(old), ignore_errors=True)
        if epoch != began:
            self._began = epoch, seen

    def _read(self, file: Path) -> list[TrainingSample]:
        found = list(read_samples(file))
        if [one.question for one in found] != [one.question for one in self._given]:
            raise InputError("holds other questions than the run trains on", source=str(file))
        return [
            replace(sample, hard_negatives=new.hard_negatives or sample.hard_negatives)
            for sample, new in zip(self._given, found, strict=True)
        ]

    def _model(self, epoch: int) -> Path:
        return self._folder / f"model-{epoch + 1}"

    def _mined(self, epoch: int) -> Path:
        return self._folder / f"mined-{epoch + 1}.jsonl"

    def _file(self, epoch: int) -> Path:
        return self._folder / f"negatives-{epoch + 1}.jsonl"


def _mine(given: Path, mined: Path, to: Path, model: Path, settings: MiningSettings) -> None:
    """What the other process does; it ends when the process that trains does."""
    trainer = multiprocessing.parent_process()
    assert trainer is not None

    def end_with_it() -> None:
        trainer.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where steps that are done again do not lead to the same bits, what a kill left was begun with
    # another model.
    mine_file(
        list(read_samples(given)),
        mined,
        by="dense",
        model=model,
        settings=settings,
        overwrite=True,
    )
    with mined.open(encoding="utf-8") as lines:
        _write_lines(to, map(_as_trained_on, map(json.loads, lines)))
    mined.unlink()  # the record stays, for who trains to tell of


def _as_trained_on(record: dict[str, Any]) -> dict[str, Any]:
    """A sample without the negatives that have given way to hard ones."""
    return record | {"negative_ctxs": []} if record["hard_negative_ctxs"] else record


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """A file of JSON lines, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that is started within it never hears of Ctrl-C, not even before it can say that it
    does not want to: who trains decides when to stop."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would end the blocking if it was started within
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
