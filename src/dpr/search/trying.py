"""Measure an index: what it finds of the exact best rows, and how long a question takes.

Takes indexes, vectors of questions and the exact result; gives ``Trial`` records. Knows nothing of
collections.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.indexes import kinds
from dpr.indexes.index import Index, Mask, Rows
from dpr.search.choosing import Trial, recall_interval, recalls

Floats = npt.NDArray[np.float32]
TIMED_QUESTIONS = 200
TIMED_SECONDS = 6.0
FEWEST_TIMED = 20
AT_ONCE = 64


def measure(
    index: Index,
    settings: dict[str, Any],
    effort: dict[str, Any],
    queries: Floats,
    exact: Rows,
    *,
    allowed: Mask | None = None,
    encoding: tuple[float, float] = (0.0, 0.0),
    seconds: float = 0.0,
    accuracy: Callable[[Rows], float] | None = None,
) -> Trial:
    """What one index is worth at one effort.

    Args:
        settings, effort: of the index, as ``dpr.indexes.kinds.to_json`` gives them.
        queries: (questions, dim).
        exact: (questions, k) the rows that exact search finds.
        allowed: (rows,) which rows may be found.
        encoding: seconds that encoding a question takes, p50 and p95: added to searching.
        seconds: that building took.
        accuracy: of rows (questions, k), what they answer less what the exact ones do.
    """
    k = exact.shape[1]
    if index.exact:
        found, mean, low, high = exact, 1.0, 1.0, 1.0
    else:
        found = np.concatenate(
            [
                index.search(queries[first : first + AT_ONCE], k, allowed)[1]
                for first in range(0, len(queries), AT_ONCE)
            ]
        )
        mean, low, high = recall_interval(recalls(found, exact), k)
    spent = latencies(lambda query: index.search(query[None], k, allowed), queries)
    return Trial(
        named(settings, effort),
        settings,
        effort,
        index.exact,
        mean,
        low,
        high,
        float(np.quantile(spent, 0.5)) + encoding[0],
        float(np.quantile(spent, 0.95)) + encoding[1],
        index.bytes + index.touched,
        seconds,
        None if accuracy is None else 0.0 if index.exact else accuracy(found),
    )


def latencies(search: Callable[[Any], Any], queries: Any) -> npt.NDArray[np.float64]:
    """Seconds of questions asked one by one, each twice and the quicker counted, so that what else
    the machine does matters less; as many questions as a few seconds allow."""
    spent: list[float] = []
    began = time.perf_counter()
    search(queries[0])
    for query in queries[:TIMED_QUESTIONS]:
        times = []
        for _ in range(2):
            start = time.perf_counter()
            search(query)
            times.append(time.perf_counter() - start)
        spent.append(min(times))
        if time.perf_counter() - began > TIMED_SECONDS and len(spent) >= FEWEST_TIMED:
            break
    return np.array(spent)


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
