from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.errors import SettingsError
from dpr.evaluation.measures import gold_ranks, success
from dpr.interchange.exporting import export_sentence_transformers
from dpr.models import DPRContextEncoder, DPRQuestionEncoder
from dpr.records import Passage
from dpr.samples.files import Context, TrainingSample
from dpr.tokens import DPRQuestionEncoderTokenizer
from dpr.training.losses import hash_softly, hashing_loss, likelihood_loss
from dpr.training.retriever import RetrieverSettings, RetrieverTask, tie
from dpr.training.task import Step


def make_samples(count: int = 24) -> list[TrainingSample]:
    """Three questions a passage, two passages a title; the last passage is everyone's negative."""
    samples = []
    for number in range(count):
        passage = number // 3
        gold = Context(f"the king of city {passage} lives in castle {passage}", f"t{passage // 2}")
        negatives = tuple(Context(f"a forest {n}", "none") for n in range(number, number + 3))
        samples.append(TrainingSample(f"who lives in {number}", (), (gold,), (), negatives))
    return samples


@pytest.fixture
def models(tiny_model: Path) -> tuple[DPRQuestionEncoder, DPRContextEncoder]:
    return (
        DPRQuestionEncoder.from_pretrained(tiny_model / "encoder"),
        DPRContextEncoder.from_pretrained(tiny_model / "encoder"),
    )


def make_task(
    models: tuple[DPRQuestionEncoder, DPRContextEncoder],
    folder: Path,
    settings: RetrieverSettings,
    samples: list[TrainingSample] | None = None,
) -> RetrieverTask:
    tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(folder / "encoder")
    samples = samples or make_samples()
    return RetrieverTask(*models, tokenizer, samples, samples, settings, seed=3)


