"""Figures in words: what is said, and what is not called a difference."""

from __future__ import annotations

from dpr.evaluation.records import Comparison, Cost, Depth, Estimate, Reading, System
from dpr.evaluation.wording import summary

READ = Reading(
    depths=(Depth(10, Estimate(0.456, 0.4, 0.5, 200), Estimate(0.56, 0.5, 0.6, 200)),),
    oracle=Estimate(0.7, 0.6, 0.8, 200),
    outcomes={"answered": 91, "not retrieved": 60, "not read": 40, "not chosen": 9},
    threshold=0.1,
    squad2={},
    calibration=(),
    calibration_error=0.083,
    coverage=(),
)


def system(name: str, value: float, reading: Reading | None = None) -> System:
    measures = {
        "nDCG@10": Estimate(value, value - 0.02, value + 0.02, 200),
        "accuracy@20": Estimate(0.8, 0.75, 0.85, 200),
    }
    return System(name, "run", {}, Cost(), measures, reading=reading)


def compared(difference: float, p: float) -> Comparison:
    bounds = difference - 0.01, difference + 0.01
    return Comparison("nDCG@10", "mini", "bm25", difference, *bounds, p / 2, p, 0.2, 60, 40, 100)


def test_what_is_said() -> None:
    said = summary(
        {"name": "tales"},
        [system("mini", 0.5, READ), system("bm25", 0.46)],
        [compared(0.04, 0.0001)],
        "nDCG@10",
        0.95,
    )
    assert said == (
        "mini reaches nDCG@10 0.500 over 200 questions of tales (95% interval 0.480 to 0.520), the "
        "highest of 2.",
        "mini is better than bm25 by 4.0 points of nDCG@10 (interval +3.0 to +5.0 points, "
        "p < 0.001): 60 wins, 40 losses, 100 ties.",
        "With mini, an accepted answer stands in one of the first 20 passages for 80.0% of the "
        "questions.",
        "Reading the first 10 passages, mini answers 45.6% of the questions exactly (F1 0.560); "
        "70.0% could be answered from these passages.",
        "Of the 109 others, 60 have no passage there that holds an accepted answer, 40 have one in "
        "which it was not read, and for 9 it was read and not chosen.",
        "The confidence of mini's answers is 8.3 points away from how often they are right, on "
        "average.",
        "With bm25, an accepted answer stands in one of the first 20 passages for 80.0% of the "
        "questions.",
    )


def test_no_difference_is_claimed_where_none_is_shown() -> None:
    said = summary(
        {"name": "tales"},
        [system("mini", 0.5), system("bm25", 0.46)],
        [compared(0.04, 0.0501)],
        "nDCG@10",
        0.95,
    )
    assert said[1].startswith(
        "Between mini and bm25 these 200 questions show no clear difference by"
    )
    assert "p = 0.050" in said[1]
    worse = summary({"name": "t"}, [system("mini", 0.5)], [compared(-0.04, 0.01)], "nDCG@10", 0.95)
    assert "mini is worse than bm25 by 4.0 points" in worse[1]


def test_one_system_is_the_highest_of_none_and_nothing_measured_says_nothing() -> None:
    said = summary({"name": "t"}, [system("mini", 0.5)], [], "nDCG@10", 0.9)
    assert said[0].endswith("(90% interval 0.480 to 0.520).")
    assert summary({"name": "t"}, [system("mini", 0.5)], [], "AP", 0.9) == ()
