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
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dpr.errors import DPRError, InputError
from dpr.pipeline.mining import mine_file
from dpr.training.checkpointing import replace_folder, replace_text
from dpr.training.negatives import MiningSettings
from dpr.training.processes import Processes
from dpr.training.samples import TrainingSample, read_samples, sample_to_json
from dpr.training.settings import RefreshSettings

ALONE = Processes()


class MinedNegatives:
    """A ``Refresher``: see the module.

    Args:
        folder: kept for as long as the run may be gone on with: a file of samples for each time.
        epochs: of the run; after the last that has a use for it, nothing is looked for.
        tell: told when mining begins and when training waits for it.
    """

    def __init__(
        self,
        samples: Sequence[TrainingSample],
        folder: Path,
        settings: RefreshSettings,
        epochs: int,
        *,
        processes: Processes = ALONE,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._given, self._folder, self._settings = samples, folder, settings
        self._epochs, self._processes, self._tell = epochs, processes, tell
        self._miner: Any = None
        self._loaded: tuple[int, list[TrainingSample]] | None = None

    def epoch_ended(self, epoch: int, save: Callable[[Path], None]) -> None:
        """Keeps the model and begins to mine, where the settings want that after this epoch."""
        if (epoch + 1) % self._settings.refresh_every or self._processes.rank:
            return
        if epoch + 1 + self._settings.refresh_beside >= self._epochs:
            return
        before = epoch - self._settings.refresh_every
        if self._model(before).exists():  # the next epoch needs what is found with it
            self._finish(before)
        if not self._file(epoch).exists():
            replace_folder(self._model(epoch), save)
            self._begin(epoch)

    def samples(self, epoch: int) -> Sequence[TrainingSample] | None:
        """The samples with the negatives that an epoch uses; waits until they are there."""
        source = self._source(epoch)
        if source is None:
            return None
        if self._loaded is None or self._loaded[0] != source:
            if self._processes.rank == 0:
                self._finish(source)
            self._processes.wait()
            self._loaded = source, self._read(self._file(source))
        return self._loaded[1]

    def _source(self, epoch: int) -> int | None:
        """After which epoch the negatives of an epoch were looked for."""
        last = epoch - 1 - self._settings.refresh_beside
        last -= (last + 1) % self._settings.refresh_every
        return last if last >= 0 else None

    def _begin(self, epoch: int) -> None:
        self._tell(f"looking for negatives with the model of epoch {epoch + 1}")
        given = self._folder / "samples.jsonl"
        if not given.exists():
            lines = [json.dumps(sample_to_json(one), ensure_ascii=False) for one in self._given]
            replace_text(given, "".join(f"{line}\n" for line in lines))
        settings = MiningSettings(
            negatives=self._settings.refresh_negatives,
            last_rank=self._settings.refresh_last_rank,
            share=self._settings.refresh_share,
        )
        self._miner = multiprocessing.get_context("spawn").Process(
            target=_mine,
            args=(given, self._file(epoch), self._model(epoch), settings),
            name="dpr-mine",
        )
        self._miner.start()

    def _finish(self, epoch: int) -> None:
        """Until the negatives that were looked for after an epoch are there."""
        file = self._file(epoch)
        if self._miner is None and not file.exists():  # what began to look was killed
            if not self._model(epoch).exists():
                raise DPRError(
                    f"{self._model(epoch)} is gone, and so are the negatives found with it; begin "
                    "the run anew, in another folder"
                )
            self._begin(epoch)
        if self._miner is not None:
            if self._miner.is_alive():
                self._tell("waiting for the negatives")
            self._miner.join()
            if self._miner.exitcode or not file.exists():
                raise DPRError(
                    f"looking for negatives with {self._model(epoch)} failed; what went wrong is "
                    "said above"
                )
            self._miner = None
        shutil.rmtree(self._model(epoch), ignore_errors=True)

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

    def _file(self, epoch: int) -> Path:
        return self._folder / f"negatives-{epoch + 1}.jsonl"


def _mine(given: Path, to: Path, model: Path, settings: MiningSettings) -> None:
    """What the other process does; it ends when the process that trains does."""
    trainer = multiprocessing.parent_process()
    assert trainer is not None

    def end_with_it() -> None:
        trainer.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()
    mine_file(list(read_samples(given)), to, by="dense", model=model, settings=settings)
