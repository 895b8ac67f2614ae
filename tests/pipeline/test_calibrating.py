"""Calibrating a collection: what is chosen is kept, for the reader it was chosen for alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from dpr.collection import read_manifest
from dpr.errors import CollectionError, InputError, SettingsError
from dpr.models import DPRReader
from dpr.pipeline import Pipeline, compact, index
from dpr.pipeline.calibrating import calibrate, holds, read_cases
from dpr.reading import SETTINGS_NAME, Reader, ReadingSettings
from dpr.records import Document, Question, QuestionSet
from dpr.shipped import find_models

NAMES = "paris france rhine danube castle forest river city king queen".split()
COUNT = 120


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("calibrating") / "tales"
    documents = [
        Document(f"d{n}", f"The old {one} wrote of the {other} in {n}.", f"Tale {n}")
        for n, (one, other) in enumerate((a, b) for a in NAMES for b in NAMES[:4])
    ]
    index(documents, to, model=tiny_model, split="none")
    return to


@pytest.fixture(scope="module")
def asked(folder: Path) -> QuestionSet:
    """Questions of which this reader, of random weights, answers the surer half right."""
    texts = [f"who wrote of the {NAMES[n % 10]} {n}" for n in range(COUNT)]
    with Pipeline.open(folder, settings={"no_answer_below": 0.0}) as pipeline:
        best = [one.answers[0] for one in pipeline.ask_many(texts)]
    middle = sorted(answer.score for answer in best)[COUNT // 2]
    questions = tuple(
        Question(f"q{n}", text, (answer.text if answer.score > middle else "nobody",))
        for n, (text, answer) in enumerate(zip(texts, best, strict=True))
    )
    return QuestionSet("tales", questions, {f"q{n}": {f"d{n % 40}": 1} for n in range(COUNT)})


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.mark.parametrize("mode", ["dense", "bm25"])
def test_what_is_read_is_what_the_mode_finds(
    folder: Path, asked: QuestionSet, mode: Literal["dense", "bm25"]
) -> None:
    with Pipeline.open(folder) as pipeline:
        assert pipeline.reader is not None
        cases = list(read_cases(pipeline, asked, mode=mode))
        count = pipeline.reader.settings.passages
        for case in cases[:20]:
            found = [
                hit.passage.id for hit in pipeline.search(case.question.text, count, mode=mode)
            ]
            assert list(dict.fromkeys(hit.passage.id for hit, _ in case.found)) == found


def settings_of(folder: Path, **options: object) -> ReadingSettings:
    with Pipeline.open(folder, **options) as pipeline:  # type: ignore[arg-type]
        assert pipeline.reader is not None
        return pipeline.reader.settings


def test_what_is_chosen_is_kept_and_asked_with(copy: Path, asked: QuestionSet) -> None:
    before = settings_of(copy)
    told: list[str] = []
    done = calibrate(copy, asked, tell=told.append)
    chosen = done.chosen.settings
    assert done.kept == str(copy) and done.chosen.start == before != chosen
    assert settings_of(copy) == chosen
    assert settings_of(copy, settings={"answers": 1}) == replace(chosen, answers=1)
    assert settings_of(copy, settings=ReadingSettings()) == ReadingSettings()
    assert read_manifest(copy).search["reading"]["questions"] == "tales"
    assert "reading for question 33 of 120" in told
    with Pipeline.open(copy, settings={"no_answer_below": 0.0}) as pipeline:
        sure = [pipeline.ask(q.text).answers[0].score for q in asked.questions]
    half = sorted(range(COUNT), key=lambda n: -sure[n])[: COUNT // 2 - 1]
    assert all(asked.questions[n].answers != ("nobody",) for n in half)
    compact(copy)
    assert settings_of(copy) == chosen


def test_a_pipeline_that_is_open_asks_with_what_is_chosen(copy: Path, asked: QuestionSet) -> None:
    with Pipeline.open(copy, settings={"answers": 2}) as pipeline:
        assert pipeline.reader is not None
        chosen = calibrate(copy, asked).chosen.settings
        version = pipeline.ask("who wrote of the king").version
        assert version == read_manifest(copy).version
        assert pipeline.reader.settings == replace(chosen, answers=2)


def test_another_reader_is_asked_with_its_own_settings(
    copy: Path, asked: QuestionSet, tiny_model: Path, tmp_path: Path
) -> None:
    calibrate(copy, asked)
    other = Path(shutil.copytree(tiny_model / "reader", tmp_path / "other"))
    assert settings_of(copy, reader=other) == settings_of(copy)  # the same weights elsewhere
    model = DPRReader.from_pretrained(other)
    with torch.no_grad():
        model.span_predictor.qa_classifier.bias += 1
    model.save_pretrained(other)
    assert settings_of(copy, reader=other) == ReadingSettings()


def test_nothing_is_kept_in_a_dry_run(copy: Path, asked: QuestionSet) -> None:
    before = read_manifest(copy)
    done = calibrate(copy, asked, dry_run=True)
    assert done.kept == "" and read_manifest(copy) == before


def test_into_a_model_that_is_ones_own(
    copy: Path, asked: QuestionSet, tiny_model: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(tiny_model, tmp_path / "own"))
    before = read_manifest(copy)
    done = calibrate(copy, asked, model=own, into_model=True)
    path = own / "reader" / SETTINGS_NAME
    assert done.kept == str(path) and read_manifest(copy) == before
    assert json.loads(path.read_text(encoding="utf-8")) == asdict(done.chosen.settings)
    assert Reader.from_pretrained(own / "reader").settings == done.chosen.settings
    assert [one.name for one in path.parent.iterdir() if "tmp" in one.name] == []


def test_into_a_model_of_others_is_refused_before_anything_is_read(
    copy: Path, asked: QuestionSet
) -> None:
    shipped = find_models().reader
    with pytest.raises(SettingsError, match="comes with the package"):
        calibrate(copy, asked, reader=shipped, into_model=True)
    with pytest.raises(SettingsError, match="is no folder here"):
        calibrate(copy, asked, reader="some/reader", into_model=True)


def test_too_few_questions_and_no_reader_are_refused_before_anything_is_read(
    copy: Path, asked: QuestionSet, tiny_model: Path, tmp_path: Path
) -> None:
    some = replace(asked, questions=asked.questions[:40])
    with pytest.raises(InputError, match="40 questions with answers are too few"):
        calibrate(copy, some)
    silent = Path(shutil.copytree(tiny_model, tmp_path / "silent"))
    shutil.rmtree(silent / "reader")
    with pytest.raises(CollectionError, match="has no reader"):
        calibrate(copy, asked, model=silent)


def test_questions_without_answers_are_left_out_and_told_of(copy: Path, asked: QuestionSet) -> None:
    more = replace(asked, questions=(*asked.questions, Question("x", "who?")))
    done = calibrate(copy, more, dry_run=True)
    assert done.chosen.questions == COUNT and "1 questions have no answers" in done.notes[0]


def test_what_is_read_without_the_answer_holds_none_of_it(folder: Path, asked: QuestionSet) -> None:
    texts = ("The king",)
    questions = (
        Question("q0", "who wrote of the king", texts),
        Question("q1", "who wrote of the king", (), True),
    )
    judged = QuestionSet("two", questions, {"q0": {"d3": 1}})
    with Pipeline.open(folder, settings={"passages": 5}) as pipeline:
        first, second = read_cases(pipeline, judged)
    found = [hit.passage for hit, _ in first.found]
    assert len(found) == 5 == len(first.without)
    assert not any(
        hit.passage.id == "d3" or holds(hit.passage.text, texts) for hit, _ in first.without
    )
    assert first.about == ("d3", "d3")
    assert second.without == () and second.about == ()
    assert [hit.passage for hit, _ in second.found] == found


def test_answers_are_looked_for_as_squad_compares_them() -> None:
    assert holds("In 1990, the King died.", ("king",))
    assert holds("An old (king)", ("the old king!",))
    assert not holds("kings", ("king",))
