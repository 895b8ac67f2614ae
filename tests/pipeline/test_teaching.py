"""Questions into parts that share no document, and into samples with BM25's negatives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from dpr.errors import InputError, SettingsError
from dpr.evaluation.levels import document_of
from dpr.models.checkpoint import weights_fingerprint
from dpr.models.dpr import DPRContextEncoder, DPRQuestionEncoder
from dpr.pipeline.systems import Shelf
from dpr.pipeline.teaching import by_answers, divide, samples, teach
from dpr.records import Passage, Question, QuestionSet
from dpr.samples.files import Context, TrainingSample
from dpr.training.settings import LoopSettings, RetrieverSettings


def asked(documents: int, each: int = 2) -> QuestionSet:
    questions = [
        Question(f"q{d}-{n}", f"question {n} of {d}") for d in range(documents) for n in range(each)
    ]
    judgements = {q.id: {f"d{q.id[1:].partition('-')[0]}#0": 1} for q in questions}
    return QuestionSet("all", tuple(questions), judgements)


def test_no_document_is_in_two_parts() -> None:
    parts = divide(asked(20), seed=1)
    sizes = [len(part.questions) for part in (parts.train, parts.dev, parts.test)]
    assert sizes == [24, 4, 12]
    documents = [
        {name for grades in part.judgements.values() for name in grades}
        for part in (parts.train, parts.dev, parts.test)
    ]
    assert not documents[0] & documents[1]
    assert not documents[0] & documents[2]
    assert not documents[1] & documents[2]
    assert divide(asked(20), seed=1) == parts
    assert divide(asked(20), seed=2) != parts
    with pytest.raises(
        InputError, match="at least 10 documents that share none, all has them about 9"
    ):
        divide(asked(9), seed=0)


def test_documents_that_share_a_question_stay_together() -> None:
    questions = tuple(Question(f"q{n}", "who?") for n in range(40))
    judgements = {f"q{n}": {f"d{n // 2}": 1, f"d{n // 2 + 20 * (n % 2)}#1": 1} for n in range(40)}
    parts = divide(QuestionSet("all", questions, judgements), seed=0)
    documents = [
        {document_of(name) for grades in part.judgements.values() for name in grades}
        for part in (parts.train, parts.dev, parts.test)
    ]
    assert sum(map(len, documents)) == len(set().union(*documents)) == 40
    assert sum(len(p.questions) for p in (parts.train, parts.dev, parts.test)) == 40


def test_answers_judge_where_nobody_did() -> None:
    shelf = Shelf([Passage("a", "The king lives in Bonn."), Passage("b", "A king lives in Rome.")])
    questions = (
        Question("q", "Where does the king live?", ("rome",)),
        Question("r", "Where does the king live?", ("paris",)),
        Question("s", "Where does the king live?"),
        Question("t", "Where does the king live?", (".",)),  # which every passage holds
    )
    found = by_answers(QuestionSet("x", questions), shelf)
    assert found.judgements == {"q": {"b": 1}}
    assert [question.id for question in found.questions] == ["q"]


def test_samples() -> None:
    shelf = Shelf(
        [
            Passage("a#0", "The tale of the king begins."),
            Passage("a#1", "The king lives in Berlin."),
            Passage("b", "A king lives in Paris, and never in Rome."),
            Passage("c", "Another king lives in Berlin too."),
            Passage("d", "A whale."),
        ]
    )
    questions = (
        Question("q", "Where does the king live?", ("berlin",)),
        Question("r", "Where does the king live?"),
        Question("s", "Who is not there?"),
    )
    judgements = {"q": {"a": 1}, "r": {"a": 1, "b": 0}, "s": {"zzz": 1}}
    first, second = samples(QuestionSet("x", questions, judgements), shelf)
    assert [one.id for one in first.positives] == ["a#1"]  # the piece that holds the answer
    assert [one.id for one in first.hard_negatives] == ["b"]  # c holds the answer, d no word of it
    assert [one.id for one in second.positives] == ["a#1"]  # the piece that BM25 ranks best
    assert {one.id for one in second.hard_negatives} == {"b", "c"}


SAMPLES = [
    TrainingSample(f"who is {n}", (), (Context(f"the king of {n}", f"t{n}"),)) for n in range(4)
]
LOOP = LoopSettings(epochs=1, learning_rate=1e-3, warmup_steps=0)


def settings(question_tower_only: bool = False) -> RetrieverSettings:
    return RetrieverSettings(4, 0, passage_length=32, question_tower_only=question_tower_only)


def test_only_the_question_tower_of_a_tied_model(tiny_model: Path, tmp_path: Path) -> None:
    names = teach(tiny_model, SAMPLES, (), tmp_path, loop=LOOP, settings=settings(True))
    start = DPRContextEncoder.from_pretrained(tiny_model / "encoder").state_dict()
    kept = DPRContextEncoder.from_pretrained(names.context).state_dict()
    assert all(torch.equal(kept[name], start[name]) for name in start)
    question = DPRQuestionEncoder.from_pretrained(names.question).state_dict()
    trained = [name for name in question if name.endswith("query.weight")]
    assert trained
    assert not any(
        torch.equal(question[name], start[name.replace("question_", "ctx_")]) for name in trained
    )


def test_a_plain_checkpoint_becomes_two_towers(tiny_model: Path, tmp_path: Path) -> None:
    """As in ``dpr train``; a model whose towers are tied stays so."""
    plain, tied = tmp_path / "bert", tmp_path / "tied"
    shutil.copytree(tiny_model / "encoder", plain)
    names = teach(str(plain), SAMPLES, (), tmp_path / "run", loop=LOOP, settings=settings())
    assert Path(names.question).name == "question_encoder"
    assert Path(names.context).name == "ctx_encoder"
    names = teach(tiny_model, SAMPLES, (), tied, loop=LOOP, settings=settings())
    assert names.question == names.context
    assert json.loads((tied / "settings.json").read_text(encoding="utf-8"))["tied"] is True


def test_the_card_says_what_was_searched(tiny_model: Path, tmp_path: Path) -> None:
    teach(tiny_model, SAMPLES, SAMPLES[:2], tmp_path, loop=LOOP, settings=settings())
    card = (tmp_path / "best" / "README.md").read_text(encoding="utf-8")
    assert "\nMeasured on 2 questions among 2 passages.\n" in card


def test_a_start_is_known_by_its_weights(tiny_model: Path, tmp_path: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    shutil.copytree(tiny_model, model)
    teach(model, SAMPLES, (), run, loop=LOOP, settings=settings())
    begun = json.loads((run / "settings.json").read_text(encoding="utf-8"))["start"]
    encoder = DPRQuestionEncoder.from_pretrained(model / "encoder")
    assert begun["question"] == weights_fingerprint(encoder.state_dict())
    assert f"- question: `{begun['question']}`" in (run / "best" / "README.md").read_text()
    with torch.no_grad():
        next(encoder.parameters()).add_(1.0)
    encoder.save_pretrained(model / "encoder")
    with pytest.raises(SettingsError, match=r"start\.question was"):
        teach(model, SAMPLES, (), run, loop=LOOP, settings=settings())
