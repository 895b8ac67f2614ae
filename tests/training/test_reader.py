from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
import torch

from dpr.errors import SettingsError
from dpr.models import DPRReader
from dpr.samples.files import Context, TrainingSample
from dpr.tokens import DPRReaderTokenizer, reader_windows
from dpr.training.reader import (
    ReaderSettings,
    ReaderTask,
    answer_spans,
    token_spans,
)
from dpr.training.task import Step

TEXT = "the old king lives in a castle by the rhine and the king did it"


@pytest.fixture
def model(tiny_model: Path) -> DPRReader:
    reader = DPRReader.from_pretrained(tiny_model / "reader")
    for module in reader.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return reader


@pytest.fixture
def tokenizer(tiny_model: Path) -> DPRReaderTokenizer:
    return DPRReaderTokenizer.from_pretrained(tiny_model / "reader")


def make_samples() -> list[TrainingSample]:
    negatives = tuple(Context(f"a dog and a cat {n}", "dog") for n in range(4))
    return [
        TrainingSample("who lives in a castle", ("The Old King",), (Context(TEXT, "tale"),)),
        TrainingSample("where", ("castle",), (Context(TEXT, "tale"),), (), negatives),
        TrainingSample("when", ("never",), (Context(TEXT, "tale"),)),
    ]


def learn(task: ReaderTask) -> None:
    optimizer = torch.optim.Adam(task.model.parameters(), 3e-3)
    for epoch in range(60):
        for batch in task.batches(epoch):
            optimizer.zero_grad()
            task.step(batch, Step())
            optimizer.step()


def test_answers_are_found_between_word_boundaries_whatever_their_case() -> None:
    spans = answer_spans(Context(TEXT), ["KING", "rhi"])
    assert [TEXT[a:b] for a, b in spans] == ["king", "king"]
    assert answer_spans(Context(TEXT, answers=((4, 7),)), ["king"]) == ((4, 7),)
    assert answer_spans(Context("a (b) c"), ["(b)", " "]) == ((2, 5),)


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("东京是日本的首都。", "东京", ((0, 2),)),
        ("东京是日本的首都。", "日本", ((3, 5),)),
        ("首都は東京タワーの東京です", "東京", ((3, 5), (9, 11))),
        ("日本のNHKは放送局", "nhk", ((3, 6),)),
        ("NHK日本とNHKX日本", "nhk", ((0, 3),)),
        ("1964年に開かれた", "1964年", ((0, 5),)),
        ("在2019640年", "1964", ()),
        ("abc東京def", "東京", ((3, 5),)),
        ("abc東京def", "c東京", ()),
        ("abc東京def", "東京d", ()),
        ("\U00020000\U00020001", "\U00020001", ((1, 2),)),
        ("서울은 수도이다", "서울", ()),
    ],
)
def test_chinese_and_japanese_answers_need_no_word_boundary(
    text: str, answer: str, found: tuple[tuple[int, int], ...]
) -> None:
    assert answer_spans(Context(text), [answer]) == found


def test_answers_in_other_scripts_are_found_as_by_one_pattern() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        text = "".join(rng.choices("aAb .é_", k=12))
        answer = "".join(rng.choices("ab .é", k=rng.randint(1, 4))).strip()
        if answer:
            pattern = rf"(?<!\w){re.escape(answer)}(?!\w)"
            found = tuple(match.span() for match in re.finditer(pattern, text, re.IGNORECASE))
            assert answer_spans(Context(text), [answer]) == found


def test_token_spans_decode_to_the_answer(tokenizer: DPRReaderTokenizer) -> None:
    (window,) = reader_windows(tokenizer, ["who"], ["tale"], [TEXT])
    ((first, last),) = token_spans(window, [(4, 12)])
    assert tokenizer.decode(window.ids[first : last + 1]) == "old king"


def test_a_span_cut_by_its_window_is_left_out(tokenizer: DPRReaderTokenizer) -> None:
    text = "one " * 200 + "the king " + "two " * 200
    span = (text.index("the king"), text.index("the king") + len("the king"))
    windows = reader_windows(tokenizer, ["who"], [""], [text], max_length=60, stride=10)
    held = [window for window in windows if token_spans(window, [span])]
    assert held
    for window in held:
        ((first, last),) = token_spans(window, [span])
        assert tokenizer.decode(window.ids[first : last + 1]) == "the king"


def test_samples_without_a_span_are_left_out_and_counted(
    model: DPRReader, tokenizer: DPRReaderTokenizer
) -> None:
    task = ReaderTask(model, tokenizer, make_samples(), [], ReaderSettings(), seed=0)
    assert task.without_span == 1
    assert len(task.train) == 2
    rows = [row for batch in task.batches(0) for row in batch]
    assert sorted(row.sample for row in rows) == [0, 1]
    assert {row.sample: len(row.negatives) for row in rows} == {0: 0, 1: 4}
    assert task.batches(0) == task.batches(0)