def test_loss_equals_the_plain_way(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    """Padded, one sequence at a time, every score by hand."""
    for model in models:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    task = make_task(models, tiny_model, RetrieverSettings(batch_size=6, batching="neighbours"))
    batch = task.batches(0)[0]
    figures = task.step(batch, Step())

    def vector(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            out: torch.Tensor = model(torch.tensor([ids])).pooler_output[0]
        return out

    losses = []
    for number, positive in zip(batch.samples, batch.positives, strict=True):
        question = vector(models[0], task.question_ids[number])
        scores = torch.stack(
            [question @ vector(models[1], task.passage_ids[key]) for key in batch.passages]
        )
        losses.append(scores.logsumexp(0) - scores[positive])
    assert float(figures["loss"]) == pytest.approx(float(sum(losses) / len(losses)), rel=1e-5)


def test_a_gold_passage_is_no_negative(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    both = (Context("the first", "a"), Context("the second", "b"))
    samples = [
        TrainingSample("who", (), both),
        TrainingSample("what", (), both[::-1]),
    ]
    settings = RetrieverSettings(batch_size=2, hard_negatives=0)
    task = make_task(models, tiny_model, settings, samples)
    (batch,) = task.batches(0)
    assert len(batch.passages) == 2
    assert float(task.step(batch, Step())["loss"]) == pytest.approx(
        0.0
    )  # nothing is left to lose against


def test_training_learns_and_saves(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder], tmp_path: Path
) -> None:
    tie(*models)
    task = make_task(models, tiny_model, RetrieverSettings(batch_size=12, hard_negatives=1))
    assert task.tied
    assert list(task.modules) == ["question"]
    optimizer = torch.optim.Adam(models[0].parameters(), 3e-3)
    losses = []
    for epoch in range(15):
        for batch in task.batches(epoch):
            optimizer.zero_grad()
            losses.append(float(task.step(batch, Step())["loss"]))
            optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    measures = task.evaluate()
    assert next(iter(measures)) == "mean R@5"
    assert 0 <= measures["R@1"] <= measures["R@5"] <= measures["R@20"] <= 1
    task.save(tmp_path)
    loaded = DPRContextEncoder.from_pretrained(tmp_path / "encoder")
    for name, value in models[1].state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_passages_that_hold_an_answer_are_no_negatives(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    texts = ("the king of spain", "the kings of france", "nobody")
    samples = [
        TrainingSample(f"who {n}", ("King",) if n == 0 else (), (Context(text, "a"),))
        for n, text in enumerate(texts)
    ]
    settings = RetrieverSettings(batch_size=3, hard_negatives=0, mask_answers=True)
    task = make_task(models, tiny_model, settings, samples)
    (batch,) = task.batches(0)
    excluded = task._excluded(batch, batch.samples)
    held = {
        (samples[number].question, batch.passages[row][1])
        for place, number in enumerate(batch.samples)
        for row in excluded[place].nonzero().flatten().tolist()
    }
    assert held == {(f"who {n}", text) for n, text in enumerate(texts)}  # "kings" is another word
    samples[0] = TrainingSample("who 0", ("of",), samples[0].positives)
    task = make_task(models, tiny_model, settings, samples)
    (batch,) = task.batches(0)
    first = task._excluded(batch, batch.samples)[batch.samples.index(0)]
    assert {batch.passages[row][1] for row in first.nonzero().flatten().tolist()} == set(texts[:2])


def losses_of(
    models: tuple[DPRQuestionEncoder, DPRContextEncoder], folder: Path, settings: RetrieverSettings
) -> dict[str, float]:
    for model in models:
        model.eval()
    task = make_task(models, folder, settings)
    return {name: float(value) for name, value in task.step(task.batches(0)[0], Step()).items()}


def test_a_margin_takes_out_what_scores_above_the_positive(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    settings = RetrieverSettings(batch_size=6)
    plain = losses_of(models, tiny_model, settings)
    none_out = losses_of(models, tiny_model, replace(settings, mask_margin=1e6))
    above_out = losses_of(models, tiny_model, replace(settings, mask_margin=0.0))
    assert none_out == plain
    assert plain["accuracy"] < 1 == above_out["accuracy"]
    assert above_out["loss"] < plain["loss"]


def test_what_a_teacher_scored_is_learned(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    samples = [
        replace(
            sample,
            positives=(replace(sample.positives[0], teacher_score=1.0),),
            hard_negatives=tuple(
                replace(one, teacher_score=float(5 * n))
                for n, one in enumerate(sample.hard_negatives)
            ),
        )
        for sample in make_samples(6)
    ]
    settings = RetrieverSettings(batch_size=6, hard_negatives=3, distillation=1.0)
    task = make_task(models, tiny_model, settings, samples)
    optimizer = torch.optim.Adam([p for m in models for p in m.parameters()], 3e-3)
    divergences = []
    for epoch in range(30):
        (batch,) = task.batches(epoch)
        optimizer.zero_grad()
        figures = task.step(batch, Step())
        assert float(figures["loss"]) == pytest.approx(float(figures["divergence"]))
        divergences.append(float(figures["loss"]))
        optimizer.step()
    assert divergences[-1] < divergences[0] / 2


@pytest.mark.parametrize(
    ("samples", "settings", "told"),
    [
        (make_samples(6), {"distillation": 0.5}, "0 of 6 samples have a teacher's score"),
        (make_samples(6), {"mask_answers": True}, "no sample has an answer"),
    ],
)
def test_settings_that_the_samples_have_nothing_for(
    tiny_model: Path,
    models: tuple[DPRQuestionEncoder, DPRContextEncoder],
    samples: list[TrainingSample],
    settings: dict[str, Any],
    told: str,
) -> None:
    with pytest.raises(SettingsError, match=told):
        make_task(models, tiny_model, RetrieverSettings(batch_size=6, **settings), samples)


def test_a_question_that_stands_twice_has_the_golds_of_both(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    samples = [
        TrainingSample("who", (), (Context(text, "t"),)) for text in ("the first", "the second")
    ]
    settings = RetrieverSettings(batch_size=2, hard_negatives=0)
    task = make_task(models, tiny_model, settings, samples)
    (batch,) = task.batches(0)
    assert task._excluded(batch, batch.samples).all()
    # Written otherwise: the question, and the passage.
    other = TrainingSample("Who ?", (), (Context("THE  first", "another"),))
    more = replace(settings, batch_size=3)
    task = make_task(models, tiny_model, more, [samples[1], other, samples[0]])
    (batch,) = task.batches(0)
    assert len(batch.passages) == 3 and task._excluded(batch, batch.samples).all()


@pytest.mark.parametrize("blank", ["", "."])
def test_a_blank_answer_masks_nothing(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder], blank: str
) -> None:
    samples = [
        replace(
            one,
            answers=(blank, "castle"),
            hard_negatives=tuple(replace(c, text=f"{c.text}.") for c in one.hard_negatives),
        )
        for one in make_samples(6)
    ]
    settings = RetrieverSettings(batch_size=6, mask_answers=True)
    task = make_task(models, tiny_model, settings, samples)
    (batch,) = task.batches(0)
    masked = task._excluded(batch, batch.samples).any(0)
    held = ["castle" in text for _, text in batch.passages]
    assert masked.tolist() == held and not all(held)


def test_the_question_tower_alone(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder], tmp_path: Path
) -> None:
    settings = RetrieverSettings(batch_size=6, question_tower_only=True)
    before = {name: value.clone() for name, value in models[1].state_dict().items()}
    fixed = losses_of(models, tiny_model, settings)
    whole = losses_of(models, tiny_model, replace(settings, question_tower_only=False))
    assert fixed["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    task = make_task(models, tiny_model, settings)
    assert list(task.modules) == ["question"]
    task.step(task.batches(0)[0], Step())
    assert all(value.equal(before[name]) for name, value in models[1].state_dict().items())
    task.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"question_encoder", "ctx_encoder"}
    tie(*models)
    with pytest.raises(SettingsError, match="untie"):
        make_task(models, tiny_model, settings)


def test_hashing_measures_and_keeps_signs(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder], tmp_path: Path
) -> None:
    settings = RetrieverSettings(batch_size=6, hashing=True)
    figures = losses_of(models, tiny_model, settings)
    assert figures["loss"] > 0
    task = make_task(models, tiny_model, settings)
    asked = QuestionEncoder(models[0], task.tokenizer).encode([s.question for s in task.train])
    keys = list(dict.fromkeys(c.key for s in task.train for c in (*s.positives, *s.hard_negatives)))
    codes = np.sign(
        ContextEncoder(models[1], task.tokenizer).encode([Passage("", t, h) for h, t in keys])
    )
    golds = [[keys.index(sample.positives[0].key)] for sample in task.train]
    assert task.evaluate()["R@1"] == success(gold_ranks(asked, codes, golds), 1)
    task.save(tmp_path / "model")
    kept = ContextEncoder.from_pretrained(tmp_path / "model" / "ctx_encoder")
    np.testing.assert_array_equal(kept.encode([Passage("", t, h) for h, t in keys]), codes)
    assert "signs" in kept.settings
    question = QuestionEncoder.from_pretrained(tmp_path / "model" / "question_encoder")
    np.testing.assert_allclose(question.encode([s.question for s in task.train]), asked, atol=1e-5)
    with pytest.raises(SettingsError, match="signs"):
        export_sentence_transformers(question, kept, tmp_path / "exported")


def test_a_start_teaches_by_its_vectors_and_not_by_their_signs(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    plain = RetrieverSettings(batch_size=6, distillation=0.5, teachers="start=1")
    scores = []
    for settings in (plain, replace(plain, hashing=True)):
        task = make_task(models, tiny_model, settings)
        batch = task.batches(0)[0]
        scores.append(task._teacher(batch, batch.samples))
    assert torch.equal(*scores)


def test_questions_learn_to_find_the_signs_of_a_context_encoder_that_stays(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder], tmp_path: Path
) -> None:
    settings = RetrieverSettings(batch_size=6, hashing=True, question_tower_only=True)
    for model in models:
        model.eval()
    task = make_task(models, tiny_model, settings)
    task.save(tmp_path)
    start = ContextEncoder.from_pretrained(tmp_path / "ctx_encoder")
    batch = task.batches(0)[0]
    codes = torch.stack([task._fixed[key] for key in batch.passages])
    assert codes.equal(
        torch.from_numpy(start.encode([Passage("", t, h) for h, t in batch.passages]))
    )
    # So small a model gives all passages the same signs.
    codes = torch.randn(codes.shape, generator=torch.Generator().manual_seed(0)).sign()
    task._fixed |= zip(batch.passages, codes, strict=True)
    asked = QuestionEncoder(models[0], task.tokenizer)
    questions = torch.from_numpy(asked.encode([task.train[n].question for n in batch.samples]))
    golds, soft = torch.tensor(batch.positives), hash_softly(questions, 7)
    expected = likelihood_loss(questions @ codes.T, golds) + hashing_loss(soft @ codes.T, golds)
    loss = float(task.step(batch, Step(number=7))["loss"])
    assert loss == pytest.approx(float(expected) / len(batch.samples), rel=1e-4)
    task.save(tmp_path)
    again = ContextEncoder.from_pretrained(tmp_path / "ctx_encoder")
    assert again.fingerprint == start.fingerprint


def test_a_pool_makes_the_search_harder(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    plain = make_task(models, tiny_model, RetrieverSettings())
    copies = [Passage(str(n), f"the king of {n}", "more") for n in range(300)]
    held = plain.train[0].positives[0]
    pool = [*copies, Passage("again", held.text, held.title)]  # what is there already counts once
    larger = RetrieverTask(
        *models, plain.tokenizer, plain.train, plain.dev, RetrieverSettings(), 0, pool=pool
    )
    assert larger.evaluate()["average rank"] > plain.evaluate()["average rank"]


def test_negatives_that_are_found_anew_take_effect_in_their_epoch(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder], tmp_path: Path
) -> None:
    samples = make_samples(6)
    new = Context("a passage that was not there before", "new")
    found = [replace(sample, hard_negatives=(new,)) for sample in samples]
    ended: list[int] = []

    class Refresher:
        def epoch_ended(self, epoch: int, save: Callable[[Path], None]) -> None:
            save(tmp_path / str(epoch))
            ended.append(epoch)

        def samples(self, epoch: int) -> list[TrainingSample] | None:
            return found if epoch >= 2 else None

    task = make_task(models, tiny_model, RetrieverSettings(batch_size=6), samples)
    task.refresher = Refresher()
    for epoch, seen in ((0, False), (1, False), (2, True), (3, True), (1, False)):
        (batch,) = task.batches(epoch)
        assert (new.key in batch.passages) is seen
        task.step(batch, Step())
    task.epoch_ended(0)
    assert ended == [0] and (tmp_path / "0" / "question_encoder").is_dir()


def test_a_batch_can_be_read(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    task = make_task(models, tiny_model, RetrieverSettings(batch_size=6))
    batch = task.batches(0)[0]
    described = json.loads(json.dumps(task.describe(batch)))
    assert described["questions"] == [task.train[n].question for n in batch.samples]
    assert [tuple(one) for one in described["passages"]] == list(batch.passages)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batching": "sorted"},
        {"batch_size": 0},
        {"hard_negatives": -1},
        {"question_length": 7},  # encoding would refuse it when the training is done
        {"passage_length": 7},
        {"distillation": 1.5},
        {"teacher_temperature": 0.0},
        {"mask_margin": -1.0},
        {"mask_margin": float("nan")},
    ],
)
def test_settings_outside_what_is_allowed(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        RetrieverSettings(**wrong)  # type: ignore[arg-type]
