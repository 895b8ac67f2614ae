"""Which efforts are measured, against measuring all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpr.indexes import kinds
from dpr.indexes.hnsw import HNSWEffort, HNSWSettings
from dpr.indexes.kinds import Candidate
from dpr.indexes.stored import StoredVectors
from dpr.search import trying
from dpr.search.choosing import Targets, Trial, choose, meets
from dpr.search.trying import Test, latencies, try_efforts

SERIES = tuple(HNSWEffort(breadth) for breadth in (10, 20, 30, 50, 80, 120, 200, 300, 500))
CANDIDATE = Candidate(HNSWSettings(), (SERIES, SERIES[::2]))
STORED = StoredVectors([np.ones((3, 4), np.float32)])
TEST = Test(np.ones((2, 4), np.float32), np.zeros((2, 1), np.int64))


def trial_of(effort: dict[str, Any], slower: float = 1.0) -> Trial:
    """More is found in more time."""
    breadth = effort["breadth"]
    recall = 1 - 1 / breadth
    spent = slower * breadth / 1000
    return Trial("", {"kind": "hnsw"}, effort, False, recall, recall, recall, spent, spent, 1)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The efforts that were measured, each found to be as ``trial_of`` says."""
    found: list[dict[str, Any]] = []

    def measure(index: object, settings: object, effort: dict[str, Any], *_: Any, **__: Any) -> Any:
        found.append(effort)
        return trial_of(effort)

    monkeypatch.setattr(trying, "measure", measure)
    monkeypatch.setattr(kinds, "load", lambda *given: None)
    return found


@pytest.mark.parametrize("recall", [0.5, 0.91, 0.95, 0.97, 0.99, 0.995, 0.9975])
@pytest.mark.parametrize("latency", [None, 0.001, 0.05, 0.1, 0.3])
def test_halving_chooses_what_measuring_all_chooses(
    seen: list[dict[str, Any]], recall: float, latency: float | None
) -> None:
    targets = Targets(recall, latency=latency)
    trials = list(try_efforts(CANDIDATE, {}, STORED, TEST, targets))
    every = [trial_of(kinds.to_json(effort)) for series in CANDIDATE.series for effort in series]
    assert choose(trials, targets).trial == choose(every, targets).trial
    assert len(trials) == len({one.effort["breadth"] for one in trials})
    assert len(seen) == len(trials)  # none twice
    assert len(trials) <= 8  # of 14


def test_what_would_do_is_found_where_nothing_does(seen: list[dict[str, Any]]) -> None:
    targets = Targets(0.99, latency=0.06)
    trials = list(try_efforts(CANDIDATE, {}, STORED, TEST, targets))
    choice = choose(trials, targets)
    assert choice.trial is None
    gives_way = {target: trial.effort["breadth"] for target, trial in choice.nearest}
    # The most that is found within the latency, and the least time for the recall.
    assert gives_way == {"recall": 50, "latency": 120}


def test_what_is_slower_than_others_is_left_alone(seen: list[dict[str, Any]]) -> None:
    targets = Targets(0.9)
    other = trial_of({"kind": "hnsw", "breadth": 30}, slower=0.1)
    assert not meets(other, targets)
    (one,) = {trial.p50 for trial in try_efforts(CANDIDATE, {}, STORED, TEST, targets, [other])} & {
        0.01
    }
    assert one == 0.01
    assert all(effort["breadth"] <= 80 for effort in seen)


def test_a_moment_of_other_work_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = [0.0], []

    def search(query: int) -> None:
        asked.append(query)
        busy = 30 <= len(asked) < 120  # most of the first round
        clock[0] += 1.0 if busy else 0.001 * (query + 1)

    monkeypatch.setattr(trying.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(trying, "TIMED_SECONDS", 1000.0)
    np.testing.assert_allclose(latencies(search, list(range(100))), 0.001 * np.arange(1, 101))


def test_slow_questions_are_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def search(query: int) -> None:
        clock[0] += 1.0

    monkeypatch.setattr(trying.time, "perf_counter", lambda: clock[0])
    assert len(latencies(search, list(range(100)))) == trying.FEWEST_TIMED
    assert len(latencies(search, list(range(5)))) == 5
