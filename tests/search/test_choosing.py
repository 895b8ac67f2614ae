"""Choosing: the cheapest that is good enough, and plain words where none is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dpr.errors import SettingsError
from dpr.search.choosing import Targets, Trial, choose, meets, recall_interval, recalls, to_keep


def trial(kind: str, recall: float, ms: float, mb: float, **more: Any) -> Trial:
    exact = recall == 1.0
    low, high = (1.0, 1.0) if exact else (recall - 0.01, recall + 0.01)
    return Trial(
        kind, {"kind": kind}, {"kind": kind}, exact, recall, low, high, ms / 1e3, 2 * ms / 1e3,
        int(mb * 1e6), **more,
    )  # fmt: skip


FLAT = trial("flat", 1.0, 100, 1500)
HNSW = trial("hnsw", 0.985, 1, 1800)
IVF = trial("ivf", 0.965, 3, 400)
CODES = trial("codes", 0.90, 2, 100)
ALL = [FLAT, HNSW, IVF, CODES]


@pytest.mark.parametrize(
    ("targets", "chosen"),
    [
        (Targets(0.95), HNSW),
        (Targets(0.975), HNSW),
        (Targets(0.976), FLAT),  # 0.985 is not known to be 0.976
        (Targets(0.95, memory=500_000_000), IVF),
        (Targets(0.89, memory=int(1e8)), CODES),
        (Targets(1.0), FLAT),
        (Targets(1.0, latency=0.1), None),
        (Targets(0.95, memory=int(1e8)), None),
        (Targets(0.97, memory=int(5e8), latency=0.001), None),
    ],
)
def test_the_fastest_of_those_that_are_good_enough(targets: Targets, chosen: Trial | None) -> None:
    good = [one for one in ALL if not meets(one, targets)]
    assert choose(ALL, targets).trial == chosen
    assert (chosen in good) if chosen else not good
    if chosen:
        assert chosen.p50 == min(one.p50 for one in good)


def test_of_those_alike_in_speed_the_smaller() -> None:
    slower = replace(HNSW, name="small", p50=HNSW.p50 * 1.09, bytes=1000)
    assert choose([HNSW, slower], Targets(0.9)).trial == slower
    assert choose([HNSW, replace(slower, p50=HNSW.p50 * 1.2)], Targets(0.9)).trial == HNSW


def test_reasons_name_what_was_measured_and_what_is_allowed() -> None:
    why = choose(ALL, Targets(0.95, memory=500_000_000, latency=0.02)).why
    for part in ("ivf", "96.5%", "95.5%", "95.0% is wanted", "400 MB", "500 MB", "3 ms", "20 ms"):
        assert part in why
    assert "good enough and as quick: codes, flat, hnsw" in why


def test_where_none_does_it_is_said_what_would() -> None:
    found = choose(ALL, Targets(0.95, memory=int(1e8)))
    assert {name: one.name for name, one in found.nearest} == {"recall": "codes", "memory": "ivf"}
    assert found.why.startswith("No index keeps a recall of 95.0% and 100 MB.")
    assert "a recall of 89.0% (codes)" in found.why and "a memory of 400 MB (ivf)" in found.why
    hopeless = choose([FLAT], Targets(1.0, memory=1, latency=1e-6))
    assert hopeless.trial is None and "have to give way" in hopeless.why


def test_recalls_count_rows() -> None:
    exact = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    found = np.array([[4, 3, 9, 1], [8, 7, 6, 5]])
    assert recalls(found, exact).tolist() == [0.75, 1.0]


def test_intervals_hold_the_true_recall_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        # A question's rows stand or fall together: recalls are spread far more than binomially.
        p = np.where(rng.random(300) < 0.1, 0.6, 0.99)
        found = rng.binomial(100, p) / 100
        mean, low, high = recall_interval(found, 100)
        assert low <= mean <= high
        held += low <= 0.1 * 0.6 + 0.9 * 0.99 <= high
    assert held >= 388  # 99% of 400 are 396; fewer than 388 have a chance of one in 5,000


def test_no_misses_are_no_proof() -> None:
    mean, low, high = recall_interval(np.ones(100), 10)
    assert mean == high == 1.0 and 0.95 < low < 0.98
    assert recall_interval(np.ones(1000), 10)[1] > 0.99
    assert recall_interval(np.ones(1000), 10)[1] > low


@pytest.mark.parametrize(
    "wrong", [{"recall": 0.0}, {"recall": 1.1}, {"memory": 0}, {"latency": 0.0}, {"k": 0}]
)
def test_targets_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Targets(**wrong)


def test_what_is_kept_comes_back() -> None:
    kept = to_keep(Targets(0.9, 100, 0.1, 5), FLAT, 10, "q.jsonl")
    assert Targets(**kept["targets"]) == Targets(0.9, 100, 0.1, 5)
    assert Trial(**kept["trial"]) == FLAT