def test_loss_equals_the_plain_way(model: DPRReader, tokenizer: DPRReaderTokenizer) -> None:
    task = ReaderTask(model, tokenizer, make_samples(), [], ReaderSettings(passages=3), seed=0)
    (batch,) = task.batches(0)
    figures = task.step(batch, Step())
    expected = 0.0
    for row in batch:
        sequences = task._sequences([row])[0]
        outs = [model(torch.tensor([ids])) for ids in sequences]
        start = outs[0].start_logits[0].log_softmax(0)
        end = outs[0].end_logits[0].log_softmax(0)
        assert row.positive is not None
        likelihood = sum((start[a] + end[b]).exp() for a, b in row.positive.spans)
        relevance = torch.cat([out.relevance_logits for out in outs]).log_softmax(0)[0]
        expected -= float((torch.as_tensor(likelihood).log() + relevance).detach())
    found = {name: float(value) for name, value in figures.items()}
    assert found["loss"] == pytest.approx(expected / len(batch), rel=1e-4)
    assert found["loss"] == pytest.approx(found["span_loss"] + found["relevance_loss"])


def test_small_packs_give_the_same_gradients(
    model: DPRReader, tokenizer: DPRReaderTokenizer
) -> None:
    gradients = []
    for budget in (10_000, 1):
        settings = ReaderSettings(passages=3, pack_tokens=budget)
        task = ReaderTask(model, tokenizer, make_samples(), [], settings, seed=0)
        model.zero_grad()
        task.step(task.batches(0)[0], Step())
        gradients.append(model.span_predictor.qa_outputs.weight.grad.clone())
    assert torch.allclose(*gradients, atol=1e-6)


def test_a_positive_is_no_negative(model: DPRReader, tokenizer: DPRReaderTokenizer) -> None:
    gold, other = Context(TEXT, "tale"), Context("a dog", "dog")
    sample = TrainingSample("where", ("castle",), (gold,), (), (gold, other))
    task = ReaderTask(model, tokenizer, [sample], [], ReaderSettings(passages=3), seed=0)
    ((row,),) = task.batches(0)
    assert row.negatives == (other,)
    # Nor is what answers the same question in another sample, whatever its case and title.
    shouted = Context("A DOG", "animals")
    again = TrainingSample("Where?", ("dog",), (other,), (), (Context(TEXT), shouted))
    task = ReaderTask(model, tokenizer, [sample, again], [], ReaderSettings(passages=3), seed=0)
    assert task.negatives == [(), ()]
    # A question that is said to have no answer is left out where nothing else is left of it.
    unanswered = TrainingSample("where", (), (), (), (shouted,))
    settings = ReaderSettings(null=True)
    task = ReaderTask(model, tokenizer, [unanswered, again], [], settings, seed=0)
    assert (task.without_span, task.train) == (1, [again])


def test_questions_without_an_answer(model: DPRReader, tokenizer: DPRReaderTokenizer) -> None:
    negatives = tuple(Context(f"a dog and a cat {n}", "dog") for n in range(3))
    unanswered = TrainingSample("how", (), (), (), negatives)
    samples = [make_samples()[1], unanswered]
    assert len(ReaderTask(model, tokenizer, samples, [], ReaderSettings(), seed=0).train) == 1
    settings = ReaderSettings(passages=3, null=True)
    task = ReaderTask(model, tokenizer, samples, [], settings, seed=0)
    assert task.without_span == 0
    (batch,) = task.batches(0)
    (row,) = [row for row in batch if row.positive is None]
    assert len(row.negatives) == 3  # no place is kept for a positive
    found = {name: float(value) for name, value in task.step([row], Step()).items()}
    outs = [model(torch.tensor([ids])) for ids in task._sequences([row])[0]]
    logits = torch.cat([*(out.relevance_logits for out in outs), torch.zeros(1)])
    assert found["loss"] == pytest.approx(-float(logits.log_softmax(0)[-1].detach()), rel=1e-4)
    assert found["span_loss"] == 0
    assert '"positive": null' in json.dumps(task.describe(batch))


def test_silence_is_measured_and_learned(model: DPRReader, tokenizer: DPRReaderTokenizer) -> None:
    answered = make_samples()[0]
    unanswered = TrainingSample("where", (), (), (), (Context("a dog and a cat", "dog"),))
    dev = [answered, answered, unanswered]
    task = ReaderTask(model, tokenizer, dev, dev, ReaderSettings(null=True), seed=0)
    with torch.no_grad():
        for silent, bias in ((True, -100.0), (False, 100.0)):
            model.span_predictor.qa_classifier.bias.fill_(bias)
            measures = task.evaluate()
            assert measures["silent with an answer"] == measures["silent without an answer"]
            assert measures["silent with an answer"] == 100 * silent
            if silent:
                assert measures["F1"] == measures["EM"] == pytest.approx(100 / 3)
        model.span_predictor.qa_classifier.bias.zero_()
    plain = ReaderTask(model, tokenizer, dev[:2], dev[:2], ReaderSettings(), seed=0)
    assert set(plain.evaluate()) == {"F1", "EM"}
    learn(task)
    silence = {"silent with an answer": 0.0, "silent without an answer": 100.0}
    assert task.evaluate() == {"F1": 100.0, "EM": 100.0} | silence


def test_training_learns_to_answer(model: DPRReader, tokenizer: DPRReaderTokenizer) -> None:
    samples = make_samples()[:2]
    task = ReaderTask(model, tokenizer, samples, samples, ReaderSettings(passages=2), seed=0)
    learn(task)
    model.eval()
    assert task.evaluate() == {"F1": 100.0, "EM": 100.0}


def test_settings_outside_what_is_allowed() -> None:
    with pytest.raises(SettingsError, match="stride"):
        ReaderSettings(max_length=64, stride=64)
    with pytest.raises(SettingsError, match="passages"):
        ReaderSettings(passages=0)
