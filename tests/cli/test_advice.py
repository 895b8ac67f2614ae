"""What is said before a training begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dpr.cli import advice
from dpr.encoding import SETTINGS_NAME, EncodingSettings
from dpr.pipeline.learning import plan
from dpr.pipeline.refreshing import MinedNegatives
from dpr.pipeline.starting import load_towers
from dpr.records import Passage
from dpr.samples.files import Context, TrainingSample
from dpr.settings import save_settings
from dpr.shipped import ModelNames
from dpr.training.retriever import RetrieverTask
from dpr.training.sampling import searched
from dpr.training.settings import (
    LearningSettings,
    LoopSettings,
    RefreshSettings,
    RetrieverSettings,
)

SHORT, LONG = "the queen", "the king of the river and the old queen of the forest"


def sample(question: str, text: str) -> TrainingSample:
    return TrainingSample(question, (), (Context(text),))


@pytest.mark.parametrize(
    ("loop", "dev", "pool", "said"),
    [
        (LoopSettings(), False, False, []),
        (LoopSettings(patience=2, evaluations=3), True, True, []),
        (LoopSettings(patience=2), False, False, ["measured: --patience does nothing"]),
        (LoopSettings(evaluations=2), False, True, ["--pool and --evaluations do nothing"]),
    ],
)
def test_settings_that_do_nothing(
    loop: LoopSettings, dev: bool, pool: bool, said: list[str]
) -> None:
    found = list(advice.idle(loop, dev, pool))
    assert len(found) == len(said)
    assert all(one in text for one, text in zip(said, found, strict=True))


def test_a_pool_size_without_a_pool() -> None:
    for dev in (True, False):
        (text,) = advice.idle(LoopSettings(), dev, pool_size=5)
        assert text == "--pool-size does nothing without --pool"
    assert list(advice.idle(LoopSettings(), True, True, 5)) == []


@pytest.mark.parametrize(
    ("option", "asked"),
    [
        ({"teacher_temperature": 2.0}, {"distillation": 0.5}),
        ({"hybrid_weight": 1.0}, {"hybrid": 0.5}),
        ({"neighbours": 12}, {"batching": "neighbours"}),
    ],
)
def test_settings_of_what_is_not_asked_for(option: dict[str, Any], asked: dict[str, Any]) -> None:
    (text,) = advice.idle_without(RetrieverSettings(**option))
    (name,), (main,) = ([one.replace("_", "-") for one in given] for given in (option, asked))
    assert text.startswith(f"--{name} does nothing without --{main}")
    assert list(advice.idle_without(RetrieverSettings(**option, **asked))) == []
    assert list(advice.idle_without(RetrieverSettings(**asked))) == []


def test_negatives_that_are_never_found_anew_or_never_drawn() -> None:
    def said(epochs: int = 40, drawn: int = 1, **refresh: Any) -> list[str]:
        settings = RetrieverSettings(hard_negatives=drawn)
        found = RefreshSettings(**refresh)
        return list(advice.idle_refreshing(found, LoopSettings(epochs=epochs), settings))

    assert said() == said(refresh_every=1, refresh_share=0.9) == []
    (text,) = said(refresh_beside=False, refresh_last_rank=9)
    assert text == (
        "--no-refresh-beside and --refresh-last-rank do nothing without --refresh-every"
    )
    (text,) = said(drawn=0, refresh_every=1)
    assert text == "--refresh-every does nothing with --hard-negatives 0: no negative is drawn"
    for epochs, every, beside in ((1, 5, True), (2, 1, True), (3, 1, True), (2, 2, False)):
        found = RefreshSettings(refresh_every=every, refresh_beside=beside)
        used = any(
            MinedNegatives([], Path(), found, epochs)._wanted(epoch) for epoch in range(epochs)
        )
        texts = said(epochs, refresh_every=every, refresh_beside=beside)
        assert len(texts) == (not used)
        assert used or "is used from epoch 3" in texts[0] or "from epoch 7" in texts[0]


def test_settings_that_do_nothing_in_a_curve() -> None:
    assert list(advice.idle_in_curve(LoopSettings())) == []
    (text,) = advice.idle_in_curve(LoopSettings(patience=1, evaluations=2))
    assert text.startswith("--patience and --evaluations do nothing here")


def test_texts_that_are_cut_are_counted(tiny_model: Path) -> None:
    train = [sample("who is the king of the river and of the old queen", LONG)]
    train += [sample("who", SHORT), sample("who is", SHORT), sample("when", SHORT)]
    dev = [sample("what", LONG), sample("what", SHORT)]
    for length, expected in (
        (
            8,
            [
                "of 1 of 4 questions (25.0%) only the first 8 tokens are read",
                "of 1 of 2 training passages (50.0%) only the first 8 tokens are read",
                "of 2 of 3 passages among which dev questions are searched (66.7%) only the first",
            ],
        ),
        (24, []),
    ):
        settings = RetrieverSettings(question_length=length, passage_length=length)
        start = load_towers(tiny_model, settings, 0)
        task = RetrieverTask(
            start.question, start.context, start.tokenizer, train, dev, settings, 0
        )
        assert [len(one) <= length for one in task.question_ids] == [True] * 4
        assert {one[-1] for one in task.question_ids} == {start.tokenizer.sep_token_id}
        found = list(advice.cut(task, searched(dev, [Passage("", f"{LONG}s", "")])))
        assert len(found) == len(expected)
        assert all(text.startswith(one) for text, one in zip(found, expected, strict=True))


def test_a_start_that_reads_more(tmp_path: Path) -> None:
    names = ModelNames(str(tmp_path), str(tmp_path))
    assert list(advice.other_length(names, RetrieverSettings())) == []
    save_settings(EncodingSettings(512), tmp_path / SETTINGS_NAME)
    (text,) = advice.other_length(names, RetrieverSettings())
    assert "--passage-length 512 leaves" in text
    assert list(advice.other_length(names, RetrieverSettings(passage_length=512))) == []


def test_dev_questions_that_are_trained_on() -> None:
    train = [sample("Who is the king?", SHORT), sample("who is the queen", LONG)]
    assert not list(advice.known(train, [])) and not list(advice.known(train, [sample("who", "")]))
    (text,) = advice.known(train, [sample("what", LONG), sample("who is  the KING", LONG)])
    assert text.startswith("1 of 2 dev questions are training questions too, such as 'who is  the")


@pytest.mark.parametrize(
    ("batches", "loop", "said"),
    [
        (1, LoopSettings(epochs=4), "4 steps at a learning rate of at most 1e-05 change next to"),
        (1, LoopSettings(epochs=4), "such as --epochs 30 --learning-rate 5e-05"),
        (4, LoopSettings(epochs=1, accumulate=4), "one step at"),
        (10, LoopSettings(epochs=4), "such as --epochs 4 --learning-rate 5e-05"),
        (2, LoopSettings(epochs=2, learning_rate=1e-4), "such as --epochs 15 (the"),
        (10, LoopSettings(epochs=3, learning_rate=5e-5), ""),
        (100, LoopSettings(epochs=1), ""),
        (0, LoopSettings(epochs=1), ""),
    ],
)
def test_few_steps(batches: int, loop: LoopSettings, said: str) -> None:
    found = list(advice.few_steps(batches, loop))
    assert len(found) == bool(said)
    assert not said or said in found[0]


def test_a_curve_is_told_what_training_would_be_told_once_with_the_sizes() -> None:
    train = [sample(f"who is {n}", f"the {n}") for n in range(1200)]
    settings = LearningSettings(sizes="100,300,all", fewest_steps=2)
    loop, retriever = LoopSettings(epochs=1, accumulate=2), RetrieverSettings()
    runs = plan(train, loop, retriever, settings)
    steps, negatives, accumulated = advice.in_curve(runs, loop, retriever, settings)
    assert steps.startswith("training on 100, 300 and 1,200 questions: so few steps")
    assert steps.endswith("such as --fewest-steps 30 --learning-rate 5e-05")
    assert negatives.startswith("training on 100, 300 and 1,200 questions: no sample has negatives")
    assert accumulated.startswith("training on 300 and 1,200 questions: 2 batches of 128 questions")

    # What is advised is enough.
    loop = LoopSettings(epochs=1, learning_rate=advice.RATE)
    settings = LearningSettings(sizes="100,300,all", fewest_steps=advice.STEPS)
    retriever = RetrieverSettings(hard_negatives=0)
    runs = plan(train, loop, retriever, settings)
    assert list(advice.in_curve(runs, loop, retriever, settings)) == []
