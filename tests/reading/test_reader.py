from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dpr.errors import SettingsError
from dpr.models import DPRReader
from dpr.reading import Reader, ReadingSettings
from dpr.records import Hit, Passage
from dpr.tokens import DPRReaderTokenizer, reader_windows

TEXTS = [
    "The old king lives in a castle by the Rhine.",
    "A young queen wrote the tale of the snow man in Paris, where she was.",
    "Seven cats.",
]


@pytest.fixture
def reader(tiny_model: Path) -> Reader:
    return Reader.from_pretrained(tiny_model / "reader", ReadingSettings(no_answer_below=0.0))


def hits(texts: list[str] = TEXTS) -> list[Hit]:
    return [
        Hit(Passage(f"p{n}", text, "tale", start=100 * n, end=100 * n + len(text)), 3.0 - n)
        for n, text in enumerate(texts)
    ]


def slow_answers(reader: Reader, question: str, found: list[Hit]) -> dict[str, float]:
    """The documented rule by brute force: every span of every passage, padded forward."""
    model, settings = reader.model, reader.settings
    passages, shares = [], []
    for hit in found:
        (window,) = reader_windows(
            reader.tokenizer, [question], [hit.passage.title], [hit.passage.text]
        )
        with torch.no_grad():
            out = model(torch.tensor([window.ids]))
        inside = slice(window.text_start, len(window.ids))
        start = out.start_logits[0, inside].double().softmax(0)
        end = out.end_logits[0, inside].double().softmax(0)
        passages.append(float(out.relevance_logits[0]) + hit.score)
        words = [
            (float(start[s] * end[e]), window.offsets[s][0], window.offsets[e][1])
            for s in range(len(start))
            for e in range(s, min(len(start), s + settings.max_answer_tokens))
        ]
        shares.append(words)
    posterior = np.exp(passages) / np.exp(passages).sum()
    best: dict[str, float] = {}
    for weight, words, hit in zip(posterior, shares, found, strict=True):
        share, begin, finish = max(words)
        best[hit.passage.text[begin:finish]] = weight * share
    return best


def test_scores_are_those_of_the_documented_rule(reader: Reader) -> None:
    answers = reader.answer("who wrote the tale", hits())
    expected = slow_answers(reader, "who wrote the tale", hits())
    whole = {  # widening to whole words changes the text, not the score
        text: score for text, score in expected.items() if text in [a.text for a in answers]
    }
    assert whole
    for answer in answers:
        if answer.text in whole:
            assert answer.score == pytest.approx(whole[answer.text], rel=1e-4)


def test_offsets_point_at_the_answer_in_passage_and_document(reader: Reader) -> None:
    found = hits()
    passages = {hit.passage.id: hit.passage for hit in found}
    answers = reader.answer("who", found)
    assert answers
    for answer in answers:
        passage = passages[answer.passage_id]
        assert passage.text[answer.start : answer.end] == answer.text
        assert answer.document_start == passage.start + answer.start
        assert answer.document_end == passage.start + answer.end
    assert [a.score for a in answers] == sorted((a.score for a in answers), reverse=True)


def test_the_same_answer_is_gathered_over_passages(reader: Reader) -> None:
    twice = [*hits(["Seven cats."]), Hit(Passage("again", "Seven cats.", "tale"), 3.0)]
    (once, *_), (both, *_) = (
        reader.answer("what", twice[:1]),
        reader.answer("what", twice),
    )
    assert both.text == once.text
    assert both.score == pytest.approx(once.score)  # half from each of two equal passages
    assert set(both.support) == {"p0", "again"}


def test_a_question_is_answered_alike_alone_and_among_others(reader: Reader) -> None:
    questions = ["who wrote the tale", "where", "what is by the rhine and who lives in a castle"]
    together = reader.answer_many(questions, [hits(), hits()[1:], hits()[:1]])
    for number, question in enumerate(questions):
        alone = reader.answer(question, [hits(), hits()[1:], hits()[:1]][number])
        assert [a.text for a in alone] == [a.text for a in together[number]]
        for a, b in zip(alone, together[number], strict=True):
            assert a.score == pytest.approx(b.score, rel=1e-4)


def test_no_answer_when_nothing_convinces(tiny_model: Path) -> None:
    strict = Reader.from_pretrained(tiny_model / "reader", ReadingSettings(no_answer_below=0.99))
    assert strict.answer("who", hits()) == ()


def test_no_hits_and_empty_texts_give_no_answer(reader: Reader) -> None:
    assert reader.answer("who", []) == ()
    assert reader.answer("who", [Hit(Passage("e", ""), 1.0)]) == ()
    assert reader.answer_many([], []) == []


def test_answers_are_whole_words(reader: Reader, tiny_model: Path) -> None:
    text = "castlelike riverside xyzzy"
    tokenizer = DPRReaderTokenizer.from_pretrained(tiny_model / "reader")
    (window,) = reader_windows(tokenizer, ["who"], [""], [text])
    assert len(window.offsets) > 3  # the words are made of pieces
    for head in range(len(window.offsets)):
        for tail in range(head, len(window.offsets)):
            begin, finish = reader._whole_words(window, head, tail)
            assert begin == 0 or text[begin - 1] == " "
            assert finish == len(text) or text[finish] == " "


def test_long_passages_are_read_to_their_end(tiny_model: Path) -> None:
    settings = ReadingSettings(max_length=40, stride=10, no_answer_below=0.0)
    reader = Reader.from_pretrained(tiny_model / "reader", settings)
    text = "the king and the queen " * 40
    readings = reader.read(["who"], ["tale"], [text])
    assert len(readings) > 5
    covered = {char for r in readings for s in r.spans for char in range(s.start, s.end)}
    assert max(covered) > len(text) // 2
    last = [max(span.end for span in reading.spans) for reading in readings]
    assert len(text) - last[-1] < 40 * len("queen ")  # the last window's best is near the end
    assert {reading.item for reading in readings} == {0}


def test_another_head_on_the_same_encoder_is_another_reader(reader: Reader) -> None:
    before = reader.fingerprint
    assert before == reader.fingerprint
    with torch.no_grad():
        reader.model.span_predictor.qa_classifier.weight += 1
    assert reader.fingerprint != before


def test_only_the_best_hits_are_read(tiny_model: Path) -> None:
    settings = ReadingSettings(passages=1, no_answer_below=0.0)
    reader = Reader.from_pretrained(tiny_model / "reader", settings)
    assert {a.passage_id for a in reader.answer("who", hits())} == {"p0"}


def test_settings_that_the_model_cannot_do(tiny_model: Path) -> None:
    model = DPRReader.from_pretrained(tiny_model / "reader")
    tokenizer = DPRReaderTokenizer.from_pretrained(tiny_model / "reader")
    with pytest.raises(SettingsError, match="512 positions"):
        Reader(model, tokenizer, ReadingSettings(max_length=600))


def test_a_reader_is_loaded_to_the_device_that_is_named(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpr.reading.reader.inference_device", lambda: torch.device("meta"))
    loaded = Reader.from_pretrained(tiny_model / "reader")
    assert {one.device.type for one in loaded.model.parameters()} == {"meta"}
