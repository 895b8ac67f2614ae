"""Whole evaluations of a tiny collection: figures by hand, against a run, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpr.errors import InputError, SettingsError
from dpr.evaluation.settings import StatisticsSettings
from dpr.pipeline import EvaluationSettings, Pipeline, evaluate, index
from dpr.questions import write_run
from dpr.records import Document, Question, QuestionSet

DOCUMENTS = [
    Document(f"d{n}", f"The king of city 1{n} lives in castle 1{n}. " * 4, f"Tale {n}")
    for n in range(8)
]
ASKED = QuestionSet(
    "kings",
    tuple(
        Question(f"q{n}", f"Which castle does the king of city 1{n} live in?", (f"castle 1{n}",))
        for n in range(8)
    ),
    {f"q{n}": {f"d{n}": 1} for n in range(8)},
)
SETTINGS = EvaluationSettings(
    depth=10, read=3, accuracy=(1, 5), statistics=StatisticsSettings(resamples=200)
)


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("evaluating") / "kings.dpr"
    index(DOCUMENTS, place, model=tiny_model, split="words:20")
    return place


def test_figures_by_hand(folder: Path) -> None:
    found = evaluate([folder], ASKED, baseline="bm25", settings=SETTINGS)
    assert [one.name for one in found.systems] == ["kings", "bm25"]
    assert found.baseline == "bm25"
    assert found.main_measure == "nDCG@10"
    assert "a document ranks where its best passage does" in " ".join(found.notes)
    with Pipeline.open(folder) as pipeline:
        hits = pipeline.search_many([one.text for one in ASKED.questions], 10)
    first = [float(f"castle 1{n}" in one[0].passage.text.lower()) for n, one in enumerate(hits)]
    assert list(found.per_question["kings"]["accuracy@1"]) == first
    documents = [list(dict.fromkeys(h.passage.id.partition("#")[0] for h in one)) for one in hits]
    reciprocal = [
        1 / (ranked.index(f"d{n}") + 1) if f"d{n}" in ranked else 0.0
        for n, ranked in enumerate(documents)
    ]
    assert list(found.per_question["kings"]["RR@10"]) == pytest.approx(reciprocal)
    kings, bm25 = found.systems
    assert kings.measures["RR@10"].value == pytest.approx(sum(reciprocal) / 8)
    assert bm25.measures["accuracy@1"].value == 1.0
    assert [k for k, _ in kings.curve] == [1, 2, 3, 5, 10]
    assert bm25.reading is None


def test_reading_is_at_each_depth_what_asking_gives(folder: Path) -> None:
    found = evaluate([folder], ASKED, settings=SETTINGS)
    read = found.systems[0].reading
    assert read is not None
    assert [one.depth for one in read.depths] == [1, 2, 3]
    assert sum(read.outcomes.values()) == 8
    right = 0
    options = {"passages": 2, "no_answer_below": 0.0}
    with Pipeline.open(folder, settings=options) as pipeline:
        for question in ASKED.questions:
            best = pipeline.ask(question.text, 10).answers[0]
            right += best.text.lower() == question.answers[0]
    assert read.depths[1].exact.value == right / 8


def test_a_run_made_of_the_hits_gives_the_same_figures(folder: Path, tmp_path: Path) -> None:
    with Pipeline.open(folder) as pipeline:
        hits = pipeline.search_many([one.text for one in ASKED.questions], 10)
    run = {
        question.id: {hit.passage.id: hit.score for hit in one}
        for question, one in zip(ASKED.questions, hits, strict=True)
    }
    write_run(tmp_path / "kings.run", run, tag="kings")
    found = evaluate([folder, tmp_path / "kings.run"], ASKED, settings=SETTINGS)
    ours, theirs = found.per_question["kings"], found.per_question["kings.run"]
    assert {name: theirs[name] for name in theirs} == {name: ours[name] for name in theirs}
    (first,) = [one for one in found.comparisons if one.measure == found.main_measure]
    assert (first.difference, first.wins, first.losses, first.p) == (0.0, 0, 0, 1.0)
    assert not found.examples


def test_models_are_indexed_from_documents_and_used_again(tiny_model: Path, tmp_path: Path) -> None:
    table = tmp_path / "docs.jsonl"
    table.write_text('{"id": "d0", "text": "The king of city 10 lives in castle 10"}\n')
    options = {"documents": table, "work": tmp_path / "work", "settings": SETTINGS}
    asked = QuestionSet("one", ASKED.questions[:1], {"q0": {"d0": 1}})
    told: list[str] = []
    found = evaluate([f"tiny={tiny_model}"], asked, tell=told.append, **options)
    assert any("indexing" in one for one in told)
    assert found.systems[0].measures["RR@10"].value == 1.0
    assert found.systems[0].cost.encode_seconds is not None
    again = evaluate([f"tiny={tiny_model}"], asked, baseline="bm25", **options)
    assert again.systems[0].measures == found.systems[0].measures
    assert again.systems[0].cost.encode_seconds is None


def test_examples_show_both_sides(folder: Path) -> None:
    found = evaluate([folder], ASKED, baseline="bm25", settings=SETTINGS)
    (one,) = [c for c in found.comparisons if c.measure == found.main_measure]
    assert len([e for e in found.examples if e.kind == "loss"]) == min(one.losses, 5)
    for example in found.examples:
        assert example.found is not None
        for start, end in example.found.marks:
            assert example.found.text[start:end].lower() in example.answers
    assert any(example.found and example.found.marks for example in found.examples)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (QuestionSet("none", ()), "holds no questions"),
        (QuestionSet("bare", (Question("a", "who?"),)), "neither answers nor judgements"),
        (QuestionSet("other", ASKED.questions[:1], {"q0": {"zzz": 1}}), "none of the 1 relevant"),
    ],
)
def test_questions_that_measure_nothing_are_refused(
    folder: Path, asked: QuestionSet, why: str
) -> None:
    with pytest.raises(InputError, match=why):
        evaluate([folder], asked, settings=SETTINGS)


def test_systems_that_cannot_be_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="neither a collection, nor a run file"):
        evaluate(["absent"], ASKED, settings=SETTINGS)
    with pytest.raises(SettingsError, match="bm25 needs passages"):
        evaluate(["bm25"], ASKED, settings=SETTINGS)
    write_run(tmp_path / "a.run", {"q0": {"d0": 1.0}}, tag="a")
    bare = QuestionSet("bare", ASKED.questions)
    with pytest.raises(InputError, match="no system has the texts"):
        evaluate([tmp_path / "a.run"], bare, settings=SETTINGS)
    with pytest.raises(SettingsError, match="read=9"):
        EvaluationSettings(depth=8, read=9)
    with pytest.raises(SettingsError, match=r"nDCG@10 look deeper than depth=8; give .* 10"):
        EvaluationSettings(depth=8, read=0, measures=("nDCG@10", "AP"))
