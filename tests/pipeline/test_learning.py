"""A learning curve with a tiny model: what it measures, and that it goes on where it stopped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr.encoding import SETTINGS_NAME, EncodingSettings
from dpr.errors import InputError, SettingsError
from dpr.indexes.bm25 import LUCENE, BM25Settings
from dpr.pipeline import learning
from dpr.pipeline.learning import learning_curve, make_tests, plan
from dpr.pipeline.models import model_names
from dpr.records import Passage
from dpr.samples.files import Context, TrainingSample
from dpr.settings import save_settings
from dpr.shipped import ModelNames
from dpr.training.settings import LearningSettings, LoopSettings, RetrieverSettings

LOOP = LoopSettings(epochs=1, learning_rate=1e-3, warmup_steps=0, checkpoint_seconds=0)
RETRIEVER = RetrieverSettings(batch_size=4, hard_negatives=0, passage_length=32)
SETTINGS = LearningSettings(sizes="4,all", k=2, fewest_steps=2)


def make_samples(prefix: str, count: int) -> list[TrainingSample]:
    return [
        TrainingSample(
            f"who is {prefix}{n}", (), (Context(f"the {prefix}{n} is king of {n}", f"t{n}"),)
        )
        for n in range(count)
    ]


TRAIN = make_samples("old", 10)
SETS = {"own": make_samples("new", 5), "other": make_samples("young", 3)}


def test_a_curve_is_measured_and_goes_on(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = make_tests(SETS, TRAIN, [Passage("x", "another one", "")])
    assert len(tests.pool) == 19
    assert tests.golds("other") == [[5], [6], [7]]
    told: list[str] = []
    options = {"loop": LOOP, "retriever": RETRIEVER, "settings": SETTINGS}
    curve = learning_curve(TRAIN, tests, tiny_model, tmp_path, tell=told.append, **options)
    assert curve.tests == ("own", "other")
    assert sorted(curve.trained) == [4, 10]
    assert {len(curve.bm25["own"]), len(curve.trained[4]["own"])} == {5}
    assert (curve.passages, curve.short) == (19, set())
    assert curve.bm25["own"] == curve.words["own"] == [1.0] * 5  # each by its own word
    assert json.loads((tmp_path / "size-4" / "settings.json").read_text())["loop"]["epochs"] == 2
    assert "training on 4 questions: step 2 of 2" in told

    def never(*args: object, **more: object) -> None:
        raise AssertionError("measured twice")

    monkeypatch.setattr(learning, "gold_ranks", never)
    again = learning_curve(TRAIN, tests, tiny_model, tmp_path, **options)
    assert again == curve


def test_other_questions_golds_or_passages_are_measured_anew(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *rest = SETS["own"]
    others = [
        SETS,
        SETS | {"own": [replace(first, question="who is somebody else"), *rest]},
        SETS | {"own": [replace(first, positives=rest[0].positives), *rest]},
        SETS | {"own": [replace(first, positives=(Context("a text", "t0"),)), *rest]},
    ]
    measured: list[object] = []
    ranks = learning.gold_ranks

    def counted(*given: Any) -> Any:
        measured.append(given)
        return ranks(*given)

    def untaught(*given: object) -> ModelNames:
        return model_names(tiny_model)

    monkeypatch.setattr(learning, "gold_ranks", counted)
    monkeypatch.setattr(learning, "teach", untaught)
    for times, sets in enumerate([*others, others[-1]]):
        assert {name: len(of_one) for name, of_one in sets.items()} == {"own": 5, "other": 3}
        learning_curve(
            TRAIN, make_tests(sets, TRAIN), tiny_model, tmp_path, settings=LearningSettings("all")
        )
        # Two sets, untrained and trained.
        assert len(measured) == 4 * min(times + 1, len(others))


def test_codes_are_measured_as_they_are_searched(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[bool] = []
    ranks = learning.gold_ranks

    def looked_at(questions: Any, passages: Any, golds: Any) -> Any:
        kinds.append(bool((passages == np.sign(passages)).all()))
        return ranks(questions, passages, golds)

    monkeypatch.setattr(learning, "gold_ranks", looked_at)
    tests, settings = make_tests(SETS, TRAIN), LearningSettings("4", 2, 1)
    for hashing in (True, False):
        retriever = replace(RETRIEVER, hashing=hashing)
        to = tmp_path / "a"  # what was measured by signs is not taken for the other
        if not hashing:
            shutil.rmtree(to / "size-4")
        learning_curve(
            TRAIN, tests, tiny_model, to, loop=LOOP, retriever=retriever, settings=settings
        )
    assert kinds == [True] * 4 + [False] * 4


def test_questions_that_are_trained_on_are_no_test() -> None:
    with pytest.raises(InputError, match="1 of the 5 questions of own are trained on"):
        make_tests(SETS, [*TRAIN, SETS["own"][2]])
    typed = [replace(one, question=f"{one.question.title()} ?") for one in SETS["own"]]
    with pytest.raises(InputError, match="5 of the 5 questions of own are trained on"):
        make_tests(SETS, [*TRAIN, *typed])
    signs = [replace(one, question="?") for one in TRAIN]  # of which none says what it asks
    assert make_tests({"own": signs[:1]}, signs[1:]).questions("own") == ["?"]
    with pytest.raises(InputError, match="needs test questions"):
        make_tests({"own": []}, TRAIN)


def test_sizes_beyond_the_questions(tiny_model: Path, tmp_path: Path) -> None:
    said = "there are 10 training questions: give smaller numbers, or 'all'"
    with pytest.raises(SettingsError, match=said):
        learning_curve(
            TRAIN,
            make_tests(SETS, TRAIN),
            tiny_model,
            tmp_path,
            settings=LearningSettings(sizes="100"),
        )


def test_the_untrained_start_reads_as_much_as_what_is_trained(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / "start"
    shutil.copytree(tiny_model, start)
    save_settings(EncodingSettings(8), start / "encoder" / SETTINGS_NAME)
    found: list[Any] = []
    ranks = learning.gold_ranks

    def kept(questions: Any, passages: Any, golds: Any) -> Any:
        found.append((questions, passages))
        return ranks(questions, passages, golds)

    monkeypatch.setattr(learning, "gold_ranks", kept)
    learning_curve(
        TRAIN,
        make_tests(SETS, TRAIN),
        start,
        tmp_path / "curve",
        loop=replace(LOOP, learning_rate=1e-12),  # nothing is learned
        retriever=RETRIEVER,
        settings=LearningSettings("all", 2, 1),
    )
    for untrained, trained in zip(found[:2], found[2:], strict=True):
        for one, other in zip(untrained, trained, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_training_refuses_is_refused_before_anything_is_measured(
    tiny_model: Path, tmp_path: Path
) -> None:
    tests, to = make_tests(SETS, TRAIN), tmp_path / "curve"
    with pytest.raises(SettingsError, match="--passage-length 512 or less"):
        learning_curve(
            TRAIN,
            tests,
            tiny_model,
            to,
            retriever=RetrieverSettings(passage_length=600),
            settings=SETTINGS,
        )
    start = tmp_path / "start"
    shutil.copytree(tiny_model, start)
    save_settings(EncodingSettings(32, pooling="mean"), start / "encoder" / SETTINGS_NAME)
    with pytest.raises(SettingsError, match=r"training reads \[CLS\]"):
        learning_curve(TRAIN, tests, start, to, retriever=RETRIEVER, settings=SETTINGS)
    rates = replace(RETRIEVER, rates="a=1,b=1")
    train = [replace(one, dataset="ab"[n % 2]) for n, one in enumerate(TRAIN)]
    one = LearningSettings(sizes="1,all")
    with pytest.raises(SettingsError, match="training on 1 of the questions: rates='a=1,b=1'"):
        learning_curve(train, tests, tiny_model, to, retriever=rates, settings=one)
    assert not to.exists()


def test_towers_are_tied_or_not_as_asked(tiny_model: Path, tmp_path: Path) -> None:
    tests, settings = make_tests(SETS, TRAIN), LearningSettings("4", 2, 1)
    for tied, names in ((None, {"encoder"}), (False, {"question_encoder", "ctx_encoder"})):
        to = tmp_path / str(tied)
        learning_curve(
            TRAIN,
            tests,
            tiny_model,
            to,
            loop=LOOP,
            retriever=RETRIEVER,
            settings=settings,
            tied=tied,
        )
        assert {one.name for one in (to / "size-4" / "last").iterdir() if one.is_dir()} == names


def test_words_are_searched_as_collections_search_them() -> None:
    """By pairs of neighbours, which BM25 as it is elsewhere does not look at."""
    texts = ["the queen old song of old", "song of the old queen"]
    asked = TrainingSample("who is old queen", (), (Context(texts[1]),))
    other = TrainingSample("what", (), (Context(texts[0]),))
    tests = make_tests({"own": [asked]}, [other])
    by = {one: learning._by_words(tests, 1, one)["own"] for one in (LUCENE, BM25Settings())}
    assert by == {LUCENE: [0.0], BM25Settings(): [1.0]}


def test_no_size_has_fewer_steps_than_asked_for() -> None:
    settings = LearningSettings(sizes="2,6,all", fewest_steps=5)
    for accumulate, epochs in ((1, [5, 5, 3]), (2, [5, 5, 5])):
        loop = replace(LOOP, accumulate=accumulate)
        runs = plan(TRAIN, loop, RETRIEVER, settings)
        assert [run.batches for run in runs.values()] == [1, 1, 2]  # half a batch is left out
        assert [run.loop.epochs for run in runs.values()] == epochs
        assert [run.retriever.batch_size for run in runs.values()] == [2, 4, 4]
    assert not any(run.too_short for run in runs.values())
    slow = plan(TRAIN, replace(LOOP, learning_rate=9e-5), RETRIEVER, settings)
    assert [run.too_short for run in slow.values()] == [True, True, False]
