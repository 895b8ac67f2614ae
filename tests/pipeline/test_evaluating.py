"""Whole evaluations of a tiny collection: figures by hand, against a run, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dpr.errors import InputError, SettingsError
from dpr.evaluation.answers import f1
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
        hits = pipeline.search_many([one.text for one in ASKED.questions], 100)
    first = [float(f"castle 1{n}" in one[0].passage.text.lower()) for n, one in enumerate(hits)]
    assert list(found.per_question["kings"]["accuracy@1"]) == first
    documents = [list(dict.fromkeys(h.passage.id.partition("#")[0] for h in one)) for one in hits]
    reciprocal = [
        1 / (ranked.index(f"d{n}") + 1) if f"d{n}" in ranked[:10] else 0.0
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
    for depth, one in enumerate(read.depths, 1):
        options = {"passages": depth, "no_answer_below": 0.0}
        with Pipeline.open(folder, settings=options) as pipeline:
            best = [pipeline.ask(q.text, 10).answers[0].text for q in ASKED.questions]
        shares = [f1(text, q.answers) for text, q in zip(best, ASKED.questions, strict=True)]
        assert one.f1.value == pytest.approx(sum(shares) / 8)
        assert one.f1.value > 0  # else it would show nothing


def test_the_parts_of_hybrid_search_beside_it(folder: Path) -> None:
    found = evaluate([folder, "dense"], ASKED, baseline="bm25", settings=SETTINGS)
    hybrid, dense, bm25 = found.systems
    assert [one.settings["mode"] for one in found.systems] == ["hybrid", "dense", "bm25"]
    assert dense.reading is None
    alone = {}
    for mode in ("dense", "hybrid"):
        evaluated = evaluate([folder], ASKED, mode=mode, settings=SETTINGS)
        alone[mode] = evaluated.systems[0].measures["RR@10"]
    assert hybrid.measures["RR@10"] == alone["hybrid"]
    assert dense.measures["RR@10"] == alone["dense"]
    assert hybrid.measures["RR@10"] != dense.measures["RR@10"]  # else it would show nothing
    assert bm25.measures["RR@10"].value == 1.0
    with pytest.raises(SettingsError, match="dense needs a collection"):
        evaluate(["dense"], ASKED, settings=SETTINGS)
    with pytest.raises(SettingsError, match="mode is 'words'; allowed are auto, dense"):
        evaluate([folder], ASKED, mode="words", settings=SETTINGS)  # type: ignore[arg-type]


def test_unanswerable_questions_count_in_squad2_alone(folder: Path) -> None:
    none = Question("none", "Who is not there?", unanswerable=True)
    asked = QuestionSet("some", (*ASKED.questions, none))
    found = evaluate([folder], asked, settings=SETTINGS)
    read = found.systems[0].reading
    assert read is not None
    assert read.depths[-1].exact.questions == found.systems[0].measures["EM"].questions == 8
    assert "NoAns_exact" in read.squad2
    assert found.per_question["kings"]["EM"][-1] is None


def test_answers_as_patterns_leave_the_reader_out(folder: Path) -> None:
    settings = replace(SETTINGS, regex=True)
    asked = QuestionSet("p", (Question("q", "Which castle?", (r"CASTLE 1\d",)),))
    found = evaluate([folder], asked, settings=settings)
    assert found.systems[0].measures["accuracy@1"].value == 1.0
    assert found.systems[0].reading is None
    assert any("patterns" in note for note in found.notes)


def test_collections_cut_differently_and_runs_in_any_order(
    folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.dpr"
    index(DOCUMENTS, whole, model=tiny_model, split="none")
    write_run(tmp_path / "a.run", {"q0": {"d0": 1.0}, "q1": {"d5": 1.0}}, tag="a")
    places = [tmp_path / "a.run", "bm25", whole, folder]
    found = evaluate(places, ASKED, baseline=str(whole), settings=SETTINGS)
    again = evaluate([folder, whole, "bm25", tmp_path / "a.run"], ASKED, settings=SETTINGS)
    assert found.baseline == "whole"
    measures = {one.name: one.measures for one in found.systems}
    assert list(measures) == ["a.run", "bm25", "whole", "kings"]
    for one in again.systems:
        if one.name != "bm25":  # it indexes the passages of the first collection
            assert one.measures == measures[one.name]
    assert measures["a.run"]["RR@10"].value == 1 / 8
    # All eight documents are among so many passages, however they are cut.
    settings = EvaluationSettings(read=0, measures=("R@10",), depth=10)
    deep = evaluate([folder, whole], ASKED, settings=settings)
    assert [one.measures["R@10"].value for one in deep.systems] == [1.0, 1.0]


def test_a_run_has_the_values_of_ir_measures_ties_and_depth_included(tmp_path: Path) -> None:
    import ir_measures
    import numpy as np

    rng = np.random.default_rng(0)
    ids = [f"d{n}" for n in range(300)]
    run = {
        f"q{q}": {one: float(rng.integers(0, 9)) for one in rng.choice(ids, 250, replace=False)}
        for q in range(20)
    }
    judged = {f"q{q}": dict.fromkeys(rng.choice(ids, 20, replace=False), 1) for q in range(20)}
    write_run(tmp_path / "a.run", run, tag="a")
    names = ("AP", "RR@10", "nDCG@10", "R@100")
    asked = QuestionSet("x", tuple(Question(name, "who?") for name in run), judged)
    found = evaluate([tmp_path / "a.run"], asked, settings=EvaluationSettings(measures=names))
    wanted = ir_measures.calc_aggregate([ir_measures.parse_measure(n) for n in names], judged, run)
    for measure, value in wanted.items():
        assert found.systems[0].measures[str(measure)].value == pytest.approx(value, abs=1e-9)


def test_questions_as_rows_and_records(folder: Path) -> None:
    rows = [{"id": q.id, "question": q.text, "answers": list(q.answers)} for q in ASKED.questions]
    found = evaluate([folder], rows, settings=SETTINGS)
    again = evaluate([folder], list(ASKED.questions), settings=SETTINGS)
    assert found.systems[0].measures == again.systems[0].measures
    assert found.question_texts == tuple(q.text for q in ASKED.questions)


def test_a_run_made_of_the_hits_gives_the_same_figures(folder: Path, tmp_path: Path) -> None:
    with Pipeline.open(folder) as pipeline:
        hits = pipeline.search_many([one.text for one in ASKED.questions], 100)
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
    found = evaluate([folder], ASKED, baseline="bm25", mode="dense", settings=SETTINGS)
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
        (QuestionSet("lost", ASKED.questions[:1], {"x": {"d0": 1}}), "judgements are of other"),
        (QuestionSet("twice", ASKED.questions[:1] * 2, {"q0": {"d0": 1}}), "have the id 'q0'"),
        (QuestionSet("empty", (Question("a", "who?", ("\u200b",)),)), "an answer is empty"),
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
    with pytest.raises(SettingsError, match=r"nDCG@10: needs judgements, and bare has none"):
        evaluate([folder], bare, settings=EvaluationSettings(measures=("nDCG@10",)))
    with pytest.raises(SettingsError, match="read=-1"):
        EvaluationSettings(read=-1)
    with pytest.raises(SettingsError, match=r"accuracy=\(5, 20\) looks deeper than depth=3"):
        EvaluationSettings(depth=3, accuracy=(5, 20))
    with pytest.raises(SettingsError, match=r"nDCG@10 look deeper than depth=8; give .* 10"):
        EvaluationSettings(depth=8, read=0, measures=("nDCG@10", "AP"))
