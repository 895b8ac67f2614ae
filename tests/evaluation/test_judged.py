"""Judged measures against ir_measures itself, called on TREC files without any of our code."""

from __future__ import annotations

import ast
import io
import random
import subprocess
import sys

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, ERR, RR, Judged, P, R, Rprec, Success, nDCG

from dpr.errors import InputError, MissingExtraError, SettingsError
from dpr.evaluation.judged import EXAMPLES, MAX_GRADE, judge, measure_name

MEASURES = [nDCG @ 10, nDCG @ 2, nDCG, R @ 5, RR @ 3, RR, AP, AP(rel=2), P @ 5, Success @ 1, Rprec]
Run = dict[str, dict[str, float]]
Judgements = dict[str, dict[str, int]]


def random_case(seed: int) -> tuple[Run, Judgements]:
    """A small run and judgements: ties, questions that either lacks, grades from -2 to 3."""
    rng = random.Random(seed)
    passages = [f"p{number}" for number in range(12)]
    run: Run = {}
    judgements: Judgements = {}
    for number in range(6):
        if rng.random() < 0.8:
            found = rng.sample(passages, rng.randint(1, 12))
            run[f"q{number}"] = {one: rng.choice([0.25, 0.5, 1.0, rng.random()]) for one in found}
        if rng.random() < 0.8:
            graded = rng.sample(passages, rng.randint(1, 6))
            judgements[f"q{number}"] = {one: rng.choice([-2, -1, 0, 1, 1, 2, 3]) for one in graded}
    return run, judgements


def by_ir_measures(run: Run, judgements: Judgements) -> dict[str, dict[str, float]]:
    qrels = "".join(f"{q} 0 {p} {g}\n" for q, of in judgements.items() for p, g in of.items())
    lines = "".join(f"{q} Q0 {p} 0 {s!r} tag\n" for q, of in run.items() for p, s in of.items())
    values: dict[str, dict[str, float]] = {str(measure): {} for measure in MEASURES}
    for metric in ir_measures.iter_calc(
        MEASURES,
        list(ir_measures.read_trec_qrels(io.StringIO(qrels))),
        list(ir_measures.read_trec_run(io.StringIO(lines))),
    ):
        values[str(metric.measure)][metric.query_id] = metric.value
    return values


@pytest.mark.slow
def test_equal_to_ir_measures_on_1000_random_runs() -> None:
    missing = extra = tied = nothing_relevant = only_negative = 0
    for seed in range(1000):
        run, judgements = random_case(seed)
        # Where all grades are negative nothing is relevant, and trec_eval's code may fail.
        negative = {q for q, grades in judgements.items() if max(grades.values()) < 0}
        peer = by_ir_measures(run, {q: g for q, g in judgements.items() if q not in negative})
        ours = judge(run, judgements, [str(measure) for measure in MEASURES])
        assert list(ours) == [str(measure) for measure in MEASURES]
        for name, values in ours.items():
            assert list(values) == list(judgements)
            assert values == peer[name] | dict.fromkeys(negative, 0.0), (seed, name)
        missing += len(judgements.keys() - run.keys())
        extra += len(run.keys() - judgements.keys())
        tied += sum(len(set(scores.values())) < len(scores) for scores in run.values())
        only_negative += len(negative)
        nothing_relevant += sum(max(grades.values()) == 0 for grades in judgements.values())
    assert min(missing, extra, tied, only_negative, nothing_relevant) > 100  # all of it came up


def test_what_counts_0_and_what_is_left_out() -> None:
    run = {"found": {"a": 1.0}, "empty": {}, "not judged": {"a": 1.0}, "nothing graded": {"a": 1.0}}
    judgements = {
        "found": {"a": 1},
        "empty": {"a": 1},
        "missing": {"a": 1},
        "nothing relevant": {"a": 0},
        "nothing graded": {},
    }
    expected = {"found": 1.0, "empty": 0.0, "missing": 0.0, "nothing relevant": 0.0}
    names = [*EXAMPLES[:4], "Success@5", "Judged@1"]
    assert judge(run, judgements, names) == dict.fromkeys(names, expected)
    assert judge({}, judgements, ["AP"]) == {"AP": dict.fromkeys(expected, 0.0)}
    assert judge(run, {}, ["AP"]) == {"AP": {}}
    assert judge(run, judgements, []) == {}


def test_ties_go_to_the_id_that_sorts_last_but_for_a_reciprocal_rank_with_cutoff() -> None:
    run = {"q": {"a": 1.0, "b": 1.0}}
    expected = {"P@1": {"q": 0.0}, "RR": {"q": 0.5}, "RR@10": {"q": 1.0}}
    assert judge(run, {"q": {"a": 1}}, list(expected)) == expected


