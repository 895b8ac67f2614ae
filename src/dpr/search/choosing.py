"""Which index is good enough, and the cheapest of those: measured, not guessed.

Takes what was measured of each candidate and what is wanted; gives a choice with its reasons. Knows
nothing of how an index is built or searched.

A candidate is good enough if the lower end of its recall's interval reaches the recall wanted, it
takes no more memory, and 95 of 100 questions are answered within the latency. The cheapest is the
one that answers the median question fastest; of those within a tenth of it, the one that takes
least memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.errors import SettingsError

LEVEL = 0.99
_Z = 2.5758  # of the standard normal distribution, two-sided, at LEVEL
ALIKE = 1.1
DEFAULT_RECALL = 0.95


@dataclass(frozen=True, slots=True)
class Targets:
    """What is wanted of an index.

    Attributes:
        recall: the share of the exact best ``k`` that is found at least.
        memory: bytes at most, of the index and of the stored vectors that searching reads; None:
            as many as there are.
        latency: seconds at most for 95 of 100 questions, their encoding included; None: any.
        k: how many of the best rows recall is about.
    """

    recall: float = DEFAULT_RECALL
    memory: int | None = None
    latency: float | None = None
    k: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise SettingsError(f"recall is {self.recall}; allowed is more than 0 up to 1")
        if self.memory is not None and self.memory < 1:
            raise SettingsError(f"memory is {self.memory} bytes; allowed are 1 or more")
        if self.latency is not None and not (self.latency > 0 and math.isfinite(self.latency)):
            raise SettingsError(f"latency is {self.latency} s; allowed is more than 0")
        if self.k < 1:
            raise SettingsError(f"k is {self.k}; allowed are integers of 1 or more")


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured of one candidate at one effort.

    Attributes:
        name: what people call it.
        index, effort: settings as ``dpr.indexes.kinds`` keeps them.
        exact: found by looking at every row, or proven to be the same.
        recall, low, high: the mean over the questions, and its interval at ``LEVEL``.
        p50, p95: seconds a question, its encoding included.
        bytes: of the index and of the stored vectors that searching reads.
        seconds: that building took.
        accuracy: what its hits answer, less what exact search's do (see ``measure``); None: not
            known.
    """

    name: str
    index: dict[str, Any]
    effort: dict[str, Any]
    exact: bool
    recall: float
    low: float
    high: float
    p50: float
    p95: float
    bytes: int
    seconds: float = 0.0
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        trial: the cheapest that is good enough; None where none is.
        why: in words, for people.
        nearest: where none is good enough, the candidates that would be if one target gave way.
    """

    trial: Trial | None
    why: str
    nearest: tuple[tuple[str, Trial], ...] = ()


def recall_interval(found: npt.NDArray[np.float64], k: int) -> tuple[float, float, float]:
    """The mean of recalls (questions,) at k, and the interval in which the true one lies.

    Wilson's interval (1927) for shares, in which questions count for as many independent trials as
    their spread shows (Kish's effective sample size): the k rows of a question stand or fall
    together. The spread is that with one more question that found half as much, so that few
    questions that happen to agree prove little.
    """
    n = len(found)
    mean = float(found.mean())
    more = np.append(found, mean / 2)
    variance = float(more.var(ddof=1)) / len(more)
    spread = float(more.mean() * (1 - more.mean()))
    trials = min(spread / variance, float(n * k)) if variance > 0 else float(n)
    square = _Z**2
    centre = (mean + square / (2 * trials)) / (1 + square / trials)
    half = (
        _Z
        / (1 + square / trials)
        * math.sqrt(mean * (1 - mean) / trials + square / (4 * trials**2))
    )
    return mean, max(0.0, centre - half), min(1.0, centre + half)


def recalls(found: npt.NDArray[np.int64], exact: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Of each question, the share of the exact best rows (questions, k) that were found."""
    return np.array(
        [
            len(np.intersect1d(one, other)) / len(other)
            for one, other in zip(found, exact, strict=True)
        ]
    )


def meets(trial: Trial, targets: Targets) -> list[str]:
    """Which targets a candidate misses: ``recall``, ``memory``, ``latency``."""
    missed = []
    if not trial.exact and trial.low < targets.recall:
        missed.append("recall")
    if targets.memory is not None and trial.bytes > targets.memory:
        missed.append("memory")
    if targets.latency is not None and trial.p95 > targets.latency:
        missed.append("latency")
    return missed


def choose(trials: Sequence[Trial], targets: Targets) -> Choice:
    """The cheapest candidate that is good enough."""
    good = [trial for trial in trials if not meets(trial, targets)]
    if not good:
        return _none(trials, targets)
    fastest = min(trial.p50 for trial in good)
    trial = min(
        (one for one in good if one.p50 <= ALIKE * fastest), key=lambda one: (one.bytes, one.p50)
    )
    return Choice(trial, _why(trial, good, trials, targets))


def _why(trial: Trial, good: Sequence[Trial], trials: Sequence[Trial], targets: Targets) -> str:
    found = (
        f"finds all of the best {targets.k}"
        if trial.exact
        else f"finds {trial.recall:.1%} of the best {targets.k} ({trial.low:.1%} to "
        f"{trial.high:.1%}; {targets.recall:.1%} is wanted)"
    )
    text = (
        f"{trial.name}: {found}, takes {_size(trial.bytes)}"
        f"{_limit(targets.memory, _size)}, and answers in {_time(trial.p50)}, 95 of 100 questions "
        f"in {_time(trial.p95)}{_limit(targets.latency, _time)}."
    )
    others = [one for one in good if one.index != trial.index]
    if others:
        second = min(others, key=lambda one: one.p50)
        text += (
            f" The next best that would do is {second.name}: {_time(second.p50)}, "
            f"{_size(second.bytes)}."
        )
    failed = {one.index["kind"] for one in trials} - {one.index["kind"] for one in good}
    if failed:
        text += (
            f" No effort that was tried was good enough and as quick: {', '.join(sorted(failed))}."
        )
    return text


def _none(trials: Sequence[Trial], targets: Targets) -> Choice:
    nearest: list[tuple[str, Trial]] = []
    ways: tuple[tuple[str, Callable[[Trial], Any]], ...] = (
        ("recall", lambda one: -one.low),
        ("memory", lambda one: one.bytes),
        ("latency", lambda one: one.p95),
    )
    for target, best in ways:
        others = [one for one in trials if meets(one, targets) == [target]]
        if others:
            nearest.append((target, min(others, key=best)))
    said = {
        "recall": lambda one: f"a recall of {math.floor(one.low * 1000) / 1000:.1%} ({one.name})",
        "memory": lambda one: f"a memory of {_size(one.bytes)} ({one.name})",
        "latency": lambda one: f"a latency of {_time(one.p95)} ({one.name})",
    }
    wanted = [f"a recall of {targets.recall:.1%}"]
    wanted += [f"{_size(targets.memory)}"] if targets.memory is not None else []
    wanted += [f"{_time(targets.latency)}"] if targets.latency is not None else []
    text = f"No index keeps {' and '.join(wanted)}."
    if nearest:
        ways_out = "; or ".join(said[target](one) for target, one in nearest)
        return Choice(None, f"{text} One would do with {ways_out}.", tuple(nearest))
    return Choice(None, f"{text} Two of these have to give way.", ())


def _limit(value: Any, shown: Callable[[Any], str]) -> str:
    return "" if value is None else f" ({shown(value)} is allowed)"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def to_keep(targets: Targets, trial: Trial, rows: int, questions: str) -> dict[str, Any]:
    """What the collection keeps of a choice, so that it can be checked and made again."""
    return {
        "targets": asdict(targets),
        "trial": asdict(trial),
        "rows": rows,
        "questions": questions,
    }
