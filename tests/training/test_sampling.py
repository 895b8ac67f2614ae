from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from dpr.errors import SettingsError
from dpr.records import Passage
from dpr.samples.files import Context, TrainingSample
from dpr.training.sampling import draw_batches, searched
from dpr.training.settings import RetrieverSettings

SETTINGS = RetrieverSettings(batch_size=8, hard_negatives=1)


def make_samples(sizes: dict[str, int]) -> list[TrainingSample]:
    return [
        TrainingSample(
            f"{name} {n}",
            (),
            (Context(f"{name} passage {n // 2}", name),),
            (),
            (Context(f"{name} negative {n}"),),
            name,
        )
        for name, size in sizes.items()
        for n in range(size)
    ]


SAMPLES = make_samples({"a": 80, "b": 40})


@pytest.mark.parametrize("batching", ["random", "neighbours"])
def test_an_epoch_takes_every_question_once(batching: str) -> None:
    settings = RetrieverSettings(batch_size=6, batching=batching)
    batches = draw_batches(SAMPLES, settings, 3, 0)
    assert sorted(n for batch in batches for n in batch.samples) == list(range(len(SAMPLES)))
    assert draw_batches(SAMPLES, settings, 3, 0) == batches
    assert draw_batches(SAMPLES, settings, 3, 1) != batches
    for batch in batches:
        assert len(set(batch.passages)) == len(batch.passages)
        for number, row in zip(batch.samples, batch.positives, strict=True):
            assert batch.passages[row] == SAMPLES[number].positives[0].key


def test_the_only_batch_is_kept_however_small() -> None:
    (batch,) = draw_batches(SAMPLES[:24], RetrieverSettings(batch_size=128), 3, 0)
    assert len(batch.samples) == 24


def test_random_batches_draw_negatives_for_each_question() -> None:
    more = Context("everyone's negative")
    samples = [replace(one, hard_negatives=(*one.hard_negatives, more)) for one in SAMPLES]
    settings = RetrieverSettings(batch_size=4, hard_negatives=2)
    for batch in draw_batches(samples, settings, 3, 0):
        for number in batch.samples:
            assert {one.key for one in samples[number].hard_negatives} <= set(batch.passages)


def test_neighbours_share_passages() -> None:
    settings = RetrieverSettings(batch_size=4, hard_negatives=0, batching="neighbours")
    batches = draw_batches(SAMPLES, settings, 3, 0)
    assert {len(batch.passages) for batch in batches} == {2}
    assert all(len({title for title, _ in batch.passages}) == 1 for batch in batches)


@pytest.mark.parametrize("batching", ["random", "neighbours"])
def test_with_rates_a_batch_holds_one_dataset(batching: str) -> None:
    settings = replace(SETTINGS, rates="a=0.5, b=2.2", batching=batching)
    seen: Counter[int] = Counter()
    kinds = []
    for batch in draw_batches(SAMPLES, settings, 0, 3):
        (name,) = {SAMPLES[number].dataset for number in batch.samples}
        kinds.append(name)
        seen.update(batch.samples)
        assert len(batch.samples) == 8
    assert Counter(kinds) == {"a": 5, "b": 11}
    assert kinds != sorted(kinds)
    assert set(seen.values()) == {1, 2, 3}
    assert {seen[number] for number in range(80)} <= {0, 1}
    assert {seen[number] for number in range(80, 120)} == {2, 3}


def test_epochs_are_a_function_of_seed_and_number() -> None:
    settings = replace(SETTINGS, rates="a=0.5,b=1")
    assert draw_batches(SAMPLES, settings, 0, 1) == draw_batches(SAMPLES, settings, 0, 1)
    assert draw_batches(SAMPLES, settings, 0, 1) != draw_batches(SAMPLES, settings, 0, 2)
    assert draw_batches(SAMPLES, settings, 0, 1) != draw_batches(SAMPLES, settings, 1, 1)
    assert {len(draw_batches(SAMPLES, settings, 0, epoch)) for epoch in range(9)} == {10}


@pytest.mark.parametrize("rates", ["a=1", "a=1,b=1,c=1"])
def test_every_dataset_has_a_rate(rates: str) -> None:
    with pytest.raises(SettingsError, match="the datasets are a, b: give each a rate"):
        draw_batches(SAMPLES, replace(SETTINGS, rates=rates), 0, 0)


@pytest.mark.parametrize("rates", ["a", "a=0", "a=-1", "=1", "a=x", "a=inf", "a=nan"])
def test_rates_that_are_none(rates: str) -> None:
    with pytest.raises(SettingsError, match="name=rate"):
        RetrieverSettings(rates=rates)


def test_rates_of_samples_that_name_no_dataset() -> None:
    unnamed = [TrainingSample("q", (), (Context("a text"),))]
    with pytest.raises(SettingsError, match="no sample says of which dataset it is; leave rates"):
        draw_batches(unnamed, RetrieverSettings(rates="m=1"), 0, 0)


def test_what_is_searched_is_each_passage_once() -> None:
    dev = make_samples({"a": 3})  # of which two share a positive
    pool = [Passage("x", "a passage 0", "a"), Passage("y", "another")]
    found = searched(dev, pool)
    assert sorted(found) == sorted(
        [
            *(("a", "a passage 0"), ("a", "a passage 1"), ("", "another")),
            *(("", f"a negative {n}") for n in range(3)),
        ]
    )
    assert found[-1] == ("", "another")  # the pool comes last
