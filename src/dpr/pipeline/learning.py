"""Training samples to a learning curve: models trained on more and more of them, each measured.

Takes samples, test sets and a start; gives what each model finds, beside words and the start as it
is. Each size is a run in a folder of its own, and what was measured is kept there, so that an
interrupted curve goes on. Wires training, encoding and search together.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dpr.encoding import ContextEncoder, EncodingSettings, QuestionEncoder
from dpr.errors import InputError, SettingsError
from dpr.evaluation.measures import gold_ranks
from dpr.indexes.bm25 import LUCENE, BM25Index, BM25Settings
from dpr.pipeline.models import Model
from dpr.pipeline.starting import load_towers
from dpr.pipeline.teaching import LOOP, RETRIEVER, teach
from dpr.records import Passage
from dpr.samples.files import TrainingSample
from dpr.samples.likeness import form
from dpr.shipped import ModelNames
from dpr.training.checkpointing import replace_text
from dpr.training.efficiency import Found, LearningCurve
from dpr.training.engine import Engine
from dpr.training.sampling import draw_batches
from dpr.training.settings import LearningSettings, LoopSettings, RetrieverSettings

Tell = Callable[[str], None]
MEASURED = "measured.json"


@dataclass(frozen=True, slots=True)
class Tests:
    """Test questions by the name of their set, and the passages that all are searched among."""

    sets: Mapping[str, Sequence[TrainingSample]]
    pool: Sequence[Passage]

    def golds(self, name: str) -> list[list[int]]:
        """The pool's rows of each question's positives."""
        rows = {(one.title, one.text): row for row, one in enumerate(self.pool)}
        return [[rows[c.key] for c in sample.positives] for sample in self.sets[name]]

    def questions(self, name: str) -> list[str]:
        return [sample.question for sample in self.sets[name]]

    def digests(self) -> dict[str, Any]:
        """SHA-256 of the passages and of each set's questions with their golds."""
        return {
            "pool": _digest((one.title, one.text) for one in self.pool),
            "sets": {
                name: _digest(zip(self.questions(name), self.golds(name), strict=True))
                for name in self.sets
            },
        }


@dataclass(frozen=True, slots=True)
class SizeRun:
    """How a size is trained on.

    Attributes:
        batches: of an epoch.
    """

    samples: Sequence[TrainingSample]
    loop: LoopSettings
    retriever: RetrieverSettings
    batches: int

    @property
    def too_short(self) -> bool:
        """Whether so little training changes next to nothing."""
        return self.loop.too_short(self.batches)


def plan(
    train: Sequence[TrainingSample],
    loop: LoopSettings,
    retriever: RetrieverSettings,
    settings: LearningSettings,
) -> dict[int, SizeRun]:
    """How each size is trained on: no batch is larger than all its questions, and no run has fewer
    steps than are asked for.

    Raises:
        SettingsError: the sizes are more than there are questions, or ``rates`` that a size has not
            the datasets for.
    """
    sizes = settings.numbers(len(train))
    if not sizes:
        raise SettingsError(
            f"sizes={settings.sizes!r}; there are {len(train):,} training questions: give smaller "
            "numbers, or 'all'"
        )
    order = random.Random(loop.seed).sample(range(len(train)), len(train))
    runs = {}
    for size in sizes:
        some = [train[number] for number in sorted(order[:size])]
        fitted = replace(retriever, batch_size=min(retriever.batch_size, size))
        try:
            batches = len(draw_batches(some, fitted, loop.seed, 0))
        except SettingsError as error:
            raise SettingsError(f"training on {size:,} of the questions: {error}") from error
        epochs = max(loop.epochs, math.ceil(settings.fewest_steps / loop.updates(batches)))
        runs[size] = SizeRun(some, replace(loop, epochs=epochs), fitted, batches)
    return runs


def make_tests(
    sets: Mapping[str, Sequence[TrainingSample]],
    train: Sequence[TrainingSample],
    passages: Sequence[Passage] = (),
) -> Tests:
    """The test sets with a pool of all passages of their samples and of the training samples, and
    those given.

    Raises:
        InputError: no test set, one without questions, or a test question that is trained on, be
            it in other case or with other punctuation.
    """
    if not sets or not all(sets.values()):
        raise InputError("a learning curve needs test questions; give at least one set of them")
    trained = {form(sample.question) for sample in train} - {""}  # as the doctor compares them
    for name, samples in sets.items():
        if known := [one.question for one in samples if form(one.question) in trained]:
            raise InputError(
                f"{len(known):,} of the {len(samples):,} questions of {name} are trained on, such "
                f"as {known[0][:60]!r}: they would be found by heart; take them out (dpr doctor)"
            )
    found: dict[tuple[str, str], Passage] = {}
    for samples in (*sets.values(), train):
        for sample in samples:
            for one in (*sample.positives, *sample.best_negatives):
                found.setdefault(one.key, Passage(str(len(found)), one.text, one.title))
    for passage in passages:
        found.setdefault((passage.title, passage.text), replace(passage, id=str(len(found))))
    return Tests(dict(sets), list(found.values()))


