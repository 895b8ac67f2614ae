"""Passages or documents: which the judgements are about, and how documents rank."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import InputError
from dpr.evaluation.levels import Judged, all_ids, document_of, judged_level, scores
from dpr.records import Hit, Passage


def hits(*pairs: tuple[str, float]) -> list[Hit]:
    return [Hit(Passage(name, "text"), score) for name, score in pairs]


def test_a_piece_belongs_to_its_document() -> None:
    assert document_of("tea#0") == "tea"
    assert document_of("a#b#12") == "a#b"
    assert document_of("C#") == "C#"
    assert document_of("tea") == "tea"


def test_judgements_of_documents_that_were_cut() -> None:
    judgements = {"q": {"tea": 1, "milk": 2, "gone": 1, "no": 0}}
    judged = judged_level(judgements, {"tea#0", "tea#1", "milk"})
    assert judged == Judged("document", 1, 3, True)


def test_judgements_of_passages() -> None:
    judged = judged_level({"q": {"tea#0": 1}, "r": {"milk": 1}}, {"tea#0", "tea#1", "milk"})
    assert judged == Judged("passage", 0, 2, True)


def test_short_documents_alone_do_not_make_pieces_of_the_others() -> None:
    judged = judged_level({"q": {"milk": 1}}, {"tea#0", "tea#1", "milk"})
    assert (judged.level, judged.cut) == ("document", True)


def test_ids_that_look_like_pieces_and_are_whole() -> None:
    assert judged_level({"q": {"F#1": 1}}, {"F#1", "F#2"}).level == "passage"
    cut = judged_level({"q": {"F#1": 1}}, {"F#1#0", "F#1#1", "F#2"})
    assert (cut.level, cut.absent) == ("document", 0)


def test_of_runs_alone_it_is_not_known_what_was_indexed() -> None:
    assert judged_level({"q": {"x": 1}}, {"a"}, indexed=False) == Judged("document")


def test_judgements_of_other_documents_are_refused() -> None:
    with pytest.raises(InputError, match=r"none of the 1 relevant ids, such as 'x'"):
        judged_level({"q": {"x": 1, "tea#0": 0}}, {"tea#0"})


def test_a_document_has_the_score_of_its_best_passage() -> None:
    found = scores(hits(("a#1", 3.0), ("b", 2.0), ("a#0", 1.0), ("c#0", 0.5)), "document", ())
    assert found == {"a": 3.0, "b": 2.0, "c": 0.5}


def test_a_judged_id_with_a_mark_in_it_stays() -> None:
    assert list(scores(hits(("F#1", 2.0), ("F#2", 1.0)), "document", {"F#1"})) == ["F#1", "F"]
    assert list(scores(hits(("F#1", 2.0), ("F#2", 1.0)), "passage", ())) == ["F#1", "F#2"]


@given(st.lists(st.floats(-1e30, 1e30), max_size=30))
def test_order_is_kept_where_scores_are_equal(values: list[float]) -> None:
    ordered = sorted(values, reverse=True)
    found = scores(hits(*((str(n), value) for n, value in enumerate(ordered))), "passage", ())
    assert list(found) == [str(n) for n in range(len(ordered))]
    single = [np.float32(value) for value in found.values()]
    assert all(a > b for a, b in itertools.pairwise(single))
    for value, given_ in zip(found.values(), ordered, strict=True):
        assert value == pytest.approx(given_, rel=1e-5, abs=1e-35)


def test_a_run_keeps_its_scores() -> None:
    found = scores(hits(("b", 1.0), ("a", 1.0), ("c#1", 0.5), ("c#0", 0.5)), "document", (), False)
    assert found == {"b": 1.0, "a": 1.0, "c": 0.5}


def test_all_ids() -> None:
    assert all_ids([hits(("a", 1)), [], hits(("b", 1), ("a", 0))]) == {"a", "b"}
