"""What is chosen, on questions made so that the truth is known.

One passage of a question is right. Its relevance and its retrieval score are drawn from N(1, 1),
those of the others from N(0, 1): by Bayes' rule the softmax of relevance + retrieval score is the
probability of each to be the right one. So weights of 1 and the identity are true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from dpr.confidence import Calibrated, Case, Evidence, calibrate
from dpr.confidence.choosing import KEPT, _Choosing, _threshold
from dpr.errors import InputError
from dpr.evaluation.answers import squad2
from dpr.evaluation.calibration import calibration_error, reliability
from dpr.reading import MAP, Reading, ReadingSettings, Span, combine, confidence
from dpr.records import Hit, Passage, Question

START = ReadingSettings(no_answer_below=0.0)
PASSAGES = 4


def readings(
    rng: np.random.Generator, right: int | None, scale: float = 1.0
) -> list[tuple[Hit, Reading]]:
    found = []
    for number in range(PASSAGES):
        gold = float(number == right)
        text = "yes" if gold else f"n {number}"  # as long: lengths tell nothing
        hit = Hit(Passage(f"p{number}", text), gold + rng.normal())
        span = Span(0, len(text), 0.0, 0.0)
        found.append((hit, Reading(number, scale * (gold + rng.normal()), (span,))))
    return found


def cases(
    count: int, seed: int = 0, scale: float = 1.0, unanswerable: int = 0, about: int = 50
) -> list[Case]:
    rng = np.random.default_rng(seed)
    made = [
        Case(
            Question(f"q{n}", "?", ("Yes!",)),
            readings(rng, int(rng.integers(PASSAGES)), scale),
            readings(rng, None, scale),
            (f"d{n % about}", f"d{n % about}#{n // about % 3}"),
        )
        for n in range(count)
    ]
    return made + [
        Case(Question(f"u{n}", "?", (), True), readings(rng, None, scale), (), (f"d{n % about}",))
        for n in range(unanswerable)
    ]


def test_what_is_true_already_stays() -> None:
    done = calibrate(cases(3000), START)
    assert (done.settings.relevance_weight, done.settings.retrieval_weight) == (1.0, 1.0)
    assert done.settings.confidence_slope == pytest.approx(1, abs=0.1)
    assert done.settings.confidence_offset == pytest.approx(0, abs=0.2)
    assert done.before.error < 0.03 and done.after.error < 0.03
    assert done.questions == 3000 and done.unanswerable == 0 and done.notes == ()
    others = ("relevance", "span", "length", "standing")
    assert [getattr(done.settings, f"confidence_{name}") for name in others] == pytest.approx(
        [0.0] * 4, abs=0.15
    )
    chosen = ("no_answer_below", *(f"confidence_{name}" for name in MAP))
    assert replace(done.settings, **{name: getattr(START, name) for name in chosen}) == START


def test_scores_that_are_too_sure_become_true() -> None:
    """Relevance three times as large: a weight of a third would undo it, and so does the slope."""
    many = cases(2000, scale=3.0)
    done = calibrate(many, replace(START, relevance_weight=1.0, retrieval_weight=0.0))
    assert done.before.error > 0.1 > 0.04 > done.after.error
    # On questions that none of this saw:
    others = cases(2000, seed=1, scale=3.0)
    answers = [combine(one.found, replace(done.settings, no_answer_below=0.0)) for one in others]
    bins = reliability([one[0].score for one in answers], [one[0].text == "yes" for one in answers])
    assert calibration_error(bins) < 0.04


def test_weights_change_where_that_is_clearly_better() -> None:
    deaf = replace(START, retrieval_weight=0.0)
    done = calibrate(cases(1500), deaf)
    assert done.settings.retrieval_weight > 0.4
    assert done.after.f1.value > done.before.f1.value + 0.03
    assert sum(done.weights.values()) == 5 and (1.0, 0.0, 0.0) not in done.weights


def test_the_order_of_the_hits_counts_where_it_tells_more_than_their_scores() -> None:
    """Two questions of three are answered by the first hit, whatever the scores say."""
    rng = np.random.default_rng(5)
    many = [
        replace(case, found=readings(rng, 0 if n % 3 else int(rng.integers(PASSAGES))))
        for n, case in enumerate(cases(600))
    ]
    done = calibrate(many, START)
    assert done.settings.rank_weight > 0 and done.after.exact.low > done.before.exact.value


def test_held_out_figures_are_of_other_questions_than_chose() -> None:
    """Questions about one document are alike: dealt apart, a fold would know its own."""
    from dpr.confidence import choosing

    seen: list[set[str]] = []
    many = cases(200, about=20)
    real = choosing._Tried.choose

    def spying(self: choosing._Tried, inside: np.ndarray) -> ReadingSettings:
        seen.append({case.about[0] for case, yes in zip(many, inside, strict=True) if yes})
        outside = {case.about[0] for case, yes in zip(many, inside, strict=True) if not yes}
        assert not seen[-1] & outside
        return real(self, inside)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing._Tried, "choose", spying)
        calibrate(many, START)
    assert len(seen) == 6 and len(seen[-1]) == 20


def slow_threshold(done: Calibrated, many: Sequence[Case]) -> float:
    """The highest of 0, 0.001, ... that keeps 95% of the F1."""
    free = replace(done.settings, no_answer_below=0.0)
    scored = [combine(case.found, free)[0] for case in many]
    total = sum(answer.text == "yes" for answer in scored)
    best = 0.0
    for step in range(1001):
        kept = sum(one.text == "yes" for one in scored if one.score >= step / 1000)
        if kept >= KEPT * total:
            best = step / 1000
    return best


def test_the_threshold_keeps_most_of_the_f1() -> None:
    many = cases(400)
    done = calibrate(many, START)
    assert done.settings.no_answer_below == slow_threshold(done, many) > 0
    assert done.silence.rule == "keeps 95% of the F1"
    assert 0.85 < done.silence.kept < 1.0 and done.silence.unanswerable is None
    # Without its passage an answer is less sure, as softmax has nothing that stands out.
    assert done.silence.silent is not None and done.silence.silent > 1 - done.silence.answered


def test_with_unanswerable_questions_the_threshold_is_squad2s() -> None:
    many = cases(300, unanswerable=300)
    done = calibrate(many, START)
    assert done.silence.rule == "the best F1 by SQuAD 2.0's rule" and done.unanswerable == 300
    assert done.silence.unanswerable is not None and done.silence.unanswerable > 0.6
    evidence = Evidence([c.found for c in many], [c.question.answers for c in many])
    first = evidence.first(done.settings)
    sure = confidence(evidence.grounds(done.settings), done.settings).tolist()
    answers = ["yes" if exact else "no" for exact in first.exact]
    accepted = [case.question.answers for case in many]
    at_ours = squad2(answers, sure, accepted, done.settings.no_answer_below)
    assert at_ours["f1"] == pytest.approx(at_ours["best_f1"], abs=0.003)  # steps of 0.001


def test_a_few_unanswerable_questions_do_not_decide() -> None:
    done = calibrate(cases(300, unanswerable=5), START)
    assert done.silence.rule == "keeps 95% of the F1" and done.unanswerable == 5


def test_a_threshold_where_nothing_is_right_to_say() -> None:
    nothing = np.zeros(3)
    unknown = np.zeros(3, bool)
    assert _threshold(np.array([0.2, 0.4, 0.6]), nothing, unknown, True) == 0.601


def test_few_questions_choose_the_map_of_the_share_alone() -> None:
    chosen = [calibrate(cases(count), START).settings for count in (299, 300)]
    assert [one.confidence_relevance != 0 for one in chosen] == [False, True]
    assert all(one.confidence_slope not in (0, 1) for one in chosen)


def test_few_questions_are_refused_or_told_of() -> None:
    with pytest.raises(InputError, match="99 questions with answers are too few"):
        calibrate(cases(99, unanswerable=50), START)
    assert "100 questions say little" in calibrate(cases(100), START).notes[0]


def test_what_is_held_out_together_where_documents_are_few() -> None:
    def groups(many: list[Case]) -> tuple[set[str], list[str]]:
        choosing = _Choosing(many, START, 5, 0)
        return set(choosing._groups()), choosing.notes

    assert groups(cases(60, about=6)) == ({f"d{n}" for n in range(6)}, [])
    passages = {f"d{n}#{m}" for n in range(2) for m in range(3)}
    assert groups(cases(60, about=2)) == (passages, [])
    found, notes = groups(cases(60, about=1))  # three passages
    assert len(found) == 60 and "about a few" in notes[0]
    unknown = [replace(case, about=()) for case in cases(60)]
    assert len(groups(unknown)[0]) == 60 and groups(unknown)[1] == []


def test_questions_that_tell_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="of 200 answers 0 are right"):
        calibrate([replace(c, question=Question("q", "?", ("maybe",))) for c in cases(200)], START)
    backwards = []
    for case in cases(300):
        sure = max(reading.relevance for _, reading in case.found)
        wanted = ("Yes!", *(f"no {n}" for n in range(PASSAGES))) if sure < 1.2 else ("maybe",)
        backwards.append(replace(case, question=Question("q", "?", wanted)))
    with pytest.raises(InputError, match="not more often right"):
        calibrate(backwards, START)