def learning_curve(
    train: Sequence[TrainingSample],
    tests: Tests,
    start: Model,
    to: Path,
    *,
    loop: LoopSettings = LOOP,
    retriever: RetrieverSettings = RETRIEVER,
    settings: LearningSettings | None = None,
    tied: bool | None = None,
    tell: Tell = lambda text: None,
) -> LearningCurve:
    """Trains on each size from the start anew and measures all on the test sets. All models read
    as much of a text, the untrained one too.

    Args:
        start: a model, or a BERT (folder or hub id) for both towers.
        retriever: with ``hashing`` the signs of passage vectors are searched, of the untrained
            model's too.
        tied: see ``load_towers``.

    Raises:
        SettingsError: see ``plan``; a start that training would refuse, see ``load_towers``.
    """
    settings = settings or LearningSettings()
    runs = plan(train, loop, retriever, settings)
    names = load_towers(start, retriever, loop.seed, tied).names
    tell("searching by words")
    bm25 = _by_words(tests, settings.k, LUCENE)
    words = _by_words(tests, settings.k, BM25Settings())
    measuring = _Measuring(
        tests,
        EncodingSettings(retriever.passage_length),
        retriever.hashing,
        Engine(loop.precision).is_main,
        tell,
    )

    def measured(folder: Path, model: ModelNames) -> Found:
        return _first(measuring.ranks(folder, model), settings.k)

    untrained = measured(to / "untrained", names)
    trained = {}
    for size, run in runs.items():
        tell(f"training on {size:,} questions, {run.loop.epochs} epochs")
        folder, speak = to / f"size-{size}", _spoken(tell, size)
        model = teach(start, run.samples, (), folder, speak, run.loop, run.retriever, tied)
        trained[size] = measured(folder, model)
    return LearningCurve(
        settings.k,
        tuple(tests.sets),
        bm25,
        words,
        untrained,
        trained,
        len(tests.pool),
        frozenset(size for size, run in runs.items() if run.too_short),
    )


def _spoken(tell: Tell, size: int) -> Callable[[dict[str, float]], None]:
    def speak(event: dict[str, float]) -> None:
        if "loss" in event:
            done = f"step {event['step']:,} of {event['steps']:,}"
            tell(f"training on {size:,} questions: {done}")

    return speak


def _by_words(tests: Tests, k: int, settings: BM25Settings) -> Found:
    index = BM25Index([f"{one.title} {one.text}" for one in tests.pool], settings)
    found = {}
    for name in tests.sets:
        hits = index.search(tests.questions(name), k)
        found[name] = [
            float(any(row in golds for _, row in of_one))
            for of_one, golds in zip(hits, map(set, tests.golds(name)), strict=True)
        ]
    return found


@dataclass(frozen=True, slots=True)
class _Measuring:
    """Ranks of the golds by models.

    Attributes:
        reading: how all models read. What is trained is saved with it; a start may have settings of
            its own, by which it would read another length.
        signs: search passages by the signs of their vectors.
        writes: keep what is measured: of several processes one does.
    """

    tests: Tests
    reading: EncodingSettings
    signs: bool
    writes: bool
    tell: Tell

    def ranks(self, folder: Path, names: ModelNames) -> dict[str, list[int]]:
        """By test set: measured, or as they were measured before with the same weights on the same
        questions."""
        context = ContextEncoder.from_pretrained(names.context, self.reading)
        question = QuestionEncoder.from_pretrained(names.question, self.reading)
        made = {
            "encoders": [context.fingerprint, question.fingerprint],
            "tests": self.tests.digests(),
            "signs": self.signs,
        }
        path = folder / MEASURED
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["made_from"] == made:
                known: dict[str, list[int]] = kept["ranks"]
                return known
        self.tell(f"measuring {folder.name}")
        found = self._measured(question, context)
        if self.writes:
            folder.mkdir(parents=True, exist_ok=True)
            replace_text(path, json.dumps({"made_from": made, "ranks": found}) + "\n")
        return found

    def _measured(self, question: QuestionEncoder, context: ContextEncoder) -> dict[str, list[int]]:
        vectors = context.encode(self.tests.pool)
        if self.signs:
            vectors = np.sign(vectors)
        found = {}
        for name in self.tests.sets:
            asked = question.encode(self.tests.questions(name))
            found[name] = gold_ranks(asked, vectors, self.tests.golds(name)).tolist()
        return found


def _first(ranks: Mapping[str, Sequence[int]], k: int) -> Found:
    return {name: [float(rank < k) for rank in of_one] for name, of_one in ranks.items()}


def _digest(records: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record).encode() + b"\n")
    return digest.hexdigest()