def test_only_negative_grades_do_not_end_the_process() -> None:
    """ir_measures, given the same, ends with a segmentation fault: trec_eval makes its table of
    grades for the first question, and clears a negative number of them for the second."""
    code = (
        "from dpr.evaluation.judged import judge\n"
        "judgements = {'first': {'a': 5}, 'second': {'a': -5, 'b': -2}}\n"
        "run = dict.fromkeys(judgements, {'a': 1.0, 'b': 2.0, 'c': 3.0})\n"
        "print(judge(run, judgements, ['AP', 'Judged@1', 'Judged@2']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert ast.literal_eval(done.stdout) == {
        "AP": {"first": 1 / 3, "second": 0.0},
        "Judged@1": {"first": 0.0, "second": 0.0},
        "Judged@2": {"first": 0.0, "second": 0.5},
    }


def test_numbers_of_numpy_are_taken() -> None:
    run = {"q": {"a": np.float32(0.5), "b": np.float64(0.25), "c": 1}}
    assert judge(run, {"q": {"b": np.int64(1)}}, ["RR"]) == {"RR": {"q": 1 / 3}}


def test_what_trec_eval_would_not_survive_or_would_rank_anyhow_is_refused() -> None:
    good = {"q": {"a": 1.0}}
    with pytest.raises(InputError, match="question 'q': the score of passage 'b' is nan"):
        judge({"q": {"a": 1.0, "b": float("nan")}}, {"q": {"a": 1}}, ["AP"])
    with pytest.raises(InputError, match=f"grade 1000001; give at most {MAX_GRADE}"):
        judge(good, {"q": {"a": MAX_GRADE + 1}}, ["AP"])
    with pytest.raises(InputError, match="half of a character"):
        judge({"q": {"\ud800": 1.0}}, {"q": {"a": 1}}, ["AP"])
    with pytest.raises(InputError, match="half of a character"):
        judge(good, {"q": {"\ud800": 1}}, ["AP"])
    assert judge(good, {"q": {"a": MAX_GRADE}}, ["AP"]) == {"AP": {"q": 1.0}}


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("nDCG@10", nDCG @ 10),
        ("NDCG@10", nDCG @ 10),
        ("MRR@10", RR @ 10),
        ("Recall@100", R @ 100),
        (" AP ", AP),
        ("AP(rel=2)@100", AP(rel=2) @ 100),
        ("nDCG(dcg='exp-log2')@5", nDCG(dcg="exp-log2") @ 5),
        ("P(cutoff=5, judged_only=True)", P(judged_only=True) @ 5),
        ("ERR@20", ERR @ 20),
        ("Judged@10", Judged @ 10),
    ],
)
def test_names_are_those_of_ir_measures(name: str, measure: ir_measures.Measure) -> None:
    assert measure_name(name) == str(measure)


def test_values_stand_under_the_name_given() -> None:
    values = judge({"q": {"a": 1.0}}, {"q": {"a": 1}}, ["MRR@10", "RR@10"])
    assert values == {"MRR@10": {"q": 1.0}, "RR@10": {"q": 1.0}}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ndcg@10", r"unknown measure 'ndcg@10'; did you mean nDCG@10\? Measures .* R@100"),
        ("nDCG@ten", r"did you mean nDCG@10\?"),
        ("recal@5", r"did you mean R@5"),
        ("hits@5", r"unknown measure 'hits@5'\. Measures are named .* Success@5"),
        ("", r"unknown measure ''"),
        ("AP; RR", r"unknown measure"),
        ("P(5)", r"unknown measure"),
        ("P@0", r"'P@0': cutoff 0; give a whole number above 0"),
        ("P@-3", r"cutoff -3"),
        ("nDCG@10.5", r"cutoff 10.5"),
        ("P@True", r"cutoff True"),
        ("P(rel=0)@5", r"rel 0; give a whole number above 0"),
        ("P(level=2)@5", r"no option 'level'; it has cutoff, rel, judged_only"),
        ("R", r"'R' needs a cutoff, as in R@10"),
        ("IPrec@2", r"'IPrec@2': invalid param recall=2; name one such as nDCG@10"),
        ("IPrec@-0.1", r"'IPrec@-0.1': unsupported measure"),
        ("NumRel(rel=3)", r"Unsupported"),
    ],
)
def test_measures_that_cannot_be_computed(name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        judge({"q": {"a": 1.0}}, {"q": {"a": 1}}, ["AP", name])


def test_ir_measures_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingExtraError, match=r"dense-passage-retrieval\[evaluate\]"):
        judge({}, {}, ["AP"])
