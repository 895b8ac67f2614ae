"""Measure an index: what it finds of the exact best rows, and how long a question takes.

Takes indexes, vectors of questions and the exact result; gives ``Trial`` records. Knows nothing of
collections.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.indexes import kinds
from dpr.indexes.approximate import ApproximateIndex
from dpr.indexes.index import Index, Mask, Rows
from dpr.indexes.kinds import Candidate, SearchEffort
from dpr.indexes.stored import StoredVectors
from dpr.search.choosing import Targets, Trial, meets, recall_interval, recalls

Floats = npt.NDArray[np.float32]
TIMED_QUESTIONS = 200
TIMED_SECONDS = 6.0
ROUNDS = 3
FEWEST_TIMED = 20
AT_ONCE = 64
FAR = 1.2


@dataclass(frozen=True)
class Test:
    """What indexes are measured with.

    Attributes:
        queries: (questions, dim).
        exact: (questions, k) the rows that exact search finds.
        encoding: seconds that encoding a question takes, p50 and p95: added to searching.
        accuracy: of rows (questions, k), what they answer less what the exact ones do; None: that
            is not known.
    """

    __test__ = False  # pytest takes it for one

    queries: Floats
    exact: Rows
    encoding: tuple[float, float] = (0.0, 0.0)
    accuracy: Callable[[Rows], float] | None = None


def measure(
    index: Index,
    settings: dict[str, Any],
    effort: dict[str, Any],
    test: Test,
    *,
    allowed: Mask | None = None,
    seconds: float = 0.0,
    recall: float | None = None,
) -> Trial:
    """What one index is worth at one effort.

    Args:
        settings, effort: of the index, as ``dpr.indexes.kinds.to_json`` gives them.
        allowed: (rows,) which rows may be found.
        seconds: that building took.
        recall: what is wanted; an index that misses it is timed with a few questions only.
    """
    k, queries = test.exact.shape[1], test.queries
    if index.exact:
        found, mean, low, high = test.exact, 1.0, 1.0, 1.0
    else:
        some = [queries[first : first + AT_ONCE] for first in range(0, len(queries), AT_ONCE)]
        found = np.concatenate([index.search(one, k, allowed)[1] for one in some])
        mean, low, high = recall_interval(recalls(found, test.exact), k)
    missed = recall is not None and not index.exact and low < recall
    timed = queries[:FEWEST_TIMED] if missed else queries
    spent = latencies(lambda query: index.search(query[None], k, allowed), timed)
    accuracy = test.accuracy
    return Trial(
        named(settings, effort),
        settings,
        effort,
        index.exact,
        mean,
        low,
        high,
        float(np.quantile(spent, 0.5)) + test.encoding[0],
        float(np.quantile(spent, 0.95)) + test.encoding[1],
        index.bytes + index.touched,
        seconds,
        None if accuracy is None else 0.0 if index.exact else accuracy(found),
    )


def try_efforts(
    candidate: Candidate,
    files: Mapping[str, Path],
    stored: StoredVectors,
    test: Test,
    targets: Targets,
    before: Sequence[Trial] = (),
    seconds: float = 0.0,
) -> Iterator[Trial]:
    """What an index is worth at the efforts that may be chosen, and at those next to them.

    Along a series both what is found and the time grow: of each only the first effort that finds
    enough may be chosen, and halving finds it. Where nothing is good enough, what would find enough
    if it took longer is looked for too.

    Args:
        candidate: its settings and efforts.
        files: of the index.
        before: what was measured of others: what is slower than the best of them is not tried.
        seconds: that building took.
    """
    done = list(before)
    settings = kinds.to_json(candidate.settings)

    index = kinds.load(candidate.settings, files, stored)

    @cache
    def measured(effort: SearchEffort) -> Trial:
        if isinstance(index, ApproximateIndex):
            index.effort = effort
        how = kinds.to_json(effort)
        return measure(index, settings, how, test, seconds=seconds, recall=targets.recall)

    def enough(trial: Trial) -> bool:
        return "recall" not in meets(trial, targets)

    def enough_or_slow(trial: Trial) -> bool:
        limit = min((one.p50 for one in done if not meets(one, targets)), default=math.inf)
        return enough(trial) or "latency" in meets(trial, targets) or trial.p50 > FAR * limit

    for series in candidate.series:
        for stop in (enough_or_slow, enough):
            for trial in _halving(series, stop, measured):
                if trial not in done:
                    done.append(trial)
                    yield trial
            if any(not meets(one, targets) for one in done):
                break


def _halving(
    series: Sequence[SearchEffort],
    stop: Callable[[Trial], bool],
    measured: Callable[[SearchEffort], Trial],
) -> Iterator[Trial]:
    """Measures until the first effort of a series is known of which ``stop`` holds, and of which it
    then holds throughout."""
    first, last = 0, len(series)
    while first < last:
        middle = (first + last) // 2
        trial = measured(series[middle])
        yield trial
        first, last = (first, middle) if stop(trial) else (middle + 1, last)


def latencies(search: Callable[[Any], Any], queries: Any) -> npt.NDArray[np.float64]:
    """Seconds of questions asked one by one, as many as a few seconds allow.

    All are asked several times, one round after the other, and the quickest of each counts: what
    else the machine does for a moment then matters less.
    """
    began = time.perf_counter()
    search(queries[0])
    asked = list(queries[:TIMED_QUESTIONS])
    spent: npt.NDArray[np.float64] = np.full(len(asked), np.inf)
    for number in range(ROUNDS):
        for place, query in enumerate(asked):
            start = time.perf_counter()
            search(query)
            spent[place] = min(spent[place], time.perf_counter() - start)
            late = time.perf_counter() - began > TIMED_SECONDS
            if late and (number or place + 1 >= FEWEST_TIMED):
                asked_at_all: npt.NDArray[np.float64] = spent[np.isfinite(spent)]
                return asked_at_all
    return spent


def named(settings: dict[str, Any], effort: dict[str, Any]) -> str:
    """The kind, and what is not as usual: ``hnsw: int8, breadth 100``."""
    usual = {
        field.name: field.default
        for made in (kinds.SETTINGS[settings["kind"]], kinds.EFFORTS[effort["kind"]])
        for field in fields(made)
    }
    found = []
    for name, value in {**settings, **effort}.items():
        if name != "kind" and usual.get(name) != value:
            found.append(str(value) if isinstance(value, str) else f"{name} {value}")
    return f"{settings['kind']}: {', '.join(found)}" if found else str(settings["kind"])
