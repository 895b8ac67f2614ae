from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dpr.errors import SettingsError
from dpr.models import DPRContextEncoder, DPRQuestionEncoder
from dpr.tokens import DPRQuestionEncoderTokenizer
from dpr.training.retriever import RetrieverSettings, RetrieverTask, tie
from dpr.training.samples import Context, TrainingSample


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


@pytest.mark.parametrize("batching", ["random", "neighbours"])
def test_an_epoch_takes_every_question_once(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder], batching: str
) -> None:
    task = make_task(models, tiny_model, RetrieverSettings(batch_size=6, batching=batching))
    batches = task.batches(0)
    assert sorted(n for batch in batches for n in batch.samples) == list(range(24))
    assert task.batches(0) == batches
    assert task.batches(1) != batches
    for batch in batches:
        assert len(set(batch.passages)) == len(batch.passages)
        for number, row in zip(batch.samples, batch.positives, strict=True):
            assert batch.passages[row] == task.train[number].positives[0].key


def test_the_only_batch_is_kept_however_small(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    task = make_task(models, tiny_model, RetrieverSettings(batch_size=128))
    (batch,) = task.batches(0)
    assert len(batch.samples) == len(task.train) < 128 // 2


def test_random_batches_draw_a_negative_for_each_question(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    task = make_task(models, tiny_model, RetrieverSettings(batch_size=4, hard_negatives=2))
    for batch in task.batches(0):
        for number in batch.samples:
            own = {context.key for context in task.train[number].hard_negatives}
            assert len(own & set(batch.passages)) >= 2


def test_neighbours_share_passages(
    tiny_model: Path, models: tuple[DPRQuestionEncoder, DPRContextEncoder]
) -> None:
    settings = RetrieverSettings(batch_size=6, hard_negatives=0, batching="neighbours")
    batches = make_task(models, tiny_model, settings).batches(0)
    assert {len(batch.passages) for batch in batches} == {2}
    assert all(len({title for title, _ in batch.passages}) == 1 for batch in batches)


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
    figures = task.step(batch)

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
    assert figures["loss"] == pytest.approx(float(sum(losses) / len(losses)), rel=1e-5)


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
    assert task.step(batch)["loss"] == pytest.approx(0.0)  # nothing is left to lose against


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
            losses.append(task.step(batch)["loss"])
            optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    measures = task.evaluate()
    assert next(iter(measures)) == "mean R@5"
    assert 0 <= measures["R@1"] <= measures["R@5"] <= measures["R@20"] <= 1
    task.save(tmp_path)
    loaded = DPRContextEncoder.from_pretrained(tmp_path / "encoder")
    for name, value in models[1].state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batching": "sorted"},
        {"batch_size": 0},
        {"hard_negatives": -1},
        {"question_length": 7},  # encoding would refuse it when the training is done
        {"passage_length": 7},
    ],
)
def test_settings_outside_what_is_allowed(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        RetrieverSettings(**wrong)  # type: ignore[arg-type]
