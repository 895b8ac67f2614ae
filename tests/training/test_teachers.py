from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpr.encoding import ContextEncoder, EncodingSettings, QuestionEncoder
from dpr.errors import SettingsError
from dpr.indexes.bm25 import BM25Index, BM25Settings
from dpr.models import DPRContextEncoder, DPRQuestionEncoder
from dpr.records import Passage
from dpr.samples.files import Context, TrainingSample
from dpr.tokens import DPRQuestionEncoderTokenizer
from dpr.training.losses import distillation_loss, similarity
from dpr.training.retriever import RetrieverSettings, RetrieverTask
from dpr.training.task import Step
from dpr.training.teachers import Teachers, WordScores

PASSAGES = [
    ("king", "the old king lives in a castle by the rhine"),
    ("dog", "a dog runs in the forest"),
    ("king", "the young king has a dog"),
]
QUESTIONS = ["who lives in the castle", "whose dog runs", "who is the king's dog"]


def make_samples() -> list[TrainingSample]:
    contexts = [Context(text, title) for title, text in PASSAGES]
    return [
        TrainingSample(question, (), (contexts[n],), (), (contexts[(n + 1) % 3],))
        for n, question in enumerate(QUESTIONS)
    ]


def make_task(folder: Path, settings: RetrieverSettings, refresher: Any = None) -> RetrieverTask:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return RetrieverTask(
        DPRQuestionEncoder.from_pretrained(folder / "encoder", **still),
        DPRContextEncoder.from_pretrained(folder / "encoder", **still),
        DPRQuestionEncoderTokenizer.from_pretrained(folder / "encoder"),
        make_samples(),
        [],
        settings,
        0,
        refresher=refresher,
    )


def bm25_scores() -> np.ndarray:
    """Of all questions and passages, by search."""
    index = BM25Index([f"{title} {text}" for title, text in PASSAGES], BM25Settings())
    scores = np.zeros((3, 3))
    for row, found in enumerate(index.search(QUESTIONS, 3)):
        for score, column in found:
            scores[row, column] = score
    return scores


def own_scores(task: RetrieverTask) -> torch.Tensor:
    """Of all questions and passages, by the vectors as they are."""
    lengths = EncodingSettings(task.settings.passage_length)
    asked = QuestionEncoder(task.question_model, task.tokenizer, lengths)
    read = ContextEncoder(task.context_model, task.tokenizer, lengths)
    return similarity(
        torch.from_numpy(asked.encode(QUESTIONS)),
        torch.from_numpy(read.encode([Passage("", text, title) for title, text in PASSAGES])),
    )


def test_scores_are_the_weighted_sum() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(3, 4), torch.randn(3, 4)
    words = WordScores(QUESTIONS, PASSAGES)
    teachers = Teachers({"bm25": 0.5, "start": 2.0}, PASSAGES, words, vectors)
    expected = 0.5 * bm25_scores() + 2 * (vectors[0] @ vectors[1].T).numpy()
    found = teachers.scores([2, 0], [PASSAGES[1], PASSAGES[0], PASSAGES[2]])
    assert np.count_nonzero(bm25_scores()) > 3
    np.testing.assert_allclose(found, expected[[2, 0]][:, [1, 0, 2]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_loss_has_the_divergence_from_both_over_the_whole_batch(
    tiny_model: Path, share: float
) -> None:
    settings = RetrieverSettings(
        batch_size=3, distillation=share, teachers="bm25=0.5, start=2", teacher_temperature=1.5
    )
    task = make_task(tiny_model, settings)
    own = own_scores(task)
    teacher = 2 * own + 0.5 * torch.from_numpy(bm25_scores()).float()
    divergence = distillation_loss(own, teacher, 1.5).item() / 3
    likelihood = -own.log_softmax(1).diagonal().mean().item()

    (batch,) = task.batches(0)
    figures = task.step(batch, Step())
    assert float(figures["divergence"]) == pytest.approx(divergence, rel=1e-4)
    expected = (1 - share) * likelihood + share * divergence
    assert float(figures["loss"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_loss_of_vectors_and_words_together(tiny_model: Path, share: float) -> None:
    settings = RetrieverSettings(batch_size=3, hybrid=share, hybrid_weight=1.5)
    task = make_task(tiny_model, settings)
    own = own_scores(task)
    together = own + 1.5 * torch.from_numpy(bm25_scores()).float()
    expected = -together.log_softmax(1).diagonal().mean().item()
    alone = -own.log_softmax(1).diagonal().mean().item()
    (batch,) = task.batches(0)
    figures = task.step(batch, Step())
    assert float(figures["hybrid"]) == pytest.approx(expected, rel=1e-4)
    assert float(figures["loss"]) == pytest.approx((1 - share) * alone + share * expected, rel=1e-4)
    assert abs(expected - alone) > 0.1


def test_what_is_asked_of_words_alone_moves_no_vector(tiny_model: Path) -> None:
    """Where BM25 has found the positive for certain, the sum leaves the vectors as they are."""
    gradients = {}
    for weight in (1e-9, 1e4):
        task = make_task(
            tiny_model, RetrieverSettings(batch_size=3, hybrid=1.0, hybrid_weight=weight)
        )
        (batch,) = task.batches(0)
        task.step(batch, Step())
        given = [one.grad for one in task.question_model.parameters() if one.grad is not None]
        gradients[weight] = sum(float(one.abs().sum()) for one in given)
    assert gradients[1e-9] > 0
    assert gradients[1e4] == 0


def test_the_start_stays_what_it_was_before_the_first_step(tiny_model: Path) -> None:
    settings = RetrieverSettings(batch_size=3, distillation=1.0, teachers="start=1")
    task = make_task(tiny_model, settings)
    (batch,) = task.batches(0)
    assert float(task.step(batch, Step())["loss"]) == pytest.approx(0.0, abs=1e-6)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in task.question_model.parameters():
            parameter.add_(torch.randn_like(parameter))
    assert float(task.step(batch, Step())["loss"]) > 1e-4


@pytest.mark.parametrize(
    ("teachers", "share", "told"),
    [
        ("bm25", 0.5, "name=weight"),
        ("bm25=0", 0.5, "name=weight"),
        ("bm25=1,bm25=2", 0.5, "each teacher once"),
        ("bm52=1", 0.5, "there is no bm52; allowed are bm25 and start"),
        ("bm25=1", 0.0, "teach nothing with distillation=0"),
    ],
)
def test_settings_outside_what_is_allowed(teachers: str, share: float, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        RetrieverSettings(teachers=teachers, distillation=share)


@pytest.mark.parametrize("given", [{"hybrid": 1.5}, {"hybrid": -0.1}, {"hybrid_weight": 0.0}])
def test_shares_and_weights_outside_what_is_allowed(given: dict[str, float]) -> None:
    (name,) = given
    with pytest.raises(SettingsError, match=f"{name}="):
        RetrieverSettings(**given)


@pytest.mark.parametrize("name", ["hybrid", "distillation"])
def test_passages_that_are_found_anew_are_refused(tiny_model: Path, name: str) -> None:
    settings = RetrieverSettings(batch_size=3, **{name: 0.5})
    with pytest.raises(SettingsError, match=f"{name} with negatives that are found anew"):
        make_task(tiny_model, settings, refresher=object())
